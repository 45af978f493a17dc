//! What all services of the process share: the configuration in use and the live state beside it.

pub mod runtime;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

use self::runtime::Runtime;
use crate::admission::lease::Leases;
use crate::admission::{Accounts, Ledger};
use crate::auth::jwks::KeySets;
use crate::auth::token::Tokens;
use crate::config;
use crate::config::objects::{Objects, SetAside};
use crate::config::snapshot::Snapshot;
use crate::config::snapshot::terms::Scope;
use crate::context::Contexts;
use crate::roster::Roster;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::types::MicroUsd;
use crate::upstream::{Pools, Registry, Unusable};
use crate::usage::UsageRecord;
use crate::usage::journal::Journal;
use crate::usage::measure::later::Later;
use crate::usage::report;
use crate::webhook::Webhooks;

/// A configuration in use, with the live state that it refers to.
pub struct Active {
    /// The rules.
    pub snapshot: Arc<Snapshot>,
    /// Where each alias may go.
    pub pools: Pools,
    /// What each key and model has used.
    pub accounts: Accounts,
    /// Whose tokens are accepted, and those that were verified.
    pub tokens: Tokens,
}

/// Where the configuration in use comes from.
struct Sources {
    /// The file, alone.
    file: Arc<Snapshot>,
    /// What was made at run time, as it was last seen.
    objects: Arc<Objects>,
}

/// What a process keeps beyond its own life, where it does.
#[derive(Default)]
pub struct Kept {
    /// What each request used.
    pub journal: Option<Journal>,
    /// Shares of limits that hold for several gateways.
    pub leases: Option<Leases>,
    /// Who was given access at run time.
    pub roster: Option<Roster>,
}

/// The process's state.
pub struct State {
    active: ArcSwap<Active>,
    /// What `active` is made of.
    sources: Mutex<Sources>,
    /// Held by whoever exchanges `active`: its accounts must follow each other.
    turn: tokio::sync::Mutex<()>,
    /// What is made at run time; `None` where nothing keeps it.
    runtime: Option<Runtime>,
    /// What was used by whom: survives reloads.
    pub ledger: Arc<Ledger>,
    /// Endpoints' health and load: survives reloads.
    pub registry: Arc<Registry>,
    /// Public keys of token issuers: survive reloads.
    pub key_sets: KeySets,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// One line for each request.
    pub access_log: Arc<AccessLog>,
    /// Conversations that live here: survive reloads.
    pub contexts: Arc<Contexts>,
    /// What each request used, on disk; `None` where none is kept.
    pub journal: Option<Arc<Journal>>,
    /// Where tokens are counted that no upstream reported.
    pub later: Later,
    /// Where warnings of budgets are told.
    webhooks: Arc<Webhooks>,
    /// Set once the listeners take connections and signals are heard.
    serving: AtomicBool,
    /// Set once the process is leaving: connections are closed behind their next answer, and
    /// `/readyz` says no.
    pub draining: Arc<AtomicBool>,
}

impl State {
    /// The state of a process that starts with a configuration.
    ///
    /// # Errors
    /// Where an endpoint of the configuration cannot be used, or a roster on disk cannot be read.
    pub fn new(
        file: Snapshot,
        metrics: Arc<Metrics>,
        access_log: AccessLog,
        contexts: Arc<Contexts>,
        Kept { journal, leases, roster }: Kept,
    ) -> io::Result<Self> {
        let registry = Arc::new(Registry::new(metrics.clone(), Instant::now()));
        let pools = registry.pools(&file).map_err(io::Error::other)?;
        metrics.in_use(file.revision);
        let seen = roster.as_ref().map(Roster::at_start).transpose().map_err(io::Error::other)?;
        let (edition, objects) = seen.flatten().unzip();
        let sources =
            Sources { file: Arc::new(file), objects: Arc::new(objects.unwrap_or_default()) };
        let snapshot = sources.snapshot(&[], &metrics);
        let webhooks = Arc::new(Webhooks::start(metrics.clone(), snapshot.valkey.as_ref())?);
        let ledger = Ledger::new(metrics.clone(), Instant::now()).telling(webhooks.clone());
        let ledger = Arc::new(match leases {
            Some(leases) => ledger.shared(leases),
            None => ledger,
        });
        let accounts = ledger.accounts(&snapshot);
        let key_sets = KeySets::new(metrics.clone());
        let tokens = Tokens::new(&snapshot, &key_sets);
        let active = Active { snapshot, pools, accounts, tokens };
        Ok(Self {
            active: ArcSwap::from_pointee(active),
            sources: Mutex::new(sources),
            turn: tokio::sync::Mutex::default(),
            runtime: roster.map(|roster| Runtime::new(roster, edition)),
            ledger,
            registry,
            key_sets,
            metrics,
            access_log: Arc::new(access_log),
            contexts,
            journal: journal.map(Arc::new),
            later: Later::start(),
            webhooks,
            serving: AtomicBool::new(false),
            draining: Arc::default(),
        })
    }

    /// The configuration in use: a request loads it once and keeps it.
    pub fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Takes a new configuration into use. Requests in flight keep theirs; live state of what
    /// is unchanged goes on.
    ///
    /// # Errors
    /// Where an endpoint of the configuration cannot be used: nothing has changed then.
    pub async fn activate(&self, file: Snapshot) -> Result<(), Unusable> {
        let pools = self.registry.pools(&file)?;
        self.registry.resolve().await;
        self.registry.authorise().await;
        // Held to the end, so that the sets of keys are those that the exchange finds.
        let tokens = Tokens::new(&file, &self.key_sets);
        tokens.tried().await;
        self.metrics.in_use(file.revision);
        self.metrics.retain(&file);
        self.exchange(|sources| sources.file = Arc::new(file), Some(pools)).await;
        Ok(())
    }

