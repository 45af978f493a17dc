//! The counters of credentials that are fetched: written by the one task that keeps each, read at a scrape.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cells::Counts;
use super::page::{Family, Page};
use crate::types::ProviderId;

/// `outcome` of a fetch.
const OUTCOMES: [&str; 2] = ["fetched", "failed"];

/// The counters of one provider's credential.
pub struct CredentialMetrics {
    provider: ProviderId,
    usable: AtomicBool,
    /// In seconds since 1970; 0 where it does not expire, or where there is none.
    expires_at: AtomicU64,
    fetches: Counts<{ OUTCOMES.len() }>,
}

impl CredentialMetrics {
    pub(super) fn new(provider: ProviderId) -> Self {
        Self {
            provider,
            usable: AtomicBool::new(false),
            expires_at: AtomicU64::new(0),
            fetches: Counts::default(),
        }
    }

    /// One was fetched, which expires then.
    pub fn fresh(&self, expires_at: Option<SystemTime>) {
        let seconds = expires_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        self.expires_at.store(seconds.map_or(0, |since| since.as_secs()), Ordering::Relaxed);
        self.usable.store(true, Ordering::Relaxed);
        self.fetches.add(0, 1);
    }

    /// None could be fetched: the one before stays until it expires.
    pub fn failed(&self) {
        self.fetches.add(1, 1);
    }

    /// There is none now.
    pub fn lost(&self) {
        self.expires_at.store(0, Ordering::Relaxed);
        self.usable.store(false, Ordering::Relaxed);
    }
}

/// The families of all credentials.
pub(super) fn families<'a>(
    page: &mut Page,
    credentials: impl Iterator<Item = &'a CredentialMetrics>,
) {
    let mut usable = Family::gauge(
        "tollgate_credential_usable",
        "1 where a credential that is fetched authorises requests, else 0.",
    );
    let mut expires = Family::gauge(
        "tollgate_credential_expiry_timestamp_seconds",
        "When the credential in use expires; it is replaced before.",
    );
    let mut fetches = Family::counter(
        "tollgate_credential_fetches_total",
        "Fetches of credentials, by what came of them.",
    );
    for credential in credentials {
        let provider = ("provider", credential.provider.as_str());
        usable.sample(&[provider], u64::from(credential.usable.load(Ordering::Relaxed)));
        expires.nonzero(&[provider], credential.expires_at.load(Ordering::Relaxed));
        for (slot, outcome) in OUTCOMES.into_iter().enumerate() {
            fetches.sample(&[provider, ("outcome", outcome)], credential.fetches.get(slot));
        }
    }
    page.add(usable);
    page.add(expires);
    page.add(fetches);
}
