//! What may be asked of contexts, and the plain model that answers it: every version of every context,
//! whole. It knows no store, no log and no lease.

use serde::{Deserialize, Serialize};

use super::{CONTEXTS_MAX, IDS, TTL_MINUTES, VERSIONS_MAX};
use crate::error::Kind;

/// What a client asks. Contexts are named by their place in [`IDS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A turn whose messages are called `said`; kept where it is answered.
    Turn { id: usize, version: Option<u64>, change: Option<Change>, said: usize, is_answered: bool },
    /// A change apart from turns.
    Patch { id: usize, version: Option<u64>, change: Change },
    /// A new version that says what version `to` said.
    Rollback { id: usize, version: Option<u64>, to: u64 },
    /// Another context that begins as this one was.
    Fork { id: usize, version: u64, to: usize },
    /// The end of a context.
    Delete { id: usize, version: Option<u64> },
    /// The latest version.
    Show { id: usize },
}

/// A change of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Merges `{"n": …}` into the data.
    Data(u8),
    /// Puts a system message first.
    Prepend,
    /// Takes the first message away, if there is one.
    RemoveFirst,
}

/// What an answer shows of a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The version made or shown.
    pub version: u64,
    /// Of a turn its prompt, of another change the number of messages, of a read the document.
    pub text: String,
}

/// What is answered: a refusal by its kind.
pub type Answer = Result<Seen, String>;

/// What a version says, in the plainest form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Document {
    pub messages: Vec<String>,
    pub n: Option<u8>,
}

