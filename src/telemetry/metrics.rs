//! Prometheus metrics, with every label resolved before the request path runs.
//!
//! A request is counted once, by [`Metrics::record`], through the handles that its record
//! carries: no lock, no look-up, no text, and no cache line that another thread writes.
//! Series exist for what the configuration names and for nothing else: a client cannot
//! make one. Samples are put together only when someone asks, by [`Metrics::render`].

mod admission;
mod cells;
mod certificate;
mod contexts;
mod credential;
mod endpoint;
mod issuer;
mod page;
mod render;
mod roster;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::process_collector::ProcessCollector;

pub use self::admission::{AdmissionMetrics, Delivery};
pub use self::certificate::{CertificateEnd, CertificateMetrics};
pub use self::contexts::{ContextMetrics, StoreCall, SummaryEnd, TurnEnd};
pub use self::credential::CredentialMetrics;
pub use self::endpoint::EndpointMetrics;
pub use self::issuer::IssuerMetrics;
pub use self::slots::LostLine;

use self::cells::{Counts, Histogram, OVERHEAD_BOUNDS, REQUEST_BOUNDS};
use super::shard::{Sharded, thread_number};
use crate::config::reload;
use crate::config::snapshot::Snapshot;
use crate::types::{EndpointId, ModelAlias, ProviderId, Revision, TokenUsage};
use crate::usage::{AttemptRecord, Charge, UsageRecord, UsageSource};

/// `Content-Type` of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the process.
pub struct Metrics {
    threads: usize,
    handles: Mutex<Handles>,
    /// Where requests count that named no alias that exists.
    no_alias: Arc<AliasMetrics>,
    errors: Sharded<Counts<{ slots::ERRORS }>>,
    in_flight: Sharded<Arc<OwnLine>>,
    revision: AtomicU64,
    reloads: Counts<{ slots::RELOADS.len() }>,
    lost_lines: Counts<{ slots::LOSSES.len() }>,
    /// Conversations that live at the gateway.
    pub contexts: ContextMetrics,
    /// What limits and budgets did.
    pub admission: AdmissionMetrics,
    /// What certificates of clients came to.
    pub certificates: CertificateMetrics,
    /// What is made at run time.
    pub roster: roster::RosterMetrics,
    process: ProcessCollector,
}

/// One request in flight, for as long as it lives.
///
/// It is a reference to its thread's shard, and the number of references is the number of
/// requests: dropping it, on whatever thread, is all there is to do.
#[must_use]
pub struct InFlight {
    _counted: Arc<OwnLine>,
}

/// Nothing, on two cache lines of its own together with its reference count.
#[repr(align(128))]
struct OwnLine;

#[derive(Default)]
struct Handles {
    aliases: BTreeMap<ModelAlias, Arc<AliasMetrics>>,
    endpoints: BTreeMap<EndpointId, Arc<EndpointMetrics>>,
    targets: BTreeMap<(ModelAlias, EndpointId), Arc<TargetMetrics>>,
    credentials: BTreeMap<ProviderId, Arc<CredentialMetrics>>,
    issuers: BTreeMap<String, Arc<IssuerMetrics>>,
}

