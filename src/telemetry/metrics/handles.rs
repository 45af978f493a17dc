//! Handles: the counters of one alias, one endpoint, or one alias at one endpoint.
//!
//! Whoever plans a route keeps them beside the route and gives them to the usage record,
//! so that counting a request looks nothing up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::shard::Sharded;
use super::cells::{Counts, Histogram, OVERHEAD_BOUNDS, REQUEST_BOUNDS};
use super::slots;
use crate::types::{EndpointId, ModelAlias, TokenUsage};
use crate::upstream::Ejection;
use crate::usage::{AttemptRecord, UsageRecord};

/// The counters of one alias: all that is known without an endpoint.
pub struct AliasMetrics {
    alias: ModelAlias,
    pub(super) shards: Sharded<AliasCells>,
}

#[derive(Default)]
pub(super) struct AliasCells {
    /// By operation, and within it by status.
    pub(super) requests: Counts<{ slots::OPERATIONS * slots::STATUSES.len() }>,
    pub(super) retries: Counts<{ slots::OUTCOMES.len() }>,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) overhead: Histogram,
    pub(super) request_bytes: Counts<1>,
    pub(super) response_bytes: Counts<1>,
}

impl AliasMetrics {
    pub(super) fn new(alias: ModelAlias, threads: usize) -> Self {
        Self { alias, shards: Sharded::new(threads, AliasCells::default) }
    }

    /// The alias's name; empty for requests that named no alias that exists.
    pub fn alias(&self) -> &ModelAlias {
        &self.alias
    }

    pub(super) fn record(&self, thread: usize, record: &UsageRecord) {
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

/// The counters of one endpoint.
pub struct EndpointMetrics {
    id: EndpointId,
    pub(super) shards: Sharded<EndpointCells>,
    pub(super) healthy: AtomicBool,
    pub(super) in_flight: AtomicUsize,
}

#[derive(Default)]
pub(super) struct EndpointCells {
    pub(super) first_byte: Histogram,
    pub(super) duration: Histogram,
    pub(super) ejections: Counts<{ slots::EJECTIONS.len() }>,
    /// New ones, then reused ones.
    pub(super) connections: Counts<2>,
    pub(super) request_bytes: Counts<1>,
    pub(super) response_bytes: Counts<1>,
}

impl EndpointMetrics {
    pub(super) fn new(id: EndpointId, threads: usize) -> Self {
        Self {
            id,
            shards: Sharded::new(threads, EndpointCells::default),
            healthy: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// The endpoint's name.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Counts one ejection.
    pub fn ejected(&self, reason: Ejection) {
        self.shards.mine().ejections.add(slots::ejection(reason), 1);
    }

    /// Says how the endpoint stands; called when metrics are asked for.
    pub fn publish(&self, healthy: bool, in_flight: usize) {
        self.healthy.store(healthy, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }

    fn record(&self, thread: usize, attempt: &AttemptRecord) {
        let cells = self.shards.at(thread);
        if let Some(first_byte) = attempt.first_byte {
            cells.first_byte.observe(&REQUEST_BOUNDS, first_byte);
        }
        // An attempt without a connection says nothing of how long the endpoint takes.
        if let Some(reused) = attempt.reused {
            cells.connections.add(usize::from(reused), 1);
            cells.duration.observe(&REQUEST_BOUNDS, attempt.total);
        }
        cells.request_bytes.add(0, attempt.request_bytes);
        cells.response_bytes.add(0, attempt.response_bytes);
    }
}

/// The counters of one alias at one endpoint.
pub struct TargetMetrics {
    alias: Arc<AliasMetrics>,
    endpoint: Arc<EndpointMetrics>,
    pub(super) shards: Sharded<TargetCells>,
}

#[derive(Default)]
pub(super) struct TargetCells {
    pub(super) attempts: Counts<{ slots::OUTCOMES.len() }>,
    pub(super) tokens: Counts<{ slots::TOKENS.len() }>,
}

impl TargetMetrics {
    pub(super) fn new(
        alias: Arc<AliasMetrics>,
        endpoint: Arc<EndpointMetrics>,
        threads: usize,
    ) -> Self {
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

    pub(super) fn record(&self, thread: usize, attempt: &AttemptRecord) {
        self.shards.at(thread).attempts.add(slots::outcome(attempt.outcome), 1);
        self.endpoint.record(thread, attempt);
    }

    pub(super) fn count_tokens(&self, thread: usize, tokens: &TokenUsage) {
        let TokenUsage { input, cache_read, cache_write, output, reasoning } = *tokens;
        let cells = self.shards.at(thread);
        for (slot, count) in
            [input, cache_read, cache_write, output, reasoning].into_iter().enumerate()
        {
            cells.tokens.add(slot, count);
        }
    }
}
