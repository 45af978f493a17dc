//! Who may use how much: each request is admitted against every rule that applies to it, and settled
//! when it ends.
//!
//! **Reserve, then settle.** [`Accounts::admit`] takes an estimate out of each account that applies, all
//! of them or none, and gives a [`Permit`]. When the request ends its real use takes the estimate's
//! place; a permit that is dropped unsettled gives back what it took. A request to which no rule
//! applies gets no permit and touches nothing here.
//!
//! Accounts live in the [`Ledger`] under their scopes and survive reloads. Each has a lock of its own;
//! a request locks those that apply in the order of their ranks, so that all are looked at before
//! one is changed: nobody is refused for the sake of a request that is itself refused.

mod account;
pub mod estimate;
pub mod lease;
mod money;
mod refusal;
mod share;
mod window;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahash::AHashMap;
use chrono::{DateTime, Utc};
use smallvec::SmallVec;

pub use self::account::Spent;
use self::account::{Account, Now, Places, State, Warning};
use self::estimate::{Estimate, Learned};
use self::lease::Leases;
pub use self::refusal::Rule;
use self::refusal::{Refusal, Wait};
use self::window::Micros;
use crate::config::snapshot::terms::{PERIODS, Rules, Scope};
use crate::config::snapshot::{Key, Snapshot};
use crate::error::Result;
use crate::telemetry::metrics::Metrics;
use crate::types::{MicroUsd, ModelAlias, Quota};

/// The rules that apply to one request at most: one of each rank.
const RULES_MAX: usize = Scope::KINDS.len();

/// All accounts of the process.
pub struct Ledger {
    metrics: Arc<Metrics>,
    origin: Instant,
    /// Where several gateways share the rules.
    pub leases: Option<Leases>,
    /// Locked at reloads and scrapes, never by a request.
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    accounts: HashMap<Scope, Bound>,
    learned: HashMap<ModelAlias, Arc<Learned>>,
    /// Accounts that do not know what was spent before, by when they were opened.
    unrestored: HashMap<Scope, DateTime<Utc>>,
}

/// Rules, and the account that is kept under them.
#[derive(Clone)]
struct Bound {
    rules: Arc<Rules>,
    account: Arc<Account>,
}

/// The accounts of one configuration, found without a look-up by name where that can be.
pub struct Accounts {
    ledger: Arc<Ledger>,
    /// By the key's number.
    keys: Vec<KeyBounds>,
    models: AHashMap<ModelAlias, Bound>,
    learned: AHashMap<ModelAlias, Arc<Learned>>,
}

/// In the order of their ranks, each.
struct KeyBounds {
    all: Vec<Bound>,
    by_model: Vec<(ModelAlias, Bound)>,
}

/// The rules that apply to one request, in the order of their ranks.
pub struct Applying<'a> {
    bounds: SmallVec<[&'a Bound; RULES_MAX]>,
    learned: Option<&'a Arc<Learned>>,
    ledger: &'a Arc<Ledger>,
}

/// What a request may use.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Tokens.
    pub estimate: Estimate,
    /// The most it may cost, in micro-dollars.
    pub cost: u64,
    /// When it began: money counts in that period.
    pub began: DateTime<Utc>,
}

impl Demand {
    /// The tokens set aside under a limit: a guess is no reason to refuse what may well fit.
    fn tokens(&self, limit: u64) -> u64 {
        let Estimate { prompt, answer, guessed } = self.estimate;
        let all = prompt.saturating_add(answer);
        if guessed { all.min(limit.max(prompt)) } else { all }
    }
}

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

/// The right to be served: taken back when dropped.
#[must_use]
pub struct Permit {
    /// What was left of the tightest limits once this was admitted.
    pub quota: Quota,
    ledger: Arc<Ledger>,
    learned: Option<Arc<Learned>>,
    held: SmallVec<[(Bound, Places); 3]>,
    demand: Demand,
    settled: bool,
}

impl Ledger {
    /// A ledger without accounts; `origin` is where its time begins.
    pub fn new(metrics: Arc<Metrics>, origin: Instant) -> Self {
        Self { metrics, origin, leases: None, books: Mutex::default() }
    }

    /// A ledger whose rules hold for several gateways together.
    pub fn shared(self, leases: Leases) -> Self {
        Self { leases: Some(leases), ..self }
    }

