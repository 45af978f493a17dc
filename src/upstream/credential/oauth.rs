//! Bearer tokens of OAuth 2.0 (RFC 6749): a form is sent, JSON comes back.

use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use reqwest::Client;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::Grant;
use super::fetch::{self, Fresh, Why};
use crate::config::snapshot::credential::AzureClient;

#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// In seconds.
    expires_in: u64,
}

/// The client credentials grant (section 4.4), as Microsoft Entra ID takes it.
pub(super) async fn client_credentials(app: &AzureClient, client: &Client) -> Result<Fresh, Why> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &app.client_id),
        ("client_secret", app.client_secret.expose()),
        ("scope", &app.scope),
    ];
    token(&app.token_url, &form, client).await
}

/// Asks for a token.
pub(super) async fn token(url: &str, form: &[(&str, &str)], client: &Client) -> Result<Fresh, Why> {
    let form = Serializer::new(String::new()).extend_pairs(form).finish();
    let request =
        client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    let Token { access_token, expires_in } = fetch::json(request).await?;
    let value = HeaderValue::from_str(&format!("Bearer {access_token}"));
    let mut value = value.map_err(|_| "the token holds a character that no header may have")?;
    value.set_sensitive(true);
    Ok(Fresh { grant: Grant::Bearer(value), lifetime: Some(Duration::from_secs(expires_in)) })
}
