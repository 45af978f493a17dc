//! Events of the intermediate form as a stream of Responses events.
//!
//! The dialect repeats each item when it is done, and the whole answer at the end, so the answer is
//! held, under a limit. Each delta is still written at once.

use std::collections::BTreeMap;

use super::answer::{annotation, item_id, status_of};
use super::block::{Kind, Open, owned};
use super::event::{ErrorEvent, Failure, Message, Repeated, Snapshot};
use super::wire::{Incomplete, Usage};
use crate::dialect::chat::error;
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::{Class, Fault};
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::stream::{Block, Delta, Event, Held};
use crate::dialect::ir::wire::{Json, Text};
use crate::dialect::ir::{Reply, Signature};
use crate::types::TokenUsage;

/// The most bytes of one answer: of its texts, arguments, names, signatures and citations.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Writes one stream.
#[derive(Debug)]
pub struct Writer {
    id: String,
    created: u64,
    model: String,
    usage: Option<TokenUsage>,
    finish: Finish,
    sequence: u64,
    next: u32,
    open: BTreeMap<u32, Open>,
    done: BTreeMap<u32, Json<'static>>,
    held_bytes: usize,
}

impl Writer {
    /// A stream.
    pub fn new(reply: &Reply<'_>) -> Self {
        Writer {
            id: reply.id.to_owned(),
            created: reply.created,
            model: reply.model.to_owned(),
            usage: None,
            finish: Finish::Other,
            sequence: 0,
            next: 0,
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            held_bytes: 0,
        }
    }

