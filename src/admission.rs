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
//! one is changed: nobody is refused for the sake of a request that is itself refused. There is no
//! lock, and no count of references, that requests of different keys, teams, tenants and models share.

mod account;
mod accounts;
pub mod estimate;
pub mod lease;
mod money;
mod permit;
mod queue;
mod refusal;
mod share;
mod waiting;
mod window;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, NaiveTime, Utc};

use self::account::{Account, Now};
pub use self::accounts::{Accounts, Applying};
use self::accounts::{KeyBounds, ModelBounds};
use self::estimate::{Estimate, Learned};
use self::lease::Leases;
use self::money::{Period, Warning, Warnings};
pub use self::money::{Periods, Spent};
pub use self::permit::{PassedBudget, Permit, Used};
pub use self::waiting::{Patience, Refused, WaitEnd};
use self::window::Micros;
use crate::config::snapshot::terms::{PERIODS, Rule, Rules, Scope};
use crate::config::snapshot::{Model, Snapshot};
use crate::telemetry::metrics::Metrics;
use crate::types::{MicroUsd, ModelAlias};
use crate::webhook::{Passed, Webhooks};

/// All accounts of the process.
pub struct Ledger {
    metrics: Arc<Metrics>,
    origin: Instant,
    /// Where several gateways share the rules.
    pub leases: Option<Leases>,
    webhooks: Option<Arc<Webhooks>>,
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

/// What a request may use.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Tokens.
    pub estimate: Estimate,
    /// The most it may cost, in micro-dollars.
    pub cost: u64,
    /// When it began: money counts in those periods.
    pub began: Periods,
}

impl Demand {
    /// What is taken out under a rule.
    fn amount(&self, rule: Rule, limit: u64) -> u64 {
        match rule {
            Rule::Requests(_) | Rule::InFlight => 1,
            Rule::Tokens(_) => self.tokens(limit),
            Rule::Budget(_) => self.cost,
        }
    }

    /// The tokens set aside under a limit: a guess is no reason to refuse what may well fit.
    fn tokens(&self, limit: u64) -> u64 {
        let Estimate { prompt, answer, guessed } = self.estimate;
        let all = prompt.saturating_add(answer);
        if guessed { all.min(limit.max(prompt)) } else { all }
    }
}

impl Ledger {
    /// A ledger without accounts; `origin` is where its time begins.
    pub fn new(metrics: Arc<Metrics>, origin: Instant) -> Self {
        Self { metrics, origin, leases: None, webhooks: None, books: Mutex::default() }
    }

    /// A ledger that tells of its warnings elsewhere too.
    pub fn telling(self, webhooks: Arc<Webhooks>) -> Self {
        Self { webhooks: Some(webhooks), ..self }
    }

    /// A ledger whose rules hold for several gateways together.
    pub fn shared(self, leases: Leases) -> Self {
        Self { leases: Some(leases), ..self }
    }

    /// Takes a configuration in: an account goes on while its scope has rules.
    pub fn accounts(self: &Arc<Self>, snapshot: &Snapshot) -> Accounts {
        if let Some(webhooks) = &self.webhooks {
            webhooks.aim(snapshot.terms.webhook.clone());
        }
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
        let keys = snapshot.numbered_keys().into_iter();
        let keys = keys.map(|key| Arc::new(KeyBounds::new(self, (key, snapshot), &mut bound)));
        let keys = keys.collect();
        let mut models: Vec<_> = snapshot.models.values().collect();
        models.sort_unstable_by_key(|model| model.number);
        let mut of = |model: &Arc<Model>| snapshot.terms.models.get(&model.alias).map(&mut bound);
        let bounds: Vec<_> = models.iter().map(|model| of(model)).collect();
        let learned = books.learned(&models);
        let models = models.iter().zip(bounds).zip(learned);
        let models = models.map(|((model, bound), learned)| {
            Arc::new(ModelBounds { number: model.number, bound, learned })
        });
        Accounts { keys, models: models.collect() }
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
        self.micros_at(Instant::now())
    }

    fn micros_at(&self, now: Instant) -> Micros {
        let micros = now.saturating_duration_since(self.origin).as_micros();
        Micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn warn(&self, scope: &Scope, warnings: Warnings) {
        for Warning { spent: Spent { period, spent, budget }, percent, begins } in warnings {
            self.metrics.admission.warned(scope, period);
            let midnight = begins.and_time(NaiveTime::MIN).and_utc();
            let ends = Period::ALL.get(period).map_or(midnight, |period| period.end(midnight));
            let period = PERIODS.get(period).copied().unwrap_or_default();
            let passed = Passed { scope, period, begins, ends, percent, spent, budget };
            log::warn!("{}", passed.text());
            if let Some(webhooks) = &self.webhooks {
                webhooks.tell(&passed);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // The books are changed by steps that cannot panic, so there is nothing broken to see.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// The lengths learned for each model, which go on over reloads.
    fn learned(&mut self, models: &[&Arc<Model>]) -> Vec<Arc<Learned>> {
        let mut old = std::mem::take(&mut self.learned);
        let learned = models.iter().map(|model| {
            let learned = old.remove(&model.alias).unwrap_or_default();
            self.learned.insert(model.alias.clone(), Arc::clone(&learned));
            learned
        });
        learned.collect()
    }
}
