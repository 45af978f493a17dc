//! Events of the intermediate form as a stream of Messages events.
//!
//! The dialect tells the reason of the end and the usage in one event, so both wait for the end.
//! The state is the answer's name, the usage, and the numbers of open blocks.

use serde::Serialize;

use super::answer::{stop_reason, written_citation};
use super::error;
use super::wire::{self, Block as WireBlock, Usage};
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::stream::{Block, Delta, Event};
use crate::dialect::ir::wire::{Json, Text, append_json, append_number, append_text};
use crate::dialect::ir::{Dialect, Reply, Signature};
use crate::types::TokenUsage;

/// Writes one stream.
#[derive(Debug)]
pub struct Writer {
    id: String,
    model: String,
    usage: TokenUsage,
    finish: Option<(Finish, Option<String>)>,
    next: u32,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    block: u32,
    index: u32,
    kind: Kind,
}

/// What the deltas of a block are called.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Thinking,
    Call,
}

#[derive(Serialize)]
struct Start<'a> {
    r#type: &'static str,
    message: StartMessage<'a>,
}

#[derive(Serialize)]
struct StartMessage<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: Usage,
}

#[derive(Serialize)]
struct BlockStart<'a> {
    r#type: &'static str,
    index: u32,
    content_block: WireBlock<'a>,
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    r#type: &'static str,
    index: u32,
    delta: DeltaBody<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DeltaBody<'a> {
    #[serde(rename = "signature_delta")]
    Signature { signature: Text<'a> },
    #[serde(rename = "citations_delta")]
    Citations { citation: wire::Citation<'a> },
}

#[derive(Serialize)]
struct BlockStop {
    r#type: &'static str,
    index: u32,
}

#[derive(Serialize)]
struct MessageDelta<'a> {
    r#type: &'static str,
    delta: StopDelta<'a>,
    usage: Usage,
}

#[derive(Serialize)]
struct StopDelta<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageStop {
    r#type: &'static str,
}

impl Writer {
    /// A stream.
    pub fn new(reply: &Reply<'_>) -> Self {
        Writer {
            id: reply.id.to_owned(),
            model: reply.model.to_owned(),
            usage: TokenUsage::default(),
            finish: None,
            next: 0,
            open: Vec::new(),
        }
    }

