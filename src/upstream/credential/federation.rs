//! Tokens of Google for an identity of another cloud: its own token is exchanged (RFC 8693), and what comes of it may
//! ask for a token of a service account (Google, "Workload identity federation"; AIP-4117).

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Grant;
use super::fetch::{self, Fresh, Why};
use super::oauth;
use crate::config::snapshot::credential::{Federation, Impersonation, Subject};

/// What a token must be for that asks for another account's.
const IMPERSONATING: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What the credentials service answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    /// RFC 3339.
    expire_time: String,
}

/// Exchanges the identity's token as it is now.
pub(super) async fn fetch(identity: &Federation, client: &Client) -> Result<Fresh, Why> {
    let subject = subject(identity, client).await;
    let subject = subject.map_err(|why| format!("the identity's own token: {why}"))?;
    let scope = if identity.account.is_some() { IMPERSONATING } else { &*identity.scope };
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", &identity.audience),
        ("scope", scope),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", &identity.token_type),
        ("subject_token", &subject),
    ];
    let exchanged = oauth::token(&identity.token_url, &form, client).await;
    let exchanged = exchanged.map_err(|why| format!("the exchange: {why}"))?;
    match &identity.account {
        None => Ok(exchanged),
        Some(account) => impersonate(account, &identity.scope, &exchanged, client)
            .await
            .map_err(|why| format!("the service account: {why}")),
    }
}

async fn subject(identity: &Federation, client: &Client) -> Result<String, Why> {
    let text = match &identity.subject {
        Subject::File(path) => fetch::file(path).await?,
        Subject::Url(url, headers) => {
            let request = client.get(&**url).headers(headers.iter().cloned().collect());
            fetch::text(request).await?.trim().to_owned()
        }
    };
    let Some(name) = identity.member.as_deref() else { return Ok(text) };
    // What the parser says may quote the token.
    let value: Value = serde_json::from_str(&text).map_err(|_| "it is not in JSON")?;
    let token = value.get(name).and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| format!("its JSON has no text `{name}`"))
}

/// A token of a service account (IAM Service Account Credentials API, `generateAccessToken`).
async fn impersonate(
    account: &Impersonation,
    scope: &str,
    exchanged: &Fresh,
    client: &Client,
) -> Result<Fresh, Why> {
    let Grant::Bearer(bearer) = &exchanged.grant else { return Err("there is no token".into()) };
    let body = json!({ "scope": [scope], "lifetime": format!("{}s", account.seconds) });
    let request = client
        .post(&*account.url)
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let Impersonated { access_token, expire_time } = fetch::json(request).await?;
    oauth::granted(&access_token, fetch::left_until(&expire_time)?)
}
