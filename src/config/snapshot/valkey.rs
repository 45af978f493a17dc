//! How limits hold across several gateways. Taken into use at start only.

use std::time::Duration;

/// How limits hold across gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// What a gateway may hold of a limit beyond what it uses, in percent.
    pub lease_percent: u32,
    /// After this time, what a gateway held that was not heard of is free.
    pub lease: Duration,
    /// Whether a gateway whose leases have run out grants the whole limit by itself.
    pub allows_when_down: bool,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { lease_percent: 1, lease: Duration::from_secs(5), allows_when_down: false }
    }
}
