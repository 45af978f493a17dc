//! Where contexts are kept: one interface, and what every store says and is told.
//!
//! A store keeps logs under keys that begin with the tenant, so that no call can reach another
//! tenant's context. It compares versions when it appends, and it knows nothing of turns, prompts
//! or HTTP. Whoever writes holds the context's lease.

pub mod embedded;
pub mod memory;
mod shares;
pub mod valkey;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::log::{Entry, Log};
use crate::types::{ContextId, TenantId, Version};

/// Under what a context is kept: always a tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name there.
    pub id: ContextId,
}

/// How much is kept, and how long: the rules of the configuration in use.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// How long a context is kept behind its last change.
    pub ttl: Duration,
    /// Versions of one context.
    pub versions_max: usize,
    /// Bytes of one context, all versions together.
    pub context_bytes_max: usize,
    /// Contexts of one tenant.
    pub tenant_contexts_max: usize,
    /// Bytes of one tenant.
    pub tenant_bytes_max: usize,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The version does not follow the latest one, which is this; `None` where there is no context.
    Conflict(Option<Version>),
    /// A limit would be exceeded.
    Full(Limit),
    /// The store does not work; for the operator.
    Unavailable(String),
    /// Another turn kept the context's lease for longer than was to be waited.
    Busy,
}

/// A limit of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of one context.
    ContextBytes(usize),
    /// Contexts of one tenant.
    TenantContexts(usize),
    /// Bytes of one tenant.
    TenantBytes(usize),
    /// Bytes of the whole store, where one context is larger than that.
    StoreBytes(usize),
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Contexts, those that have expired and not been cleared away included.
    pub contexts: u64,
    /// Bytes, as the limits count them.
    pub bytes: u64,
}

/// A right to change a context that other nodes respect; given back when dropped.
pub trait Lease: Send + Sync {}

/// A place where contexts are kept. Times are in milliseconds since 1970.
#[async_trait]
pub trait Store: Send + Sync {
    /// A context's log; `None` where there is none, or it has expired.
    async fn read(&self, key: &Key, now: i64) -> Result<Option<Arc<Log>>, Failure>;

    /// Adds a version, the first of which makes the context, and sets its expiry. When it returns,
    /// the version is kept as safely as the store keeps anything.
    async fn append(&self, key: &Key, entry: Entry, keep: &Keep) -> Result<(), Failure>;

    /// Whether the tenant has room for a version behind this one (0: for a further context), so that
    /// a turn need not be paid for in vain. What has expired takes none. What [`Self::append`] says is
    /// what counts.
    async fn room(&self, key: &Key, base: Version, now: i64, keep: &Keep) -> Result<(), Failure>;

    /// Removes a context; false where there was none.
    async fn remove(&self, key: &Key) -> Result<bool, Failure>;

    /// Takes the context's lease for this node, where other nodes could write too.
    async fn lease(&self, _key: &Key, _wait: Duration) -> Result<Option<Box<dyn Lease>>, Failure> {
        Ok(None)
    }

    /// This process hands over to another one: no turn begins here any more, and when the last one
    /// has ended, what cannot be shared is given up.
    fn leave(&self) {}

    /// How much is held, where the store knows.
    fn stock(&self) -> Option<Stock>;
}

impl Keep {
    /// Nothing at all.
    pub const NOTHING: Self = Self {
        ttl: Duration::ZERO,
        versions_max: 0,
        context_bytes_max: 0,
        tenant_contexts_max: 0,
        tenant_bytes_max: 0,
    };

    /// When a context expires that was changed at this moment.
    pub fn expires(&self, at: i64) -> i64 {
        at.saturating_add(i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextBytes(max) => write!(f, "a context has at most {max} bytes"),
            Self::TenantContexts(max) => write!(f, "a tenant has at most {max} contexts"),
            Self::TenantBytes(max) => write!(f, "a tenant's contexts have at most {max} bytes"),
            Self::StoreBytes(max) => write!(f, "all contexts have at most {max} bytes"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(Some(current)) => write!(f, "the context is at version {current}"),
            Self::Conflict(None) => f.write_str("there is no such context"),
            Self::Full(limit) => limit.fmt(f),
            Self::Unavailable(why) => f.write_str(why),
            Self::Busy => f.write_str("another turn is under way"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
pub(crate) mod tests;