    /// Appends what an event is in this dialect. Only the first choice has a place in it.
    pub fn event(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model, usage } => {
                self.start(id.as_deref(), model.as_deref(), *usage, out);
            }
            Event::Open { choice: 0, block, kind } => self.open(*block, kind, out),
            Event::Delta { choice: 0, block, delta } => self.delta(*block, delta, losses, out),
            Event::Close { choice: 0, block } => {
                if let Some(at) = self.open.iter().position(|open| open.block == *block) {
                    let index = self.open.remove(at).index;
                    stop(index, out);
                }
            }
            Event::Finish { choice: 0, finish, stop_sequence } => {
                self.finish = Some((*finish, stop_sequence.as_deref().map(str::to_owned)));
            }
            Event::Open { .. }
            | Event::Delta { .. }
            | Event::Close { .. }
            | Event::Finish { .. } => {
                losses.feature(Feature::AnswerChoices);
            }
            Event::Usage(usage) => self.usage = *usage,
            Event::End => self.end(out),
        }
    }

    /// Appends an error in mid-stream, and nothing after it.
    pub fn error(&self, fault: &Fault, out: &mut Vec<u8>) {
        error::append_event(fault, out);
    }

    fn start(
        &mut self,
        id: Option<&str>,
        model: Option<&str>,
        usage: Option<TokenUsage>,
        out: &mut Vec<u8>,
    ) {
        if let Some(id) = id {
            self.id = id.to_owned();
        }
        if let Some(model) = model {
            self.model = model.to_owned();
        }
        self.usage = usage.unwrap_or_default();
        let message = StartMessage {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: Usage::from(self.usage),
        };
        append(out, "message_start", &Start { r#type: "message_start", message });
    }

    fn open(&mut self, block: u32, kind: &Block<'_>, out: &mut Vec<u8>) {
        let content_block = match kind {
            Block::Text | Block::Refusal => WireBlock {
                r#type: "text".into(),
                text: Some(Text::default()),
                ..WireBlock::default()
            },
            Block::Thinking => thought(),
            Block::Redacted(data) => WireBlock {
                r#type: "redacted_thinking".into(),
                data: Some(data.view()),
                ..WireBlock::default()
            },
            Block::Call { id, name, signature } => {
                if let Some(signature) = signature {
                    self.signed_thought(signature, out);
                }
                WireBlock {
                    r#type: "tool_use".into(),
                    id: Some(id.view()),
                    name: Some(name.view()),
                    input: serde_json::from_str::<Json<'_>>("{}").ok(),
                    ..WireBlock::default()
                }
            }
        };
        let index = self.begin(content_block, out);
        let kind = match kind {
            Block::Text | Block::Refusal => Kind::Text,
            Block::Thinking | Block::Redacted(_) => Kind::Thinking,
            Block::Call { .. } => Kind::Call,
        };
        self.open.push(Open { block, index, kind });
    }

    /// A call has no place for a signature here; an empty thought before it has.
    fn signed_thought(&mut self, signature: &Signature<'_>, out: &mut Vec<u8>) {
        let index = self.begin(thought(), out);
        let signature = signature.written(Dialect::Anthropic).into();
        append_delta(index, DeltaBody::Signature { signature }, out);
        stop(index, out);
    }

    fn begin(&mut self, content_block: WireBlock<'_>, out: &mut Vec<u8>) -> u32 {
        let index = self.next;
        self.next += 1;
        let start = BlockStart { r#type: "content_block_start", index, content_block };
        append(out, "content_block_start", &start);
        index
    }

    fn delta(&mut self, block: u32, delta: &Delta<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        let Some(open) = self.open.iter().find(|open| open.block == block) else { return };
        let body = match delta {
            Delta::Text(text) => return append_text_delta(open, text, out),
            Delta::Signature(signature) => {
                DeltaBody::Signature { signature: signature.written(Dialect::Anthropic).into() }
            }
            Delta::Citation(cited) => match written_citation(cited, losses) {
                Some(citation) => DeltaBody::Citations { citation },
                None => return,
            },
        };
        append_delta(open.index, body, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let (finish, sequence) = self.finish.take().unwrap_or((Finish::Other, None));
        let delta =
            StopDelta { stop_reason: stop_reason(finish), stop_sequence: sequence.as_deref() };
        let usage = Usage::from(self.usage);
        append(out, "message_delta", &MessageDelta { r#type: "message_delta", delta, usage });
        append(out, "message_stop", &MessageStop { r#type: "message_stop" });
    }
}

fn thought() -> WireBlock<'static> {
    WireBlock {
        r#type: "thinking".into(),
        thinking: Some(Text::default()),
        signature: Some(Text::default()),
        ..WireBlock::default()
    }
}

fn append_delta(index: u32, delta: DeltaBody<'_>, out: &mut Vec<u8>) {
    append(out, "content_block_delta", &BlockDelta { r#type: "content_block_delta", index, delta });
}

/// A piece of text: nearly every event is one, so it is written without a serializer.
fn append_text_delta(open: &Open, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    );
    append_number(out, open.index);
    let named: &[u8] = match open.kind {
        Kind::Text => b",\"delta\":{\"type\":\"text_delta\",\"text\":",
        Kind::Thinking => b",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":",
        Kind::Call => b",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":",
    };
    out.extend_from_slice(named);
    append_text(out, text);
    out.extend_from_slice(b"}}\n\n");
}

fn stop(index: u32, out: &mut Vec<u8>) {
    append(out, "content_block_stop", &BlockStop { r#type: "content_block_stop", index });
}

fn append(out: &mut Vec<u8>, name: &str, event: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    append_json(out, event);
    out.extend_from_slice(b"\n\n");
}
