//! What lies in the directory: heads, entries, and an order by expiry.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `heads` | name | [`Head`] |
//! | `entries` | name, version | [`Entry`] |
//! | `expiry` | expiry, name | – |
//!
//! A name is the tenant and the id, each behind its length. Numbers are big-endian, so that keys lie in
//! their order; values are MessagePack. Every change is one batch, which is there whole or not at all.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot,
};
use log::error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::log::{Entry, Log};
use crate::context::store::shares::Shares;
use crate::context::store::{Failure, Keep, Key, Limit, Stock};
use crate::types::{TenantId, Version};

/// Whose lock says who has the directory.
const LOCK_FILE: &str = "tollgate.lock";

/// Memory for blocks that were read, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// Memory for each keyspace before it is written out, in bytes.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// Expired contexts that are cleared away with each version that is kept.
const CLEARED_MAX: usize = 16;

/// An open directory.
pub struct Tree {
    db: Database,
    heads: Keyspace,
    entries: Keyspace,
    expiry: Keyspace,
    /// Held while anything is written.
    ledger: Mutex<Ledger>,
    /// Wakes the thread that writes to the disk; it ends when this is dropped.
    written: SyncSender<()>,
    /// Locked while this process has the directory: asked before the database is, which would tell the
    /// log of each attempt.
    _lock: File,
}

/// What there is, in numbers: counted when the directory is opened.
#[derive(Default)]
struct Ledger {
    shares: Shares,
    stock: Stock,
}

/// What is known of a context without its entries.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Head {
    version: Version,
    created: i64,
    expires: i64,
    bytes: usize,
    entries: usize,
}

impl Tree {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// `Locked` where another process has it.
    pub fn open(path: &Path, sync: Duration) -> fjall::Result<Self> {
        std::fs::create_dir_all(path)?;
        let lock = File::create(path.join(LOCK_FILE))?;
        if lock.try_lock().is_err() {
            return Err(fjall::Error::Locked);
        }
        let db = Database::builder(path).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let (heads, entries, expiry) = (
            db.keyspace("heads", options)?,
            db.keyspace("entries", options)?,
            db.keyspace("expiry", options)?,
        );
        let mut ledger = Ledger::default();
        for item in heads.iter() {
            let (name, head) = item.into_inner()?;
            if let (Some(tenant), Ok(head)) = (tenant(&name), decode::<Head>(&head)) {
                ledger.add(&tenant, head.bytes);
            }
        }
        let (written, wake) = sync_channel(1);
        let syncing = db.clone();
        std::thread::Builder::new()
            .name("contexts-sync".to_owned())
            .spawn(move || write_to_disk(&syncing, &wake, sync))?;
        let ledger = Mutex::new(ledger);
        Ok(Self { db, heads, entries, expiry, ledger, written, _lock: lock })
    }

    /// A context's log: by a snapshot, for a batch that is being written can be seen in part without.
    pub fn read(&self, key: &Key, now: i64) -> Result<Option<Log>, Failure> {
        let (name, snapshot) = (name(key), self.db.snapshot());
        let head = snapshot.get(&self.heads, &name).map_err(failed)?;
        let head = head.map(|value| decode::<Head>(&value)).transpose()?;
        match head.filter(|head| head.expires > now) {
            Some(head) => self.log(&snapshot, &name, head),
            None => Ok(None),
        }
    }

    /// Adds a version.
    pub fn append(&self, key: &Key, entry: &Entry, keep: &Keep) -> Result<(), Failure> {
        let mut ledger = self.ledger();
        self.clear_expired(&mut ledger, entry.at)?;
        let name = name(key);
        let mut old = self.head(&name)?;
        if let Some(head) = old.filter(|head| head.expires <= entry.at) {
            self.discard(&mut ledger, &name, head)?;
            old = None;
        }
        let current = old.map_or(Version(0), |head| head.version);
        if entry.version != current.next() {
            return Err(Failure::Conflict(old.map(|head| head.version)));
        }
        let (before, more) = (old.map_or(0, |head| head.bytes), entry.bytes());
        if before + more > keep.context_bytes_max {
            return Err(Failure::Full(Limit::ContextBytes(keep.context_bytes_max)));
        }
        let is_new = old.is_none();
        self.admit(&mut ledger, entry.at, |shares| shares.admit(&key.tenant, is_new, more, keep))?;
        let head = self.write(&name, old, entry, keep)?;
        if old.is_some() {
            ledger.remove(&key.tenant, before);
        }
        ledger.add(&key.tenant, head.bytes);
        // A thread that is awake already will see this version too.
        let _awake = self.written.try_send(());
        Ok(())
    }