impl Metrics {
    /// Metrics that so many threads count in without sharing a cache line.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            handles: Mutex::default(),
            no_alias: Arc::new(AliasMetrics::new(ModelAlias::from(""), threads)),
            errors: Sharded::new(threads, Counts::default),
            in_flight: Sharded::new(threads, || Arc::new(OwnLine)),
            revision: AtomicU64::new(0),
            reloads: Counts::default(),
            lost_lines: Counts::default(),
            contexts: ContextMetrics::default(),
            admission: AdmissionMetrics::default(),
            certificates: CertificateMetrics::default(),
            roster: Default::default(),
            process: ProcessCollector::for_self(),
        }
    }

    /// The handles of an alias; the same for the same name.
    pub fn alias(&self, alias: &ModelAlias) -> Arc<AliasMetrics> {
        self.handles().alias(alias, self.threads)
    }

    /// The handles of an endpoint; the same for the same id.
    pub fn endpoint(&self, id: &EndpointId) -> Arc<EndpointMetrics> {
        self.handles().endpoint(id, self.threads)
    }

    /// The handles of a provider's credential; the same for the same provider.
    pub fn credential(&self, provider: &ProviderId) -> Arc<CredentialMetrics> {
        let mut handles = self.handles();
        let entry = handles.credentials.entry(provider.clone());
        Arc::clone(entry.or_insert_with(|| Arc::new(CredentialMetrics::new(provider.clone()))))
    }

    /// The handles of an issuer of tokens; the same for the same name.
    pub fn issuer(&self, name: &str) -> Arc<IssuerMetrics> {
        let new = || Arc::new(IssuerMetrics::new(name));
        Arc::clone(self.handles().issuers.entry(name.to_owned()).or_insert_with(new))
    }

    /// The handles of an alias at an endpoint; the same for the same pair.
    pub fn target(&self, alias: &ModelAlias, endpoint: &EndpointId) -> Arc<TargetMetrics> {
        let mut handles = self.handles();
        let key = (alias.clone(), endpoint.clone());
        if let Some(target) = handles.targets.get(&key) {
            return Arc::clone(target);
        }
        let alias = handles.alias(alias, self.threads);
        let endpoint = handles.endpoint(endpoint, self.threads);
        let target = Arc::new(TargetMetrics::new(alias, endpoint, self.threads));
        handles.targets.insert(key, Arc::clone(&target));
        target
    }

    /// Forgets what is no longer in the configuration. Requests that still run on an older
    /// one keep their handles, and what they count there is not shown any more.
    pub fn retain(&self, snapshot: &Snapshot) {
        let known = |id: &EndpointId| snapshot.endpoints.iter().any(|endpoint| endpoint.id == *id);
        let serves = |alias: &ModelAlias, id: &EndpointId| {
            snapshot.models.get(alias).is_some_and(|model| {
                let mut targets = model.levels.iter().flat_map(|level| &level.targets);
                targets.any(|target| target.endpoint.id == *id)
            })
        };
        let mut handles = self.handles();
        handles.aliases.retain(|alias, _| snapshot.models.contains_key(alias));
        handles.endpoints.retain(|id, _| known(id));
        handles.targets.retain(|(alias, id), _| serves(alias, id));
        let shown = |provider: &ProviderId| {
            let mut endpoints = snapshot.endpoints.iter();
            endpoints
                .any(|endpoint| endpoint.provider == *provider && endpoint.credential.is_some())
        };
        handles.credentials.retain(|provider, _| shown(provider));
        handles.issuers.retain(|name, _| snapshot.bearers.has_issuer(name));
    }

    /// Counts a request as in flight, until what is returned is dropped.
    pub fn started(&self) -> InFlight {
        InFlight { _counted: Arc::clone(self.in_flight.mine()) }
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.iter().map(|shard| Arc::strong_count(shard) - 1).sum()
    }

    /// Counts everything about a request that has ended.
    pub fn record(&self, record: &UsageRecord) {
        let thread = thread_number();
        record.model.as_ref().unwrap_or(&self.no_alias).record(thread, record);
        for attempt in &record.attempts {
            attempt.target.record(thread, attempt);
        }
        if let Some(last) = record.attempts.last() {
            last.target.count_use(thread, record);
        }
        if let Some(kind) = record.error {
            self.errors.at(thread).add(kind as usize, 1);
        }
    }

    /// Says which configuration is in use.
    pub fn in_use(&self, revision: Revision) {
        self.revision.store(revision.0, Ordering::Relaxed);
    }

    /// Counts a reload.
    pub fn reloaded(&self, outcome: reload::Outcome) {
        self.reloads.add(slots::reload(outcome), 1);
    }

    /// Counts lines that are missing from the access log.
    pub fn lines_lost(&self, reason: LostLine, lines: u64) {
        self.lost_lines.add(reason as usize, lines);
    }

    /// How many lines are missing from the access log, for one reason.
    pub fn lost_lines(&self, reason: LostLine) -> u64 {
        self.lost_lines.get(reason as usize)
    }

    /// Everything, in Prometheus' text format (content type [`CONTENT_TYPE`]).
    pub fn render(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&render::families(self))
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handles {
    fn alias(&mut self, alias: &ModelAlias, threads: usize) -> Arc<AliasMetrics> {
        let entry = self.aliases.entry(alias.clone());
        let new = || Arc::new(AliasMetrics::new(alias.clone(), threads));
        Arc::clone(entry.or_insert_with(new))
    }

    fn endpoint(&mut self, id: &EndpointId, threads: usize) -> Arc<EndpointMetrics> {
        let entry = self.endpoints.entry(id.clone());
        let new = || Arc::new(EndpointMetrics::new(id.clone(), threads));
        Arc::clone(entry.or_insert_with(new))
    }
}

