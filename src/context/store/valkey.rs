//! Contexts in Valkey or Redis: for more than one gateway.
//!
//! A log is one hash, so that it moves and expires as a whole; a version is added by a script that
//! compares the one before. Everything of a context lies in one slot of a cluster, everything of a
//! tenant's account in another. A lease is a key with an expiry that its holder renews: a gateway that
//! is killed in the middle of a turn frees the context when that has passed.

mod lease;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{AsyncCommands, RedisError, Script};

use self::lease::Held;
use super::{Failure, Keep, Key, Lease, Limit, Stock, Store};
use crate::context::log::{Entry, Log};
use crate::types::{TenantId, Version};
use crate::valkey::{self, Connection};

static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("valkey/append.lua")));
static ACCOUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("valkey/account.lua")));

/// Contexts of a tenant's account that are looked for before anything is refused.
const AUDITED_MAX: usize = 16;

/// A store in Valkey.
pub struct Valkey {
    server: valkey::Valkey,
    /// After this time a lease that is not renewed is free.
    lease: Duration,
}

/// What is known of a log without its entries.
#[derive(Default)]
struct Head {
    version: Version,
    created: Option<i64>,
    bytes: usize,
    entries: usize,
}

impl Valkey {
    /// A store that connects when it is needed; `lease`: after this time one that is not renewed is
    /// free.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(settings: valkey::Settings, lease: Duration) -> Result<Self, RedisError> {
        Ok(Self { server: valkey::Valkey::new(settings)?, lease })
    }

    fn connection(&self) -> Result<Connection, Failure> {
        self.server.connection().map_err(failed)
    }

    /// A context's log. The braces keep a context's keys in one slot of a cluster.
    fn log_key(&self, key: &Key) -> String {
        format!("{}:{{{}}}:log", self.server.prefix(), name(key))
    }

    fn lease_key(&self, key: &Key) -> String {
        format!("{}:{{{}}}:lease", self.server.prefix(), name(key))
    }

    fn account_keys(&self, tenant: &TenantId) -> [String; 3] {
        let tenant = tenant.as_str();
        ["expiry", "bytes", "sum"]
            .map(|part| format!("{}:{{{}:{tenant}}}:{part}", self.server.prefix(), tenant.len()))
    }

    /// What there is; nothing where it has expired, though the server's clock may not say so yet.
    async fn head(&self, key: &Key, now: i64) -> Result<Head, Failure> {
        let fields = ["expires", "version", "created", "bytes", "entries"];
        type Fields = (Option<i64>, Option<u64>, Option<i64>, Option<usize>, Option<usize>);
        let (expires, version, created, bytes, entries): Fields =
            self.connection()?.hmget(self.log_key(key), &fields).await.map_err(failed)?;
        if expires.is_none_or(|expires| expires <= now) {
            return Ok(Head::default());
        }
        Ok(Head {
            version: Version(version.unwrap_or_default()),
            created,
            bytes: bytes.unwrap_or_default(),
            entries: entries.unwrap_or_default(),
        })
    }

    /// Notes a context in its tenant's account, or asks whether it could be (`expires` is `None`); does
    /// so again where the account was wrong.
    async fn admit(
        &self,
        key: &Key,
        (now, expires): (i64, Option<i64>),
        bytes: i64,
        keep: &Keep,
    ) -> Result<(), Failure> {
        let admitted = self.account(key, (now, expires), bytes, keep).await;
        if matches!(admitted, Err(Failure::Full(_))) && self.audit(&key.tenant, now).await? {
            return self.account(key, (now, expires), bytes, keep).await;
        }
        admitted
    }

    /// Takes some of what is not there off a tenant's account, and says whether there was any. A
    /// gateway that was killed may have noted a context that it never made, or left one that it
    /// removed. Whoever is about to make one holds its lease.
    async fn audit(&self, tenant: &TenantId, now: i64) -> Result<bool, Failure> {
        let [expiry, ..] = self.account_keys(tenant);
        let mut connection = self.connection()?;
        let mut ask = redis::cmd("ZRANDMEMBER");
        ask.arg(expiry).arg(AUDITED_MAX).arg("WITHSCORES");
        let noted: Vec<(String, i64)> = ask.query_async(&mut connection).await.map_err(failed)?;
        let mut was_wrong = false;
        for (id, expires) in noted {
            let key = Key { tenant: tenant.clone(), id: id.as_str().into() };
            let names = [self.log_key(&key), self.lease_key(&key)];
            let found: usize = connection.exists(&names).await.map_err(failed)?;
            if found == 0 {
                self.account(&key, (now, Some(expires)), -1, &Keep::NOTHING).await?;
                was_wrong = true;
            }
        }
        Ok(was_wrong)
    }

    /// Asks the account's script.
    async fn account(
        &self,
        key: &Key,
        (now, expires): (i64, Option<i64>),
        bytes: i64,
        keep: &Keep,
    ) -> Result<(), Failure> {
        let mut script = ACCOUNT.prepare_invoke();
        for name in self.account_keys(&key.tenant) {
            script.key(name);
        }
        script.arg(now).arg(key.id.as_str());
        script.arg(expires.map(|expires| expires.to_string()).unwrap_or_default());
        script.arg(bytes).arg(keep.tenant_contexts_max).arg(keep.tenant_bytes_max);
        match script.invoke_async::<i64>(&mut self.connection()?).await.map_err(failed)? {
            1 => Err(Failure::Full(Limit::TenantContexts(keep.tenant_contexts_max))),
            2 => Err(Failure::Full(Limit::TenantBytes(keep.tenant_bytes_max))),
            _ => Ok(()),
        }
    }

    /// The log with this version added and its oldest ones folded; `None` where that is not due.
    async fn folded(
        &self,
        key: &Key,
        head: &Head,
        entry: &Entry,
        keep: &Keep,
    ) -> Result<Option<Log>, Failure> {
        if !Log::is_due(head.entries + 1, keep.versions_max) {
            return Ok(None);
        }
        let Some(log) = self.read(key, entry.at).await? else { return Ok(None) };
        let mut log = Arc::unwrap_or_clone(log);
        log.push(entry.clone());
        let is_folded = log.compact(keep.versions_max).is_some();
        Ok(is_folded.then_some(log))
    }
}