    /// Whether the tenant has room for a version behind this one, beside all that has expired.
    pub fn has_room(&self, key: &Key, base: Version, keep: &Keep) -> bool {
        self.ledger().shares.admit(&key.tenant, base == Version(0), 0, keep).is_ok()
    }

    /// Makes room for a version behind this one, where what has expired takes it.
    pub fn make_room(
        &self,
        key: &Key,
        base: Version,
        now: i64,
        keep: &Keep,
    ) -> Result<(), Failure> {
        let is_new = base == Version(0);
        self.admit(&mut self.ledger(), now, |shares| shares.admit(&key.tenant, is_new, 0, keep))
    }

    /// Removes a context; false where there was none.
    pub fn remove(&self, key: &Key) -> Result<bool, Failure> {
        let mut ledger = self.ledger();
        let name = name(key);
        let Some(head) = self.head(&name)? else { return Ok(false) };
        self.discard(&mut ledger, &name, head)?;
        let _awake = self.written.try_send(());
        Ok(true)
    }

    /// How much there is.
    pub fn stock(&self) -> Stock {
        self.ledger().stock
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self, name: &[u8]) -> Result<Option<Head>, Failure> {
        self.heads.get(name).map_err(failed)?.map(|value| decode(&value)).transpose()
    }

    fn log(&self, at: &Snapshot, name: &[u8], head: Head) -> Result<Option<Log>, Failure> {
        let mut entries = Vec::with_capacity(head.entries);
        for item in at.prefix(&self.entries, name) {
            entries.push(decode(&item.value().map_err(failed)?)?);
        }
        Ok(Log::new(head.created, head.expires, entries))
    }

    /// Writes a version, and folds the oldest ones where there are too many.
    fn write(
        &self,
        name: &[u8],
        old: Option<Head>,
        entry: &Entry,
        keep: &Keep,
    ) -> Result<Head, Failure> {
        let expires = keep.expires(entry.at);
        let mut head = Head {
            version: entry.version,
            created: old.map_or(entry.at, |head| head.created),
            expires,
            bytes: old.map_or(0, |head| head.bytes) + entry.bytes(),
            entries: old.map_or(0, |head| head.entries) + 1,
        };
        let mut batch = self.db.batch();
        if let Some(old) = old.filter(|old| old.expires != expires) {
            batch.remove(&self.expiry, expiry_name(old.expires, name));
        }
        match self.folded(name, old, entry, keep)? {
            None => batch.insert(&self.entries, entry_name(name, entry.version), encode(entry)?),
            Some(log) => {
                (head.bytes, head.entries) = (log.bytes(), log.entries().len());
                self.replace(&mut batch, name, &log)?;
            }
        }
        batch.insert(&self.expiry, expiry_name(expires, name), Vec::new());
        batch.insert(&self.heads, name, encode(&head)?);
        batch.commit().map_err(failed)?;
        Ok(head)
    }

