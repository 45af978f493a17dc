//! The counters of endpoints.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::cells::{Counts, Histogram, REQUEST_BOUNDS};
use super::slots;
use crate::telemetry::shard::Sharded;
use crate::types::EndpointId;
use crate::upstream::Ejection;
use crate::usage::AttemptRecord;

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

    pub(super) fn record(&self, thread: usize, attempt: &AttemptRecord) {
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
