//! How endpoints are watched.

use std::time::Duration;

/// Active health checks of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveHealth {
    /// `None`: a TCP connection is enough; a path: `GET` must answer 2xx.
    pub path: Option<Box<str>>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time for one check.
    pub timeout: Duration,
    /// Good checks in a row that bring an endpoint back.
    pub healthy_after: u32,
    /// Bad checks in a row that take it out.
    pub unhealthy_after: u32,
}

/// Ejection of an endpoint by the outcome of real requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failures in a row that eject; 0 never ejects.
    pub failures: u32,
    /// The first ejection's length; doubled with each that follows without a success between.
    pub eject: Duration,
    /// The longest ejection, also for a 429's `Retry-After`.
    pub eject_max: Duration,
    /// How long an endpoint that comes back takes to reach its full share.
    pub slow_start: Duration,
}
