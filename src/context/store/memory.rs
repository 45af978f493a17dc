//! Contexts in this process's memory: gone with it, and bounded in bytes.
//!
//! Where the whole would grow over its bound, the contexts that were changed longest ago go first,
//! as if they had expired; a tenant's own bounds are not made by forgetting but refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::shares::Shares;
use super::{Failure, Keep, Key, Limit, Stock, Store};
use crate::context::log::{Entry, Log};
use crate::types::Version;

/// A store in memory.
pub struct Memory {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    contexts: HashMap<Key, Slot>,
    /// By their last change: the front is what expires and goes first.
    order: BTreeMap<u64, Key>,
    shares: Shares,
    bytes: usize,
    /// The next place in `order`.
    next: u64,
}

struct Slot {
    log: Arc<Log>,
    bytes: usize,
    place: u64,
}

impl Memory {
    /// An empty store of at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn read(&self, key: &Key, now: i64) -> Result<Option<Arc<Log>>, Failure> {
        Ok(self.held().live(key, now))
    }

    async fn append(&self, key: &Key, entry: Entry, keep: &Keep) -> Result<(), Failure> {
        let mut held = self.held();
        held.clear_expired(entry.at);
        let (current, before) = held.size(key, entry.at);
        if entry.version != current.next() {
            return Err(Failure::Conflict((current > Version(0)).then_some(current)));
        }
        let more = entry.bytes();
        if before + more > keep.context_bytes_max {
            return Err(Failure::Full(Limit::ContextBytes(keep.context_bytes_max)));
        }
        held.shares.admit(&key.tenant, before == 0, more, keep).map_err(Failure::Full)?;
        if before + more > self.bytes_max {
            return Err(Failure::Full(Limit::StoreBytes(self.bytes_max)));
        }
        held.write(key, entry, keep);
        held.evict(self.bytes_max);
        Ok(())
    }

    async fn room(&self, key: &Key, base: Version, now: i64, keep: &Keep) -> Result<(), Failure> {
        let (mut held, is_new) = (self.held(), base == Version(0));
        held.clear_expired(now);
        held.shares.admit(&key.tenant, is_new, 0, keep).map_err(Failure::Full)
    }

    async fn remove(&self, key: &Key) -> Result<bool, Failure> {
        Ok(self.held().take(key).is_some())
    }

    fn stock(&self) -> Option<Stock> {
        let held = self.held();
        Some(Stock { contexts: held.contexts.len() as u64, bytes: held.bytes as u64 })
    }
}

impl Held {
    fn live(&self, key: &Key, now: i64) -> Option<Arc<Log>> {
        self.contexts.get(key).map(|slot| &slot.log).filter(|log| log.expires > now).cloned()
    }

    /// The latest version and the bytes of a context; nothing where there is none.
    fn size(&mut self, key: &Key, now: i64) -> (Version, usize) {
        match self.contexts.get(key) {
            Some(slot) if slot.log.expires > now => (slot.log.version(), slot.bytes),
            Some(_) => {
                self.take(key);
                (Version(0), 0)
            }
            None => (Version(0), 0),
        }
    }

    fn write(&mut self, key: &Key, entry: Entry, keep: &Keep) {
        let (at, more) = (entry.at, entry.bytes());
        let slot = self.take(key);
        let mut bytes = slot.as_ref().map_or(0, |slot| slot.bytes) + more;
        let log = match slot {
            Some(slot) => {
                let mut log = slot.log;
                let changed = Arc::make_mut(&mut log);
                changed.push(entry);
                changed.expires = keep.expires(at);
                if changed.compact(keep.versions_max).is_some() {
                    bytes = changed.bytes();
                }
                Some(log)
            }
            None => Log::new(at, keep.expires(at), vec![entry]).map(Arc::new),
        };
        let Some(log) = log else { return };
        let place = self.next;
        self.next += 1;
        self.order.insert(place, key.clone());
        self.shares.add(&key.tenant, bytes);
        self.bytes += bytes;
        self.contexts.insert(key.clone(), Slot { log, bytes, place });
    }

    fn take(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.contexts.remove(key)?;
        self.order.remove(&slot.place);
        self.bytes -= slot.bytes;
        self.shares.remove(&key.tenant, slot.bytes);
        Some(slot)
    }

    fn clear_expired(&mut self, now: i64) {
        while let Some(key) = self.order.values().next().cloned() {
            if self.live(&key, now).is_some() {
                break;
            }
            self.take(&key);
        }
    }

    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(key) = self.order.values().next().cloned()
        {
            self.take(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use crate::context::store::tests::{KEEP, entry, key};
    use crate::context::store::{Failure, Keep, Key, Limit, Stock, Store};
    use crate::types::Version;

    async fn put(store: &Memory, id: &str, version: u64, at: i64) -> Result<(), Failure> {
        store.append(&key("t", id), entry(version, at), &KEEP).await
    }

    async fn has(store: &Memory, key: &Key, now: i64) -> bool {
        store.read(key, now).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn the_oldest_goes_where_the_whole_would_grow_too_large() {
        let one = entry(1, 0).bytes();
        let store = Memory::new(3 * one);
        for id in ["a", "b", "c"] {
            put(&store, id, 1, 0).await.unwrap();
        }
        store.append(&key("u", "d"), entry(1, 0), &KEEP).await.unwrap();
        assert!(!has(&store, &key("t", "a"), 0).await);
        assert!(has(&store, &key("t", "b"), 0).await && has(&store, &key("u", "d"), 0).await);
        assert_eq!(store.stock(), Some(Stock { contexts: 3, bytes: 3 * one as u64 }));
        // A change makes a context the youngest.
        put(&store, "b", 2, 0).await.unwrap();
        assert!(has(&store, &key("t", "b"), 0).await && !has(&store, &key("t", "c"), 0).await);
        let tiny = Memory::new(one - 1);
        let refused = put(&tiny, "a", 1, 0).await;
        assert_eq!(refused, Err(Failure::Full(Limit::StoreBytes(one - 1))));
        assert_eq!(tiny.stock(), Some(Stock::default()));
    }

    #[tokio::test]
    async fn what_expired_is_gone_and_leaves_no_trace() {
        let store = Memory::new(1 << 20);
        let ttl = KEEP.expires(0);
        put(&store, "a", 1, 0).await.unwrap();
        assert!(has(&store, &key("t", "a"), ttl - 1).await);
        assert!(!has(&store, &key("t", "a"), ttl).await);
        assert_eq!(put(&store, "a", 2, ttl).await, Err(Failure::Conflict(None)));
        assert_eq!(store.stock(), Some(Stock::default()));
    }

    #[tokio::test]
    async fn compacting_keeps_the_accounts_right() {
        let store = Memory::new(1 << 20);
        let keep = Keep { versions_max: 2, ..KEEP };
        for version in 1..50 {
            store.append(&key("t", "a"), entry(version, 0), &keep).await.unwrap();
        }
        let log = store.read(&key("t", "a"), 0).await.unwrap().unwrap();
        assert_eq!((log.entries().len(), log.version()), (2, Version(49)));
        assert_eq!(store.stock(), Some(Stock { contexts: 1, bytes: log.bytes() as u64 }));
    }
}
