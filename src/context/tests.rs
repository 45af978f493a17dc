//! All stores against a plain model: random turns, patches, rollbacks, forks, deletions and restarts
//! give the same answers everywhere, and turns at the same time neither interleave nor get lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::ask::Asked;
use super::delta::Delta;
use super::lease::Leases;
use super::message::read_all;
use super::store::embedded::Embedded;
use super::store::memory::Memory;
use super::store::valkey::tests::Server;
use super::store::{Key, Store};
use super::summary::Summaries;
use super::turn::Coming;
use super::{Contexts, Rules, bounds};
use crate::dialect::openai::capture::Gathered;
use crate::error::{Kind, Result};
use crate::telemetry::metrics::Metrics;
use crate::types::{TenantId, Version};

/// Few, so that steps meet.
const IDS: [&str; 3] = ["a", "b", "c"];

/// Few, so that versions are folded.
const VERSIONS_MAX: usize = 4;

fn rules() -> Rules {
    Rules { versions_max: VERSIONS_MAX, ..Rules::default() }
}

fn over(store: Arc<dyn Store>) -> Arc<Contexts> {
    let (leases, summaries) = (Leases::default(), Summaries::default());
    Arc::new(Contexts { store, leases, summaries, metrics: Arc::new(Metrics::new(1)) })
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// Merges `{"n": …}` into the data.
    Data(u8),
    /// Puts a system message first.
    Prepend,
    /// Takes the first message away, if there is one.
    RemoveFirst,
}

#[derive(Clone, Debug)]
enum Step {
    Turn { id: usize, change: Option<Change>, believes_wrongly: bool, is_answered: bool },
    Patch { id: usize, change: Change },
    Rollback { id: usize, back: u64 },
    Fork { id: usize, to: usize, back: u64 },
    Delete { id: usize },
    Restart,
}

impl Step {
    fn id(&self) -> usize {
        match self {
            Self::Turn { id, .. } | Self::Patch { id, .. } | Self::Rollback { id, .. } => *id,
            Self::Fork { to, .. } => *to,
            Self::Delete { id } => *id,
            Self::Restart => 0,
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..IDS.len();
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Data),
        Just(Change::Prepend),
        Just(Change::RemoveFirst),
    ];
    let turn = (id.clone(), prop::option::weighted(0.3, change.clone()), any::<(u8, bool)>());
    let turn = turn.prop_map(|(id, change, (wrong, is_answered))| Step::Turn {
        id,
        change,
        believes_wrongly: wrong < 30,
        is_answered: is_answered || wrong > 99,
    });
    let step = prop_oneof![
        8 => turn,
        2 => (id.clone(), change).prop_map(|(id, change)| Step::Patch { id, change }),
        2 => (id.clone(), 0_u64..7).prop_map(|(id, back)| Step::Rollback { id, back }),
        1 => (id.clone(), id.clone(), 0_u64..6).prop_map(|(id, to, back)| Step::Fork { id, to, back }),
        1 => id.prop_map(|id| Step::Delete { id }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..30)
}

/// What a version says, in the plainest form.
#[derive(Clone, Debug, Default, PartialEq)]
struct Document {
    messages: Vec<String>,
    n: Option<u8>,
}

/// Every version of every context, whole.
#[derive(Default)]
struct Model {
    contexts: [Vec<Document>; IDS.len()],
    said: usize,
}

impl Model {
    /// What a step must give: the version that is the latest behind it.
    fn step(&mut self, step: &Step) -> std::result::Result<u64, Kind> {
        match *step {
            Step::Turn { id, change, believes_wrongly, is_answered } => {
                let mut document = self.latest(id).cloned().unwrap_or_default();
                if believes_wrongly {
                    let is_new = self.contexts[id].is_empty();
                    return Err(if is_new { Kind::ContextNotFound } else { Kind::ContextConflict });
                }
                if let Some(change) = change {
                    document.change(change)?;
                }
                self.said += 1;
                document.messages.push(format!("user {}", self.said));
                document.messages.push(format!("assistant {}", self.said));
                if is_answered {
                    self.contexts[id].push(document);
                }
            }
            Step::Patch { id, change } => {
                let mut document = self.latest(id).cloned().ok_or(Kind::ContextNotFound)?;
                document.change(change)?;
                self.contexts[id].push(document);
            }
            Step::Rollback { id, back } => {
                let document = self.back(id, back).cloned().ok_or(Kind::ContextNotFound)?;
                self.contexts[id].push(document);
            }
            Step::Fork { id, to, back } => {
                let document = self.back(id, back).cloned().ok_or(Kind::ContextNotFound)?;
                if !self.contexts[to].is_empty() {
                    return Err(Kind::ContextConflict);
                }
                self.contexts[to].push(document);
            }
            Step::Delete { id } => {
                self.latest(id).ok_or(Kind::ContextNotFound)?;
                self.contexts[id].clear();
            }
            Step::Restart => {}
        }
        Ok(self.contexts[step.id()].len() as u64)
    }

