//! One message of a context: its JSON text as it goes upstream, and what the window must know.
//!
//! The text is read once, when it comes in. After that it is only concatenated, so a turn does not
//! cost more parsing the longer its conversation is.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::tokens;
use crate::dialect::members::{Member, Members};
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::dialect::turns;
use crate::error::{Error, Kind, Result};

/// What keeping a message costs beside its text, in bytes.
pub const OVERHEAD_BYTES: usize = 64;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The JSON object, without the member `pinned`, which is the gateway's own.
    pub text: Arc<str>,
    /// Its place in a turn.
    pub part: Part,
    /// Whether the window must keep it.
    pub pinned: bool,
    /// Its size as estimated by [`tokens::estimate`].
    pub tokens: u32,
}

/// The place of a message in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// `system` or `developer`: belongs to no turn.
    Instruction,
    /// `user`: begins a turn.
    User,
    /// `assistant`.
    Answer,
    /// `assistant` with tool calls: stays with its results.
    Call,
    /// `tool` or `function`: the result of a call.
    Outcome,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// `InvalidBody` where it is no object with a role.
    pub fn read(text: &str) -> Result<Self> {
        let members = Members::parse(text.as_bytes()).map_err(|error| invalid(&error))?;
        let role = members.get("role").and_then(Member::string);
        let has_calls = ["tool_calls", "function_call"]
            .iter()
            .any(|name| members.get(name).is_some_and(|calls| !matches!(calls.raw, "null" | "[]")));
        let part = match role.as_deref() {
            Some("system" | "developer") => Part::Instruction,
            Some("user") => Part::User,
            Some("assistant") if has_calls => Part::Call,
            Some("assistant") => Part::Answer,
            Some("tool" | "function") => Part::Outcome,
            _ => {
                return Err(invalid(
                    "`role` must be system, developer, user, assistant, tool or function",
                ));
            }
        };
        let pinned = match members.get("pinned") {
            None => return Ok(Self::new(text, part, false)),
            Some(pinned) if pinned.is_null() => false,
            Some(pinned) => {
                pinned.bool().ok_or_else(|| invalid("`pinned` must be true or false"))?
            }
        };
        let mut edit = ObjectEdit::new(&members);
        edit.remove("pinned");
        let mut splice = Splice::default();
        splice.object(&edit).map_err(|overlap| invalid(&overlap))?;
        let stripped = splice.apply(&Bytes::copy_from_slice(text.as_bytes()));
        let stripped = std::str::from_utf8(&stripped).map_err(|error| invalid(&error))?;
        Ok(Self::new(stripped, part, pinned))
    }

    fn new(text: &str, part: Part, pinned: bool) -> Self {
        Self { text: text.into(), part, pinned, tokens: tokens::estimate(text) }
    }

    /// What keeping it costs, in bytes.
    pub fn bytes(&self) -> usize {
        self.text.len() + OVERHEAD_BYTES
    }

    /// Writes it as a client reads it: with `pinned` where it is.
    pub fn write_public(&self, out: &mut String) {
        match self.text.strip_prefix('{').filter(|_| self.pinned) {
            Some(rest) => {
                out.push_str("{\"pinned\":true,");
                out.push_str(rest.trim_start());
            }
            None => out.push_str(&self.text),
        }
    }
}

/// Reads the JSON array of a request's `messages`.
///
/// # Errors
/// `InvalidBody`, naming the message at fault.
pub fn read_all(array: &str) -> Result<Vec<Message>> {
    let texts: Vec<&RawValue> = serde_json::from_str(array).map_err(|_| {
        Error::new(Kind::InvalidBody, "`messages` must be an array of objects.").param("messages")
    })?;
    let read = |(index, text): (usize, &&RawValue)| {
        Message::read(text.get()).map_err(|error| {
            let param = format!("messages[{index}]");
            Error::new(error.kind, format!("`{param}`: {}", error.public)).param(param)
        })
    };
    texts.iter().enumerate().map(read).collect()
}

/// Gives results that name their calls by the function alone the ids of those calls: of the last
/// message with calls, where nothing but results came behind it.
///
/// # Errors
/// `InvalidBody` where a message is no chat message.
pub fn answer_by_name(stored: &[&Message], coming: &mut [Message]) -> Result<()> {
    let before = stored.iter().rev().take_while(|message| message.part == Part::Outcome);
    let Some(calls) = stored.iter().rev().nth(before.count()) else { return Ok(()) };
    let is_result = |message: &&mut Message| message.part == Part::Outcome;
    let mut results: Vec<&mut Message> = coming.iter_mut().take_while(is_result).collect();
    if calls.part != Part::Call || results.is_empty() {
        return Ok(());
    }
    let texts: Vec<&str> = results.iter().map(|message| &*message.text).collect();
    let answered = turns::answer_by_name(&calls.text, &texts)?;
    for (result, text) in results.iter_mut().zip(answered) {
        **result = Message::read(&text)?;
    }
    Ok(())
}

fn invalid(why: &(impl std::fmt::Display + ?Sized)) -> Error {
    Error::new(Kind::InvalidBody, format!("a message is not valid: {why}."))
}

#[cfg(test)]
mod tests {
    use super::{Message, Part, read_all};

    fn read(text: &str) -> Message {
        Message::read(text).unwrap()
    }

    #[test]
    fn a_message_has_a_part_in_its_turn() {
        for (text, part) in [
            (r#"{"role":"system","content":"a"}"#, Part::Instruction),
            (r#"{"role":"developer","content":"a"}"#, Part::Instruction),
            (r#"{"content":[{"type":"text","text":"a"}],"role":"user"}"#, Part::User),
            (r#"{"role":"assistant","content":"a","tool_calls":[]}"#, Part::Answer),
            (r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c"}]}"#, Part::Call),
            (r#"{"role":"tool","tool_call_id":"c","content":"a"}"#, Part::Outcome),
        ] {
            assert_eq!(read(text).part, part, "{text}");
            assert_eq!(&*read(text).text, text, "the text stays as it is");
        }
    }

    #[test]
    fn pinned_is_kept_beside_the_text() {
        for (text, stored, public) in [
            (
                r#"{"role":"user", "pinned":true, "content":"a"}"#,
                r#"{"role":"user", "content":"a"}"#,
                r#"{"pinned":true,"role":"user", "content":"a"}"#,
            ),
            (
                r#"{"pinned":true,"role":"user","content":"a"}"#,
                r#"{"role":"user","content":"a"}"#,
                r#"{"pinned":true,"role":"user","content":"a"}"#,
            ),
            (
                r#"{"role":"user","content":"a","pinned":false}"#,
                r#"{"role":"user","content":"a"}"#,
                r#"{"role":"user","content":"a"}"#,
            ),
        ] {
            let message = read(text);
            assert_eq!(&*message.text, stored);
            let mut out = String::new();
            message.write_public(&mut out);
            assert_eq!(out, public);
            assert_eq!(read(&out), message, "what is written reads the same");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_by_its_place() {
        for (array, param) in [
            (r#"{"role":"user"}"#, "messages"),
            (r#"[{"role":"user"},7]"#, "messages[1]"),
            (r#"[{"role":"robot"}]"#, "messages[0]"),
            (r#"[{"content":"a"}]"#, "messages[0]"),
            (r#"[{"role":"user","role":"system"}]"#, "messages[0]"),
            (r#"[{"role":"user","pinned":"yes"}]"#, "messages[0]"),
        ] {
            let error = read_all(array).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{array}: {error}");
        }
    }
}
