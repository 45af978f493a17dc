//! The live state of one endpoint: load, latency, health. It survives reloads.
//!
//! Everything is an atomic of its own; nothing here knows addresses, sockets or the
//! configuration's shape beyond [`PassiveHealth`], which callers pass in because a reload
//! may change it. An endpoint is out while a reason for it stands (a failed check, no
//! address) or until `back_at`; from then on its share ramps up to full.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::snapshot::health::PassiveHealth;

use super::latency::Latency;
use super::moment::{Moment, nanos};

/// The share of an endpoint that takes its full part.
pub(super) const SHARE_FULL: u32 = 1024;
/// The share of an endpoint that has only just come back: about a tenth.
pub(super) const SHARE_FLOOR: u32 = SHARE_FULL / 10;

/// Why an endpoint is out for as long as nobody says otherwise: bits of [`Vitals::out`].
#[derive(Clone, Copy)]
pub(super) enum Out {
    /// Active checks fail.
    Check = 1,
    /// Its name has no address yet.
    Unresolved = 2,
}

/// Load, latency and health of one endpoint.
#[derive(Default)]
pub(super) struct Vitals {
    /// How fast it answers.
    pub(super) latency: Latency,
    in_flight: AtomicU32,
    /// Bits of [`Out`].
    out: AtomicU8,
    /// A [`Moment`]: out until then, ramping up afterwards; 0 where it never left.
    back_at: AtomicU64,
    /// Failures since the last success.
    failures: AtomicU32,
    /// Ejections since the last success: each doubles the next.
    ejections: AtomicU32,
}

impl Vitals {
    /// Counts a request in.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request out.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests at the endpoint now.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What part of its weight the endpoint should take: 0 while it is out, a tenth when it
    /// comes back, [`SHARE_FULL`] once `slow_start` has passed.
    pub(super) fn share(&self, slow_start: Duration, now: Moment) -> u32 {
        if self.out.load(Ordering::Relaxed) != 0 {
            return 0;
        }
        let back_at = self.back_at.load(Ordering::Relaxed);
        if back_at == 0 {
            return SHARE_FULL;
        }
        let Some(since) = now.0.checked_sub(back_at) else { return 0 };
        let ramp = nanos(slow_start);
        if since >= ramp {
            return SHARE_FULL;
        }
        let gained = u128::from(SHARE_FULL - SHARE_FLOOR) * u128::from(since) / u128::from(ramp);
        SHARE_FLOOR + u32::try_from(gained).unwrap_or_default()
    }

    /// How long until the endpoint comes back: zero for one that is in, without end for one
    /// that fails its checks, and longer than that for one without an address.
    pub(super) fn wait(&self, now: Moment) -> u64 {
        let out = self.out.load(Ordering::Relaxed);
        if out & Out::Unresolved as u8 != 0 {
            return u64::MAX;
        }
        if out & Out::Check as u8 != 0 {
            return u64::MAX - 1;
        }
        self.back_at.load(Ordering::Relaxed).saturating_sub(now.0)
    }

    /// An attempt begun at `started` succeeded.
    ///
    /// Like a failure, it counts only if it began after the endpoint last came back: what
    /// began before an ejection says nothing about the time after it.
    pub(super) fn succeeded(&self, started: Moment) {
        let fresh = started.0 >= self.back_at.load(Ordering::Relaxed);
        // Read before written: the line stays shared between cores while all goes well.
        if fresh && self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejections.store(0, Ordering::Relaxed);
        }
    }

    /// An attempt begun at `started` failed; says whether this ejected the endpoint.
    ///
    /// Only a success forgets failures: the first failure after an ejection ejects again,
    /// for twice as long.
    pub(super) fn failed(&self, passive: &PassiveHealth, started: Moment, now: Moment) -> bool {
        let back_at = self.back_at.load(Ordering::Relaxed);
        if passive.failures == 0 || started.0 < back_at {
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < passive.failures {
            return false;
        }
        let doublings = self.ejections.load(Ordering::Relaxed);
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let length = passive.eject.saturating_mul(factor).min(passive.eject_max);
        let until = now.after(length).0;
        // Of several that fail together, one ejects.
        let ejected = until > now.0
            && self
                .back_at
                .compare_exchange(back_at, until, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if ejected {
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
        ejected
    }

    /// The endpoint asked to be left alone; says whether it was in until now.
    pub(super) fn rate_limited(
        &self,
        retry_after: Duration,
        passive: &PassiveHealth,
        now: Moment,
    ) -> bool {
        let until = now.after(retry_after.min(passive.eject_max)).0;
        until > now.0 && self.back_at.fetch_max(until, Ordering::Relaxed) <= now.0
    }

    /// A reason to be out stands from now on; says whether it is new.
    pub(super) fn take_out(&self, reason: Out) -> bool {
        self.out.fetch_or(reason as u8, Ordering::Relaxed) & reason as u8 == 0
    }

    /// A reason to be out is gone; says whether it stood. A running ejection goes on.
    pub(super) fn let_in(&self, reason: Out) -> bool {
        self.out.fetch_and(!(reason as u8), Ordering::Relaxed) & reason as u8 != 0
    }

    /// The share ramps up from now on, unless the endpoint is out for longer anyway.
    pub(super) fn ramp_from(&self, now: Moment) {
        self.back_at.fetch_max(now.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
