//! Conversations that live at the gateway: the context protocol (docs/contexts.md).
//!
//! A client names a context and sends what is new; the gateway puts what is kept before it and keeps
//! the answer. [`Contexts`] is the repository: it hands out leases, so that one turn at a time changes
//! a context, and asks a [`store::Store`]. What belongs to one turn is a [`turn::Turn`], what clients
//! do with contexts apart from turns is in [`resource`]. Nothing here knows a session or an upstream.

pub mod ask;
pub mod conversations;
pub mod delta;
mod facts;
pub mod format;
pub mod lease;
pub mod log;
pub mod message;
pub mod prompt;
pub mod resource;
pub mod responses;
mod start;
pub mod store;
pub mod summary;
pub mod tokens;
pub mod turn;
pub mod window;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;

use self::delta::Bounds;
use self::lease::{Leases, LocalLease};
use self::log::{Entry, Log};
use self::store::embedded::Embedded;
use self::store::memory::Memory;
use self::store::valkey::Valkey;
use self::store::{Failure, Keep, Key, Lease, Store};
use self::summary::Summaries;
use crate::config::snapshot::contexts::{ContextStore, Contexts as Rules};
use crate::error::{Error, Kind, Result};
use crate::telemetry::metrics::{Metrics, StoreCall};
use crate::types::{ContextId, Version};

/// What a client is told of a fault of the gateway's own.
const FAILED: &str = "The gateway failed; the request id names the case in its log.";

/// When a client may ask again that met another turn, or a store that was not there.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// All contexts of this process.
pub struct Contexts {
    store: Arc<dyn Store>,
    leases: Leases,
    summaries: Summaries,
    metrics: Arc<Metrics>,
}

/// The right to change a context, here and on other nodes.
pub struct HeldLease {
    _local: LocalLease,
    _remote: Option<Box<dyn Lease>>,
}

impl Contexts {
    /// The contexts of a store.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub fn open(store: &ContextStore, metrics: Arc<Metrics>) -> io::Result<Self> {
        let store: Arc<dyn Store> = match store {
            ContextStore::Memory { bytes_max } => Arc::new(Memory::new(*bytes_max)),
            ContextStore::Valkey { server, lease } => {
                // What is said of the URL may quote a password.
                let unusable = |_| io::Error::other("`contexts.store.url` is no address of Valkey");
                Arc::new(Valkey::new(server.clone(), *lease).map_err(unusable)?)
            }
            ContextStore::Embedded { path, sync } => Arc::new(Embedded::open(path, *sync)?),
        };
        let contexts =
            Self { store, leases: Leases::default(), summaries: Summaries::default(), metrics };
        contexts.take_stock();
        Ok(contexts)
    }

    /// Takes a context's lease, behind whoever came before.
    ///
    /// # Errors
    /// `ContextBusy` where that takes longer than `wait`, `ContextStore`.
    pub async fn lease(&self, key: &Key, wait: Duration) -> Result<HeldLease> {
        let started = Instant::now();
        let local = self.leases.take(key, wait).await;
        let local = local.ok_or_else(|| error(key, Failure::Busy))?;
        let left = wait.saturating_sub(started.elapsed());
        let remote = self.store.lease(key, left).await.map_err(|failure| error(key, failure))?;
        self.metrics.contexts.waited(started.elapsed());
        Ok(HeldLease { _local: local, _remote: remote })
    }

    /// Reads a context.
    ///
    /// # Errors
    /// `ContextStore`.
    pub async fn read(&self, key: &Key) -> Result<Option<Arc<Log>>> {
        let started = Instant::now();
        let log = self.store.read(key, now()).await;
        self.metrics.contexts.store(StoreCall::Read, started.elapsed());
        log.map_err(|failure| error(key, failure))
    }

    /// Keeps a version. The caller holds the lease.
    ///
    /// # Errors
    /// `ContextConflict`, `ContextLimit`, `ContextStore`.
    pub async fn append(&self, key: &Key, entry: Entry, keep: &Keep) -> Result<()> {
        let started = Instant::now();
        let kept = self.store.append(key, entry, keep).await;
        self.metrics.contexts.store(StoreCall::Append, started.elapsed());
        kept.map_err(|failure| match failure {
            Failure::Unavailable(why) => unknown(key, why),
            failure => error(key, failure),
        })?;
        self.metrics.contexts.version();
        self.take_stock();
        Ok(())
    }

    /// Removes a context; false where there was none. The caller holds the lease.
    ///
    /// # Errors
    /// `ContextStore`.
    pub async fn remove(&self, key: &Key) -> Result<bool> {
        let removed = self.store.remove(key).await.map_err(|failure| error(key, failure))?;
        self.take_stock();
        Ok(removed)
    }

    /// This process hands over to another one.
    pub fn leave(&self) {
        self.store.leave();
    }

    fn take_stock(&self) {
        if let Some(stock) = self.store.stock() {
            self.metrics.contexts.hold(stock.contexts, stock.bytes);
        }
    }
}

