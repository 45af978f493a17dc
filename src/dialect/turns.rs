//! Conversations that are kept as chat messages, in bodies of every dialect.
//!
//! What is kept is written as Chat Completions write it, whoever said it, so that a conversation begun
//! in one dialect goes on in any other. [`said`] reads a client's new messages into that form, and
//! [`completed`] writes a whole conversation into the body in the client's own dialect; every other
//! member stays as it is. Instructions that stand beside the messages (Anthropic's `system`, Gemini's
//! `systemInstruction`, `instructions` of Responses) are the request's own and no part of the
//! conversation; where the conversation has instructions of its own, they are said together.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::dialect::ir::loss::{Loss, Losses};
use crate::dialect::ir::{Dialect, Message, PartKind, Request, Role, Target};
use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::dialect::translate::{read_request, write_request};
use crate::error::{Error, Kind, Result};

/// Nobody is asked here: only messages are read and written.
const NOWHERE: Target<'static> = Target { model: "", extensions: false, usage_in_streams: false };

/// A text, and what could not be carried into it.
pub struct Carried<T> {
    /// The text.
    pub text: T,
    /// What it lacks.
    pub losses: Vec<Loss>,
}

/// The member that holds a dialect's messages.
pub const fn messages_member(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat | Dialect::Anthropic | Dialect::Bedrock => "messages",
        Dialect::Gemini => "contents",
        Dialect::Responses => "input",
    }
}

/// The instructions beside a dialect's messages, under each of their names.
const fn instructions_members(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Chat => &[],
        Dialect::Anthropic | Dialect::Bedrock => &["system"],
        Dialect::Gemini => &["systemInstruction", "system_instruction"],
        Dialect::Responses => &["instructions"],
    }
}

/// A body's messages as a JSON array of chat messages; `None` where it has no such member.
///
/// # Errors
/// `InvalidBody` where they are not what their dialect says.
pub fn said<'a>(dialect: Dialect, members: &Members<'a>) -> Result<Option<Carried<Cow<'a, str>>>> {
    let name = messages_member(dialect);
    let Some(own) = members.get(name) else { return Ok(None) };
    if dialect == Dialect::Chat {
        return Ok(Some(Carried { text: Cow::Borrowed(own.raw), losses: Vec::new() }));
    }
    let body = object(&[(name, own.raw)]);
    let mut losses = Losses::new(dialect);
    let request = read_request(dialect, body.as_bytes(), false, &mut losses)?;
    let written = write_request(Dialect::Chat, &request, NOWHERE, &mut losses);
    let text = member_of(&written, "messages")?.unwrap_or_else(|| "[]".to_owned());
    Ok(Some(Carried { text: Cow::Owned(text), losses: losses.into_list() }))
}

/// A body with a whole conversation.
pub struct Completed {
    /// The body.
    pub body: Bytes,
    /// Where in it the conversation stands.
    pub conversation: Range<usize>,
    /// What the dialect could not carry.
    pub losses: Vec<Loss>,
}

/// What stands around a conversation, a JSON array of chat messages, in a text that [`completed`] takes: of a chat
/// that is the body itself, so that a long conversation is written where it goes.
#[derive(Default)]
pub struct Frame {
    /// Up to the array.
    pub before: String,
    /// From its end on.
    pub behind: String,
}

/// The frame of a body, without what that says of contexts.
///
/// # Errors
/// `InvalidBody` where the body has no messages.
pub fn frame(dialect: Dialect, body: &Bytes, members: &Members<'_>) -> Result<Frame> {
    if dialect != Dialect::Chat {
        return Ok(Frame { before: "{\"messages\":".to_owned(), behind: "}".to_owned() });
    }
    let mut edit = ObjectEdit::new(members);
    edit.remove("context");
    around(body, &edit, messages_member(dialect))
}

/// The body with a conversation in place of its own messages, and without what it says of contexts. The
/// conversation comes in the body's [`frame`].
///
/// # Errors
/// `InvalidBody` where the conversation, or the body's instructions, cannot be read.
pub fn completed(
    dialect: Dialect,
    body: &Bytes,
    members: &Members<'_>,
    (frame, framed): (&Frame, String),
) -> Result<Completed> {
    if dialect == Dialect::Chat {
        return Ok(Completed {
            conversation: frame.before.len()..framed.len() - frame.behind.len(),
            body: framed.into(),
            losses: Vec::new(),
        });
    }
    let mut edit = ObjectEdit::new(members);
    edit.remove("context");
    if dialect == Dialect::Responses {
        // What these say is done here; nothing is to be kept at the provider too.
        edit.remove("previous_response_id");
        edit.remove("conversation");
        edit.set("store", b"false");
    }
    let name = messages_member(dialect);
    let mut losses = Losses::new(dialect);
    let kept = read_request(Dialect::Chat, framed.as_bytes(), false, &mut losses)?.messages;
    let is_instruction = |said: &Message<'_>| matches!(said.role, Role::System | Role::Developer);
    let joined = dialect != Dialect::Responses && kept.iter().any(is_instruction);
    let beside = instructions_members(dialect).iter().find_map(|name| members.get(name));
    let beside = beside.filter(|beside| joined && !beside.is_null()).map(|beside| {
        let own = instructions_members(dialect).first().copied().unwrap_or_default();
        object(&[(own, beside.raw), (name, "[]")])
    });
    let mut messages = match &beside {
        Some(beside) => read_request(dialect, beside.as_bytes(), false, &mut losses)?.messages,
        None => Vec::new(),
    };
    messages.extend(kept);
    let request = Request { messages, ..Request::default() };
    let written = write_request(dialect, &request, NOWHERE, &mut losses);
    if joined {
        replace_instructions(dialect, &written, &mut edit)?;
    }
    let list = member_of(&written, name)?.unwrap_or_else(|| "[]".to_owned());
    let Frame { before, behind } = around(body, &edit, name)?;
    Ok(Completed {
        conversation: before.len()..before.len() + list.len(),
        body: [before, list, behind].concat().into(),
        losses: losses.into_list(),
    })
}

