//! All targets of one alias, and how an attempt gets one of them.
//!
//! A pool belongs to one configuration; the endpoints' live state behind it is shared with
//! the pools before and after. [`Pool::pick`] never fails while there is a target: where
//! all are out, the least bad one is tried rather than nobody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use smallvec::SmallVec;

use crate::config::snapshot::{Model, Target, Timeouts};
use crate::retry::budget::Budget;
use crate::telemetry::metrics::{AliasMetrics, TargetMetrics};
use crate::usage::Outcome;

use super::balance::Balancer;
use super::endpoint::{Effect, LiveEndpoint, Report, effect};
use super::moment::{Moment, Origin};

/// One alias: its targets by level, ready to be picked from.
pub struct Pool {
    /// The alias's configuration.
    pub model: Arc<Model>,
    /// Its retries: the same budget over reloads.
    pub budget: Arc<Budget>,
    levels: Box<[LiveLevel]>,
    origin: Origin,
}

struct LiveLevel {
    targets: Box<[Arc<LiveTarget>]>,
    balancer: Balancer,
}

/// A target and everything live about it, resolved once for each configuration.
pub(super) struct LiveTarget {
    /// Unique within the pool.
    pub(super) index: usize,
    level: usize,
    target: Target,
    live: Arc<LiveEndpoint>,
    metrics: Arc<TargetMetrics>,
}

/// The targets that one request has tried, in order. It belongs to one pool.
#[derive(Default)]
pub struct Tried {
    indices: SmallVec<[usize; 4]>,
    last: Option<Place>,
}

/// Where the last attempt went.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    candidate: usize,
}

/// One attempt's target. While it lives the request counts as in flight there; dropped
/// without a report it says nothing about the endpoint's health.
pub struct Pick {
    target: Arc<LiveTarget>,
    started: Moment,
    origin: Origin,
    address: Option<SocketAddr>,
    answered: bool,
    at_home: Option<bool>,
}

impl Pool {
    /// The pool of an alias. `live` gives each target its endpoint and metrics; a target
    /// for which it has none is left out.
    pub(super) fn new(
        model: Arc<Model>,
        budget: Arc<Budget>,
        origin: Origin,
        live: impl Fn(&Target) -> Option<(Arc<LiveEndpoint>, Arc<TargetMetrics>)>,
    ) -> Self {
        let mut index = 0;
        let mut levels = Vec::with_capacity(model.levels.len());
        for (level, configured) in model.levels.iter().enumerate() {
            let mut targets = Vec::with_capacity(configured.targets.len());
            for target in &configured.targets {
                let Some((live, metrics)) = live(target) else { continue };
                let target = copy(target);
                targets.push(Arc::new(LiveTarget { index, level, target, live, metrics }));
                index += 1;
            }
            let balancer = Balancer::new(&model.balance, &targets);
            levels.push(LiveLevel { targets: targets.into(), balancer });
        }
        Self { model, budget, levels: levels.into(), origin }
    }

    /// A target for the next attempt, noted in `tried`.
    ///
    /// On a retry the same candidate's other endpoints come first, then the levels in order;
    /// within a level the balance decides among targets that are in and were not tried. Where
    /// there is none, the target tried least is taken, of those the one that is back first.
    /// `None` only for a pool without targets.
    pub fn pick(&self, hash: Option<u64>, tried: &mut Tried, now: Instant) -> Option<Pick> {
        let now = self.origin.at(now);
        let target = self.preferred(hash, tried, now).or_else(|| self.least_bad(tried, now))?;
        tried.add(target);
        let at_home = self.home(hash).map(|home| home.index == target.index);
        let mut pick = Pick::new(Arc::clone(target), self.origin, now);
        pick.at_home = at_home;
        Some(pick)
    }

    /// Where a context belongs: the first level is where its next turns will go too.
    fn home(&self, hash: Option<u64>) -> Option<&Arc<LiveTarget>> {
        let level = self.levels.first()?;
        level.balancer.home(&level.targets, hash)
    }

    /// The alias's metric handles; `None` only for a pool without targets.
    pub fn metrics(&self) -> Option<&Arc<AliasMetrics>> {
        let target = self.levels.first()?.targets.first()?;
        Some(target.metrics.alias())
    }

