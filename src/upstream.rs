//! Which endpoint an attempt goes to, and how well it is.
//!
//! [`Registry`] is the live state of all endpoints and survives reloads. For each
//! configuration it makes [`Pools`]: one [`Pool`] for each alias, plain to read and without a
//! lock shared by requests. A request takes a [`Pick`] from its pool, connects where
//! [`Pick::peer`] says, and reports what came of it. Three background services work beside:
//! [`Resolver`] keeps addresses, [`Keeper`] credentials, [`Checks`] asks endpoints how they are.
//!
//! This module decides nothing about retries (see `retry`) and knows no dialect.

mod balance;
pub mod credential;
mod endpoint;
#[cfg(test)]
mod fixture;
mod health;
mod http1;
mod latency;
mod moment;
mod peer;
mod pool;
mod resolve;
mod vitals;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ahash::AHashMap;
use tokio::sync::{Notify, watch};

use crate::config::snapshot::{Endpoint, Model, Snapshot};
use crate::retry::budget::Budget;
use crate::telemetry::metrics::Metrics;
use crate::types::{EndpointId, ModelAlias};

pub use credential::{Grant, Keeper, LiveCredential, ToSign};
pub use credential::{Why, client, json, told};
pub use endpoint::LiveEndpoint;
pub use health::Checks;
pub use http1::{Connector, Kept};
pub use peer::Unusable;
pub use pool::{Pick, Pool, Tried};
pub use resolve::Resolver;

use credential::Credentials;
use moment::Origin;
use resolve::Addresses;

/// Why an endpoint was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ejection {
    /// Requests failed in a row.
    Failures,
    /// It answered 429 with `Retry-After`.
    RateLimited,
    /// Active checks failed.
    Check,
}

/// The live state of all endpoints, under their stable ids.
pub struct Registry {
    metrics: Arc<Metrics>,
    origin: Origin,
    /// Locked at reloads, scrapes and rounds of background work, never by a request.
    state: Mutex<State>,
    /// The number of configurations taken in: moves background work on.
    generation: watch::Sender<u64>,
    /// Asks for lookups.
    wake: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// In the order of the configuration.
    endpoints: Vec<Arc<LiveEndpoint>>,
    credentials: Credentials,
    budgets: HashMap<ModelAlias, Arc<Budget>>,
}

/// The pools of one configuration.
#[derive(Clone)]
pub struct Pools(AHashMap<ModelAlias, Arc<Pool>>);

impl Pools {
    /// The pool of an alias.
    pub fn get(&self, alias: &str) -> Option<&Arc<Pool>> {
        self.0.get(alias)
    }

    /// The aliases, in no order.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(ModelAlias::as_str)
    }
}

impl Registry {
    /// A registry without endpoints; `now` is where its time begins.
    pub fn new(metrics: Arc<Metrics>, now: Instant) -> Self {
        Self {
            metrics,
            origin: Origin(now),
            state: Mutex::default(),
            generation: watch::Sender::new(0),
            wake: Arc::new(Notify::new()),
        }
    }

    /// Takes a configuration in and makes its pools.
    ///
    /// An endpoint keeps its live state while its host, port and TLS settings stay as they
    /// are, and starts anew otherwise; one that is gone is forgotten, but lives until its last
    /// request ends. Where an endpoint cannot be used, nothing changes at all. Reads the
    /// files that the configuration names: not for a worker's thread.
    ///
    /// Await [`Registry::resolve`] before requests use the pools.
    pub fn pools(&self, snapshot: &Snapshot) -> Result<Pools, Unusable> {
        let mut state = self.lock();
        let credentials = credential::renew(&state.credentials, snapshot, &self.metrics);
        let endpoints = self.renew(&state.endpoints, &credentials, snapshot)?;
        let by_id: HashMap<&EndpointId, &Arc<LiveEndpoint>> =
            endpoints.iter().map(|live| (live.id(), live)).collect();
        let mut budgets = HashMap::with_capacity(snapshot.models.len());
        let mut pools = AHashMap::with_capacity(snapshot.models.len());
        for (alias, model) in &snapshot.models {
            let budget = state.budgets.get(alias).cloned();
            let budget = budget.unwrap_or_else(|| Arc::new(Budget::new(self.origin.0)));
            budgets.insert(alias.clone(), Arc::clone(&budget));
            pools.insert(alias.clone(), Arc::new(self.pool(model, budget, &by_id)));
        }
        *state = State { endpoints, credentials, budgets };
        drop(state);
        self.generation.send_modify(|generation| *generation += 1);
        self.wake.notify_one();
        Ok(Pools(pools))
    }

    /// Looks up, once, the names that were never resolved.
    pub async fn resolve(&self) {
        resolve::look_up_each(self, false).await;
    }

    /// Waits until each credential of the current configuration was fetched once or could not be, but
    /// not for long: one that is late is the matter of its own provider's requests.
    pub async fn authorise(&self) {
        let tried = async {
            for credential in self.credentials() {
                credential.tried().await;
            }
        };
        let _late = tokio::time::timeout(credential::FIRST_WAIT, tried).await;
    }

    /// The endpoints of the current configuration, in its order.
    pub fn endpoints(&self) -> Vec<Arc<LiveEndpoint>> {
        self.lock().endpoints.clone()
    }

    /// Writes each endpoint's health and load into its metrics: called at each scrape.
    pub fn publish(&self, now: Instant) {
        for live in self.endpoints() {
            live.metrics().publish(live.is_in(now), live.in_flight());
        }
    }

    fn renew(
        &self,
        before: &[Arc<LiveEndpoint>],
        credentials: &Credentials,
        snapshot: &Snapshot,
    ) -> Result<Vec<Arc<LiveEndpoint>>, Unusable> {
        let known: HashMap<&EndpointId, &Arc<LiveEndpoint>> =
            before.iter().map(|live| (live.id(), live)).collect();
        let idle = snapshot.server.upstream_keepalive;
        let live = |endpoint: &Arc<Endpoint>| {
            let same = known.get(&endpoint.id).filter(|live| live.connects_like(endpoint));
            let credential = credentials.get(&endpoint.provider).cloned();
            let endpoint = Arc::clone(endpoint);
            let live = match same {
                Some(live) => live.renewed(endpoint, idle),
                None => {
                    let wake = Arc::clone(&self.wake);
                    let addresses = Addresses::new(&endpoint.host, endpoint.port, wake);
                    let metrics = self.metrics.endpoint(&endpoint.id);
                    LiveEndpoint::new(endpoint, metrics, addresses, idle, self.origin)
                }
            };
            live.map(|live| Arc::new(live.authorised_by(credential)))
        };
        snapshot.endpoints.iter().map(live).collect()
    }

    fn pool(
        &self,
        model: &Arc<Model>,
        budget: Arc<Budget>,
        endpoints: &HashMap<&EndpointId, &Arc<LiveEndpoint>>,
    ) -> Pool {
        Pool::new(Arc::clone(model), budget, self.origin, |target| {
            let live = Arc::clone(endpoints.get(&target.endpoint.id)?);
            Some((live, self.metrics.target(&model.alias, &target.endpoint.id)))
        })
    }

    fn credentials(&self) -> Vec<Arc<LiveCredential>> {
        self.lock().credentials.values().cloned().collect()
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn wake(&self) -> &Notify {
        &self.wake
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced whole, so a panic elsewhere leaves none half made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
