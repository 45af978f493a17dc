//! One turn of a context: what is kept goes before what is new, and the answer is kept with both.
//!
//! A turn is atomic. It holds the context's lease from its beginning; its version is made when the
//! answer is complete, before the client can see that it is ([`Turn::settle`] is awaited before the
//! last piece is written). So a client that has its answer finds it in the context, on every node
//! and after a crash, and a turn that fails in whatever way has changed nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderName, HeaderValue};

use super::ask::Asked;
use super::delta;
use super::facts::Facts;
use super::log::{Change, Document, Entry, Log, NO_DATA};
use super::message::{self, Message, OVERHEAD_BYTES};
use super::prompt::{Fitting, Material};
use super::start::Start;
use super::store::{Failure, Keep, Key, Limit as StoreLimit};
use super::summary::Wanted;
use super::{Contexts, HeldLease, Rules, error, keep, now, responses};
use crate::dialect::openai::capture::Gathered;
use crate::dialect::responses::naming::Names;
use crate::dialect::turns::Frame;
use crate::error::{Error, Kind, Result};
use crate::telemetry::metrics::TurnEnd;
use crate::types::Version;

/// What a request brings to its context.
pub struct Coming<'a> {
    /// The request's own messages.
    pub messages: Vec<Message>,
    /// Whether results among them may name their calls by the function alone.
    pub by_name: bool,
    /// The most tokens of the prompt, where there is a limit.
    pub tokens_max: Option<u32>,
    /// What stands around the messages in the text that is wanted.
    pub frame: &'a Frame,
}

/// A turn that has begun, and its prompt.
pub struct Begun {
    /// Goes with the request.
    pub turn: Turn,
    /// The messages to send, a JSON array, in their frame.
    pub framed: String,
}

/// A turn on its way.
pub struct Turn {
    contexts: Arc<Contexts>,
    key: Key,
    keep: Keep,
    facts: Facts,
    /// What an answer that is a response says of itself; empty where none is.
    pub names: Names,
    /// The longest answer that is kept, in bytes.
    pub answer_bytes_max: usize,
    progress: Mutex<Progress>,
}

enum Progress {
    /// The answer has not come.
    Underway(Box<Pending>),
    /// The answer is complete, or there will be none to keep.
    Answered(Box<Pending>, std::result::Result<Message, Error>),
    /// There is nothing to keep, or it is kept.
    Over,
    /// The answer could not be kept; what the client is told of it, until that is taken.
    Failed(Option<Error>),
}

/// What a turn will add, without its answer.
struct Pending {
    change: Change,
    /// The context's `data` before the turn, where a response is put into it.
    data: Arc<str>,
    /// The response that the answer is.
    response: Option<String>,
    /// The summary that the turns behind it need.
    wanted: Option<Wanted>,
    _lease: HeldLease,
}

impl Contexts {
    /// Begins a turn, from what it builds on.
    ///
    /// # Errors
    /// `ContextTooLong`, `ContextLimit`, `ContextStore`: nothing has changed then.
    pub async fn begin(
        self: &Arc<Self>,
        start: Start,
        asked: Asked,
        mut coming: Coming<'_>,
        rules: &Rules,
    ) -> Result<Begun> {
        let Start { key, lease, log, changed } = start;
        let base = log.as_ref().map_or(Version(0), |log| log.version());
        let stored = stored(log.as_deref(), changed.as_ref());
        if coming.by_name {
            message::answer_by_name(&stored, &mut coming.messages)?;
        }
        let keep = keep(rules);
        let messages = [stored, coming.messages.iter().collect()].concat();
        if lease.is_some() {
            check_room(&key, log.as_deref(), messages.len(), rules)?;
            let room = self.store.room(&key, base, now(), &keep).await;
            room.map_err(|failure| error(&key, failure))?;
        }
        let fitting = Fitting {
            tokens_max: coming.tokens_max,
            strategy: asked.strategy.unwrap_or(rules.window.strategy),
            keep_percent: rules.window.keep_percent,
            summary: rules.window.summary.clone(),
        };
        let own = coming.messages.len();
        let material = Material { messages, own, frame: coming.frame };
        let prompt = self.prompt(&key, &material, &fitting).await?;
        let facts = Facts {
            version: if lease.is_some() { base.next() } else { base },
            messages: prompt.messages,
            tokens: prompt.tokens,
            dropped: prompt.dropped,
            summarized: prompt.summarized,
        };
        let names = named(asked.names, lease.as_ref(), &key, facts.version);
        let data = data_before(log.as_deref(), &names);
        let pending = lease.map(|lease| Pending {
            change: addition(base, changed, coming.messages),
            data,
            response: None,
            wanted: prompt.wanted,
            _lease: lease,
        });
        let turn = Turn {
            contexts: self.clone(),
            key,
            keep,
            facts,
            names,
            answer_bytes_max: rules.answer_bytes_max,
            progress: Mutex::new(self.progress(pending)),
        };
        Ok(Begun { turn, framed: prompt.text })
    }

    /// Where a turn begins: one that keeps nothing is over.
    fn progress(&self, pending: Option<Pending>) -> Progress {
        match pending {
            Some(pending) => Progress::Underway(Box::new(pending)),
            None => {
                self.metrics.contexts.turn(TurnEnd::ReadOnly);
                Progress::Over
            }
        }
    }
}

impl Turn {
    /// Which context it is a turn of.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether the answer is to be gathered.
    pub fn wants_answer(&self) -> bool {
        matches!(*self.progress(), Progress::Underway(_))
    }

    /// The answer is a response, and this is what it says.
    pub fn responded(&self, response: String) {
        if let Progress::Underway(pending) = &mut *self.progress() {
            pending.response = Some(response);
        }
    }