    /// Takes a configuration in: an account goes on while its scope has rules.
    pub fn accounts(self: &Arc<Self>, snapshot: &Snapshot) -> Accounts {
        let mut books = self.lock();
        let (old, now) = (std::mem::take(&mut books.accounts), Utc::now());
        let Books { accounts, unrestored, .. } = &mut *books;
        let mut bound = |rules: &Arc<Rules>| {
            let bound = accounts.entry(rules.scope.clone()).or_insert_with(|| {
                let account = old.get(&rules.scope).map(|old| Arc::clone(&old.account));
                let account = account.unwrap_or_else(|| {
                    unrestored.insert(rules.scope.clone(), now);
                    self.open()
                });
                Bound { rules: Arc::clone(rules), account }
            });
            bound.clone()
        };
        let mut keys: Vec<_> = snapshot.keys.values().chain(snapshot.bearers.keys()).collect();
        keys.sort_unstable_by_key(|key| key.terms.number);
        let keys: Vec<_> = keys
            .into_iter()
            .map(|key| KeyBounds {
                all: key.terms.rules.iter().map(&mut bound).collect(),
                by_model: key
                    .terms
                    .model_rules
                    .iter()
                    .map(|(alias, rules)| (alias.clone(), bound(rules)))
                    .collect(),
            })
            .collect();
        let models: AHashMap<_, _> = snapshot
            .terms
            .models
            .iter()
            .map(|(alias, rules)| (alias.clone(), bound(rules)))
            .collect();
        let learned =
            if books.accounts.is_empty() { AHashMap::new() } else { books.learned(snapshot) };
        Accounts { ledger: Arc::clone(self), keys, models, learned }
    }

    /// The accounts with a budget that do not know what was spent before they were opened, by when they
    /// were. Whoever asks has to [`Ledger::restore`] them: they are told once.
    pub fn unrestored(&self) -> HashMap<Scope, DateTime<Utc>> {
        let mut books = self.lock();
        let Books { accounts, unrestored, .. } = &mut *books;
        unrestored.retain(|scope, _| accounts.contains_key(scope));
        let due = |scope: &Scope| accounts.get(scope).is_some_and(|bound| bound.rules.has_budget());
        unrestored.extract_if(|scope, _| due(scope)).collect()
    }

    /// Counts money that was spent before an account was opened.
    pub fn restore(&self, scope: &Scope, began: DateTime<Utc>, cost: MicroUsd) {
        if let Some(bound) = self.lock().accounts.get(scope) {
            bound.account.lock().restore(began, cost.0);
        }
    }

    /// How every budget stands.
    pub fn spent(&self, now: DateTime<Utc>) -> Vec<(Scope, Spent)> {
        let mut rows: Vec<_> = self
            .lock()
            .accounts
            .iter()
            .filter(|(_, bound)| bound.rules.has_budget())
            .flat_map(|(scope, Bound { rules, account })| {
                let spent = account.lock().spent(rules, now);
                spent.into_iter().map(|spent| (scope.clone(), spent))
            })
            .collect();
        rows.sort_by(|(a, left), (b, right)| (a, left.period).cmp(&(b, right.period)));
        rows
    }

    fn open(&self) -> Arc<Account> {
        let shared = self.leases.as_ref().map(|leases| Account::shared(Arc::clone(&leases.link)));
        Arc::new(shared.unwrap_or_default())
    }

    /// Every account, behind a stretch of time: what was not asked for in it is not held in stock.
    fn all(&self) -> Vec<Bound> {
        self.lock().accounts.values().cloned().collect()
    }

    fn now(&self, utc: DateTime<Utc>) -> Now {
        Now { micros: self.micros(), utc }
    }