    /// Appends what an event is in this dialect. Only the first choice has a place in it. An answer
    /// over the limit is an error.
    pub fn event(
        &mut self,
        event: &Event<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match event {
            Event::Start { id, model, .. } => self.start(id.as_deref(), model.as_deref(), out),
            Event::Open { choice: 0, block, kind } => {
                return self.open(*block, kind, losses, out);
            }
            Event::Delta { choice: 0, block, delta } => {
                return self.delta(*block, delta, losses, out);
            }
            Event::Close { choice: 0, block } => self.close(*block, out),
            Event::Finish { choice: 0, finish, .. } => self.finish = *finish,
            Event::Open { .. }
            | Event::Delta { .. }
            | Event::Close { .. }
            | Event::Finish { .. } => {
                losses.feature(Feature::AnswerChoices);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => {
                let (status, reason) = status_of(self.finish);
                let r#type = match status {
                    "completed" => "response.completed",
                    _ => "response.incomplete",
                };
                self.tell_answer(r#type, (status, reason), None, out);
            }
        }
        Ok(())
    }

    /// Appends an error in mid-stream, and nothing after it: the error, and the answer that failed.
    pub fn error(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let error = error::written(fault);
        let (code, message, param) = (error.code, error.message, error.param);
        let sequence_number = self.sequence;
        ErrorEvent { r#type: "error", sequence_number, code, message, param, error }.append(out);
        self.sequence += 1;
        self.tell_answer("response.failed", ("failed", None), Some(fault), out);
    }

    fn start(&mut self, id: Option<&str>, model: Option<&str>, out: &mut Vec<u8>) {
        if let Some(id) = id {
            self.id = id.to_owned();
        }
        if let Some(model) = model {
            self.model = model.to_owned();
        }
        for r#type in ["response.created", "response.in_progress"] {
            self.tell_answer(r#type, ("in_progress", None), None, out);
        }
    }

    /// Counts bytes that are held to the end, and refuses those over the limit.
    fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > ANSWER_BYTES_MAX {
            return Err(Fault::new(502, "the answer is too long to be passed on"));
        }
        Ok(())
    }

    fn open(
        &mut self,
        block: u32,
        kind: &Block<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (kind, name) = match kind {
            Block::Text => (Kind::Text, "msg"),
            Block::Refusal => (Kind::Refusal, "msg"),
            Block::Thinking => (Kind::Thinking, "rs"),
            Block::Redacted(_) => {
                losses.feature(Feature::AnswerRedactedThinking);
                return Ok(());
            }
            Block::Call { id, name, signature } => {
                if let Some(signature) = signature {
                    self.signed_thought(signature, out)?;
                }
                self.hold(id.len() + name.len())?;
                (Kind::Call { id: id.to_string(), name: name.to_string() }, "fc")
            }
        };
        let open = self.begin(kind, name);
        self.tell_item("response.output_item.added", &open, "in_progress", out);
        if matches!(open.kind, Kind::Text | Kind::Refusal) {
            let part = Some(open.part());
            self.tell("response.content_part.added", Message { part, ..open.place() }, out);
        }
        self.open.insert(block, open);
        Ok(())
    }

    /// A call has no place for a signature here; an empty thought before it has.
    fn signed_thought(
        &mut self,
        signature: &Signature<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.hold(signature.data.len())?;
        let mut open = self.begin(Kind::Thinking, "rs");
        self.tell_item("response.output_item.added", &open, "in_progress", out);
        open.signature = Some(owned(signature));
        let item = self.tell_item("response.output_item.done", &open, "completed", out);
        self.done.insert(open.index, item);
        Ok(())
    }

    fn begin(&mut self, kind: Kind, name: &str) -> Open {
        let index = self.next;
        self.next += 1;
        let id = item_id(name, &self.id, index as usize);
        let (text, annotations) = (Held::default(), Vec::new());
        Open { index, id, kind, text, annotations, signature: None }
    }

    fn delta(
        &mut self,
        block: u32,
        delta: &Delta<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if let Delta::Text(text) = delta {
            return self.text(block, text, out);
        }
        let Some(mut open) = self.open.remove(&block) else { return Ok(()) };
        match delta {
            Delta::Text(_) => {}
            Delta::Signature(signature) => {
                self.hold(signature.data.len())?;
                open.signature = Some(owned(signature));
            }
            Delta::Citation(cited) => {
                if let Some(cited) = annotation(cited, losses) {
                    let cited = cited.kept();
                    self.hold(cited.bytes())?;
                    let message = Message {
                        annotation_index: Some(open.annotations.len()),
                        annotation: Some(&cited),
                        ..open.place()
                    };
                    self.tell("response.output_text.annotation.added", message, out);
                    open.annotations.push(cited);
                }
            }
        }
        self.open.insert(block, open);
        Ok(())
    }

    fn text(&mut self, block: u32, text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.open.contains_key(&block) {
            self.hold(text.len())?;
        }
        let sequence = &mut self.sequence;
        let Some(open) = self.open.get_mut(&block) else { return Ok(()) };
        if open.text.text().is_empty() && matches!(open.kind, Kind::Thinking) {
            let part = Some(open.part());
            let r#type = "response.reasoning_summary_part.added";
            Message { r#type, sequence_number: *sequence, part, ..open.place() }.append(out);
            *sequence += 1;
        }
        open.text.push(text);
        open.append_delta(*sequence, text, out);
        *sequence += 1;
        Ok(())
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(open) = self.open.remove(&block) else { return };
        let text = Some(open.text.text());
        let (place, part) = (open.place(), Some(open.part()));
        match &open.kind {
            Kind::Text => {
                let message = Message { text, logprobs: open.logprobs(), ..open.place() };
                self.tell("response.output_text.done", message, out);
                self.tell("response.content_part.done", Message { part, ..place }, out);
            }
            Kind::Refusal => {
                let refusal = text;
                self.tell("response.refusal.done", Message { refusal, ..open.place() }, out);
                self.tell("response.content_part.done", Message { part, ..place }, out);
            }
            Kind::Thinking if open.text.text().is_empty() => {}
            Kind::Thinking => {
                let message = Message { text, ..open.place() };
                self.tell("response.reasoning_summary_text.done", message, out);
                self.tell("response.reasoning_summary_part.done", Message { part, ..place }, out);
            }
            Kind::Call { name, .. } => {
                let message = Message { name: Some(name), arguments: text, ..place };
                self.tell("response.function_call_arguments.done", message, out);
            }
        }
        let item = self.tell_item("response.output_item.done", &open, "completed", out);
        self.done.insert(open.index, item);
    }

    fn tell_item(
        &mut self,
        r#type: &'static str,
        open: &Open,
        status: &'static str,
        out: &mut Vec<u8>,
    ) -> Json<'static> {
        let item = open.item(status);
        let message =
            Message { output_index: Some(open.index), item: Some(&item), ..Message::default() };
        self.tell(r#type, message, out);
        item
    }

    fn tell_answer(
        &mut self,
        r#type: &'static str,
        (status, reason): (&'static str, Option<&'static str>),
        fault: Option<&Fault>,
        out: &mut Vec<u8>,
    ) {
        let response = Snapshot {
            id: &self.id,
            object: "response",
            created_at: self.created,
            status,
            error: fault.map(|fault| Failure {
                code: fault.code.as_deref().unwrap_or(match fault.class {
                    Class::RateLimit => "rate_limit_exceeded",
                    _ => "server_error",
                }),
                message: &fault.message,
            }),
            incomplete_details: reason
                .map(|reason| Incomplete { reason: Some(Text::from(reason)) }),
            model: &self.model,
            output: self.done.values().collect(),
            usage: self.usage.filter(|_| status != "in_progress").map(Usage::from),
            request: Repeated::default(),
        };
        let sequence_number = self.sequence;
        let message =
            Message { r#type, sequence_number, response: Some(response), ..Message::default() };
        message.append(out);
        self.sequence += 1;
    }

    fn tell(&mut self, r#type: &'static str, message: Message<'_>, out: &mut Vec<u8>) {
        Message { r#type, sequence_number: self.sequence, ..message }.append(out);
        self.sequence += 1;
    }
}
