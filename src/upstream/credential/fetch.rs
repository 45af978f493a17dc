//! Asking services for credentials: one HTTP client, bounded in time and size, and what came of it.
//!
//! What is said of a failure never holds a credential: no body is repeated but the error that OAuth defines.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use log::warn;
use reqwest::{Client, RequestBuilder, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Grant, LiveCredential, aws, federation, google, oauth, sts};
use crate::config::snapshot::credential::{AwsKeys, Credential};
use crate::error::excerpt;

/// Time for one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for one request, from its start to its answer's end.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What was fetched.
pub(super) struct Fresh {
    /// What authorises requests.
    pub(super) grant: Grant,
    /// How long it holds; `None`: without end.
    pub(super) lifetime: Option<Duration>,
}

/// Why nothing was: for the log.
pub type Why = String;

/// The client of all fetches. It follows no redirects: a credential goes where the configuration says.
pub fn client() -> Result<Client, Why> {
    let mut roots = RootCertStore::empty();
    match rustls_native_certs::load_native_certs() {
        Ok(system) => drop(roots.add_parsable_certificates(system)),
        // Containers and instances ask without TLS.
        Err(why) => warn!("no certificate of the system can be read: {why}"),
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .build()
        .map_err(told)
}

impl LiveCredential {
    /// Whether it comes from a service; keys that the configuration gave are there from the start.
    pub(super) fn needs_fetching(&self) -> bool {
        !matches!(&*self.source, Credential::Aws(AwsKeys::Fixed { .. }))
    }

    /// Fetches it.
    pub(super) async fn fetch(&self, client: &Client) -> Result<Fresh, Why> {
        match &*self.source {
            Credential::Google(account) => google::fetch(account, client).await,
            Credential::Federated(identity) => federation::fetch(identity, client).await,
            Credential::Azure(app) => oauth::client_credentials(app, client).await,
            Credential::Metadata(service) => oauth::metadata(service, client).await,
            Credential::Aws(AwsKeys::Fixed { id, secret, session }) => {
                Ok(aws::fixed(id, secret, session.as_ref()))
            }
            Credential::Aws(AwsKeys::Role(role)) => sts::assume(role, client).await,
            Credential::Aws(AwsKeys::Container { url, authorization }) => {
                aws::from_container(url, authorization.as_ref(), client).await
            }
            Credential::Aws(AwsKeys::Instance { url }) => aws::from_instance(url, client).await,
        }
    }
}

/// The error of an OAuth token endpoint (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Sends a request whose answer is JSON.
pub async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Why> {
    // What the parser says may quote a credential.
    let parse = |body: Vec<u8>| serde_json::from_slice(&body).ok();
    parse(bytes(request).await?).ok_or_else(|| "the answer is not what it should be".into())
}

/// The text of a file with a token that its platform changes while the process runs.
pub(super) async fn file(path: &Path) -> Result<String, Why> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|why| format!("`{}` cannot be read: {why}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// How long it is until a date (RFC 3339).
pub(super) fn left_until(date: &str) -> Result<Duration, Why> {
    let date = DateTime::parse_from_rfc3339(date);
    let date = date.map_err(|why| format!("its end is no date: {why}"))?;
    let left = SystemTime::from(date).duration_since(SystemTime::now());
    Ok(left.unwrap_or(Duration::ZERO))
}

/// Sends a request whose answer is text.
pub(super) async fn text(request: RequestBuilder) -> Result<String, Why> {
    let text = String::from_utf8(bytes(request).await?);
    text.map_err(|_| "the answer is not text".into())
}

async fn bytes(request: RequestBuilder) -> Result<Vec<u8>, Why> {
    let mut answer = request.send().await.map_err(told)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    if status.is_success() {
        return Ok(body);
    }
    Err(match serde_json::from_slice::<Refusal>(&body) {
        Ok(Refusal { error, error_description }) => {
            format!("status {status}: {}: {}", excerpt(&error), excerpt(&error_description))
        }
        Err(_) => format!("status {status}"),
    })
}

/// An error with its causes, where the outermost says little; addresses are left out, as they may hold credentials.
pub fn told(error: reqwest::Error) -> Why {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