    fn micros(&self) -> Micros {
        Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn warn(&self, scope: &Scope, warning: Warning) {
        let Spent { period, spent, budget } = warning.spent;
        self.metrics.admission.warned(scope, period);
        log::warn!(
            "{scope} has spent {} % of its budget of the {}: {spent} of {budget} micro-dollars",
            warning.percent,
            PERIODS.get(period).copied().unwrap_or_default(),
        );
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // The books are changed by steps that cannot panic, so there is nothing broken to see.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// The lengths learned for each alias, which go on over reloads.
    fn learned(&mut self, snapshot: &Snapshot) -> AHashMap<ModelAlias, Arc<Learned>> {
        let mut old = std::mem::take(&mut self.learned);
        for alias in snapshot.models.keys() {
            self.learned.insert(alias.clone(), old.remove(alias).unwrap_or_default());
        }
        self.learned.iter().map(|(alias, learned)| (alias.clone(), Arc::clone(learned))).collect()
    }
}

impl Accounts {
    /// The rules that apply to a request; `None` where there are none.
    pub fn applying(&self, key: &Key, alias: &ModelAlias) -> Option<Applying<'_>> {
        let mut bounds: SmallVec<[&Bound; RULES_MAX]> = SmallVec::new();
        if let Some(own) = self.keys.get(key.terms.number) {
            bounds.extend(&own.all);
            let here = own.by_model.iter().filter(|(of, _)| of == alias);
            bounds.extend(here.map(|(_, bound)| bound));
        }
        if !self.models.is_empty() {
            bounds.extend(self.models.get(alias));
        }
        if bounds.is_empty() {
            return None;
        }
        bounds.sort_unstable_by_key(|bound| bound.rules.scope.rank());
        Some(Applying { bounds, learned: self.learned.get(alias), ledger: &self.ledger })
    }
}

impl Applying<'_> {
    /// The tokens that an answer of the model may have, where the client does not say.
    pub fn answer_tokens(&self) -> u64 {
        self.learned.map_or_else(|| Learned::default().get(), |learned| learned.get())
    }

    /// Whether money is limited.
    pub fn has_budget(&self) -> bool {
        self.bounds.iter().any(|bound| bound.rules.has_budget())
    }

    /// Takes what the request may use out of each account.
    ///
    /// # Errors
    /// `LimitExceeded`, `BeyondLimit` or `BudgetExceeded`, naming the rule that makes it wait longest;
    /// nothing was taken then.
    pub fn admit(self, demand: Demand, utc: DateTime<Utc>) -> Result<Permit> {
        let now = self.ledger.now(utc);
        self.admit_at(demand, now)
    }

    fn admit_at(self, demand: Demand, now: Now) -> Result<Permit> {
        let mut states: SmallVec<[MutexGuard<'_, State>; RULES_MAX]> =
            self.bounds.iter().map(|bound| bound.account.lock()).collect();
        let refusals = self
            .bounds
            .iter()
            .zip(&mut states)
            .filter_map(|(bound, state)| state.refusal(&bound.rules, &demand, now));
        if let Some(refusal) = refusals.max_by_key(|refusal| refusal.wait) {
            self.list(&mut states);
            let mut quota = Quota::default();
            for (bound, state) in self.bounds.iter().zip(&mut states) {
                state.left(&bound.rules, now, &mut quota);
            }
            drop(states);
            return Err(self.refused(&refusal).quota(quota));
        }
        let mut quota = Quota::default();
        let held = self.bounds.iter().zip(&mut states).map(|(bound, state)| {
            ((*bound).clone(), state.take(&bound.rules, &demand, now, &mut quota))
        });
        let held = held.collect();
        self.list(&mut states);
        drop(states);
        let (ledger, learned) = (Arc::clone(self.ledger), self.learned.cloned());
        Ok(Permit { quota, ledger, learned, held, demand, settled: false })
    }

    /// Has leases exchanged where a share runs out.
    fn list(&self, states: &mut [MutexGuard<'_, State>]) {
        let Some(leases) = &self.ledger.leases else { return };
        for (bound, state) in self.bounds.iter().zip(states) {
            if state.list() {
                leases.list((*bound).clone());
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> crate::error::Error {
        if refusal.wait == Wait::Lease {
            return refusal.error();
        }
        self.ledger.metrics.admission.refused(&refusal.scope, refusal.rule);
        refusal.error()
    }
}

impl Permit {
    /// Puts what was really used in the place of what was taken.
    pub fn settle(mut self, used: Used) {
        let now = self.ledger.micros();
        self.settle_at(used, now);
    }

    fn settle_at(&mut self, used: Used, now: Micros) {
        self.settled = true;
        if let (Some(learned), Some(answer)) = (&self.learned, used.answer) {
            learned.see(answer);
        }
        for (Bound { rules, account }, places) in &self.held {
            let warning = account.lock().settle(rules, places, &self.demand, (used, now));
            if let Some(warning) = warning {
                self.ledger.warn(&rules.scope, warning);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            let now = self.ledger.micros();
            self.settle_at(Used::default(), now);
        }
    }
}
