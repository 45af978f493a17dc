//! What all services of the process share: the configuration in use and the live state beside it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::config::snapshot::Snapshot;
use crate::retry::budget::Budget;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::types::ModelAlias;
use crate::upstream::{Pools, Registry};

/// A configuration in use, with the live state that it refers to.
pub struct Active {
    /// The rules.
    pub snapshot: Arc<Snapshot>,
    /// Where each alias may go.
    pub pools: Pools,
    /// The retries that each alias may still make.
    budgets: HashMap<ModelAlias, Arc<Budget>>,
}

impl Active {
    /// The retry budget of an alias of this configuration.
    pub fn budget(&self, alias: &str) -> Option<&Arc<Budget>> {
        self.budgets.get(alias)
    }
}

/// The process's state.
pub struct State {
    active: ArcSwap<Active>,
    /// Endpoints' health and load: survives reloads.
    pub registry: Arc<Registry>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// One line for each request.
    pub access_log: AccessLog,
    draining: AtomicBool,
    in_flight: Arc<AtomicUsize>,
}

impl State {
    /// The state of a process that starts with a configuration.
    pub fn new(snapshot: Snapshot, metrics: Arc<Metrics>, access_log: AccessLog) -> Self {
        let registry = Arc::new(Registry::new(metrics.clone()));
        let active = activate(snapshot, &registry, |_| None);
        Self {
            active: ArcSwap::from_pointee(active),
            registry,
            metrics,
            access_log,
            draining: AtomicBool::new(false),
            in_flight: Arc::default(),
        }
    }

    /// The configuration in use: a request loads it once and keeps it.
    pub fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Takes a new configuration into use. Requests in flight keep theirs; live state of what
    /// is unchanged goes on.
    pub fn activate(&self, snapshot: Snapshot) {
        let old = self.active();
        let new = activate(snapshot, &self.registry, |alias| old.budget(alias).cloned());
        self.active.store(Arc::new(new));
    }

    /// Counts a request as in flight until the entry is dropped.
    pub fn enter(&self) -> Entry {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Entry(self.in_flight.clone())
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// From now on connections are closed behind their next answer, and `/readyz` says no.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process is leaving.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A request in flight.
pub struct Entry(Arc<AtomicUsize>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn activate(
    snapshot: Snapshot,
    registry: &Registry,
    kept: impl Fn(&str) -> Option<Arc<Budget>>,
) -> Active {
    let budgets = snapshot
        .models
        .keys()
        .map(|alias| (alias.clone(), kept(alias.as_str()).unwrap_or_default()))
        .collect();
    let pools = registry.pools(&snapshot);
    Active { snapshot: Arc::new(snapshot), pools, budgets }
}
