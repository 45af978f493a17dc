//! How endpoints are watched, as the file says it.

use schemars::JsonSchema;
use serde::Deserialize;

/// Active health checks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// A path that must answer GET with 2xx, `/health`; a TCP connection is enough without.
    pub path: Option<String>,
    /// Milliseconds between two checks. Default 5000.
    pub interval_ms: Option<u64>,
    /// Milliseconds for one check. Default 2000.
    pub timeout_ms: Option<u64>,
    /// Good checks in a row that bring an endpoint back. Default 2.
    pub healthy_after: Option<u32>,
    /// Bad checks in a row that take it out. Default 3.
    pub unhealthy_after: Option<u32>,
}

/// Ejection by the outcome of real requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Passive {
    /// Failures in a row that eject an endpoint; 0 never ejects. Default 5.
    pub failures: Option<u32>,
    /// Milliseconds of the first ejection; doubled with each that follows. Default 5000.
    pub eject_ms: Option<u64>,
    /// The longest ejection, also for a 429's Retry-After. Default 300000.
    pub eject_max_ms: Option<u64>,
    /// Milliseconds an endpoint that comes back takes to reach its full share. Default 10000.
    pub slow_start_ms: Option<u64>,
}
