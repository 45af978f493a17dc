//! The policies: which target of a level gets the next attempt.
//!
//! A policy sees each target through its *share*, which the pool computes: 0 where the target
//! is out, was tried or is not asked for, less than full while it comes back. So one
//! function excludes, ramps and restricts for all policies.
//!
//! Of Pingora's own selections only ketama's ring is used. `Weighted<RoundRobin>` hands out a
//! heavy target in one run and drops to unweighted turns once a target is skipped, and its
//! iterator knows neither load nor slow start; least requests and peak EWMA it has none.
//!
//! No policy takes a lock. Round robin moves one atomic counter along a fixed schedule; the
//! others read the targets' live state and draw at random.

mod ring;
mod schedule;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::snapshot::Balance;

use super::moment::Moment;
use super::pool::LiveTarget;
use super::vitals::SHARE_FULL;
use ring::Ring;

/// Steps along the schedule before round robin draws at random among what is left.
const TURNS_MAX: usize = 64;
/// Draws from the schedule before a draw looks at every target.
const DRAWS_MAX: usize = 4;
/// The latency, in seconds, of an endpoint that works on its first requests and has not
/// answered any: nobody knows how slow it is, so everyone else comes first.
const LATENCY_UNKNOWN: f64 = 1e6;

/// One level's policy and what it keeps between requests.
pub(super) struct Balancer {
    policy: Policy,
    /// Indices of targets, each as often as its weight says, evenly spread.
    schedule: Box<[u32]>,
}

enum Policy {
    RoundRobin(AtomicUsize),
    LeastRequests,
    PeakEwma,
    ConsistentHash(Ring),
    /// With the load that an endpoint may have, in percent of its share.
    Bounded(Ring, u32),
}

impl Balancer {
    /// The policy over a level's targets.
    pub(super) fn new(balance: &Balance, targets: &[Arc<LiveTarget>]) -> Self {
        let schedule = schedule::spread(targets.iter().map(|target| target.target().weight));
        let policy = match balance {
            // Starting anywhere: reloads in a row must not favour the first target.
            Balance::RoundRobin => {
                Policy::RoundRobin(AtomicUsize::new(fastrand::usize(..schedule.len().max(1))))
            }
            Balance::LeastRequests => Policy::LeastRequests,
            Balance::PeakEwma => Policy::PeakEwma,
            Balance::ConsistentHash(_) => Policy::ConsistentHash(Ring::new(targets)),
            Balance::Context { load_percent } => Policy::Bounded(Ring::new(targets), *load_percent),
        };
        Self { policy, schedule }
    }

    /// One of the targets whose share is not 0; `None` where there is none.
    ///
    /// `hash` matters to consistent hashing alone, bounded or not, which without it balances as peak
    /// EWMA.
    pub(super) fn pick<'a>(
        &self,
        targets: &'a [Arc<LiveTarget>],
        hash: Option<u64>,
        share: impl Fn(&LiveTarget) -> u32,
        now: Moment,
    ) -> Option<&'a Arc<LiveTarget>> {
        if let [only] = targets {
            return (share(only) > 0).then_some(only);
        }
        let choice = Choice { targets, schedule: &self.schedule, share };
        match (&self.policy, hash) {
            (Policy::RoundRobin(turn), _) => choice.in_turn(turn),
            (Policy::LeastRequests, _) => choice.least_requests(),
            (Policy::ConsistentHash(ring), Some(hash)) => ring.pick(hash, targets, choice.share),
            (Policy::Bounded(ring, percent), Some(hash)) => {
                let share = choice.within_bound(*percent);
                ring.pick(hash, targets, share)
            }
            (Policy::PeakEwma | Policy::ConsistentHash(_) | Policy::Bounded(..), _) => {
                choice.better_of_two(now)
            }
        }
    }

    /// Where a context belongs, whatever state its target is in; `None` where none belongs anywhere.
    pub(super) fn home<'a>(
        &self,
        targets: &'a [Arc<LiveTarget>],
        hash: Option<u64>,
    ) -> Option<&'a Arc<LiveTarget>> {
        match &self.policy {
            Policy::Bounded(ring, _) => ring.home(hash?, targets),
            _ => None,
        }
    }
}

/// The targets of one pick, as a policy sees them.
struct Choice<'a, 's, F> {
    targets: &'a [Arc<LiveTarget>],
    schedule: &'s [u32],
    share: F,
}