    /// The answer is there, or it is known that none will be.
    pub fn answered(&self, gathered: Gathered) {
        let answer = match gathered {
            Gathered::Underway => return,
            Gathered::Complete(text) => Message::read(&text),
            // The client is told of it by other means, and the turn has changed nothing.
            Gathered::Broken => return,
            Gathered::TooLong => Err(too_long(&self.key, self.answer_bytes_max)),
            Gathered::Unreadable => Err(unreadable()),
        };
        let mut progress = self.progress();
        *progress = match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Underway(pending) => Progress::Answered(pending, answer),
            other => other,
        };
    }

    /// Keeps the version of a turn whose answer is complete; does nothing before that, and nothing
    /// a second time. When it returns, the version is kept and the next turn may begin.
    ///
    /// # Errors
    /// Where the version could not be kept: [`Self::failure`] says why.
    pub async fn settle(&self) -> std::result::Result<(), NotKept> {
        let (mut pending, answer) = {
            let mut progress = self.progress();
            match std::mem::replace(&mut *progress, Progress::Over) {
                Progress::Answered(pending, answer) => (pending, answer),
                other => {
                    *progress = other;
                    return Ok(());
                }
            }
        };
        let kept = match answer {
            Ok(answer) => {
                pending.add(answer);
                let entry =
                    Entry { version: self.facts.version, at: now(), change: pending.change };
                self.contexts.append(&self.key, entry, &self.keep).await.map(|()| {
                    if let Some(wanted) = pending.wanted.take() {
                        self.contexts.fold_later(self.key.clone(), wanted, self.keep);
                    }
                })
            }
            Err(error) => Err(error),
        };
        let end = if kept.is_ok() { TurnEnd::Committed } else { TurnEnd::Failed };
        self.contexts.metrics.contexts.turn(end);
        kept.map_err(|error| {
            *self.progress() = Progress::Failed(Some(error));
            NotKept
        })
    }

    /// Why the version could not be kept, if that is so; told once.
    pub fn failure(&self) -> Option<Error> {
        match &mut *self.progress() {
            Progress::Failed(error) => error.take(),
            _ => None,
        }
    }

    /// What the answer's header says of the turn.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.facts.headers(&self.key.id)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if matches!(*self.progress(), Progress::Underway(_) | Progress::Answered(..)) {
            self.contexts.metrics.contexts.turn(TurnEnd::Abandoned);
        }
    }
}

/// A turn's version could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

impl std::fmt::Display for NotKept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a turn's version could not be kept")
    }
}

impl std::error::Error for NotKept {}

impl Pending {
    fn add(&mut self, answer: Message) {
        if let Some(response) = &self.response {
            let data = self.change.data().unwrap_or(&self.data);
            // What cannot be put beside other data is left out: the turn itself is worth more.
            if let Ok(data) = responses::with_response(data, response) {
                self.change.set_data(data.into());
            }
        }
        self.change.push(answer);
    }
}

/// What an answer that is a response says of itself: its id too, where it is kept.
fn named(mut names: Names, lease: Option<&HeldLease>, key: &Key, version: Version) -> Names {
    if lease.is_some() && !names.is_empty() {
        names.push(("id", format!("\"{}\"", responses::id(&key.id, version))));
    }
    names
}

/// A context's `data`, where a response is to be put into it.
fn data_before(log: Option<&Log>, names: &Names) -> Arc<str> {
    log.filter(|_| !names.is_empty()).map_or(NO_DATA, Log::data).into()
}

/// The messages before the request's own.
fn stored<'a>(log: Option<&'a Log>, changed: Option<&'a delta::Change>) -> Vec<&'a Message> {
    match changed {
        Some(delta::Change::Whole(document)) => document.messages.iter().collect(),
        _ => log.map_or_else(Vec::new, |log| log.latest().messages),
    }
}

/// The change that the turn makes, without its answer.
fn addition(base: Version, changed: Option<delta::Change>, messages: Vec<Message>) -> Change {
    match changed {
        Some(delta::Change::Whole(mut document)) => {
            document.messages.extend(messages);
            Change::Whole(document)
        }
        Some(delta::Change::Data(data)) if base == Version(0) => {
            Change::Whole(Document { messages, data })
        }
        Some(delta::Change::Data(data)) => Change::Append { messages, data: Some(data) },
        None if base == Version(0) => Change::Whole(Document { messages, data: NO_DATA.into() }),
        None => Change::Append { messages, data: None },
    }
}

/// Refuses a turn whose answer could not be kept, before it costs anything.
fn check_room(key: &Key, log: Option<&Log>, messages: usize, rules: &Rules) -> Result<()> {
    // The answer is one more.
    if messages >= rules.messages_max {
        let text = format!(
            "The context `{}` cannot grow: a context has at most {} messages.",
            key.id, rules.messages_max
        );
        return Err(Error::new(Kind::ContextLimit, text).param("messages"));
    }
    let bytes = log.map_or(0, Log::bytes) + OVERHEAD_BYTES;
    if bytes > rules.context_bytes_max {
        let limit = StoreLimit::ContextBytes(rules.context_bytes_max);
        return Err(error(key, Failure::Full(limit)));
    }
    Ok(())
}

fn too_long(key: &Key, bytes_max: usize) -> Error {
    let text = format!(
        "The answer cannot be kept in the context `{}`: it has more than {bytes_max} bytes.",
        key.id
    );
    Error::new(Kind::ContextLimit, text)
}

fn unreadable() -> Error {
    Error::new(Kind::UpstreamBroken, "The model's answer cannot be read, and was not kept.")
}
