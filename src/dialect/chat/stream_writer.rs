//! Events of the intermediate form as a stream of chat completion chunks.
//!
//! One event makes at most one chunk, written at once. The state is the answer's name and
//! the numbers of the calls.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answer::{annotation, extra, finish_reason, redacted};
use super::usage::Usage;
use super::wire::{Annotation, ExtraContent, FunctionCall, ThinkingBlock};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::Losses;
use crate::dialect::ir::stream::{Block, Delta, Event};
use crate::dialect::ir::wire::{Text, append_json, append_number, append_text};
use crate::dialect::ir::{Dialect, Reply};
use crate::types::TokenUsage;

/// Writes one stream.
#[derive(Debug)]
pub struct Writer {
    id: String,
    created: u64,
    model: String,
    /// The beginning of every chunk, up to its choices.
    head: Vec<u8>,
    include_usage: bool,
    usage: Option<TokenUsage>,
    choices: BTreeMap<u32, Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    greeted: bool,
    calls: u32,
    thoughts: u32,
    citations: u32,
    blocks: Vec<(u32, Running)>,
}

/// An open block, as far as its deltas need it.
#[derive(Clone, Copy, Debug)]
enum Running {
    Text,
    Thinking(u32),
    Refusal,
    Call(u32),
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: ChunkDelta<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct ChunkDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_blocks: Option<[Numbered<ThinkingBlock<'a>>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<[Numbered<Annotation<'a>>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

/// An element of a list that comes piece by piece: OpenAI's clients join pieces by their number.
#[derive(Serialize)]
struct Numbered<T> {
    index: u32,
    #[serde(flatten)]
    piece: T,
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionCall<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

impl Writer {
    /// A stream for a client that did or did not ask for the usage at its end.
    pub fn new(reply: &Reply<'_>, include_usage: bool) -> Self {
        let mut writer = Writer {
            id: reply.id.to_owned(),
            created: reply.created,
            model: reply.model.to_owned(),
            head: Vec::new(),
            include_usage,
            usage: None,
            choices: BTreeMap::new(),
        };
        writer.name();
        writer
    }

    /// Appends what an event is in this dialect.
    pub fn event(&mut self, event: &Event<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model, usage } => {
                if let Some(id) = id {
                    self.id = id.to_string();
                }
                if let Some(model) = model {
                    self.model = model.to_string();
                }
                self.usage = *usage;
                self.name();
            }
            Event::Open { choice, block, kind } => {
                if let Some(delta) = self.choice(*choice).open(*block, kind) {
                    self.delta(*choice, delta, out);
                }
            }
            Event::Delta { choice, block, delta } => {
                let known = self.choice(*choice);
                let Some(running) = known.running(*block) else { return };
                if let (true, Delta::Text(text)) = (known.greeted, delta) {
                    return self.text(*choice, running, text, out);
                }
                if let Some(delta) = delta_of(running, delta, &mut known.citations, losses) {
                    self.delta(*choice, delta, out);
                }
            }
            Event::Close { choice, block } => {
                self.choice(*choice).blocks.retain(|(open, _)| open != block);
            }
            Event::Finish { choice, finish, .. } => {
                let delta = self.greeted(*choice, ChunkDelta::default());
                let finish_reason = Some(finish_reason(*finish));
                self.chunk(Some(&ChunkChoice { index: *choice, delta, finish_reason }), None, out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => {
                if self.include_usage {
                    let usage = Usage::from(self.usage.unwrap_or_default());
                    self.chunk(None, Some(usage), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
        }
    }

    /// Appends an error in mid-stream: OpenAI's object as data, and nothing after it.
    pub fn error(&self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&super::error::write(fault));
        out.extend_from_slice(b"\n\n");
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        self.choices.entry(index).or_default()
    }

    fn delta(&mut self, index: u32, delta: ChunkDelta<'_>, out: &mut Vec<u8>) {
        let delta = self.greeted(index, delta);
        self.chunk(Some(&ChunkChoice { index, delta, finish_reason: None }), None, out);
    }

    /// The first delta of a choice says whose it is.
    fn greeted<'a>(&mut self, index: u32, mut delta: ChunkDelta<'a>) -> ChunkDelta<'a> {
        if !std::mem::replace(&mut self.choice(index).greeted, true) {
            delta.role = Some("assistant");
        }
        delta
    }

    /// Writes down what every chunk begins with.
    fn name(&mut self) {
        self.head.clear();
        let head = &mut self.head;
        head.extend_from_slice(b"data: {\"id\":");
        append_text(head, &self.id);
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        append_number(head, self.created);
        head.extend_from_slice(b",\"model\":");
        append_text(head, &self.model);
        head.extend_from_slice(b",\"choices\":[");
    }

    /// A piece of text: nearly every chunk is one, so it is written without a serializer.
    fn text(&self, index: u32, running: Running, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        append_number(out, index);
        let end: &[u8] = match running {
            Running::Text => {
                out.extend_from_slice(b",\"delta\":{\"content\":");
                b"},\"finish_reason\":null}]}\n\n"
            }
            Running::Thinking(_) => {
                out.extend_from_slice(b",\"delta\":{\"reasoning_content\":");
                b"},\"finish_reason\":null}]}\n\n"
            }
            Running::Refusal => {
                out.extend_from_slice(b",\"delta\":{\"refusal\":");
                b"},\"finish_reason\":null}]}\n\n"
            }
            Running::Call(call) => {
                out.extend_from_slice(b",\"delta\":{\"tool_calls\":[{\"index\":");
                append_number(out, call);
                out.extend_from_slice(b",\"function\":{\"arguments\":");
                b"}}]},\"finish_reason\":null}]}\n\n"
            }
        };
        append_text(out, text);
        out.extend_from_slice(end);
    }

    fn chunk(&self, choice: Option<&ChunkChoice<'_>>, usage: Option<Usage>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if let Some(choice) = choice {
            append_json(out, choice);
        }
        out.push(b']');
        if let Some(usage) = usage {
            out.extend_from_slice(b",\"usage\":");
            append_json(out, &usage);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

impl Choice {
    /// The number of a new thought.
    const fn thought(&mut self) -> u32 {
        self.thoughts += 1;
        self.thoughts - 1
    }

    fn running(&self, block: u32) -> Option<Running> {
        self.blocks.iter().find(|(open, _)| *open == block).map(|(_, running)| *running)
    }

    /// Notes a block, and gives what its beginning says, if that is anything.
    fn open<'a>(&mut self, block: u32, kind: &'a Block<'a>) -> Option<ChunkDelta<'a>> {
        let (running, delta) = match kind {
            Block::Text => (Running::Text, None),
            Block::Thinking => (Running::Thinking(self.thought()), None),
            Block::Refusal => (Running::Refusal, None),
            Block::Redacted(data) => {
                let index = self.thought();
                let thinking_blocks = Some([Numbered { index, piece: redacted(data) }]);
                (
                    Running::Thinking(index),
                    Some(ChunkDelta { thinking_blocks, ..ChunkDelta::default() }),
                )
            }
            Block::Call { id, name, signature } => {
                let index = self.calls;
                self.calls += 1;
                let call = CallDelta {
                    index,
                    id: Some(id.view()),
                    r#type: Some("function"),
                    function: FunctionCall {
                        name: Some(name.view()),
                        arguments: Some(Text::default()),
                    },
                    extra_content: signature
                        .as_ref()
                        .map(|signature| extra(signature.written(Dialect::Gemini).into())),
                };
                let tool_calls = Some([call]);
                (Running::Call(index), Some(ChunkDelta { tool_calls, ..ChunkDelta::default() }))
            }
        };
        self.blocks.push((block, running));
        delta
    }
}

fn delta_of<'a>(
    running: Running,
    delta: &'a Delta<'a>,
    citations: &mut u32,
    losses: &mut Losses,
) -> Option<ChunkDelta<'a>> {
    let mut out = ChunkDelta::default();
    match (running, delta) {
        (Running::Text, Delta::Text(text)) => out.content = Some(text.view()),
        (Running::Thinking(_), Delta::Text(text)) => out.reasoning_content = Some(text.view()),
        (Running::Refusal, Delta::Text(text)) => out.refusal = Some(text.view()),
        (Running::Call(index), Delta::Text(text)) => {
            let function = FunctionCall { name: None, arguments: Some(text.view()) };
            out.tool_calls =
                Some([CallDelta { index, id: None, r#type: None, function, extra_content: None }]);
        }
        (Running::Thinking(index), Delta::Signature(signature)) => {
            let piece = ThinkingBlock {
                r#type: Text::from("thinking"),
                thinking: Some(Text::default()),
                signature: Some(Text::from(signature.written(Dialect::Anthropic))),
                data: None,
            };
            out.thinking_blocks = Some([Numbered { index, piece }]);
        }
        (_, Delta::Signature(_)) => return None,
        (_, Delta::Citation(cited)) => {
            let index = *citations;
            out.annotations = Some([Numbered { index, piece: annotation(cited, losses)? }]);
            *citations += 1;
        }
    }
    Some(out)
}
