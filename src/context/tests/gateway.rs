//! The contexts of one process, with a clock of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::model::{Answer, Ask, Change, Document, Seen};
use super::{IDS, rules};
use crate::context::ask::{Asked, X_CONTEXT_VERSION};
use crate::context::delta::Delta;
use crate::context::lease::Leases;
use crate::context::log::{Entry, Log};
use crate::context::message::read_all;
use crate::context::resource::Shown;
use crate::context::store::{Failure, Keep, Key, Lease, Stock, Store};
use crate::context::summary::Summaries;
use crate::context::turn::Coming;
use crate::context::{Contexts, bounds};
use crate::dialect::openai::capture::Gathered;
use crate::error::{Kind, Result};
use crate::telemetry::metrics::Metrics;
use crate::types::{TenantId, Version};

/// Whose contexts take the room of the others'.
const BULKY: &str = "bulky";

/// How often others may go first at most, less one.
const YIELDS: u8 = 4;

/// The contexts of one process.
pub struct Gateway {
    contexts: Arc<Contexts>,
    clock: Arc<AtomicI64>,
}

/// A store for which it is the time that the test says, and which lets others go first.
struct Timed<S> {
    store: S,
    clock: Arc<AtomicI64>,
}

impl Gateway {
    /// Over a store, at this moment in milliseconds since 1970.
    pub fn over(store: impl Store + 'static, now: i64) -> Self {
        let clock = Arc::new(AtomicI64::new(now));
        let (leases, summaries) = (Leases::default(), Summaries::default());
        let store = Arc::new(Timed { store, clock: clock.clone() });
        let metrics = Arc::new(Metrics::new(1));
        Self { contexts: Arc::new(Contexts { store, leases, summaries, metrics }), clock }
    }