impl<'a, F: Fn(&LiveTarget) -> u32> Choice<'a, '_, F> {
    /// Weighted round robin: each place of the schedule is handed out once, and a place whose
    /// target cannot be used is spent. What is left of the schedule still has the weights of
    /// the targets that are left, also between threads.
    fn in_turn(&self, turn: &AtomicUsize) -> Option<&'a Arc<LiveTarget>> {
        for _ in 0..self.schedule.len().min(TURNS_MAX) {
            let place = turn.fetch_add(1, Ordering::Relaxed);
            let target = self.scheduled(place % self.schedule.len())?;
            if lets_in((self.share)(target)) {
                return Some(target);
            }
        }
        self.draw(|_| true)
    }

    /// The fewest requests in flight for its weight; among equals a draw by weight.
    fn least_requests(&self) -> Option<&'a Arc<LiveTarget>> {
        let mut best = None;
        let mut least = f64::INFINITY;
        let mut tied = 0;
        for target in self.targets {
            let weight = self.weight(target);
            if weight == 0 {
                continue;
            }
            let load = f64::from(target.in_flight()) / weight as f64;
            if load > least {
                continue;
            }
            if load < least {
                (least, tied) = (load, 0);
            }
            tied += weight;
            if fastrand::u64(..tied) < weight {
                best = Some(target);
            }
        }
        best
    }

    /// Power of two choices: two targets drawn by weight, the cheaper one wins.
    fn better_of_two(&self, now: Moment) -> Option<&'a Arc<LiveTarget>> {
        let one = self.draw(|_| true)?;
        let Some(other) = self.draw(|target| target.index != one.index) else { return Some(one) };
        Some(if self.cost(other, now) < self.cost(one, now) { other } else { one })
    }

    /// Latency times the requests in flight with this one, for a unit of weight.
    fn cost(&self, target: &LiveTarget, now: Moment) -> f64 {
        let in_flight = target.in_flight();
        let latency = match target.latency(now) {
            Some(seconds) => f64::from(seconds),
            None if in_flight == 0 => 0.0,
            None => LATENCY_UNKNOWN,
        };
        latency * (f64::from(in_flight) + 1.0) / self.weight(target).max(1) as f64
    }

    /// The shares, without the targets that have more to do than their part of all that is in
    /// flight here, this request included, lets them (consistent hashing with bounded loads). There is
    /// always one that has not: the bounds add up to more than is in flight.
    fn within_bound(&self, percent: u32) -> impl Fn(&LiveTarget) -> u32 {
        let (mut in_flight, mut weights) = (1_u64, 0_u64);
        for target in self.targets.iter().filter(|target| (self.share)(target) > 0) {
            in_flight += u64::from(target.in_flight());
            weights += u64::from(target.target().weight);
        }
        move |target| {
            let room = in_flight * u64::from(percent) * u64::from(target.target().weight);
            let bound = room.div_ceil(weights.max(1) * 100);
            if u64::from(target.in_flight()) < bound { (self.share)(target) } else { 0 }
        }
    }

    /// A random target that is wanted, by weight and share: from the schedule where luck
    /// allows, else by a look at all of them.
    fn draw(&self, wanted: impl Fn(&LiveTarget) -> bool) -> Option<&'a Arc<LiveTarget>> {
        for _ in 0..DRAWS_MAX {
            let target = self.scheduled(fastrand::usize(..self.schedule.len().max(1)))?;
            if wanted(target) && lets_in((self.share)(target)) {
                return Some(target);
            }
        }
        let mut drawn = None;
        let mut total = 0;
        for target in self.targets.iter().filter(|target| wanted(target)) {
            let weight = self.weight(target);
            total += weight;
            if weight > 0 && fastrand::u64(..total) < weight {
                drawn = Some(target);
            }
        }
        drawn
    }

    fn scheduled(&self, place: usize) -> Option<&'a Arc<LiveTarget>> {
        self.targets.get(*self.schedule.get(place)? as usize)
    }

    /// Weight and share in one number.
    fn weight(&self, target: &LiveTarget) -> u64 {
        u64::from(target.target().weight) * u64::from((self.share)(target))
    }
}

/// Lets a target in as often as its share says.
fn lets_in(share: u32) -> bool {
    share >= SHARE_FULL || (share > 0 && fastrand::u32(..SHARE_FULL) < share)
}

#[cfg(test)]
mod tests;
