//! The message that a chat's answer is, gathered while its bytes pass by.
//!
//! A whole answer is kept and read at its end; a stream's pieces are put together as they come. What
//! comes out is the assistant's message as a client would send it back with the next request: text,
//! refusal and tool calls, and nothing that a request may not hold. Of several choices it is the
//! first.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::sse::{Event, Scanner};

/// The most tool calls of one answer.
const CALLS_MAX: usize = 1024;

/// Gathers one answer.
pub struct Capture {
    shape: Shape,
    bytes_max: usize,
    /// Set once the message is complete or cannot be had.
    over: bool,
}

/// What an answer is made of.
enum Shape {
    /// One JSON text, held up to its end.
    Whole { held: Vec<u8>, length: Option<usize> },
    /// Events.
    Stream { scanner: Scanner, parts: Box<Parts> },
}

/// How far an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// There is more to come.
    Underway,
    /// The message, as JSON.
    Complete(String),
    /// There is more of it than is kept.
    TooLong,
    /// It is complete, and no chat completion.
    Unreadable,
    /// It told of an error or broke off, which the client sees for itself.
    Broken,
}

impl Capture {
    /// A capture of a whole answer, whose length may have been announced.
    pub fn whole(length: Option<usize>, bytes_max: usize) -> Self {
        Self { shape: Shape::Whole { held: Vec::new(), length }, bytes_max, over: false }
    }

    /// A capture of a stream.
    pub fn stream(bytes_max: usize) -> Self {
        let shape = Shape::Stream { scanner: Scanner::default(), parts: Box::default() };
        Self { shape, bytes_max, over: false }
    }

    /// Reads on; `end` says that these were the last bytes. Once something else than `Underway` was
    /// told, everything further is ignored.
    pub fn feed(&mut self, chunk: &[u8], end: bool) -> Gathered {
        if self.over {
            return Gathered::Underway;
        }
        let gathered = match &mut self.shape {
            Shape::Whole { held, length } => {
                held.extend_from_slice(chunk);
                if held.len() > self.bytes_max {
                    Gathered::TooLong
                } else if end || *length == Some(held.len()) {
                    whole(held)
                } else {
                    Gathered::Underway
                }
            }
            Shape::Stream { scanner, parts } => {
                scanner.feed(chunk, |event| parts.read(&event));
                if end {
                    scanner.finish(|event| parts.read(&event));
                }
                if parts.bytes > self.bytes_max {
                    Gathered::TooLong
                } else if parts.broken {
                    Gathered::Broken
                } else {
                    parts.gathered(end)
                }
            }
        };
        self.over = gathered != Gathered::Underway;
        if self.over {
            self.shape = Shape::Whole { held: Vec::new(), length: None };
        }
        gathered
    }
}

/// A whole answer.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Kept<'a>,
}

/// What is kept of an answer's message, as it stands.
#[derive(Deserialize, Serialize)]
struct Kept<'a> {
    #[serde(default = "assistant", borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_empty")]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_empty")]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "is_empty")]
    function_call: Option<&'a RawValue>,
}

fn assistant() -> Cow<'static, str> {
    Cow::Borrowed("assistant")
}

fn is_empty(value: &Option<&RawValue>) -> bool {
    value.is_none_or(|value| matches!(value.get(), "null" | "[]"))
}

fn whole(text: &[u8]) -> Gathered {
    let answer = serde_json::from_slice::<Answer<'_>>(text).ok();
    match answer.as_ref().and_then(|answer| answer.choices.first()) {
        Some(choice) => written(&choice.message),
        None => Gathered::Unreadable,
    }
}

fn written(message: &impl Serialize) -> Gathered {
    match serde_json::to_string(message) {
        Ok(text) => Gathered::Complete(text),
        Err(_) => Gathered::Unreadable,
    }
}

/// An event of a stream.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Piece<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    delta: Delta<'a>,
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallPiece<'a>>>,
}