/// What is kept, by the rules.
pub fn keep(rules: &Rules) -> Keep {
    Keep {
        ttl: rules.ttl,
        versions_max: rules.versions_max,
        context_bytes_max: rules.context_bytes_max,
        tenant_contexts_max: rules.tenant_contexts_max,
        tenant_bytes_max: rules.tenant_bytes_max,
    }
}

/// What a delta may cost, by the rules.
pub fn bounds(rules: &Rules) -> Bounds {
    Bounds { operations_max: rules.delta_operations_max, bytes_max: rules.delta_bytes_max }
}

/// The moment, in milliseconds since 1970.
fn now() -> i64 {
    Utc::now().timestamp_millis()
}

/// An id that nobody has yet: 128 random bits.
fn fresh_id() -> Result<ContextId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Kind::Internal, FAILED).because(error.to_string()))?;
    Ok(format!("ctx_{}", hex::encode(bytes)).as_str().into())
}

/// Refuses what does not build on the version that there is (0: none).
fn expect(key: &Key, current: Version, expected: Option<Version>) -> Result<()> {
    match expected {
        None => Ok(()),
        Some(expected) if expected == current => Ok(()),
        Some(_) if current == Version(0) => Err(not_found(key)),
        Some(expected) => Err(conflict(key, current, expected)),
    }
}

fn conflict(key: &Key, current: Version, expected: Version) -> Error {
    let id = &key.id;
    let text = match expected {
        Version(0) => format!("There is a context `{id}` already, at version {current}."),
        _ => format!(
            "The context `{id}` is at version {current}, not {expected}. Nothing was changed: read \
             it, or build on version {current}."
        ),
    };
    Error::new(Kind::ContextConflict, text).param("context.version")
}

fn not_found(key: &Key) -> Error {
    Error::new(Kind::ContextNotFound, format!("There is no context `{}`.", key.id))
        .param("context.id")
}

/// The store went away while a version was with it.
fn unknown(key: &Key, why: String) -> Error {
    let text = format!(
        "The context `{}` could not be kept for certain: the store went away. Read its version \
         before you send this again.",
        key.id
    );
    Error::new(Kind::ContextStore, text).because(why).retry_after(RETRY_AFTER)
}

fn error(key: &Key, failure: Failure) -> Error {
    let id = &key.id;
    match failure {
        Failure::Conflict(Some(current)) => Error::new(
            Kind::ContextConflict,
            format!("The context `{id}` went on to version {current}. Nothing was changed."),
        )
        .param("context.version"),
        Failure::Conflict(None) => not_found(key),
        Failure::Full(limit) => {
            Error::new(Kind::ContextLimit, format!("The context `{id}` cannot grow: {limit}."))
                .param("context.id")
        }
        Failure::Busy => Error::new(
            Kind::ContextBusy,
            format!("Another turn of the context `{id}` is under way: wait for its answer."),
        )
        .param("context.id")
        .retry_after(RETRY_AFTER),
        Failure::Unavailable(why) => Error::new(
            Kind::ContextStore,
            "Contexts can be neither read nor kept right now. Nothing was changed; try later.",
        )
        .because(why)
        .retry_after(RETRY_AFTER),
    }
}

#[cfg(test)]
mod tests;
