//! Changes to a body as a list of edits, applied in one allocation.
//!
//! Whatever is not edited stays as the client wrote it, byte for byte. [`Splice`] is the plain
//! list; it owns its texts, so that it outlives the body's analysis and serves every attempt.
//! [`ObjectEdit`] says what is to become of an object's members and takes care of the commas.

mod pieces;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

pub use self::pieces::Pieces;
use self::pieces::{Joining, PIECE_BYTES_MIN};
use crate::dialect::members::Members;
use crate::dialect::scan::plain_run;

/// Texts of all edits of one splice, one behind the other.
type Text = SmallVec<[u8; 96]>;

/// A list of edits, in the order of the places they change; no two overlap.
#[derive(Clone, Debug, Default)]
pub struct Splice {
    edits: SmallVec<[Edit; 4]>,
    text: Text,
}

/// What is to become of the members of one object. Later calls for a name override earlier ones.
pub struct ObjectEdit<'m, 'a> {
    members: &'m Members<'a>,
    /// Members by their place, with their new value or `None` to take them out.
    changed: SmallVec<[(usize, Option<Range<usize>>); 4]>,
    /// New members: name and value, in the text.
    added: SmallVec<[(Range<usize>, Range<usize>); 4]>,
    text: Text,
}

/// Two edits want the same bytes: a fault of the code that makes them, never of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The bytes that the refused edit would have replaced.
    pub at: Range<usize>,
}

/// These bytes are replaced by that part of the text.
#[derive(Clone, Debug)]
struct Edit {
    at: Range<usize>,
    text: Range<usize>,
}

impl Splice {
    /// Puts `text` in place of the bytes `at`. An edit of exactly the same bytes is overridden.
    pub fn replace(&mut self, at: Range<usize>, text: &[u8]) -> Result<(), Overlap> {
        let text = push(&mut self.text, text);
        self.edit(at, text)
    }

    /// Puts a JSON string in place of the bytes `at`.
    pub fn replace_string(&mut self, at: Range<usize>, value: &str) -> Result<(), Overlap> {
        let text = push_string(&mut self.text, value);
        self.edit(at, text)
    }

    /// Puts a text, in parts, before the byte `at`, behind what was put there before.
    pub fn insert(&mut self, at: usize, parts: &[&[u8]]) -> Result<(), Overlap> {
        let start = self.text.len();
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        let text = start..self.text.len();
        self.edit(at..at, text)
    }

    /// Adds what was decided on the members of an object.
    pub fn object(&mut self, edit: &ObjectEdit<'_, '_>) -> Result<(), Overlap> {
        edit.write(self)
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The changed body; the same `Bytes`, without a copy, if there is no edit.
    pub fn apply(&self, body: &Bytes) -> Bytes {
        if self.edits.is_empty() {
            return body.clone();
        }
        let grown: usize = self.edits.iter().map(|edit| edit.text.len()).sum();
        let mut out = Vec::with_capacity(body.len() + grown);
        for (unchanged, text) in self.stretches(body) {
            out.extend_from_slice(unchanged);
            out.extend_from_slice(text);
        }
        Bytes::from(out)
    }

    /// The changed body in pieces: what is long and stays as it is, is not copied.
    pub fn pieces(&self, body: &Bytes) -> Pieces {
        if body.len() < PIECE_BYTES_MIN {
            return self.apply(body).into();
        }
        let mut joining = Joining::new(body);
        for (unchanged, text) in self.stretches(body) {
            joining.unchanged(unchanged);
            joining.text(text);
        }
        joining.done()
    }

    /// The changed body, in order: a stretch that stays as it is, and the text behind it.
    fn stretches<'s>(&'s self, body: &'s [u8]) -> impl Iterator<Item = (&'s [u8], &'s [u8])> {
        let ends = self.edits.iter().map(|edit| (edit.at.clone(), edit.text.clone()));
        let end = (body.len()..body.len(), 0..0);
        let mut from = 0;
        ends.chain([end]).map(move |(at, text)| {
            let unchanged = body.get(from..at.start).unwrap_or_default();
            from = at.end;
            (unchanged, self.text.get(text).unwrap_or_default())
        })
    }

    fn edit(&mut self, at: Range<usize>, text: Range<usize>) -> Result<(), Overlap> {
        let key = |range: &Range<usize>| (range.start, range.end);
        let place = self.edits.partition_point(|edit| key(&edit.at) <= key(&at));
        let before = place.checked_sub(1).and_then(|i| self.edits.get_mut(i));
        if let Some(before) = before {
            if before.at == at && !at.is_empty() {
                before.text = text;
                return Ok(());
            }
            if before.at.end > at.start {
                return Err(Overlap { at });
            }
        }
        if at.start > at.end || self.edits.get(place).is_some_and(|after| after.at.start < at.end) {
            return Err(Overlap { at });
        }
        self.edits.insert(place, Edit { at, text });
        Ok(())
    }
}