#[async_trait]
impl Store for Valkey {
    async fn read(&self, key: &Key, now: i64) -> Result<Option<Arc<Log>>, Failure> {
        let fields: HashMap<String, Vec<u8>> =
            self.connection()?.hgetall(self.log_key(key)).await.map_err(failed)?;
        let number = |name| {
            let text = fields.get(name).and_then(|value| std::str::from_utf8(value).ok());
            text.and_then(|text| text.parse::<i64>().ok())
        };
        let (Some(created), Some(expires)) = (number("created"), number("expires")) else {
            return Ok(None);
        };
        let mut entries: Vec<Entry> = Vec::with_capacity(fields.len());
        for (_, value) in fields.iter().filter(|(name, _)| name.parse::<u64>().is_ok()) {
            entries.push(rmp_serde::from_slice(value).map_err(failed)?);
        }
        entries.sort_unstable_by_key(|entry| entry.version);
        let log = Log::new(created, expires, entries);
        Ok(log.filter(|log| log.expires > now).map(Arc::new))
    }

    async fn append(&self, key: &Key, entry: Entry, keep: &Keep) -> Result<(), Failure> {
        let head = self.head(key, entry.at).await?;
        if entry.version != head.version.next() {
            return Err(conflict(head.version));
        }
        let bytes = head.bytes + entry.bytes();
        if bytes > keep.context_bytes_max {
            return Err(Failure::Full(Limit::ContextBytes(keep.context_bytes_max)));
        }
        let folded = self.folded(key, &head, &entry, keep).await?;
        let (bytes, entries) = match &folded {
            Some(log) => (log.bytes(), log.entries().len()),
            None => (bytes, head.entries + 1),
        };
        let expires = keep.expires(entry.at);
        self.admit(key, (entry.at, Some(expires)), whole(bytes), keep).await?;
        let written = folded.as_ref().and_then(|log| log.entries().last()).unwrap_or(&entry);
        let mut script = APPEND.prepare_invoke();
        script.key(self.log_key(key)).arg(entry.at).arg(head.version.0).arg(entry.version.0);
        script.arg(encode(written)?).arg(head.created.unwrap_or(entry.at));
        script.arg(expires).arg(bytes).arg(entries);
        let first = folded.as_ref().and_then(|log| log.entries().first());
        if let Some(first) = first {
            script.arg(first.version.0).arg(encode(first)?);
        }
        match script.invoke_async::<i64>(&mut self.connection()?).await.map_err(failed)? {
            -1 => Ok(()),
            current => Err(conflict(Version(u64::try_from(current).unwrap_or_default()))),
        }
    }

    async fn room(&self, key: &Key, base: Version, now: i64, keep: &Keep) -> Result<(), Failure> {
        // A context that is there has its place already.
        if base > Version(0) {
            return Ok(());
        }
        self.admit(key, (now, None), 0, keep).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, Failure> {
        let removed: u64 = self.connection()?.del(self.log_key(key)).await.map_err(failed)?;
        self.account(key, (crate::context::now(), None), -1, &Keep::NOTHING).await?;
        Ok(removed > 0)
    }

    async fn lease(&self, key: &Key, wait: Duration) -> Result<Option<Box<dyn Lease>>, Failure> {
        let connection = self.connection()?;
        let held = Held::take(connection, self.lease_key(key), self.lease, wait).await?;
        Ok(Some(Box::new(held)))
    }

    fn stock(&self) -> Option<Stock> {
        None
    }
}

/// A key's text: each part behind its length, so that no two keys have the same.
fn name(key: &Key) -> String {
    format!("{}:{}:{}", key.tenant.as_str().len(), key.tenant, key.id)
}

fn conflict(current: Version) -> Failure {
    Failure::Conflict((current > Version(0)).then_some(current))
}

fn whole(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn encode(entry: &Entry) -> Result<Vec<u8>, Failure> {
    rmp_serde::to_vec(entry).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("valkey: {error}"))
}

#[cfg(test)]
pub(crate) mod tests;
