//! A context as a log: each version appends to the one before, or stands as a whole.
//!
//! A version is read by folding: from the last whole before it, through what was appended. A turn
//! writes only what it adds, and a rollback writes a whole. The first entry kept is always a whole;
//! what is older than the versions kept is folded into it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::message::Message;
use crate::types::Version;

/// The `data` of a context that has none.
pub const NO_DATA: &str = "{}";

/// What keeping an entry costs beside its messages and data, in bytes.
const OVERHEAD_BYTES: usize = 64;

/// What a context says: at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The conversation.
    pub messages: Vec<Message>,
    /// A JSON object.
    pub data: Arc<str>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub version: Version,
    /// When it was made, in milliseconds since 1970.
    pub at: i64,
    /// What it says.
    pub change: Change,
}

/// What a version says, by itself or beyond the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Everything.
    Whole(Document),
    /// Further messages, and `data` where it changed.
    Append {
        /// Put behind those that there are.
        messages: Vec<Message>,
        /// In place of what there was.
        data: Option<Arc<str>>,
    },
}

/// All versions of a context that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// When the context was made, in milliseconds since 1970.
    pub created: i64,
    /// From this moment on it is gone.
    pub expires: i64,
    entries: Vec<Entry>,
}

/// A document, borrowed from its log.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The conversation.
    pub messages: Vec<&'a Message>,
    /// A JSON object.
    pub data: &'a str,
    /// When the version was made.
    pub at: i64,
}

impl Change {
    /// The `data` that it makes, where it makes any.
    pub fn data(&self) -> Option<&Arc<str>> {
        match self {
            Change::Whole(document) => Some(&document.data),
            Change::Append { data, .. } => data.as_ref(),
        }
    }

    /// Puts other `data` in its place.
    pub fn set_data(&mut self, new: Arc<str>) {
        match self {
            Change::Whole(document) => document.data = new,
            Change::Append { data, .. } => *data = Some(new),
        }
    }

    /// Adds a message behind those that it has.
    pub fn push(&mut self, message: Message) {
        match self {
            Change::Whole(document) => document.messages.push(message),
            Change::Append { messages, .. } => messages.push(message),
        }
    }
}

impl Document {
    /// A document without messages and data.
    pub fn empty() -> Self {
        Self { messages: Vec::new(), data: NO_DATA.into() }
    }
}

impl Entry {
    /// What keeping it costs, in bytes.
    pub fn bytes(&self) -> usize {
        let (messages, data) = match &self.change {
            Change::Whole(document) => (&document.messages, document.data.len()),
            Change::Append { messages, data } => {
                (messages, data.as_ref().map_or(0, |data| data.len()))
            }
        };
        OVERHEAD_BYTES + data + messages.iter().map(Message::bytes).sum::<usize>()
    }

    fn messages(&self) -> &[Message] {
        match &self.change {
            Change::Whole(document) => &document.messages,
            Change::Append { messages, .. } => messages,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.change, Change::Whole(_))
    }
}

impl Log {
    /// A log of these entries, of which the first is a whole; `None` where it is not.
    pub fn new(created: i64, expires: i64, entries: Vec<Entry>) -> Option<Self> {
        let log = Self { created, expires, entries };
        log.entries.first().is_some_and(Entry::is_whole).then_some(log)
    }

    /// The latest version.
    pub fn version(&self) -> Version {
        self.entries.last().map_or(Version(0), |entry| entry.version)
    }

    /// When the latest version was made.
    pub fn updated(&self) -> i64 {
        self.entries.last().map_or(self.created, |entry| entry.at)
    }