    /// Replaces the oldest entries by the one that they were folded into, and adds the latest.
    fn replace(&self, batch: &mut OwnedWriteBatch, name: &[u8], log: &Log) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (log.entries().first(), log.entries().last()) else {
            return Ok(());
        };
        let start = entry_name(name, first.version);
        for item in self.entries.prefix(name) {
            let key = item.key().map_err(failed)?;
            if *key < *start {
                batch.remove(&self.entries, key);
            }
        }
        batch.insert(&self.entries, start, encode(first)?);
        if last.version != first.version {
            batch.insert(&self.entries, entry_name(name, last.version), encode(last)?);
        }
        Ok(())
    }

    /// The log with its oldest versions folded; `None` where that is not due.
    fn folded(
        &self,
        name: &[u8],
        old: Option<Head>,
        entry: &Entry,
        keep: &Keep,
    ) -> Result<Option<Log>, Failure> {
        let Some(old) = old else { return Ok(None) };
        if !Log::is_due(old.entries + 1, keep.versions_max) {
            return Ok(None);
        }
        let Some(mut log) = self.log(&self.db.snapshot(), name, old)? else { return Ok(None) };
        log.push(entry.clone());
        let is_folded = log.compact(keep.versions_max).is_some();
        Ok(is_folded.then_some(log))
    }

    /// Refuses what the limits do not allow, once nothing is left that has expired.
    fn admit(
        &self,
        ledger: &mut Ledger,
        now: i64,
        admit: impl Fn(&Shares) -> Result<(), Limit>,
    ) -> Result<(), Failure> {
        while let Err(limit) = admit(&ledger.shares) {
            if self.clear_expired(ledger, now)? == 0 {
                return Err(Failure::Full(limit));
            }
        }
        Ok(())
    }

    /// Clears some of what has expired; how many.
    fn clear_expired(&self, ledger: &mut Ledger, now: i64) -> Result<usize, Failure> {
        let end = expiry_name(now.saturating_add(1), &[]);
        let due = self.expiry.range(Vec::new()..end).take(CLEARED_MAX);
        let due: Vec<_> = due.map(|item| item.key()).collect::<Result<_, _>>().map_err(failed)?;
        for key in &due {
            let name = key.get(size_of::<u64>()..).unwrap_or_default();
            match self.head(name)? {
                Some(head) if head.expires <= now => self.discard(ledger, name, head)?,
                _ => self.expiry.remove(&**key).map_err(failed)?,
            }
        }
        Ok(due.len())
    }

    fn discard(&self, ledger: &mut Ledger, name: &[u8], head: Head) -> Result<(), Failure> {
        let mut batch = self.db.batch();
        batch.remove(&self.heads, name);
        batch.remove(&self.expiry, expiry_name(head.expires, name));
        for item in self.entries.prefix(name) {
            batch.remove(&self.entries, item.key().map_err(failed)?);
        }
        batch.commit().map_err(failed)?;
        if let Some(tenant) = tenant(name) {
            ledger.remove(&tenant, head.bytes);
        }
        Ok(())
    }
}

impl Ledger {
    fn add(&mut self, tenant: &TenantId, bytes: usize) {
        self.shares.add(tenant, bytes);
        self.stock.contexts += 1;
        self.stock.bytes += bytes as u64;
    }

    fn remove(&mut self, tenant: &TenantId, bytes: usize) {
        self.shares.remove(tenant, bytes);
        self.stock.contexts = self.stock.contexts.saturating_sub(1);
        self.stock.bytes = self.stock.bytes.saturating_sub(bytes as u64);
    }
}

/// Brings to the disk what was written, so long after it at most; until nobody writes any more.
fn write_to_disk(db: &Database, wake: &Receiver<()>, sync: Duration) {
    while wake.recv().is_ok() {
        std::thread::sleep(sync);
        // What was written since is part of this round.
        while wake.try_recv().is_ok() {}
        if let Err(failure) = db.persist(PersistMode::SyncData) {
            error!("contexts could not be written to the disk: {failure}");
        }
    }
}

/// A key as the keyspaces have it: the tenant first, so that none can reach another's.
fn name(key: &Key) -> Vec<u8> {
    let mut name = Vec::new();
    for part in [key.tenant.as_str(), key.id.as_str()] {
        name.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    name
}

/// The tenant of a name.
fn tenant(name: &[u8]) -> Option<TenantId> {
    let (length, rest) = name.split_first_chunk()?;
    let text = rest.get(..u32::from_be_bytes(*length) as usize)?;
    Some(std::str::from_utf8(text).ok()?.into())
}

fn entry_name(name: &[u8], version: Version) -> Vec<u8> {
    [name, &version.0.to_be_bytes()].concat()
}

fn expiry_name(expires: i64, name: &[u8]) -> Vec<u8> {
    let expires = u64::try_from(expires).unwrap_or_default();
    [&expires.to_be_bytes()[..], name].concat()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    rmp_serde::to_vec(value).map_err(failed)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    rmp_serde::from_slice(bytes).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("the embedded store: {error}"))
}