#[derive(Deserialize)]
struct CallPiece<'a> {
    #[serde(default)]
    index: usize,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<FunctionPiece<'a>>,
    #[serde(borrow)]
    extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FunctionPiece<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Cow<'a, str>>,
}

/// A message in the making.
#[derive(Default)]
struct Parts {
    content: Option<String>,
    refusal: Option<String>,
    calls: Vec<Call>,
    /// What was gathered, in bytes.
    bytes: usize,
    finished: bool,
    done: bool,
    /// An error was told, or an event could not be read.
    broken: bool,
}

#[derive(Default, Serialize)]
struct Call {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    function: Function,
    /// Gemini's proof of the thought that led here, without which it refuses the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<Box<RawValue>>,
}

#[derive(Default, Serialize)]
struct Function {
    name: String,
    arguments: String,
}

#[derive(Serialize)]
struct Streamed<'a> {
    role: &'a str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Call]>::is_empty")]
    tool_calls: &'a [Call],
}

impl Parts {
    fn read(&mut self, event: &Event<'_>) {
        let Event::Message { data, .. } = event else {
            self.broken = true;
            return;
        };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return };
        self.broken |= chunk.error.is_some_and(|error| error.get() != "null");
        for piece in chunk.choices.into_iter().filter(|piece| piece.index == 0) {
            self.finished |= piece.finish_reason.is_some();
            self.take(piece.delta);
        }
    }

    fn take(&mut self, delta: Delta<'_>) {
        for (held, more) in [(&mut self.content, delta.content), (&mut self.refusal, delta.refusal)]
        {
            if let Some(more) = more {
                self.bytes += more.len();
                held.get_or_insert_default().push_str(&more);
            }
        }
        for piece in delta.tool_calls.into_iter().flatten() {
            self.call(piece);
        }
    }

    fn call(&mut self, piece: CallPiece<'_>) {
        if piece.index >= CALLS_MAX {
            self.broken = true;
            return;
        }
        if self.calls.len() <= piece.index {
            self.calls.resize_with(piece.index + 1, Call::default);
        }
        let Some(call) = self.calls.get_mut(piece.index) else { return };
        if let Some(extra) = piece.extra_content.filter(|extra| extra.get() != "null") {
            self.bytes += extra.get().len();
            call.extra_content = Some(extra.to_owned());
        }
        let (name, arguments) = match piece.function {
            Some(function) => (function.name, function.arguments),
            None => (None, None),
        };
        for (held, more) in
            [(&mut call.function.name, name), (&mut call.function.arguments, arguments)]
        {
            let more = more.unwrap_or_default();
            self.bytes += more.len();
            held.push_str(&more);
        }
        // These come whole, and some servers repeat them with each piece.
        for (held, whole) in [(&mut call.id, piece.id), (&mut call.kind, piece.kind)] {
            if let Some(whole) = whole.filter(|whole| !whole.is_empty()) {
                self.bytes += whole.len();
                *held = whole.into_owned();
            }
        }
    }

    /// `[DONE]` ends a stream; so does its end, behind a finish reason.
    fn gathered(&mut self, end: bool) -> Gathered {
        if !self.done && !end {
            return Gathered::Underway;
        }
        if !self.finished && !self.done {
            return Gathered::Broken;
        }
        self.calls.retain(|call| !call.function.name.is_empty());
        for call in &mut self.calls {
            if call.kind.is_empty() {
                "function".clone_into(&mut call.kind);
            }
        }
        // A message needs a content, unless it holds something else.
        let is_bare = self.refusal.is_none() && self.calls.is_empty();
        let content = self.content.as_deref().filter(|text| !text.is_empty());
        written(&Streamed {
            role: "assistant",
            content: content.or(is_bare.then_some("")),
            refusal: self.refusal.as_deref(),
            tool_calls: &self.calls,
        })
    }
}

#[cfg(test)]
mod tests;
