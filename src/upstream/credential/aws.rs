//! Keys of AWS from the services that give them out: a container's endpoint, an instance's metadata.

use aws_credential_types::Credentials;
use http::header::AUTHORIZATION;
use reqwest::{Client, Method};
use serde::Deserialize;

use super::Grant;
use super::fetch::{self, Fresh, Why};
use crate::config::snapshot::credential::ContainerToken;
use crate::types::Secret;

/// How long a session at the metadata service lasts, in seconds: one is opened for each fetch.
const SESSION_SECONDS: &str = "60";

/// What these services answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) token: String,
    /// RFC 3339.
    pub(super) expiration: String,
}

/// Keys that the configuration gave.
pub(super) fn fixed(id: &str, secret: &Secret, session: Option<&Secret>) -> Fresh {
    let session = session.map(|session| session.expose().to_owned());
    let keys = Credentials::new(id, secret.expose(), session, None, "configuration");
    Fresh { grant: Grant::keys(keys), lifetime: None }
}

/// A container's endpoint (AWS SDKs and tools reference, "Container credential provider").
pub(super) async fn from_container(
    url: &str,
    token: Option<&ContainerToken>,
    client: &Client,
) -> Result<Fresh, Why> {
    let mut request = client.get(url);
    request = match token {
        None => request,
        Some(ContainerToken::Value(value)) => request.header(AUTHORIZATION, value.expose()),
        Some(ContainerToken::File(path)) => request.header(AUTHORIZATION, fetch::file(path).await?),
    };
    fresh(fetch::json(request).await?)
}

/// An instance's metadata service, version 2 (Amazon EC2 user guide, "Use the Instance Metadata Service").
pub(super) async fn from_instance(url: &str, client: &Client) -> Result<Fresh, Why> {
    let session = client
        .request(Method::PUT, format!("{url}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
    let session = fetch::text(session).await?;
    let roles = format!("{url}/latest/meta-data/iam/security-credentials/");
    let ask = |url: &str| client.get(url).header("x-aws-ec2-metadata-token", session.trim());
    let role = fetch::text(ask(&roles)).await?;
    let role = role.lines().next().ok_or("the instance has no role")?;
    fresh(fetch::json(ask(&format!("{roles}{role}"))).await?)
}

/// Keys that hold for as long as the service says.
pub(super) fn fresh(keys: Keys) -> Result<Fresh, Why> {
    let Keys { access_key_id, secret_access_key, token, expiration } = keys;
    let lifetime = Some(fetch::left_until(&expiration)?);
    let keys = Credentials::new(access_key_id, secret_access_key, Some(token), None, "service");
    Ok(Fresh { grant: Grant::keys(keys), lifetime })
}
