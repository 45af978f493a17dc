//! Prometheus metrics, with every label resolved before the request path runs.

use std::sync::Arc;

use crate::types::{EndpointId, ModelAlias};
use crate::upstream::Ejection;

/// All metrics of the process.
pub struct Metrics {}

/// The handles of one endpoint.
pub struct EndpointMetrics {}

/// The handles of one alias at one endpoint.
pub struct TargetMetrics {}

impl EndpointMetrics {
    /// Counts an ejection.
    pub fn ejected(&self, _reason: Ejection) {}

    /// Takes the endpoint's state over into the gauges: called at each scrape.
    pub fn publish(&self, _healthy: bool, _in_flight: usize) {}
}

impl Metrics {
    /// The handles of an endpoint; the same for the same id.
    pub fn endpoint(&self, _id: &EndpointId) -> Arc<EndpointMetrics> {
        Arc::new(EndpointMetrics {})
    }

    /// The handles of an alias at an endpoint; the same for the same pair.
    pub fn target(&self, _alias: &ModelAlias, _endpoint: &EndpointId) -> Arc<TargetMetrics> {
        Arc::new(TargetMetrics {})
    }
}