impl<'m, 'a> ObjectEdit<'m, 'a> {
    /// Nothing is changed yet.
    pub fn new(members: &'m Members<'a>) -> Self {
        Self { members, changed: SmallVec::new(), added: SmallVec::new(), text: SmallVec::new() }
    }

    /// Sets a member to a value given as JSON text; adds it at the end where there is none.
    pub fn set(&mut self, name: &str, json: &[u8]) {
        let value = push(&mut self.text, json);
        self.set_range(name, value);
    }

    /// Sets a member to a string.
    pub fn set_string(&mut self, name: &str, value: &str) {
        let value = push_string(&mut self.text, value);
        self.set_range(name, value);
    }

    /// Takes a member out, with its comma.
    pub fn remove(&mut self, name: &str) {
        self.added.retain(|(key, _)| !is_named(&self.text, key, name));
        if let Some(index) = self.members.position(name) {
            self.change(index, None);
        }
    }

    fn set_range(&mut self, name: &str, value: Range<usize>) {
        if let Some(index) = self.members.position(name) {
            self.change(index, Some(value));
            return;
        }
        let known = self.added.iter().position(|(key, _)| is_named(&self.text, key, name));
        match known.and_then(|i| self.added.get_mut(i)) {
            Some((_, old)) => *old = value,
            None => {
                let key = push_string(&mut self.text, name);
                self.added.push((key, value));
            }
        }
    }

    fn change(&mut self, index: usize, value: Option<Range<usize>>) {
        match self.changed.iter_mut().find(|(other, _)| *other == index) {
            Some((_, old)) => *old = value,
            None => self.changed.push((index, value)),
        }
    }

    fn is_removed(&self, index: usize) -> bool {
        self.changed.iter().any(|(other, value)| *other == index && value.is_none())
    }

    fn write(&self, splice: &mut Splice) -> Result<(), Overlap> {
        let members = self.members.as_slice();
        let first_kept = (0..members.len()).find(|&i| !self.is_removed(i));
        for (index, value) in &self.changed {
            let Some(member) = members.get(*index) else { continue };
            match value {
                Some(value) => splice.replace(member.value(), self.text(value))?,
                None => splice.replace(self.removal(*index, first_kept), b"")?,
            }
        }
        let at = members.last().map_or(self.members.range().start + 1, |last| last.value().end);
        for (i, (name, value)) in self.added.iter().enumerate() {
            let comma: &[u8] = if i > 0 || first_kept.is_some() { b"," } else { b"" };
            splice.insert(at, &[comma, self.text(name), b":", self.text(value)])?;
        }
        Ok(())
    }

    /// The bytes that go with a removed member: behind a kept one, from that one's end (and so
    /// with the comma before it); before the first kept one, up to the next name.
    fn removal(&self, index: usize, first_kept: Option<usize>) -> Range<usize> {
        let members = self.members.as_slice();
        let Some(member) = members.get(index) else { return 0..0 };
        let end = member.value().end;
        if first_kept.is_some_and(|kept| kept < index) {
            let before = index.checked_sub(1).and_then(|i| members.get(i));
            before.map_or(member.key.start, |before| before.value().end)..end
        } else {
            member.key.start..members.get(index + 1).map_or(end, |next| next.key.start)
        }
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two edits of the bytes {}..{}", self.at.start, self.at.end)
    }
}

impl std::error::Error for Overlap {}

/// Writes a text as a JSON string (RFC 8259, section 7), quotes included.
pub fn write_json_string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    out.extend_from_slice(escaped(value).as_bytes());
    out.push(b'"');
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(value: &str) -> Cow<'_, str> {
    if plain_run(value.as_bytes()) == value.len() {
        return Cow::Borrowed(value);
    }
    let mut quoted = serde_json::Value::from(value).to_string();
    quoted.pop();
    Cow::Owned(quoted.split_off(1))
}

fn push(text: &mut Text, bytes: &[u8]) -> Range<usize> {
    let start = text.len();
    text.extend_from_slice(bytes);
    start..text.len()
}

fn push_string(text: &mut Text, value: &str) -> Range<usize> {
    let start = text.len();
    text.push(b'"');
    text.extend_from_slice(escaped(value).as_bytes());
    text.push(b'"');
    start..text.len()
}

/// Whether the JSON string in this part of the text, which `push_string` wrote, says `name`.
fn is_named(text: &Text, key: &Range<usize>, name: &str) -> bool {
    let inside = text.get(key.start + 1..key.end.saturating_sub(1));
    inside == Some(escaped(name).as_bytes())
}

#[cfg(test)]
mod tests;