    /// Targets in all.
    pub fn len(&self) -> usize {
        self.levels.iter().map(|level| level.targets.len()).sum()
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn preferred(&self, hash: Option<u64>, tried: &Tried, now: Moment) -> Option<&Arc<LiveTarget>> {
        let free = |target: &LiveTarget| {
            if tried.times(target) == 0 { target.share(now) } else { 0 }
        };
        let same = tried.last.and_then(|last| {
            let share = |target: &LiveTarget| {
                if target.target.candidate == last.candidate { free(target) } else { 0 }
            };
            self.levels.get(last.level)?.pick(hash, share, now)
        });
        same.or_else(|| self.levels.iter().find_map(|level| level.pick(hash, free, now)))
    }

    fn least_bad(&self, tried: &Tried, now: Moment) -> Option<&Arc<LiveTarget>> {
        self.levels.iter().flat_map(|level| &level.targets).min_by_key(|target| {
            let wait = target.live.wait(now);
            // The last key spreads requests where nothing else tells targets apart.
            (tried.times(target), wait, target.level, target.in_flight(), fastrand::u32(..))
        })
    }
}

impl LiveLevel {
    fn pick(
        &self,
        hash: Option<u64>,
        share: impl Fn(&LiveTarget) -> u32,
        now: Moment,
    ) -> Option<&Arc<LiveTarget>> {
        self.balancer.pick(&self.targets, hash, share, now)
    }
}

impl LiveTarget {
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.live.vitals().in_flight()
    }

    pub(super) fn latency(&self, now: Moment) -> Option<f32> {
        self.live.vitals().latency.seconds(now)
    }

    fn share(&self, now: Moment) -> u32 {
        self.live.share(now)
    }
}

impl Tried {
    /// Attempts made.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether none was made.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Targets tried, each counted once.
    pub fn targets(&self) -> usize {
        let earlier = |at: usize| self.indices.iter().take(at);
        let is_new = |(at, index): &(usize, &usize)| !earlier(*at).any(|other| other == *index);
        self.indices.iter().enumerate().filter(is_new).count()
    }

    fn times(&self, target: &LiveTarget) -> usize {
        self.indices.iter().filter(|index| **index == target.index).count()
    }

    fn add(&mut self, target: &LiveTarget) {
        self.indices.push(target.index);
        self.last = Some(Place { level: target.level, candidate: target.target.candidate });
    }
}

impl Pick {
    fn new(target: Arc<LiveTarget>, origin: Origin, now: Moment) -> Self {
        target.live.vitals().enter();
        Self { target, started: now, origin, address: None, answered: false, at_home: None }
    }

    /// Which endpoint, and which model to ask for there.
    pub fn target(&self) -> &Target {
        &self.target.target
    }

    /// Whether it is the endpoint that the request's context belongs to; `None` where contexts are not
    /// what the alias balances by, or there is none.
    pub fn at_home(&self) -> Option<bool> {
        self.at_home
    }

    /// The endpoint's live state.
    pub fn endpoint(&self) -> &Arc<LiveEndpoint> {
        &self.target.live
    }

    /// The alias's metric handles at this endpoint.
    pub fn metrics(&self) -> &Arc<TargetMetrics> {
        &self.target.metrics
    }

    /// Where and how to connect: see [`LiveEndpoint::peer`]. The address is remembered, so
    /// that a failure to connect counts against it.
    pub fn peer(
        &mut self,
        timeouts: &Timeouts,
        left: Duration,
        now: Instant,
    ) -> Option<Box<HttpPeer>> {
        let peer = self.target.live.peer(timeouts, left, now);
        self.address = peer.as_ref().and_then(|peer| peer._address.as_inet().copied());
        peer
    }

    /// The answer's header is here: the time to it is the endpoint's latency. A quick
    /// failure teaches none, or it would draw requests to where they fail fastest.
    pub fn answered(&mut self, status: u16, now: Instant) {
        self.answered = true;
        if effect(self.as_report(Outcome::Answered(status), None)) == Effect::Success {
            self.observe(self.origin.at(now));
        }
    }

    /// What came of the attempt, with the answer's `Retry-After` if it had one; the request is
    /// no longer in flight.
    pub fn report(self, outcome: Outcome, retry_after: Option<Duration>, now: Instant) {
        let now = self.origin.at(now);
        let slow = matches!(outcome, Outcome::ConnectTimeout | Outcome::FirstByteTimeout);
        if slow && !self.answered {
            self.observe(now);
        }
        self.target.live.report(self.as_report(outcome, retry_after), self.started, now);
    }

    fn as_report(&self, outcome: Outcome, retry_after: Option<Duration>) -> Report {
        Report { outcome, retry_after, answered: self.answered, address: self.address }
    }

    fn observe(&self, now: Moment) {
        self.target.live.vitals().latency.observe(now.since(self.started), now);
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.target.live.vitals().leave();
    }
}

fn copy(target: &Target) -> Target {
    Target {
        endpoint: Arc::clone(&target.endpoint),
        model: target.model.clone(),
        candidate: target.candidate,
        weight: target.weight,
        prices: target.prices.clone(),
    }
}

#[cfg(test)]
mod tests;