    /// Takes what was made at run time into use, over the same file: endpoints, health, counters and
    /// what is unchanged go on.
    async fn lay(&self, objects: Arc<Objects>) {
        self.exchange(|sources| sources.objects = objects, None).await;
    }

    /// Takes changed sources into use, with the pools there are where no others are given.
    async fn exchange(&self, change: impl FnOnce(&mut Sources), pools: Option<Pools>) {
        let _turn = self.turn.lock().await;
        let old = self.active();
        let snapshot = {
            let mut sources = self.lock();
            change(&mut sources);
            sources.snapshot(&old.snapshot.made.set_aside, &self.metrics)
        };
        let tokens = Tokens::new(&snapshot, &self.key_sets);
        let accounts = self.ledger.accounts(&snapshot);
        self.restore_new_budgets().await;
        let pools = pools.unwrap_or_else(|| old.pools.clone());
        self.active.store(Arc::new(Active { snapshot, pools, accounts, tokens }));
    }

    /// The file's configuration, and what was made at run time.
    pub fn sources(&self) -> (Arc<Snapshot>, Arc<Objects>) {
        let sources = self.lock();
        (sources.file.clone(), sources.objects.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Sources> {
        // Its members are exchanged whole, so there is nothing broken to see.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accounts a request that has ended: in the metrics, the journal and the access log.
    pub fn account(&self, record: UsageRecord) {
        account(&self.metrics, self.journal.as_deref(), &self.access_log, record);
    }

    /// The same once it is known what the request used, which `settle` finds out and no worker waits for.
    pub fn account_later(
        &self,
        mut record: UsageRecord,
        settle: impl FnOnce(&mut UsageRecord) + Send + 'static,
    ) {
        let (metrics, journal) = (Arc::clone(&self.metrics), self.journal.clone());
        let access_log = Arc::clone(&self.access_log);
        self.later.take(Box::new(move || {
            settle(&mut record);
            account(&metrics, journal.as_deref(), &access_log, record);
        }));
    }

    /// Waits until every request that has ended is in the journal. Not for a worker's thread.
    pub fn flush_journal(&self) {
        self.later.flush();
        if let Some(journal) = &self.journal {
            journal.flush();
        }
    }

    /// Writes what there is to the journal and the access log. Requests that end later are lost.
    pub fn close(&self) {
        self.later.flush();
        self.webhooks.close();
        self.access_log.close();
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }

    /// Counts what the journal says was spent in the budgets' periods before their accounts were
    /// opened. Before requests reach these.
    ///
    /// # Errors
    /// Where a file of the journal cannot be read.
    pub fn restore_budgets(&self) -> io::Result<()> {
        self.restoring().map_or(Ok(()), |restore| restore())
    }

    /// The same for budgets that a new configuration brings.
    async fn restore_new_budgets(&self) {
        let Some(restore) = self.restoring() else { return };
        let restored = tokio::task::spawn_blocking(restore).await.map_err(io::Error::other);
        if let Err(error) = restored.flatten() {
            log::error!(
                "the usage journal cannot be read, so new budgets begin with nothing spent: {error}"
            );
        }
    }

    /// What restores the budgets that are new, where there is a journal to do it from.
    fn restoring(&self) -> Option<impl FnOnce() -> io::Result<()> + Send + use<>> {
        // Where budgets are shared, the server that they are shared through remembers.
        let journal = self.journal.clone().filter(|_| self.ledger.leases.is_none())?;
        let (ledger, opened) = (Arc::clone(&self.ledger), self.ledger.unrestored());
        (!opened.is_empty()).then_some(move || restore(&ledger, &opened, &journal))
    }

    /// From now on `/readyz` says yes.
    pub fn serve(&self) {
        self.serving.store(true, Ordering::Relaxed);
    }

    /// Whether the listeners take connections.
    pub fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Whether the process is leaving.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Sources {
    /// The configuration that both make. What is set aside now and was not `before` is told.
    fn snapshot(&self, before: &[SetAside], metrics: &Metrics) -> Arc<Snapshot> {
        let snapshot = config::lay_over(&self.file, &self.objects);
        let set_aside = &snapshot.made.set_aside;
        runtime::tell(before, set_aside);
        metrics.roster.in_use(&self.objects, set_aside);
        Arc::new(snapshot)
    }
}

fn account(
    metrics: &Metrics,
    journal: Option<&Journal>,
    access_log: &AccessLog,
    record: UsageRecord,
) {
    metrics.record(&record);
    if let Some(journal) = journal {
        journal.write(&record);
    }
    access_log.write(record);
}

/// Counts in each of these scopes what was spent before its account was opened.
fn restore(
    ledger: &Ledger,
    opened: &HashMap<Scope, DateTime<Utc>>,
    journal: &Journal,
) -> io::Result<()> {
    journal.flush();
    let today = Utc::now().date_naive();
    let days = (report::first_day_of_budgets(today), today);
    let unreadable = report::entries(journal.directory(), days, |_, entry| {
        let Some(began) = entry.moment() else { return Ok(()) };
        for scope in entry.scopes() {
            if opened.get(&scope).is_some_and(|opened| began < *opened) {
                ledger.restore(&scope, began, MicroUsd(entry.cost_micro_usd));
            }
        }
        Ok::<(), io::Error>(())
    })?;
    if unreadable > 0 {
        log::warn!("the usage journal has {unreadable} lines that are no entries");
    }
    Ok(())
}
