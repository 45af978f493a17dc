//! Bedrock's Converse and ConverseStream: a turn of the model as content blocks, whole or in binary frames.
//!
//! Shapes: Amazon Bedrock API reference, "Converse" and "ConverseStream".

use serde_json::{Value, json};

use super::answer::{Answer, Events};
use super::asked::Asked;
use super::dialect::Dialect;
use super::refusal::Refusal;
use super::route::Route;
use super::signature;
use super::turn::{Finish, SIGNATURE, Turn};
use check::check;
use request::Body;

mod check;
pub(crate) mod frames;
mod request;

/// Roughly the bytes of one event: room that is made beforehand.
const EVENT_BYTES: usize = 256;
/// The events of a stream that carry no content.
const FRAME_EVENTS: usize = 8;
/// What events are filled up with, so that their lengths do not tell those of the texts.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// `POST /model/{id}/converse` and `…/converse-stream`
pub(crate) fn converse(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    signature::check(asked.request)?;
    check(&body)?;
    let turn = match asked.echo()? {
        Some(echo) => Turn::exactly(echo),
        None => Turn::of(&body.ask()?, asked.behaviour),
    };
    let reply = Reply {
        number: asked.number,
        turn: &turn,
        input_tokens: asked.prompt_tokens(),
        usage: !asked.behaviour.no_usage,
        chunks: asked.behaviour.chunks,
    };
    let streams = asked.request.head.route == Route::ConverseStream;
    Ok(if streams { reply.stream() } else { reply.whole() })
}

/// Everything that an answer is made of.
struct Reply<'a> {
    /// In the ids of the answer; no other has it.
    number: u64,
    turn: &'a Turn,
    input_tokens: usize,
    /// Whether the answer carries token counts.
    usage: bool,
    /// How many events the content of a stream is cut into.
    chunks: Option<usize>,
}

impl Reply<'_> {
    /// The answer in one piece.
    fn whole(&self) -> Answer {
        let mut content = Vec::new();
        if !self.turn.thought.is_empty() {
            let said = json!({ "text": self.turn.thought.concat(), "signature": SIGNATURE });
            content.push(json!({ "reasoningContent": { "reasoningText": said } }));
        }
        for call in 0..self.turn.calls {
            content.push(match &self.turn.call {
                None => json!({ "text": self.turn.text }),
                Some(name) => {
                    let input: Value = serde_json::from_str(&self.turn.text).unwrap_or_default();
                    json!({ "toolUse": { "toolUseId": self.id(call), "name": name, "input": input } })
                }
            });
        }
        let mut answer = self.used();
        if let Some(members) = answer.as_object_mut() {
            let message = json!({ "role": "assistant", "content": content });
            members.insert("output".into(), json!({ "message": message }));
            members.insert("stopReason".into(), self.stop_reason().into());
        }
        Answer::value(&answer).tokens(self.turn.all_tokens())
    }

    /// The answer event by event.
    fn stream(&self) -> Answer {
        let count = self.turn.all_tokens() + FRAME_EVENTS;
        let mut blocks = Blocks::with_capacity(count);
        blocks.push("messageStart", json!({ "role": "assistant" }));
        if !self.turn.thought.is_empty() {
            for token in self.turn.thought {
                blocks.grow(json!({ "reasoningContent": { "text": token } }));
            }
            blocks.grow(json!({ "reasoningContent": { "signature": SIGNATURE } }));
            blocks.close();
        }
        for call in 0..self.turn.calls {
            // A text begins with its first piece; only calls are announced.
            if let Some(name) = &self.turn.call {
                blocks.open(json!({ "toolUse": { "toolUseId": self.id(call), "name": name } }));
            }
            for piece in self.turn.pieces(self.chunks) {
                blocks.grow(match self.turn.call {
                    None => json!({ "text": piece }),
                    Some(_) => json!({ "toolUse": { "input": piece } }),
                });
            }
            blocks.close();
        }
        blocks.push("messageStop", json!({ "stopReason": self.stop_reason() }));
        blocks.push("metadata", self.used());
        Answer::stream(Dialect::Bedrock, blocks.events, self.turn.all_tokens())
    }

    fn id(&self, call: usize) -> String {
        format!("tooluse_mock{:016x}_{call}", self.number)
    }

    fn stop_reason(&self) -> &'static str {
        match self.turn.finish {
            Finish::Stop => "end_turn",
            Finish::Length => "max_tokens",
            Finish::Call => "tool_use",
        }
    }

    /// The counts, and how long it took. How much was thought is not told apart.
    fn used(&self) -> Value {
        let metrics = json!({ "latencyMs": 1 });
        if !self.usage {
            return json!({ "metrics": metrics });
        }
        let (input, output) = (self.input_tokens, self.turn.all_tokens());
        let usage = json!({ "inputTokens": input, "outputTokens": output, "totalTokens": input + output,
            "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0 });
        json!({ "usage": usage, "metrics": metrics })
    }
}

/// The events of a stream whose content is blocks with numbers.
struct Blocks {
    events: Events,
    /// Of the block that is open.
    index: usize,
    /// Whether any block has grown: from then on events come at a pace.
    grown: bool,
}

impl Blocks {
    fn with_capacity(events: usize) -> Self {
        let events = Events::with_capacity(events, events * EVENT_BYTES);
        Self { events, index: 0, grown: false }
    }

    fn push(&mut self, kind: &'static str, mut payload: Value) {
        let filled = self.events.len() * 7 % PADDING.len() + 1;
        if let Some(members) = payload.as_object_mut() {
            members.insert("p".into(), PADDING.get(..filled).into());
        }
        self.events.push(|out| frames::put_event(out, kind, &payload));
    }

    fn open(&mut self, start: Value) {
        let payload = json!({ "contentBlockIndex": self.index, "start": start });
        self.push("contentBlockStart", payload);
    }

    fn grow(&mut self, delta: Value) {
        if !std::mem::replace(&mut self.grown, true) {
            self.events.begin_pace();
        }
        let payload = json!({ "contentBlockIndex": self.index, "delta": delta });
        self.push("contentBlockDelta", payload);
        self.events.end_pace();
    }

    fn close(&mut self) {
        self.push("contentBlockStop", json!({ "contentBlockIndex": self.index }));
        self.index += 1;
    }
}
