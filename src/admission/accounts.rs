//! The accounts of one configuration, and the rules among them that apply to a request.
//!
//! They are found by the numbers of its key and of its model, and put in order when the configuration
//! is taken in: a request builds no list and looks nothing up by name.

use std::sync::{Arc, MutexGuard};

use chrono::{DateTime, Utc};
use smallvec::SmallVec;

use super::account::{Now, State};
use super::estimate::Learned;
use super::permit::AllPlaces;
use super::{Bound, Demand, Ledger, Permit, Refused};
use crate::config::snapshot::terms::{Rules, Scope};
use crate::config::snapshot::{Key, Model, Snapshot};
use crate::types::Quota;

/// The rules that apply to one request at most: one of each rank.
const RULES_MAX: usize = Scope::KINDS.len();

/// Of a key, so many lie beside it: its own and its tenant's.
const KEY_BOUNDS_USUAL: usize = 2;

/// The accounts of one configuration.
pub struct Accounts {
    /// By the key's number.
    pub(super) keys: Vec<Arc<KeyBounds>>,
    /// By the model's number.
    pub(super) models: Vec<Arc<ModelBounds>>,
}

/// The rules of a key, its team and its tenant.
pub(super) struct KeyBounds {
    ledger: Arc<Ledger>,
    /// In the order of their ranks; with its number, where they are for one model alone.
    bounds: SmallVec<[(Option<usize>, Bound); KEY_BOUNDS_USUAL]>,
}

/// The rules of a model: of the last rank.
pub(super) struct ModelBounds {
    pub(super) number: usize,
    pub(super) bound: Option<Bound>,
    pub(super) learned: Arc<Learned>,
}

/// The rules that apply to one request.
#[derive(Clone)]
pub struct Applying {
    key: Arc<KeyBounds>,
    model: Arc<ModelBounds>,
}

/// The accounts of a request, locked.
pub(super) type States<'a> = SmallVec<[MutexGuard<'a, State>; RULES_MAX]>;

impl KeyBounds {
    /// The bounds of a key; `bound` gives those of a scope's rules.
    pub(super) fn new(
        ledger: &Arc<Ledger>,
        (key, snapshot): (&Key, &Snapshot),
        mut bound: impl FnMut(&Arc<Rules>) -> Bound,
    ) -> Self {
        let own = key.terms.rules.iter().map(|rules| (None, bound(rules)));
        let mut bounds: SmallVec<[_; KEY_BOUNDS_USUAL]> = own.collect();
        for (alias, rules) in &key.terms.model_rules {
            let model = snapshot.models.get(alias);
            bounds.extend(model.map(|model| (Some(model.number), bound(rules))));
        }
        bounds.sort_by_key(|(_, bound)| bound.rules.scope.rank());
        Self { ledger: Arc::clone(ledger), bounds }
    }
}

impl Accounts {
    /// The rules that apply to a request; `None` where there are none.
    pub fn applying(&self, key: &Key, model: &Model) -> Option<Applying> {
        let key = self.keys.get(key.terms.number)?;
        let model = self.models.get(model.number)?;
        if key.bounds.is_empty() && model.bound.is_none() {
            return None;
        }
        let applying = Applying { key: Arc::clone(key), model: Arc::clone(model) };
        let applies = applying.bounds().next().is_some();
        applies.then_some(applying)
    }
}

impl Applying {
    /// The tokens that an answer of the model may have, where the client does not say.
    pub fn answer_tokens(&self) -> u64 {
        self.model.learned.get()
    }

    /// Whether money is limited.
    pub fn has_budget(&self) -> bool {
        self.bounds().any(|bound| bound.rules.has_budget())
    }

    /// Takes what the request may use out of each account.
    ///
    /// # Errors
    /// The rule that makes it wait longest: `LimitExceeded`, `BeyondLimit`, `BudgetExceeded` or
    /// `QuotaUnavailable`; nothing was taken then.
    pub fn admit(self, demand: Demand, utc: DateTime<Utc>) -> Result<Box<Permit>, Box<Refused>> {
        let now = self.ledger().now(utc);
        self.try_admit(demand, now, None)
    }

    pub(super) fn lock(&self) -> States<'_> {
        self.bounds().map(|bound| bound.account.lock()).collect()
    }

    pub(super) fn take(
        &self,
        states: &mut States<'_>,
        demand: &Demand,
        now: Now,
    ) -> (AllPlaces, Quota) {
        let mut quota = Quota::default();
        let taken = self.bounds().zip(&mut *states);
        let taken = taken.map(|(bound, state)| state.take(&bound.rules, demand, now, &mut quota));
        let places = taken.collect();
        self.list(states);
        (places, quota)
    }

    /// What is left, where nothing is taken.
    pub(super) fn left(&self, states: &mut States<'_>, now: Now) -> Quota {
        self.list(states);
        let mut quota = Quota::default();
        for (bound, state) in self.bounds().zip(states) {
            state.left(&bound.rules, now, &mut quota);
        }
        quota
    }

    /// In the order of their ranks, in which accounts are locked.
    pub(super) fn bounds(&self) -> impl Iterator<Item = &Bound> {
        let number = self.model.number;
        let own = self.key.bounds.iter().filter(move |(of, _)| of.is_none_or(|of| of == number));
        own.map(|(_, bound)| bound).chain(&self.model.bound)
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.key.ledger
    }

    /// An answer of so many tokens was seen.
    pub(super) fn see(&self, answer: u64) {
        self.model.learned.see(answer);
    }

    /// Has leases exchanged where a share runs out.
    fn list(&self, states: &mut States<'_>) {
        let Some(leases) = &self.ledger().leases else { return };
        for (bound, state) in self.bounds().zip(states) {
            if state.list() {
                leases.list(bound.clone());
            }
        }
    }
}