    fn latest(&self, id: usize) -> Option<&Document> {
        self.contexts[id].last()
    }

    /// The version so far behind the latest one, if it is kept.
    fn back(&self, id: usize, back: u64) -> Option<&Document> {
        let back = usize::try_from(back).unwrap();
        let mut kept = self.contexts[id].iter().rev().take(VERSIONS_MAX);
        kept.nth(back)
    }
}

impl Document {
    fn change(&mut self, change: Change) -> std::result::Result<(), Kind> {
        match change {
            Change::Data(n) => self.n = Some(n),
            Change::Prepend => self.messages.insert(0, "system rules".to_owned()),
            Change::RemoveFirst if self.messages.is_empty() => return Err(Kind::DeltaRefused),
            Change::RemoveFirst => {
                self.messages.remove(0);
            }
        }
        Ok(())
    }
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

/// One store under test; `reopen` makes it anew from what it kept.
struct Subject<'a> {
    contexts: Arc<Contexts>,
    tenant: TenantId,
    reopen: Box<dyn Fn(Arc<Contexts>) -> Arc<Contexts> + 'a>,
}

impl Subject<'_> {
    fn key(&self, id: usize) -> Key {
        Key { tenant: self.tenant.clone(), id: IDS[id].into() }
    }

    async fn latest(&self, id: usize) -> u64 {
        let log = self.contexts.read(&self.key(id)).await.unwrap();
        log.map_or(0, |log| log.version().0)
    }

    /// Does a step; the version that is the latest behind it.
    async fn step(&mut self, step: &Step, said: usize) -> Result<u64> {
        let (contexts, rules) = (self.contexts.clone(), rules());
        match *step {
            Step::Turn { id, change, believes_wrongly, is_answered } => {
                let version = self.latest(id).await + u64::from(believes_wrongly);
                let asked = Asked {
                    id: Some(IDS[id].into()),
                    version: Some(Version(version)),
                    deltas: change.into_iter().map(delta).collect(),
                    ..Asked::default()
                };
                turn(&contexts, &self.tenant, asked, said, is_answered).await?;
            }
            Step::Patch { id, change } => {
                contexts.change(&self.key(id), None, &delta(change), &rules).await?;
            }
            Step::Rollback { id, back } => {
                let to = self.latest(id).await.saturating_sub(back);
                let body = json!({ "version": to }).to_string();
                contexts.rollback(&self.key(id), None, body.as_bytes(), &rules).await?;
            }
            Step::Fork { id, to, back } => {
                let version = self.latest(id).await.saturating_sub(back);
                let body = json!({"version": version, "id": IDS[to]}).to_string();
                contexts.fork(&self.key(id), body.as_bytes(), &rules).await?;
            }
            Step::Delete { id } => {
                contexts.delete(&self.key(id), None, &rules).await?;
            }
            Step::Restart => {
                drop(contexts);
                let old = std::mem::replace(&mut self.contexts, over(Arc::new(Memory::new(1))));
                self.contexts = (self.reopen)(old);
            }
        }
        Ok(self.latest(step.id()).await)
    }

    async fn document(&self, id: usize, version: u64) -> Option<Document> {
        let shown = self.contexts.show(&self.key(id), Some(Version(version)), &rules()).await;
        let shown: Value = serde_json::from_str(&shown.ok()?.body).unwrap();
        let text = |message: &Value| {
            let [role, content] = ["role", "content"].map(|name| message[name].as_str().unwrap());
            format!("{role} {content}")
        };
        let messages = shown["messages"].as_array().unwrap().iter().map(text).collect();
        let n = shown["data"].get("n").map(|n| u8::try_from(n.as_u64().unwrap()).unwrap());
        Some(Document { messages, n })
    }

