//! Anthropic's messages: a turn of the model as content blocks, whole or streamed.
//!
//! Shapes: Anthropic API reference, "Create a message", "Count tokens in a message" and "Streaming
//! messages".

use serde_json::json;

use super::answer::{Answer, Events};
use super::asked::Asked;
use super::dialect::Dialect;
use super::json::{put, put_number, put_string};
use super::refusal::Refusal;
use super::route::{path_of, vertex_claude};
use super::turn::{Finish, SIGNATURE, Turn};
use check::check;
use request::Body;

pub(crate) use check::check_budget;

mod check;
mod request;

/// Roughly the bytes of one event beside its content: room that is made beforehand.
const EVENT_BYTES: usize = 160;
/// The events of a stream that carry no content.
const FRAME_EVENTS: usize = 10;

/// `POST /v1/messages`
pub(crate) fn messages(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    let target = asked.target()?;
    let model = body.model(vertex_claude(path_of(target)))?;
    body.max_tokens.ok_or_else(|| Refusal::missing("max_tokens"))?;
    check(&body)?;
    let turn = match asked.echo()? {
        Some(echo) => Turn::exactly(echo),
        None => Turn::of(&body.ask()?, asked.behaviour),
    };
    let reply = Reply {
        model: &model,
        number: format!("{:016x}", asked.number),
        turn: &turn,
        input_tokens: asked.prompt_tokens(),
        usage: !asked.behaviour.no_usage,
        chunks: asked.behaviour.chunks,
    };
    Ok(if body.stream == Some(true) { reply.stream() } else { reply.whole() })
}

/// `POST /v1/messages/count_tokens`
pub(crate) fn count_tokens(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    // Also on Vertex AI, whose path for this names none.
    body.model(None)?;
    check(&body)?;
    match asked.echo()? {
        Some(echo) => Ok(Answer::json(echo)),
        None => Ok(Answer::value(&json!({ "input_tokens": asked.prompt_tokens() }))),
    }
}

