//! Waiting for room instead of being refused, where the configuration says so.
//!
//! A request waits at the account that refuses it, in that account's [`Queue`](super::queue::Queue). Only
//! the first of a queue tries: when a request ends there, when the one before it has gone, or at the
//! moment that the window has moved far enough. Nobody who comes later passes by a queue. One that
//! finds room where it waits and none elsewhere goes on to wait there.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::account::Now;
use super::queue::Waiter;
use super::refusal::{Refusal, Wait};
use super::{Applying, Bound, Demand, Ledger, Permit};
use crate::config::snapshot::terms::Rule;
use crate::error::{Error, Result};
use crate::types::{Quota, TenantId};

/// A request that finds no room now. Nothing was taken for it.
pub struct Refused {
    pub(super) applying: Applying,
    pub(super) demand: Demand,
    pub(super) refusal: Refusal,
    pub(super) quota: Quota,
}

/// How long a request waits, and behind whom.
pub struct Patience {
    /// When it gives up.
    pub until: Instant,
    /// Requests that wait in the whole process at most.
    pub queue_max: u64,
    /// Higher ones go first.
    pub priority: u32,
    /// Tenants take turns.
    pub tenant: TenantId,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// There was room.
    Admitted,
    /// There was none in time.
    Refused,
    /// The client left.
    Left,
    /// Too many were waiting already.
    Full,
}

impl WaitEnd {
    /// As the metric says it, by place.
    pub const LABELS: [&str; 4] = ["admitted", "refused", "left", "full"];
}

/// A place among those who wait; given up when dropped.
pub(super) struct Place<'a> {
    ledger: &'a Ledger,
    waiter: Arc<Waiter>,
    at: Option<Bound>,
    began: Instant,
    end: WaitEnd,
}

impl Refused {
    /// As the client is told.
    pub fn error(&self) -> Error {
        let Refusal { scope, rule, wait, .. } = &self.refusal;
        if *wait != Wait::Lease {
            self.applying.ledger().metrics.admission.refused(scope, *rule);
        }
        self.refusal.error().quota(self.quota)
    }

    /// Whether room may come in a while. That of a budget comes with the calendar.
    pub fn may_wait(&self) -> bool {
        self.refusal.may_wait()
    }

    /// Whether it lacks nothing but a lease, which is exchanged in a moment.
    pub fn lacks_lease(&self) -> bool {
        self.refusal.wait == Wait::Lease
    }

    /// Waits for room.
    ///
    /// # Errors
    /// As [`Refused::error`], once there can be none in time, or too many wait.
    pub async fn wait(self: Box<Self>, patience: &Patience) -> Result<Box<Permit>> {
        let applying = self.applying.clone();
        let ledger = applying.ledger();
        let Some(mut place) = Place::take(ledger, patience) else { return Err(self.error()) };
        let mut refused = self;
        loop {
            if refused.is_hopeless(patience.until) {
                place.end = WaitEnd::Refused;
                return Err(refused.error());
            }
            let moved = refused.stand(&mut place);
            if !moved {
                let wakes = refused.wakes(patience.until);
                tokio::select! {
                    () = place.waiter.called.notified() => {}
                    () = sleep_until(wakes) => {}
                }
            }
            // One that has just come to an account tries at once: room may have come before.
            let now = ledger.now(chrono::Utc::now());
            let Refused { applying, demand, .. } = *refused;
            refused = match applying.try_admit(demand, now, Some(&place)) {
                Ok(permit) => {
                    place.end = WaitEnd::Admitted;
                    return Ok(permit);
                }
                Err(again) => again,
            };
        }
    }

    /// Whether there can be no room in time. Tokens may be given back at any moment; requests are not.
    fn is_hopeless(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let late = match (self.refusal.rule, self.refusal.wait) {
            (Rule::Requests(_), Wait::For(wait)) => wait > left,
            _ => false,
        };
        late || left.is_zero() || !self.may_wait()
    }

    /// Takes the place to the account that refuses; says whether it was elsewhere.
    fn stand(&self, place: &mut Place<'_>) -> bool {
        let scope = &self.refusal.scope;
        let bound = self.applying.bounds().find(|bound| bound.rules.scope == *scope);
        bound.is_some_and(|bound| place.go(bound, self.refusal.rule))
    }

    /// When it tries again without being called.
    fn wakes(&self, until: Instant) -> Instant {
        match self.refusal.wait {
            Wait::For(wait) => until.min(Instant::now() + wait),
            _ => until,
        }
    }
}

impl<'a> Place<'a> {
    fn take(ledger: &'a Ledger, patience: &Patience) -> Option<Self> {
        if !ledger.metrics.admission.waits(patience.queue_max) {
            return None;
        }
        Some(Self {
            ledger,
            waiter: Waiter::new(patience.priority, patience.tenant.clone()),
            at: None,
            began: Instant::now(),
            end: WaitEnd::Left,
        })
    }

    /// Whether this is where it waits.
    pub(super) fn is_at(&self, bound: &Bound) -> bool {
        self.at.as_ref().is_some_and(|at| Arc::ptr_eq(&at.account, &bound.account))
    }

    pub(super) fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    fn go(&mut self, bound: &Bound, rule: Rule) -> bool {
        if self.is_at(bound) {
            return false;
        }
        self.leave();
        bound.account.lock().join(&self.waiter, rule);
        self.at = Some(bound.clone());
        true
    }

    fn leave(&mut self) {
        if let Some(bound) = self.at.take() {
            bound.account.lock().leave(&self.waiter, self.end == WaitEnd::Admitted);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
        self.ledger.metrics.admission.waited(self.end, self.began.elapsed());
    }
}

impl Applying {
    /// Takes what a request may use out of each account, or nothing; `place` is that of one that waits.
    pub(super) fn try_admit(
        self,
        demand: Demand,
        now: Now,
        place: Option<&Place<'_>>,
    ) -> std::result::Result<Box<Permit>, Box<Refused>> {
        let mut states = self.lock();
        let refusals = self.bounds().zip(&mut states).filter_map(|(bound, state)| {
            let stands = place.filter(|place| place.is_at(bound));
            let own = state.refusal(&bound.rules, &demand, now);
            let behind = || match (place, stands) {
                (Some(_), None) => None,
                (_, stands) => {
                    state.behind(&bound.rules, &demand, stands.map(|place| place.waiter()))
                }
            };
            Some((stands.is_some(), own.or_else(behind)?))
        });
        // Where it waits already it goes on to wait, unless waiting does not help.
        let worst =
            |(stands, refusal): &(bool, Refusal)| (!refusal.may_wait(), *stands, refusal.wait);
        let Some((_, refusal)) = refusals.max_by_key(worst) else {
            let (places, quota) = self.take(&mut states, &demand, now);
            drop(states);
            return Ok(Permit::new(self, (demand, places), quota));
        };
        let quota = self.left(&mut states, now);
        drop(states);
        Err(Box::new(Refused { applying: self, demand, refusal, quota }))
    }
}
