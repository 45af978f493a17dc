//! Credentials that must be fetched, or that requests are signed with: kept fresh away from requests.
//!
//! A [`LiveCredential`] holds what authorises requests now. [`Keeper`], one background service, fetches it
//! before it expires; a request reads it without a lock. While there is none, the provider's endpoints are out.
//! A reload keeps the live credential of a provider whose configuration of it did not change. Fixed headers are
//! not seen here, and no file is read but the token of a container, which its platform changes at will.

mod aws;
mod federation;
pub mod fetch;
mod google;
mod keeper;
mod oauth;
mod schedule;
mod sigv4;
mod sts;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use smallvec::{SmallVec, smallvec};
use tokio::sync::{Notify, watch};

use crate::config::snapshot::credential::{AwsKeys, Credential};
use crate::config::snapshot::{Endpoint, Snapshot};
use crate::telemetry::metrics::{CredentialMetrics, Metrics};
use crate::types::ProviderId;

use fetch::Fresh;
pub use fetch::{Why, client, json, told};
pub use keeper::Keeper;

/// How long a process waits for its credentials before it serves without those that are late.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(5);

/// What authorises a request.
pub enum Grant {
    /// Sent as it is.
    Bearer(HeaderValue),
    /// Signs each request.
    Keys(Box<Identity>),
}

/// Headers that authorise one request.
pub type Authorization = SmallVec<[(HeaderName, HeaderValue); 4]>;

/// The parts of a request that a signature covers.
pub struct ToSign<'a> {
    /// The method.
    pub method: &'a str,
    /// The path with its query, as sent.
    pub path: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

/// The credential of one provider, as it is now.
pub struct LiveCredential {
    provider: ProviderId,
    source: Arc<Credential>,
    grant: ArcSwapOption<Grant>,
    metrics: Arc<CredentialMetrics>,
    /// Whether it was fetched once, well or not.
    tried: watch::Sender<bool>,
    /// An upstream refused it: it is fetched anew before its time.
    doubted: Notify,
}

/// Live credentials by provider.
pub(super) type Credentials = HashMap<ProviderId, Arc<LiveCredential>>;

/// The live credentials of a configuration: those of the one before, where they are the same.
pub(super) fn renew(before: &Credentials, snapshot: &Snapshot, metrics: &Metrics) -> Credentials {
    let mut after = Credentials::new();
    for endpoint in &snapshot.endpoints {
        let Some(source) = &endpoint.credential else { continue };
        after.entry(endpoint.provider.clone()).or_insert_with(|| {
            let same = before.get(&endpoint.provider).filter(|live| live.source == *source);
            same.cloned().unwrap_or_else(|| {
                let metrics = metrics.credential(&endpoint.provider);
                Arc::new(LiveCredential::new(&endpoint.provider, source, metrics))
            })
        });
    }
    after
}

impl LiveCredential {
    fn new(
        provider: &ProviderId,
        source: &Arc<Credential>,
        metrics: Arc<CredentialMetrics>,
    ) -> Self {
        let live = Self {
            provider: provider.clone(),
            source: Arc::clone(source),
            grant: ArcSwapOption::empty(),
            metrics,
            tried: watch::Sender::new(false),
            doubted: Notify::new(),
        };
        if let Credential::Aws(AwsKeys::Fixed { id, secret, session }) = &**source {
            live.replace(aws::fixed(id, secret, session.as_ref()));
        }
        live
    }

    /// What authorises requests now; `None` where nothing does.
    pub fn grant(&self) -> Option<Arc<Grant>> {
        self.grant.load_full()
    }

    /// Whether there is anything that authorises requests.
    pub fn is_usable(&self) -> bool {
        self.grant.load().is_some()
    }

    /// An upstream refused it, so it may have been withdrawn: it is fetched anew soon.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Returns once it was fetched, or could not be.
    pub(super) async fn tried(&self) {
        let mut tried = self.tried.subscribe();
        // The sender lives as long as this does.
        let _ = tried.wait_for(|tried| *tried).await;
    }

    fn replace(&self, fresh: Fresh) {
        self.grant.store(Some(Arc::new(fresh.grant)));
        self.metrics.fresh(fresh.lifetime.and_then(|left| SystemTime::now().checked_add(left)));
        self.tried.send_replace(true);
    }

    fn failed(&self) {
        self.metrics.failed();
        self.tried.send_replace(true);
    }

    fn expire(&self) {
        self.grant.store(None);
        self.metrics.lost();
    }
}

impl Grant {
    fn keys(keys: aws_credential_types::Credentials) -> Self {
        Self::Keys(Box::new(keys.into()))
    }

    /// The headers that authorise a request to an endpoint.
    ///
    /// # Errors
    /// Where the request cannot be signed, which is a fault of the gateway's.
    pub fn authorize(
        &self,
        endpoint: &Endpoint,
        request: &ToSign<'_>,
        now: SystemTime,
    ) -> Result<Authorization, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Bearer(value) => Ok(smallvec![(AUTHORIZATION, value.clone())]),
            Self::Keys(identity) => {
                let region = endpoint.region.as_deref().unwrap_or_default();
                let scope = sigv4::Scope { region, service: "bedrock", now };
                sigv4::sign(identity, &scope, &endpoint.authority, request)
            }
        }
    }
}