/// Everything that an answer is made of.
struct Reply<'a> {
    /// The model's name as JSON, quotes included.
    model: &'a str,
    /// In the ids of the answer; no other has it.
    number: String,
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
        let mut out = Vec::with_capacity(EVENT_BYTES * 4 + self.turn.text.len());
        self.begin(&mut out);
        put(&mut out, &[r#""content":["#]);
        if !self.turn.thought.is_empty() {
            put(&mut out, &[r#"{"type":"thinking","thinking":"#]);
            put_string(&mut out, &self.turn.thought.concat());
            put(&mut out, &[r#","signature":""#, SIGNATURE, r#""},"#]);
        }
        for call in 0..self.turn.calls {
            put(&mut out, &[if call > 0 { "}," } else { "" }]);
            match &self.turn.call {
                None => {
                    put(&mut out, &[r#"{"type":"text","text":"#]);
                    put_string(&mut out, &self.turn.text);
                }
                Some(name) => {
                    self.put_call(&mut out, name, call);
                    put(&mut out, &[&self.turn.text]);
                }
            }
        }
        put(&mut out, &["}],"]);
        self.put_stop(&mut out);
        self.put_usage(&mut out, self.turn.all_tokens());
        put(&mut out, &["}"]);
        Answer::json(out).tokens(self.turn.all_tokens())
    }

    /// The answer event by event.
    fn stream(&self) -> Answer {
        let count = self.turn.all_tokens() + FRAME_EVENTS;
        let mut blocks = Blocks::with_capacity(count, count * EVENT_BYTES + self.turn.text.len());
        blocks.push("message_start", |out| self.start(out));
        if !self.turn.thought.is_empty() {
            blocks.open(|out| put(out, &[r#"{"type":"thinking","thinking":"","signature":""}"#]));
            for token in self.turn.thought {
                blocks.grow(r#"{"type":"thinking_delta","thinking":"#, token);
            }
            blocks.grow(r#"{"type":"signature_delta","signature":"#, SIGNATURE);
            blocks.close();
        }
        for call in 0..self.turn.calls {
            blocks.open(|out| self.open_block(out, call));
            let delta = match self.turn.call {
                None => r#"{"type":"text_delta","text":"#,
                Some(_) => r#"{"type":"input_json_delta","partial_json":"#,
            };
            for piece in self.turn.pieces(self.chunks) {
                blocks.grow(delta, piece);
            }
            blocks.close();
        }
        blocks.push("message_delta", |out| self.end(out));
        blocks.push("message_stop", |_| {});
        Answer::stream(Dialect::Anthropic, blocks.events, self.turn.all_tokens())
    }

    /// Everything up to the content.
    fn begin(&self, out: &mut Vec<u8>) {
        put(
            out,
            &[r#"{"id":"msg_mock"#, &self.number, r#"","type":"message","role":"assistant","#],
        );
        put(out, &[r#""model":"#, self.model, ","]);
    }

    fn start(&self, out: &mut Vec<u8>) {
        put(out, &[r#","message":"#]);
        self.begin(out);
        put(out, &[r#""content":[],"stop_reason":null,"stop_sequence":null"#]);
        self.put_usage(out, 1);
        put(out, &["}"]);
    }

    fn open_block(&self, out: &mut Vec<u8>, call: usize) {
        match &self.turn.call {
            None => put(out, &[r#"{"type":"text","text":""}"#]),
            Some(name) => {
                self.put_call(out, name, call);
                put(out, &["{}}"]);
            }
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        put(out, &[r#","delta":{"#]);
        self.put_stop(out);
        put(out, &["}"]);
        self.put_usage(out, self.turn.all_tokens());
    }

    /// A call with its number, up to its arguments.
    fn put_call(&self, out: &mut Vec<u8>, name: &str, call: usize) {
        put(out, &[r#"{"type":"tool_use","id":"toolu_mock"#, &self.number, "_"]);
        put_number(out, call);
        put(out, &[r#"","name":"#]);
        put_string(out, name);
        put(out, &[r#","input":"#]);
    }

    fn put_stop(&self, out: &mut Vec<u8>) {
        let reason = match self.turn.finish {
            Finish::Stop => "end_turn",
            Finish::Length => "max_tokens",
            Finish::Call => "tool_use",
        };
        put(out, &[r#""stop_reason":""#, reason, r#"","stop_sequence":null"#]);
    }

    /// The counts; a thought is a part of the output.
    fn put_usage(&self, out: &mut Vec<u8>, output_tokens: usize) {
        if !self.usage {
            return;
        }
        put(out, &[r#","usage":{"input_tokens":"#]);
        put_number(out, self.input_tokens);
        put(out, &[r#","cache_creation_input_tokens":0,"cache_read_input_tokens":0"#]);
        put(out, &[r#","output_tokens":"#]);
        put_number(out, output_tokens);
        if !self.turn.thought.is_empty() && output_tokens > 1 {
            put(out, &[r#","output_tokens_details":{"thinking_tokens":"#]);
            put_number(out, self.turn.thought.len());
            put(out, &["}"]);
        }
        put(out, &[r#","service_tier":"standard"}"#]);
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
    fn with_capacity(events: usize, bytes: usize) -> Self {
        Self { events: Events::with_capacity(events, bytes), index: 0, grown: false }
    }

    /// An event with its name in both places where it stands.
    fn push(&mut self, name: &str, rest: impl FnOnce(&mut Vec<u8>)) {
        self.events.push(|out| {
            put(out, &["event: ", name, "\ndata: {\"type\":\"", name, "\""]);
            rest(out);
            put(out, &["}\n\n"]);
        });
    }

    /// The same about the block that is open.
    fn push_of_block(&mut self, name: &str, rest: impl FnOnce(&mut Vec<u8>)) {
        let index = self.index;
        self.push(name, |out| {
            put(out, &[r#","index":"#]);
            put_number(out, index);
            rest(out);
        });
    }

    fn open(&mut self, block: impl FnOnce(&mut Vec<u8>)) {
        self.push_of_block("content_block_start", |out| {
            put(out, &[r#","content_block":"#]);
            block(out);
        });
        if self.index == 0 {
            self.push("ping", |_| {});
        }
    }

    /// A piece of the block; `delta` is everything before the text.
    fn grow(&mut self, delta: &str, text: &str) {
        if !std::mem::replace(&mut self.grown, true) {
            self.events.begin_pace();
        }
        self.push_of_block("content_block_delta", |out| {
            put(out, &[r#","delta":"#, delta]);
            put_string(out, text);
            put(out, &["}"]);
        });
        self.events.end_pace();
    }

    fn close(&mut self) {
        self.push_of_block("content_block_stop", |_| {});
        self.index += 1;
    }
}
