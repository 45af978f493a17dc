//! The right to be served: settled when its request ends, taken back when dropped.

use std::time::Instant;

use smallvec::SmallVec;

use super::account::Places;
use super::window::Micros;
use super::{Applying, Demand};
use crate::config::snapshot::terms::Scope;
use crate::types::Quota;

/// So many accounts' places lie within the permit: those of a key, a team, a tenant and a model.
const PLACES: usize = 4;

/// Where a request was noted, in the order of its bounds.
pub(super) type AllPlaces = SmallVec<[Places; PLACES]>;

/// What a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens.
    pub tokens: u64,
    /// Micro-dollars.
    pub cost: u64,
    /// Tokens of its answer, where the upstream reported them.
    pub answer: Option<u64>,
}

/// A budget that a request under way has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedBudget {
    /// Whose it is.
    pub scope: Scope,
    /// The period, by its place in `PERIODS`.
    pub period: usize,
}

/// The right to be served: taken back when dropped. Boxed: it is moved with its request.
#[must_use]
pub struct Permit {
    /// What was left of the tightest limits once this was admitted.
    pub quota: Quota,
    applying: Applying,
    demand: Demand,
    places: AllPlaces,
    settled: bool,
}

impl Permit {
    pub(super) fn new(
        applying: Applying,
        (demand, places): (Demand, AllPlaces),
        quota: Quota,
    ) -> Box<Self> {
        Box::new(Self { quota, applying, demand, places, settled: false })
    }

    /// Whether a budget may end the request while it is under way.
    pub fn cuts(&self) -> bool {
        self.applying.bounds().any(|bound| bound.rules.cuts && bound.rules.has_budget())
    }

    /// What is left of those budgets, once the request has come to a cost.
    ///
    /// # Errors
    /// The budget that is passed.
    pub fn room(&self, cost: u64) -> Result<u64, PassedBudget> {
        let mut least = u64::MAX;
        for bound in self.applying.bounds().filter(|bound| bound.rules.cuts) {
            let room = bound.account.lock().room(&bound.rules, &self.demand.began, cost);
            let scope = || bound.rules.scope.clone();
            least = least.min(room.map_err(|period| PassedBudget { scope: scope(), period })?);
        }
        Ok(least)
    }

    /// Counts that a budget has ended it.
    pub fn cut(&self, over: &PassedBudget) {
        self.applying.ledger().metrics.admission.cut(&over.scope, over.period);
    }

    /// Tokens of the prompt, as they were estimated.
    pub fn prompt(&self) -> u64 {
        self.demand.estimate.prompt
    }

    /// Puts what was really used in the place of what was taken.
    pub fn settle(mut self: Box<Self>, used: Used, now: Instant) {
        let now = self.applying.ledger().micros_at(now);
        self.settle_at(used, now);
    }

    pub(super) fn settle_at(&mut self, used: Used, now: Micros) {
        self.settled = true;
        if let Some(answer) = used.answer {
            self.applying.see(answer);
        }
        for (bound, places) in self.applying.bounds().zip(&self.places) {
            let (rules, demand) = (&bound.rules, &self.demand);
            let warnings = bound.account.lock().settle(rules, places, demand, (used, now));
            self.applying.ledger().warn(&rules.scope, warnings);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            let now = self.applying.ledger().micros_at(Instant::now());
            self.settle_at(Used::default(), now);
        }
    }
}