/// The counters of one alias: all that is known without an endpoint.
pub struct AliasMetrics {
    alias: ModelAlias,
    shards: Sharded<AliasCells>,
}

#[derive(Default)]
struct AliasCells {
    /// By operation, and within it by status.
    requests: Counts<{ slots::OPERATIONS * slots::STATUSES.len() }>,
    retries: Counts<{ slots::OUTCOMES.len() }>,
    duration: Histogram,
    first_byte: Histogram,
    overhead: Histogram,
    request_bytes: Counts<1>,
    response_bytes: Counts<1>,
}

impl AliasMetrics {
    fn new(alias: ModelAlias, threads: usize) -> Self {
        Self { alias, shards: Sharded::new(threads, AliasCells::default) }
    }

    /// The alias's name; empty for requests that named no alias that exists.
    pub fn alias(&self) -> &ModelAlias {
        &self.alias
    }

    fn record(&self, thread: usize, record: &UsageRecord) {
        let cells = self.shards.at(thread);
        let status = slots::status(record.status);
        let operation = slots::operation(record.operation);
        cells.requests.add(operation * slots::STATUSES.len() + status, 1);
        cells.duration.observe(&REQUEST_BOUNDS, record.total);
        if let Some(first_byte) = record.first_byte {
            cells.first_byte.observe(&REQUEST_BOUNDS, first_byte);
        }
        cells.overhead.observe(&OVERHEAD_BOUNDS, record.overhead());
        cells.request_bytes.add(0, record.request_bytes);
        cells.response_bytes.add(0, record.response_bytes);
        // Whatever was followed by another attempt was the reason for it.
        if let Some((_last, retried)) = record.attempts.split_last() {
            for attempt in retried {
                cells.retries.add(slots::outcome(attempt.outcome), 1);
            }
        }
    }
}

/// The counters of one alias at one endpoint.
pub struct TargetMetrics {
    alias: Arc<AliasMetrics>,
    endpoint: Arc<EndpointMetrics>,
    shards: Sharded<TargetCells>,
}

#[derive(Default)]
struct TargetCells {
    attempts: Counts<{ slots::OUTCOMES.len() }>,
    tokens: Counts<{ slots::TOKENS.len() }>,
    /// Micro-dollars, then requests whose tokens are estimated.
    charges: Counts<2>,
    /// Without losses, then with some.
    translations: Counts<2>,
    /// Turns away from where their context belongs, then at home.
    affinity: Counts<2>,
}

impl TargetMetrics {
    fn new(alias: Arc<AliasMetrics>, endpoint: Arc<EndpointMetrics>, threads: usize) -> Self {
        Self { alias, endpoint, shards: Sharded::new(threads, TargetCells::default) }
    }

    /// The alias's handles.
    pub fn alias(&self) -> &Arc<AliasMetrics> {
        &self.alias
    }

    /// The endpoint's handles.
    pub fn endpoint(&self) -> &Arc<EndpointMetrics> {
        &self.endpoint
    }

    fn record(&self, thread: usize, attempt: &AttemptRecord) {
        let cells = self.shards.at(thread);
        cells.attempts.add(slots::outcome(attempt.outcome), 1);
        if let Some(done) = &attempt.translation {
            cells.translations.add(usize::from(!done.losses.is_empty()), 1);
        }
        if let Some(at_home) = attempt.at_home {
            cells.affinity.add(usize::from(at_home), 1);
        }
        self.endpoint.record(thread, attempt);
    }

    fn count_use(&self, thread: usize, record: &UsageRecord) {
        let (cells, Charge { source, cost, .. }) = (self.shards.at(thread), record.charge);
        cells.charges.add(0, cost.map_or(0, |cost| cost.0));
        cells.charges.add(1, u64::from(source == Some(UsageSource::Estimated)));
        let Some(tokens) = record.tokens else { return };
        let TokenUsage { input, cache_read, cache_write, output, reasoning } = tokens;
        let classes = [input, cache_read, cache_write, output, reasoning];
        classes.into_iter().enumerate().for_each(|(slot, count)| cells.tokens.add(slot, count));
    }
}
