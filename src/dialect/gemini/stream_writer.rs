//! Events of the intermediate form as a stream of Gemini answers.
//!
//! The dialect has no deltas of arguments, so a call is held until it is whole, under a limit; and
//! the last answer tells reasons and usage together, so both wait for the end.

use std::collections::BTreeMap;

use super::answer::{arguments, finish_reason, object, source, text_part};
use super::error;
use super::wire::{Answer, Candidate, CitationMetadata, Content, FunctionCall, Part, Usage};
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::stream::{Block, Delta, Event};
use crate::dialect::ir::wire::{Text, append_json};
use crate::dialect::ir::{Dialect, Reply};
use crate::types::TokenUsage;

/// The most bytes of arguments held for all open calls of a stream.
pub const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// How the answers of a stream are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// As server-sent events (`alt=sse`).
    #[default]
    Sse,
    /// As elements of one JSON array, which is what the dialect does unless it is asked for events.
    Array,
}

/// Writes one stream.
#[derive(Debug)]
pub struct Writer {
    id: String,
    model: String,
    framing: Framing,
    begun: bool,
    usage: Option<TokenUsage>,
    finishes: BTreeMap<u32, Finish>,
    open: BTreeMap<(u32, u32), Open>,
    held_bytes: usize,
}

#[derive(Debug)]
enum Open {
    Text,
    Thinking,
    Call { id: String, name: String, signature: Option<String>, arguments: String },
}

impl Writer {
    /// A stream in a framing.
    pub fn new(reply: &Reply<'_>, framing: Framing) -> Self {
        Writer {
            id: reply.id.to_owned(),
            model: reply.model.to_owned(),
            framing,
            begun: false,
            usage: None,
            finishes: BTreeMap::new(),
            open: BTreeMap::new(),
            held_bytes: 0,
        }
    }

    /// Appends what an event is in this dialect. Arguments over the limit are an error.
    pub fn event(
        &mut self,
        event: &Event<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match event {
            Event::Start { id, model, usage } => {
                if let Some(id) = id {
                    self.id = id.to_string();
                }
                if let Some(model) = model {
                    self.model = model.to_string();
                }
                self.usage = *usage;
            }
            Event::Open { choice, block, kind } => self.open(*choice, *block, kind, losses),
            Event::Delta { choice, block, delta } => {
                return self.delta((*choice, *block), delta, losses, out);
            }
            Event::Close { choice, block } => self.close((*choice, *block), out),
            Event::Finish { choice, finish, .. } => {
                self.finishes.insert(*choice, *finish);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => self.end(out),
        }
        Ok(())
    }

    /// Appends an error in mid-stream, and nothing after it.
    pub fn error(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(&error::write(fault));
        self.separate(out);
        self.close_array(out);
    }

    fn open(&mut self, choice: u32, block: u32, kind: &Block<'_>, losses: &mut Losses) {
        let open = match kind {
            Block::Text | Block::Refusal => Open::Text,
            Block::Thinking => Open::Thinking,
            Block::Redacted(_) => {
                losses.feature(Feature::AnswerRedactedThinking);
                return;
            }
            Block::Call { id, name, signature } => Open::Call {
                id: id.to_string(),
                name: name.to_string(),
                signature: signature
                    .as_ref()
                    .map(|known| known.written(Dialect::Gemini).into_owned()),
                arguments: String::new(),
            },
        };
        self.open.insert((choice, block), open);
    }

    fn delta(
        &mut self,
        key: (u32, u32),
        delta: &Delta<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let part = match (self.open.get_mut(&key), delta) {
            (Some(Open::Text), Delta::Text(text)) => text_part(text.view()),
            (Some(Open::Thinking), Delta::Text(text)) => {
                Part { thought: Some(true), ..text_part(text.view()) }
            }
            (Some(Open::Call { arguments, .. }), Delta::Text(text)) => {
                self.held_bytes = self.held_bytes.saturating_add(text.len());
                if self.held_bytes > ARGUMENTS_BYTES_MAX {
                    return Err(Fault::new(502, "a call's arguments are too long to be passed on"));
                }
                arguments.push_str(text);
                return Ok(());
            }
            (Some(_), Delta::Signature(signature)) => Part {
                thought: Some(true),
                thought_signature: Some(signature.written(Dialect::Gemini).into()),
                ..text_part(Text::default())
            },
            (Some(_), Delta::Citation(cited)) => {
                let citation_sources = source(cited, losses).into_iter().collect::<Vec<_>>();
                if !citation_sources.is_empty() {
                    let citation_metadata = Some(CitationMetadata { citation_sources });
                    self.answer(
                        vec![Candidate { index: key.0, citation_metadata, ..Candidate::default() }],
                        None,
                        out,
                    );
                }
                return Ok(());
            }
            (None, _) => return Ok(()),
        };
        self.part(key.0, part, out);
        Ok(())
    }

    fn close(&mut self, key: (u32, u32), out: &mut Vec<u8>) {
        if let Some(Open::Call { id, name, signature, arguments: held }) = self.open.remove(&key) {
            self.held_bytes = self.held_bytes.saturating_sub(held.len());
            // Line breaks between JSON tokens would end the line of an event.
            let line = held.replace(['\n', '\r'], " ");
            let function_call = FunctionCall {
                id: Some(Text::from(id)).filter(|id| !id.is_empty()),
                name: Some(Text::from(name)),
                args: Some(object(&line).unwrap_or_else(|| arguments(&held))),
                ..FunctionCall::default()
            };
            let part = Part {
                function_call: Some(function_call),
                thought_signature: signature.map(Text::from),
                ..Part::default()
            };
            self.part(key.0, part, out);
        }
    }

    fn part(&mut self, index: u32, part: Part<'_>, out: &mut Vec<u8>) {
        let content = Some(Content { role: Some(Text::from("model")), parts: vec![part] });
        self.answer(vec![Candidate { index, content, ..Candidate::default() }], None, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let candidates = self.finishes.iter().map(|(index, finish)| Candidate {
            index: *index,
            content: Some(Content {
                role: Some(Text::from("model")),
                parts: vec![text_part(Text::default())],
            }),
            finish_reason: Some(Text::from(finish_reason(*finish))),
            ..Candidate::default()
        });
        let candidates = candidates.collect();
        let usage = Usage::from(self.usage.unwrap_or_default());
        self.answer(candidates, Some(usage), out);
        self.close_array(out);
    }

    fn answer(&mut self, candidates: Vec<Candidate<'_>>, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.begin(out);
        let answer = Answer {
            candidates,
            prompt_feedback: None,
            usage_metadata: usage,
            model_version: Some(Text::from(self.model.as_str())),
            response_id: Some(Text::from(self.id.as_str())),
            error: None,
        };
        append_json(out, &answer);
        self.separate(out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        let begun = std::mem::replace(&mut self.begun, true);
        out.extend_from_slice(match (self.framing, begun) {
            (Framing::Sse, _) => b"data: ",
            (Framing::Array, false) => b"[",
            (Framing::Array, true) => b",\n",
        });
    }

    fn separate(&self, out: &mut Vec<u8>) {
        if self.framing == Framing::Sse {
            out.extend_from_slice(b"\n\n");
        }
    }

    fn close_array(&self, out: &mut Vec<u8>) {
        if self.framing == Framing::Array {
            out.extend_from_slice(b"]");
        }
    }
}