    /// Does all steps, and looks after each at what can be read.
    async fn agrees(&mut self, steps: &[Step]) {
        let mut model = Model::default();
        for step in steps {
            let expected = model.step(step);
            let given = self.step(step, model.said).await.map_err(|error| error.kind);
            assert_eq!(given, expected, "{step:?} of {steps:?}");
            let id = step.id();
            let count = model.contexts[id].len();
            for (version, document) in (1..).zip(&model.contexts[id]) {
                let kept = (count - version < VERSIONS_MAX).then_some(document);
                let read = self.document(id, version as u64).await;
                assert_eq!(read.as_ref(), kept, "version {version} behind {step:?} of {steps:?}");
            }
            assert_eq!(self.document(id, count as u64 + 1).await, None);
        }
    }
}

async fn turn(
    contexts: &Arc<Contexts>,
    tenant: &TenantId,
    asked: Asked,
    said: usize,
    is_answered: bool,
) -> Result<()> {
    let messages = read_all(&json!([{"role": "user", "content": said.to_string()}]).to_string())?;
    let coming = Coming { messages, by_name: false, tokens_max: None, frame: &Default::default() };
    let start = contexts.start(tenant, &asked, &rules()).await?;
    let turn = contexts.begin(start, asked, coming, &rules()).await?.turn;
    if is_answered {
        let answer = json!({"role": "assistant", "content": said.to_string()}).to_string();
        turn.answered(Gathered::Complete(answer));
        turn.settle().await.unwrap();
    }
    Ok(())
}

/// Runs random steps, each time on a subject of its own.
fn agree<'a>(cases: u32, subject: impl Fn() -> Subject<'a>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async { subject().agrees(&steps).await });
        Ok(())
    });
    ran.unwrap();
}

/// Turns of several clients at once, some of which are given up: those that end are all there, each
/// question with its answer.
fn keep_order(contexts: &Arc<Contexts>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let tenant = TenantId::from("crowd");
    runtime.block_on(async {
        let clients: Vec<_> = (0..8_usize)
            .map(|client| {
                let (contexts, tenant) = (contexts.clone(), tenant.clone());
                tokio::spawn(async move {
                    for number in 0..12_usize {
                        let id = Some(IDS[number % 2].into());
                        let (asked, said) =
                            (Asked { id, ..Asked::default() }, client * 100 + number);
                        turn(&contexts, &tenant, asked, said, number % 3 > 0).await.unwrap();
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        let mut all = HashSet::new();
        for id in &IDS[..2] {
            let key = Key { tenant: tenant.clone(), id: (*id).into() };
            let log = contexts.read(&key).await.unwrap().unwrap();
            let texts: Vec<_> = log.latest().messages.iter().map(|m| m.text.to_string()).collect();
            assert_eq!(texts.len() as u64, 2 * log.version().0);
            for pair in texts.chunks(2) {
                assert_eq!(pair[0].replace("user", "assistant"), pair[1]);
                assert!(all.insert(pair[0].clone()), "{} is there twice", pair[0]);
            }
        }
        assert_eq!(all.len(), 8 * 8);
    });
}

#[test]
fn memory_agrees_with_the_model() {
    agree(64, || Subject {
        contexts: over(Arc::new(Memory::new(1 << 24))),
        tenant: "t".into(),
        // Nothing survives a restart; so there is none.
        reopen: Box::new(|contexts| contexts),
    });
    keep_order(&over(Arc::new(Memory::new(1 << 24))));
}

#[test]
fn the_embedded_store_agrees_with_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let store = Embedded::open(directory.path(), Duration::from_millis(1)).unwrap();
        // The thread that brings things to the disk may still hold what was just closed.
        while store.stock().is_none() {}
        over(Arc::new(store))
    };
    let next = std::cell::Cell::new(0);
    agree(24, || {
        next.set(next.get() + 1);
        Subject {
            contexts: open(),
            tenant: format!("t{}", next.get()).as_str().into(),
            reopen: Box::new(|contexts| {
                drop(contexts);
                open()
            }),
        }
    });
    keep_order(&open());
}

#[test]
fn valkey_agrees_with_the_model() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(server.ready());
    let next = std::cell::Cell::new(0);
    agree(24, || {
        next.set(next.get() + 1);
        Subject {
            contexts: over(Arc::new(server.store("model"))),
            tenant: format!("t{}", next.get()).as_str().into(),
            // Another gateway takes over.
            reopen: Box::new(|_| over(Arc::new(server.store("model")))),
        }
    });
    keep_order(&over(Arc::new(server.store("crowd"))));
}
