//! Bearer tokens of OAuth 2.0 (RFC 6749): a form is sent, JSON comes back.

use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use url::form_urlencoded::Serializer;

use super::Grant;
use super::fetch::{self, Fresh, Why};
use crate::config::snapshot::credential::{AzureClient, AzureProof, Metadata};

#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// In seconds; a metadata service says it as text.
    #[serde(deserialize_with = "seconds")]
    expires_in: u64,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(seconds) => Ok(seconds),
        Written::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

/// The client credentials grant (section 4.4), as Microsoft Entra ID takes it: with a secret, or with a token
/// that stands for the application (RFC 7523, section 2.2).
pub(super) async fn client_credentials(app: &AzureClient, client: &Client) -> Result<Fresh, Why> {
    let (by, proof) = match &app.proof {
        AzureProof::Secret(secret) => ("client_secret", secret.expose().to_owned()),
        AzureProof::File(path) => ("client_assertion", fetch::file(path).await?),
    };
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", &app.client_id),
        ("scope", &app.scope),
        (by, &proof),
    ];
    if matches!(app.proof, AzureProof::File(_)) {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        form.push(("client_assertion_type", kind));
    }
    token(&app.token_url, &form, client).await
}

/// A token that a machine's metadata service gives out.
pub(super) async fn metadata(service: &Metadata, client: &Client) -> Result<Fresh, Why> {
    let (name, value) = service.header;
    bearer(client.get(&*service.url).header(name, value)).await
}

/// Asks for a token.
pub(super) async fn token(url: &str, form: &[(&str, &str)], client: &Client) -> Result<Fresh, Why> {
    let form = Serializer::new(String::new()).extend_pairs(form).finish();
    let request =
        client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    bearer(request).await
}

async fn bearer(request: RequestBuilder) -> Result<Fresh, Why> {
    let Token { access_token, expires_in } = fetch::json(request).await?;
    let value = HeaderValue::from_str(&format!("Bearer {access_token}"));
    let mut value = value.map_err(|_| "the token holds a character that no header may have")?;
    value.set_sensitive(true);
    Ok(Fresh { grant: Grant::Bearer(value), lifetime: Some(Duration::from_secs(expires_in)) })
}