/// The most tokens that a body allows for its answer, where it says so.
pub fn answer_tokens(dialect: Dialect, members: &Members<'_>) -> Option<u64> {
    let count = |name| members.get(name).and_then(Member::count);
    match dialect {
        Dialect::Chat => count("max_completion_tokens").or_else(|| count("max_tokens")),
        Dialect::Anthropic | Dialect::Bedrock => count("max_tokens"),
        Dialect::Responses => count("max_output_tokens"),
        Dialect::Gemini => {
            let names = ["generationConfig", "generation_config"];
            let generation = names.iter().find_map(|name| members.get(name))?;
            let generation = members.within(generation).ok()?;
            let names = ["maxOutputTokens", "max_output_tokens"];
            names.iter().find_map(|name| generation.get(name)).and_then(Member::count)
        }
    }
}

/// What of a body goes to the model beside its messages: tools and instructions.
pub fn beside<'m, 'a>(
    dialect: Dialect,
    members: &'m Members<'a>,
) -> impl Iterator<Item = &'a str> + use<'m, 'a> {
    let names = instructions_members(dialect).iter().chain(&["tools"]);
    names.filter_map(|name| members.get(name)).map(|member| member.raw)
}

/// Puts the instructions that were written in the place of the body's own.
fn replace_instructions(
    dialect: Dialect,
    written: &[u8],
    edit: &mut ObjectEdit<'_, '_>,
) -> Result<()> {
    for name in instructions_members(dialect) {
        edit.remove(name);
    }
    if let Some(name) = instructions_members(dialect).first()
        && let Some(text) = member_of(written, name)?
    {
        edit.set(name, text.as_bytes());
    }
    Ok(())
}

/// What stands around a member's value in an edited body.
fn around(body: &Bytes, edit: &ObjectEdit<'_, '_>, name: &'static str) -> Result<Frame> {
    let mut splice = Splice::default();
    splice.object(edit).map_err(|error| unreadable(&error))?;
    let edited = splice.apply(body);
    let members = Members::parse(&edited).map_err(|error| unreadable(&error))?;
    let place = members.get(name).map(Member::value);
    let place = place.ok_or_else(|| unreadable(&format!("`{name}` is missing")))?;
    let text = members.text();
    let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
    Ok(Frame { before: part(text.get(..place.start)), behind: part(text.get(place.end..)) })
}

/// A JSON object of these members, whose names need no escapes.
fn object(members: &[(&str, &str)]) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn member_of(written: &[u8], name: &str) -> Result<Option<String>> {
    let members = Members::parse(written).map_err(|error: JsonError| unreadable(&error))?;
    Ok(members.get(name).map(|member| member.raw.to_owned()))
}

fn unreadable(why: &impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidBody, format!("The request cannot be read: {why}."))
}

/// Gives results of calls, which Gemini's clients may name by their function alone, the ids of the
/// calls that they answer. `calls` is the message that has them, `results` are those behind it.
///
/// # Errors
/// `InvalidBody` where a message is no chat message.
pub fn answer_by_name(calls: &str, results: &[&str]) -> Result<Vec<String>> {
    let conversation = |text: &str| object(&[("messages", &format!("[{text}]"))]);
    let mut losses = Losses::new(Dialect::Chat);
    let calls = conversation(calls);
    let asked = read_request(Dialect::Chat, calls.as_bytes(), false, &mut losses)?;
    let mut open: Vec<(String, String)> = asked
        .messages
        .iter()
        .flat_map(|message| &message.content)
        .filter_map(|part| match &part.kind {
            PartKind::Call(call) => Some((call.id.to_string(), call.name.to_string())),
            _ => None,
        })
        .collect();
    results.iter().map(|result| answered(result, &mut open)).collect()
}

fn answered(result: &str, open: &mut Vec<(String, String)>) -> Result<String> {
    let members = Members::parse(result.as_bytes()).map_err(|error| unreadable(&error))?;
    let Some(named) = members.get("tool_call_id").and_then(Member::string) else {
        return Ok(result.to_owned());
    };
    let by_id = open.iter().position(|(id, _)| *id == *named);
    let Some(place) = by_id.or_else(|| open.iter().position(|(_, name)| *name == *named)) else {
        return Ok(result.to_owned());
    };
    let (id, _) = open.remove(place);
    let mut edit = ObjectEdit::new(&members);
    edit.set_string("tool_call_id", &id);
    let mut splice = Splice::default();
    splice.object(&edit).map_err(|error| unreadable(&error))?;
    let text = splice.apply(&Bytes::copy_from_slice(result.as_bytes()));
    String::from_utf8(text.to_vec()).map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests;
