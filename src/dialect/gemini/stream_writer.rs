//! Events of the intermediate form as a stream of Gemini answers.
//!
//! The dialect has no deltas of arguments, so a call is held until it is whole, under a limit; and
//! the last answer tells reasons and usage together, so both wait for the end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::answer::{arguments, finish_reason, object, source, text_part};
use super::error;
use super::wire::{Answer, Candidate, CitationMetadata, Content, FunctionCall, Part, Usage};
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::stream::{Block, Delta, Event, Held};
use crate::dialect::ir::wire::{Text, append_json, append_number, append_text};
use crate::dialect::ir::{Dialect, Reply};
use crate::types::TokenUsage;

/// The most bytes held for all open calls of a stream: arguments, names and signatures.
pub const CALLS_BYTES_MAX: usize = 1 << 20;

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
    Call(OpenCall),
}

/// A call that is not yet whole.
#[derive(Debug)]
struct OpenCall {
    id: String,
    name: String,
    signature: Option<String>,
    arguments: Held,
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

    /// Appends what an event is in this dialect. A call over the limit is an error.
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
            Event::Open { choice, block, kind } => {
                return self.open((*choice, *block), kind, losses);
            }
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

    /// Counts bytes that are held until a call is whole, and refuses those over the limit.
    fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > CALLS_BYTES_MAX {
            return Err(Fault::new(502, "a call's arguments are too long to be passed on"));
        }
        Ok(())
    }

    fn open(
        &mut self,
        key: (u32, u32),
        kind: &Block<'_>,
        losses: &mut Losses,
    ) -> Result<(), Fault> {
        let open = match kind {
            Block::Text | Block::Refusal => Open::Text,
            Block::Thinking => Open::Thinking,
            Block::Redacted(_) => {
                losses.feature(Feature::AnswerRedactedThinking);
                return Ok(());
            }
            Block::Call { id, name, signature } => {
                let signature = signature.as_ref().map(|known| known.written(Dialect::Gemini));
                let (id, name) = (id.to_string(), name.to_string());
                let signature = signature.map(Cow::into_owned);
                let call = OpenCall { id, name, signature, arguments: Held::default() };
                self.hold(call.bytes())?;
                Open::Call(call)
            }
        };
        self.open.insert(key, open);
        Ok(())
    }

    fn delta(
        &mut self,
        key: (u32, u32),
        delta: &Delta<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let part = match (self.open.get_mut(&key), delta) {
            (Some(Open::Text), Delta::Text(text)) => {
                self.text(key.0, text, b"}]},\"index\":", out);
                return Ok(());
            }
            (Some(Open::Thinking), Delta::Text(text)) => {
                self.text(key.0, text, b",\"thought\":true}]},\"index\":", out);
                return Ok(());
            }
            (Some(Open::Call(call)), Delta::Text(text)) => {
                call.arguments.push(text);
                return self.hold(text.len());
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
        if let Some(Open::Call(call)) = self.open.remove(&key) {
            self.held_bytes = self.held_bytes.saturating_sub(call.bytes());
            let OpenCall { id, name, signature, arguments: held } = call;
            let held = held.text();
            // Line breaks between JSON tokens would end the line of an event.
            let line = held.replace(['\n', '\r'], " ");
            let function_call = FunctionCall {
                id: Some(Text::from(id)).filter(|id| !id.is_empty()),
                name: Some(Text::from(name)),
                args: Some(object(&line).unwrap_or_else(|| arguments(held))),
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

    /// An answer of one text: nearly every answer is one, so it is written without a serializer. `behind` is
    /// what its part and its candidate say behind the text.
    fn text(&mut self, index: u32, text: &str, behind: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(
            b"{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":",
        );
        append_text(out, text);
        out.extend_from_slice(behind);
        append_number(out, index);
        out.extend_from_slice(b"}],\"modelVersion\":");
        append_text(out, &self.model);
        out.extend_from_slice(b",\"responseId\":");
        append_text(out, &self.id);
        out.push(b'}');
        self.separate(out);
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

impl OpenCall {
    /// What it holds.
    fn bytes(&self) -> usize {
        let signature = self.signature.as_ref().map_or(0, String::len);
        self.id.len() + self.name.len() + signature + self.arguments.text().len()
    }
}