/// How far the model gets with what is asked at one moment.
pub enum Progress {
    /// It is answered.
    Answered(Answer),
    /// A fork has read what the other context shall say, and makes it at a later moment.
    Copied(Document),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Model {
    contexts: [Context; IDS.len()],
    /// The contexts that there are, the one that was changed longest ago first.
    order: Vec<usize>,
    /// The moment.
    pub minutes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Context {
    versions: Vec<Document>,
    changed: u64,
}

impl Model {
    /// Answers, and changes what is asked to be changed. `copied` is what a fork has read before.
    pub fn advance(&mut self, ask: &Ask, copied: Option<&Document>) -> Progress {
        let answer = match *ask {
            Ask::Turn { id, version, change, said, is_answered } => {
                self.turn(id, version, change, (said, is_answered))
            }
            Ask::Patch { id, version, change } => self.go_on(id, version, |context| {
                let mut document = context.versions.last().cloned().unwrap_or_default();
                document.change(change).map(|()| document)
            }),
            Ask::Rollback { id, version, to } => {
                self.go_on(id, version, |context| context.at(to).cloned())
            }
            Ask::Fork { id, version, to } => match copied {
                Some(document) => self.begin(to, document.clone()),
                None => match self.contexts[id].at(version) {
                    Ok(document) => return Progress::Copied(document.clone()),
                    Err(kind) => Err(kind),
                },
            },
            Ask::Delete { id, version } => self.contexts[id].check(version).map(|()| {
                let version = self.contexts[id].version();
                self.forget(id);
                Seen { version, text: String::new() }
            }),
            Ask::Show { id } => self.contexts[id]
                .latest()
                .map(|(version, document)| Seen { version, text: document.to_string() }),
        };
        Progress::Answered(answer.map_err(|kind| format!("{kind:?}")))
    }

    fn turn(
        &mut self,
        id: usize,
        version: Option<u64>,
        change: Option<Change>,
        (said, is_answered): (usize, bool),
    ) -> Result<Seen, Kind> {
        let current = self.contexts[id].version();
        if version.is_some_and(|version| version != current) {
            return Err(if current == 0 { Kind::ContextNotFound } else { Kind::ContextConflict });
        }
        let mut document = self.contexts[id].versions.last().cloned().unwrap_or_default();
        if let Some(change) = change {
            document.change(change)?;
        }
        self.check_room(id)?;
        document.messages.push(format!("user {said}"));
        let text = document.messages.join(", ");
        if is_answered {
            document.messages.push(format!("assistant {said}"));
            self.push(id, document);
        }
        Ok(Seen { version: current + 1, text })
    }

    fn go_on(
        &mut self,
        id: usize,
        version: Option<u64>,
        make: impl FnOnce(&Context) -> Result<Document, Kind>,
    ) -> Result<Seen, Kind> {
        self.contexts[id].check(version)?;
        let document = make(&self.contexts[id])?;
        Ok(self.push(id, document))
    }

    fn begin(&mut self, id: usize, document: Document) -> Result<Seen, Kind> {
        if !self.contexts[id].versions.is_empty() {
            return Err(Kind::ContextConflict);
        }
        self.check_room(id)?;
        Ok(self.push(id, document))
    }

    fn check_room(&self, id: usize) -> Result<(), Kind> {
        if self.is_full_with(id, 0) { Err(Kind::ContextLimit) } else { Ok(()) }
    }

    /// Whether there is no room for a context, with so many that are not there beside those that are.
    pub fn is_full_with(&self, id: usize, more: usize) -> bool {
        let is_new = self.contexts[id].versions.is_empty();
        is_new && self.order.len() + more >= CONTEXTS_MAX
    }

    fn push(&mut self, id: usize, document: Document) -> Seen {
        let text = format!("{} messages", document.messages.len());
        self.order.retain(|other| *other != id);
        self.order.push(id);
        let context = &mut self.contexts[id];
        context.versions.push(document);
        context.changed = self.minutes;
        Seen { version: context.version(), text }
    }

    fn forget(&mut self, id: usize) {
        self.order.retain(|other| *other != id);
        self.contexts[id] = Context::default();
    }

    /// Time passes: what was not changed for long enough goes.
    pub fn pass(&mut self, minutes: u64) {
        self.minutes += minutes;
        for id in 0..IDS.len() {
            if self.contexts[id].changed + TTL_MINUTES <= self.minutes {
                self.forget(id);
            }
        }
    }

    /// Contexts of these sizes must fit into so much room: the ones changed longest ago go, and no
    /// more of them than must.
    pub fn press(&mut self, sizes: &[usize; IDS.len()], room: usize) {
        while self.order.iter().map(|id| sizes[*id]).sum::<usize>() > room {
            self.forget(self.order[0]);
        }
    }

    /// Everything is lost.
    pub fn lose(&mut self) {
        *self = Self { minutes: self.minutes, ..Self::default() };
    }

    /// What can be read of a context: all versions up to the one that there will be next.
    pub fn readable(&self, id: usize) -> Vec<Option<Document>> {
        let context = &self.contexts[id];
        (1..=context.version() + 1).map(|version| context.at(version).ok().cloned()).collect()
    }
}

impl Context {
    fn version(&self) -> u64 {
        self.versions.len() as u64
    }

    fn latest(&self) -> Result<(u64, &Document), Kind> {
        let document = self.versions.last().ok_or(Kind::ContextNotFound)?;
        Ok((self.version(), document))
    }

    /// A version, where it is kept.
    fn at(&self, version: u64) -> Result<&Document, Kind> {
        let place = usize::try_from(version).unwrap().checked_sub(1);
        let place = place.filter(|place| place + VERSIONS_MAX >= self.versions.len());
        place.and_then(|place| self.versions.get(place)).ok_or(Kind::ContextNotFound)
    }

    fn check(&self, version: Option<u64>) -> Result<(), Kind> {
        let (current, _) = self.latest()?;
        match version {
            Some(version) if version != current => Err(Kind::ContextPrecondition),
            _ => Ok(()),
        }
    }
}

impl Document {
    fn change(&mut self, change: Change) -> Result<(), Kind> {
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

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; n = {:?}", self.messages.join(", "), self.n)
    }
}

impl Ask {
    /// The context that is changed, or read.
    pub fn id(&self) -> usize {
        match *self {
            Self::Fork { to, .. } => to,
            Self::Turn { id, .. }
            | Self::Patch { id, .. }
            | Self::Rollback { id, .. }
            | Self::Delete { id, .. }
            | Self::Show { id } => id,
        }
    }
}
