//! Time as live state keeps it: one number that fits an atomic.
//!
//! Nothing here reads a clock: callers give an `Instant`, tests give any they like.

use std::time::{Duration, Instant};

/// Where counting starts: one for all live state of a process.
#[derive(Clone, Copy)]
pub(super) struct Origin(pub(super) Instant);

impl Origin {
    /// An instant as a moment; one before the origin is the origin.
    pub(super) fn at(self, now: Instant) -> Moment {
        Moment(nanos(now.saturating_duration_since(self.0)))
    }
}

/// Nanoseconds since the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// A moment later.
    pub(super) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// The time since an earlier moment; zero since a later one.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds; 584 years where it is longer.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
