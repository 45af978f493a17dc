//! Bearer tokens of OAuth 2.0 (RFC 6749): a form is sent, JSON comes back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::Grant;
use super::fetch::{self, Fresh, Why};
use crate::config::snapshot::credential::{AzureClient, AzureProof, Metadata};

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<Seconds>,
    /// Since 1970; what App Service says instead.
    expires_on: Option<Seconds>,
}

/// Metadata services write them as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn read(&self) -> Option<Duration> {
        let seconds = match self {
            Seconds::Number(seconds) => Some(*seconds),
            Seconds::Text(text) => text.parse().ok(),
        };
        seconds.map(Duration::from_secs)
    }
}

impl Token {
    fn lifetime(&self) -> Option<Duration> {
        let left = |end: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            Some(end.saturating_sub(now))
        };
        let told = self.expires_in.as_ref().and_then(Seconds::read);
        told.or_else(|| left(self.expires_on.as_ref()?.read()?))
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
    let (name, value) = &service.header;
    bearer(client.get(&*service.url).header(*name, value.expose())).await
}

/// Asks for a token.
pub(super) async fn token(url: &str, form: &[(&str, &str)], client: &Client) -> Result<Fresh, Why> {
    let form = Serializer::new(String::new()).extend_pairs(form).finish();
    let request =
        client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    bearer(request).await
}

async fn bearer(request: RequestBuilder) -> Result<Fresh, Why> {
    let token: Token = fetch::json(request).await?;
    let lifetime = token.lifetime().ok_or("the answer does not say how long the token holds")?;
    granted(&token.access_token, lifetime)
}

/// A token that holds for so long.
pub(super) fn granted(token: &str, lifetime: Duration) -> Result<Fresh, Why> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| "the token holds a character that no header may have")?;
    value.set_sensitive(true);
    Ok(Fresh { grant: Grant::Bearer(value), lifetime: Some(lifetime) })
}