    /// It is this moment.
    pub fn set_clock(&self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    /// Does what is asked, and says what a client would see of it.
    pub async fn ask(&self, tenant: &str, ask: &Ask) -> Answer {
        self.answer(&tenant.into(), ask).await.map_err(|error| format!("{:?}", error.kind))
    }

    async fn answer(&self, tenant: &TenantId, ask: &Ask) -> Result<Seen> {
        let (contexts, rules) = (&self.contexts, rules());
        let (key, version) =
            (|id: usize| key(tenant, id), |version: Option<u64>| version.map(Version));
        let shown = match *ask {
            Ask::Turn { .. } => return self.turn(tenant, ask).await,
            Ask::Patch { id, version: expected, change } => {
                contexts.change(&key(id), version(expected), &delta(change), &rules).await?
            }
            Ask::Rollback { id, version: expected, to } => {
                let body = json!({ "version": to }).to_string();
                contexts.rollback(&key(id), version(expected), body.as_bytes(), &rules).await?
            }
            Ask::Fork { id, version, to } => {
                let body = json!({"version": version, "id": IDS[to]}).to_string();
                contexts.fork(&key(id), body.as_bytes(), &rules).await?
            }
            Ask::Delete { id, version: expected } => {
                let shown = contexts.delete(&key(id), version(expected), &rules).await?;
                return Ok(Seen { version: shown.version.0, text: String::new() });
            }
            Ask::Show { id } => {
                let shown = contexts.show(&key(id), None, &rules).await?;
                return Ok(Seen { version: shown.version.0, text: document(&shown).to_string() });
            }
        };
        let body: Value = serde_json::from_str(&shown.body).unwrap();
        let text = format!("{} messages", body["message_count"]);
        Ok(Seen { version: shown.version.0, text })
    }

    async fn turn(&self, tenant: &TenantId, ask: &Ask) -> Result<Seen> {
        let Ask::Turn { id, version, change, said, is_answered } = *ask else { unreachable!() };
        let asked = Asked {
            id: Some(IDS[id].into()),
            version: version.map(Version),
            deltas: change.into_iter().map(delta).collect(),
            ..Asked::default()
        };
        let messages = json!([{"role": "user", "content": said.to_string()}]).to_string();
        let messages = read_all(&messages)?;
        let coming =
            Coming { messages, by_name: false, tokens_max: None, frame: &Default::default() };
        let start = self.contexts.start(tenant, &asked, &rules()).await?;
        let begun = self.contexts.begin(start, asked, coming, &rules()).await?;
        if is_answered {
            let answer = json!({"role": "assistant", "content": said.to_string()}).to_string();
            begun.turn.answered(Gathered::Complete(answer));
            begun.turn.settle().await.map_err(|_| begun.turn.failure().unwrap())?;
        }
        let made = begun.turn.headers().find(|(name, _)| *name == X_CONTEXT_VERSION).unwrap().1;
        let version = made.to_str().unwrap().parse().unwrap();
        let prompt: Value = serde_json::from_str(&begun.framed).unwrap();
        Ok(Seen { version, text: messages_of(&prompt).join(", ") })
    }

    /// What can be read of a context: all versions up to the one that there will be next.
    pub async fn readable(&self, tenant: &str, id: usize) -> Option<Vec<Option<Document>>> {
        let key = key(&tenant.into(), id);
        let latest = match self.contexts.show(&key, None, &rules()).await {
            Ok(shown) => shown.version.0,
            Err(error) if error.kind == Kind::ContextNotFound => 0,
            Err(_) => return None,
        };
        let mut documents = Vec::new();
        for version in 1..=latest + 1 {
            let shown = self.contexts.show(&key, Some(Version(version)), &rules()).await;
            documents.push(shown.ok().as_ref().map(document));
        }
        Some(documents)
    }

    /// What a context costs, in bytes, as the store counts.
    pub async fn bytes(&self, tenant: &str, id: usize) -> usize {
        let log = self.contexts.read(&key(&tenant.into(), id)).await.unwrap();
        log.map_or(0, |log| log.bytes())
    }

    /// Takes room for a context of another tenant, and gives it back; how much it was.
    pub async fn press(&self, bytes: usize) -> usize {
        let content = "x".repeat(bytes);
        let body = json!({"id": BULKY, "messages": [{"role": "user", "content": content}]});
        let key = Key { tenant: BULKY.into(), id: BULKY.into() };
        let made = self.contexts.create(BULKY.into(), body.to_string().as_bytes(), &rules()).await;
        made.unwrap();
        let bytes = self.contexts.read(&key).await.unwrap().unwrap().bytes();
        self.contexts.delete(&key, None, &rules()).await.unwrap();
        bytes
    }
}

impl<S> Timed<S> {
    /// The moment, behind whatever others do first: a store in memory has no pauses of its own.
    async fn now(&self) -> i64 {
        for _ in 0..fastrand::u8(..YIELDS) {
            tokio::task::yield_now().await;
        }
        self.clock.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl<S: Store> Store for Timed<S> {
    async fn read(&self, key: &Key, _: i64) -> std::result::Result<Option<Arc<Log>>, Failure> {
        self.store.read(key, self.now().await).await
    }

    async fn append(
        &self,
        key: &Key,
        entry: Entry,
        keep: &Keep,
    ) -> std::result::Result<(), Failure> {
        self.store.append(key, Entry { at: self.now().await, ..entry }, keep).await
    }

    async fn room(
        &self,
        key: &Key,
        base: Version,
        _: i64,
        keep: &Keep,
    ) -> std::result::Result<(), Failure> {
        self.store.room(key, base, self.now().await, keep).await
    }

    async fn remove(&self, key: &Key) -> std::result::Result<bool, Failure> {
        self.now().await;
        self.store.remove(key).await
    }

    async fn lease(
        &self,
        key: &Key,
        wait: Duration,
    ) -> std::result::Result<Option<Box<dyn Lease>>, Failure> {
        self.store.lease(key, wait).await
    }

    fn stock(&self) -> Option<Stock> {
        self.store.stock()
    }
}

fn key(tenant: &TenantId, id: usize) -> Key {
    Key { tenant: tenant.clone(), id: IDS[id].into() }
}

fn delta(change: Change) -> Delta {
    let text = match change {
        Change::Data(n) => return Delta::merge(json!({ "n": n }).to_string().as_bytes()).unwrap(),
        Change::Prepend => json!([
            {"op": "add", "path": "/messages/0", "value": {"role": "system", "content": "rules"}},
        ]),
        Change::RemoveFirst => json!([{"op": "remove", "path": "/messages/0"}]),
    };
    Delta::patch(text.to_string().as_bytes(), bounds(&rules())).unwrap()
}

fn document(shown: &Shown) -> Document {
    let shown: Value = serde_json::from_str(&shown.body).unwrap();
    let n = shown["data"].get("n").map(|n| u8::try_from(n.as_u64().unwrap()).unwrap());
    Document { messages: messages_of(&shown["messages"]), n }
}

fn messages_of(list: &Value) -> Vec<String> {
    let text = |message: &Value| {
        let [role, content] = ["role", "content"].map(|name| message[name].as_str().unwrap());
        format!("{role} {content}")
    };
    list.as_array().unwrap().iter().map(text).collect()
}