    /// What keeping it costs, in bytes.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(Entry::bytes).sum()
    }

    /// All versions kept, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a version.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The versions that may be read, oldest first, with the number of messages of each: of those
    /// kept, the last `versions_max`.
    pub fn versions(&self, versions_max: usize) -> Vec<(&Entry, usize)> {
        let mut count = 0;
        let counted = self.entries.iter().map(|entry| {
            count = entry.messages().len() + if entry.is_whole() { 0 } else { count };
            (entry, count)
        });
        let counted: Vec<_> = counted.collect();
        let hidden = counted.len().saturating_sub(versions_max);
        counted.into_iter().skip(hidden).collect()
    }

    /// The latest version's document.
    pub fn latest(&self) -> View<'_> {
        fold(&self.entries)
    }

    /// The latest version's `data`.
    pub fn data(&self) -> &str {
        data(&self.entries)
    }

    /// A version's document; `None` where it is not kept.
    pub fn at(&self, version: Version, versions_max: usize) -> Option<View<'_>> {
        let hidden = self.entries.len().saturating_sub(versions_max);
        let place = self.entries.iter().position(|entry| entry.version == version)?;
        (place >= hidden).then(|| fold(self.entries.get(..=place).unwrap_or_default()))
    }

    /// Whether so many entries are to be compacted.
    pub fn is_due(entries: usize, versions_max: usize) -> bool {
        entries > versions_max.max(1) + versions_max / 4
    }

    /// Folds the oldest versions into one once there are a quarter more than `versions_max`: so
    /// each message is moved a few times at most. The folded entry, where there is one, replaces
    /// all up to its version.
    pub fn compact(&mut self, versions_max: usize) -> Option<&Entry> {
        if !Self::is_due(self.entries.len(), versions_max) {
            return None;
        }
        let versions_max = versions_max.max(1);
        let rest = self.entries.split_off(self.entries.len() - versions_max + 1);
        let last = self.entries.last().map(|entry| (entry.version, entry.at));
        let (version, at) = last?;
        let whole = fold(&self.entries).to_document();
        self.entries = vec![Entry { version, at, change: Change::Whole(whole) }];
        self.entries.extend(rest);
        self.entries.first()
    }
}

impl View<'_> {
    /// The document itself.
    pub fn to_document(&self) -> Document {
        Document {
            messages: self.messages.iter().map(|message| (*message).clone()).collect(),
            data: self.data.into(),
        }
    }
}

/// The document that the last of these entries stands for.
fn fold(entries: &[Entry]) -> View<'_> {
    let start = entries.iter().rposition(Entry::is_whole).unwrap_or_default();
    let entries = entries.get(start..).unwrap_or_default();
    View {
        messages: entries.iter().flat_map(Entry::messages).collect(),
        data: data(entries),
        at: entries.last().map_or(0, |entry| entry.at),
    }
}

fn data(entries: &[Entry]) -> &str {
    let said = entries.iter().rev().find_map(|entry| entry.change.data());
    said.map_or(NO_DATA, |data| data)
}

#[cfg(test)]
mod tests {
    use super::{Change, Document, Entry, Log};
    use crate::context::message::Message;
    use crate::types::Version;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn message(text: &str) -> Message {
        Message::read(&format!(r#"{{"role":"user","content":"{text}"}}"#)).unwrap()
    }

    proptest! {
        #[test]
        fn every_version_kept_reads_as_it_was_made(
            steps in prop::collection::vec((any::<bool>(), any::<bool>()), 1..60),
            versions_max in 1_usize..12,
        ) {
            let mut documents: Vec<Document> = Vec::new();
            let mut log: Option<Log> = None;
            for (number, (whole, with_data)) in (1_u64..).zip(steps) {
                let mut next = documents.last().cloned().unwrap_or_else(Document::empty);
                let data: Option<std::sync::Arc<str>> =
                    with_data.then(|| format!("{{\"n\":{number}}}").into());
                let change = if whole || log.is_none() {
                    next = Document { messages: vec![message(&format!("w{number}"))], ..next };
                    Change::Whole(next.clone())
                } else {
                    next.messages.push(message(&format!("a{number}")));
                    next.data = data.clone().unwrap_or(next.data);
                    let messages = next.messages.last().cloned().into_iter().collect();
                    Change::Append { messages, data }
                };
                let entry = Entry { version: Version(number), at: 0, change };
                match &mut log {
                    None => log = Log::new(0, 0, vec![entry]),
                    Some(log) => log.push(entry),
                }
                documents.push(next);
                let log = log.as_mut().unwrap();
                log.compact(versions_max);
                prop_assert!(log.entries().len() <= versions_max + versions_max / 4);
                for (at, document) in (1_u64..).zip(&documents) {
                    let kept = at + versions_max as u64 > number;
                    let read = log.at(Version(at), versions_max).map(|view| view.to_document());
                    prop_assert_eq!(read.as_ref(), kept.then_some(document), "{} of {}", at, number);
                }
                let counts: Vec<_> = log.versions(versions_max).iter().map(|(e, n)| (e.version.0, *n)).collect();
                let expected: Vec<_> = (1_u64..).zip(&documents).map(|(v, d)| (v, d.messages.len())).collect();
                prop_assert_eq!(&counts[..], &expected[expected.len() - counts.len()..]);
            }
        }
    }
}
