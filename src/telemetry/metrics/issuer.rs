//! The counters of token issuers: written by the task that fetches their public keys, read at a scrape.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::cells::Counts;
use super::page::{Family, Page};

/// `outcome` of a fetch.
const OUTCOMES: [&str; 2] = ["fetched", "failed"];

/// The counters of one issuer.
pub struct IssuerMetrics {
    issuer: String,
    keys: AtomicUsize,
    fetches: Counts<{ OUTCOMES.len() }>,
}

impl IssuerMetrics {
    pub(super) fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), keys: AtomicUsize::new(0), fetches: Counts::default() }
    }

    /// So many keys that verify signatures were read.
    pub fn fetched(&self, keys: usize) {
        self.keys.store(keys, Ordering::Relaxed);
        self.fetches.add(0, 1);
    }

    /// None could be fetched: those before stay.
    pub fn failed(&self) {
        self.fetches.add(1, 1);
    }
}

/// The families of all issuers.
pub(super) fn families<'a>(page: &mut Page, issuers: impl Iterator<Item = &'a IssuerMetrics>) {
    let mut keys = Family::gauge(
        "tollgate_issuer_keys",
        "Public keys of a token issuer by which signatures are verified.",
    );
    let mut fetches = Family::counter(
        "tollgate_issuer_fetches_total",
        "Times the public keys of a token issuer were read, by what came of it.",
    );
    for metrics in issuers {
        let issuer = ("issuer", metrics.issuer.as_str());
        keys.sample(&[issuer], metrics.keys.load(Ordering::Relaxed) as u64);
        for (slot, outcome) in OUTCOMES.into_iter().enumerate() {
            fetches.sample(&[issuer, ("outcome", outcome)], metrics.fetches.get(slot));
        }
    }
    page.add(keys);
    page.add(fetches);
}
