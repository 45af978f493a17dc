//! A stream of Responses events into events of the intermediate form.
//!
//! Its state is one small record a call.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::finish_of;
use super::request_reader::citation;
use super::wire::{self, Annotation, Item};
use crate::dialect::chat::error;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::Losses;
use crate::dialect::ir::stream::{BLOCKS_MAX, Block, Blocks, Delta, Event, Running, Sink};
use crate::dialect::ir::wire::{Text, lenient};
use crate::dialect::ir::{Dialect, Signature};

/// One event, with the members of all types together.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Message<'a> {
    r#type: Text<'a>,
    #[serde(default)]
    response: Option<wire::Answer<'a>>,
    #[serde(default)]
    item: Option<Item<'a>>,
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    summary_index: u32,
    #[serde(default, deserialize_with = "lenient")]
    delta: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    annotation: Option<Annotation<'a>>,
    #[serde(default)]
    error: Option<&'a RawValue>,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    started: bool,
    ended: bool,
    called: bool,
    blocks: Blocks,
    calls: Vec<OpenCall>,
}

/// A call whose arguments may still come.
#[derive(Debug)]
struct OpenCall {
    index: u32,
    block: u32,
    empty: bool,
}

impl Reader {
    /// Takes the data of one event. What comes after the end is passed over.
    pub fn event(
        &mut self,
        data: &str,
        losses: &mut Losses,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let event: Message<'_> = serde_json::from_str(data).map_err(|_| {
            Fault::new(502, "the model's provider sent an event that cannot be read")
        })?;
        let running = match &*event.r#type {
            "response.output_text.delta" => Running::Text,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                Running::Thinking
            }
            "response.refusal.delta" => Running::Refusal,
            _ => return self.other(event, data, losses, sink),
        };
        match event.delta.filter(|text| !text.is_empty()) {
            Some(text) => self.blocks.add(running, Delta::Text(text), sink),
            None => Ok(()),
        }
    }

    /// The upstream's stream is over: it must have said so itself.
    pub fn finish(&mut self, _sink: &mut Sink<'_>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        Err(Fault::new(502, "the model's provider ended the stream before the answer was complete"))
    }

    fn other(
        &mut self,
        event: Message<'_>,
        data: &str,
        losses: &mut Losses,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        match &*event.r#type {
            "response.created" => self.start(event.response, sink),
            "response.output_item.added" => {
                return self.item_added(
                    event.output_index,
                    event.item.unwrap_or_default(),
                    losses,
                    sink,
                );
            }
            "response.output_item.done" => {
                return self.item_done(event.output_index, event.item.unwrap_or_default(), sink);
            }
            "response.function_call_arguments.delta" => {
                self.arguments(event.output_index, event.delta, sink);
            }
            // The parts of a summary are paragraphs.
            "response.reasoning_summary_part.added" if event.summary_index > 0 => {
                return self.blocks.add(Running::Thinking, Delta::Text(Text::from("\n\n")), sink);
            }
            "response.output_text.annotation.added" => {
                if let Some(cited) = event.annotation.and_then(citation) {
                    return self.blocks.add(Running::Text, Delta::Citation(cited), sink);
                }
            }
            "response.completed" | "response.incomplete" => {
                self.end(event.response.unwrap_or_default(), sink);
            }
            "response.failed" => {
                let error = event.response.and_then(|response| response.error);
                return Err(
                    error.map_or(Fault::unreadable(502), |error| error::read_detail(502, error))
                );
            }
            "error" => {
                return Err(match event.error {
                    Some(error) => error::read_detail(502, error),
                    // The error's members stand at the top.
                    None => serde_json::from_str::<&RawValue>(data)
                        .map_or(Fault::unreadable(502), |error| error::read_detail(502, error)),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, response: Option<wire::Answer<'_>>, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.started, true) {
            let response = response.unwrap_or_default();
            sink(Event::Start { id: response.id, model: response.model, usage: None });
        }
    }

    fn item_added(
        &mut self,
        index: u32,
        item: Item<'_>,
        losses: &mut Losses,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        self.blocks.close(sink);
        match item.r#type.as_deref() {
            Some("function_call") => {}
            None | Some("message" | "reasoning") => return Ok(()),
            Some(other) => {
                losses.unknown("output[].", other);
                return Ok(());
            }
        }
        if self.calls.len() >= BLOCKS_MAX as usize {
            return Err(Fault::new(502, "the answer has too many calls"));
        }
        self.called = true;
        let block = self.blocks.number(sink)?;
        self.calls.push(OpenCall { index, block, empty: true });
        let kind = Block::Call {
            id: item.call_id.or(item.id).unwrap_or_default(),
            name: item.name.unwrap_or_default(),
            signature: None,
        };
        sink(Event::Open { choice: 0, block, kind });
        Ok(())
    }

    fn item_done(&mut self, index: u32, item: Item<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if let Some(at) = self.calls.iter().position(|call| call.index == index) {
            let call = self.calls.remove(at);
            close(&call, item.arguments, sink);
            return Ok(());
        }
        if let Some(data) = item.encrypted_content.filter(|data| !data.is_empty()) {
            let signature = Signature::read(Dialect::Responses, data);
            self.blocks.add(Running::Thinking, Delta::Signature(signature), sink)?;
        }
        self.blocks.close(sink);
        Ok(())
    }

    fn arguments(&mut self, index: u32, delta: Option<Text<'_>>, sink: &mut Sink<'_>) {
        let call = self.calls.iter_mut().find(|call| call.index == index);
        if let (Some(call), Some(text)) = (call, delta.filter(|text| !text.is_empty())) {
            call.empty = false;
            sink(Event::Delta { choice: 0, block: call.block, delta: Delta::Text(text) });
        }
    }

    fn end(&mut self, response: wire::Answer<'_>, sink: &mut Sink<'_>) {
        self.ended = true;
        if !std::mem::replace(&mut self.started, true) {
            sink(Event::Start { id: response.id, model: response.model, usage: None });
        }
        self.blocks.close(sink);
        for call in self.calls.drain(..) {
            close(&call, None, sink);
        }
        let reason = response.incomplete_details.and_then(|details| details.reason);
        let finish = finish_of(response.status.as_deref(), reason.as_deref(), self.called);
        sink(Event::Finish { choice: 0, finish, stop_sequence: None });
        if let Some(usage) = response.usage {
            sink(Event::Usage(usage.tokens()));
        }
        sink(Event::End);
    }
}

/// Ends a call. Arguments that no delta gave are given now.
fn close(call: &OpenCall, arguments: Option<Text<'_>>, sink: &mut Sink<'_>) {
    if call.empty {
        let arguments = arguments.filter(|text| !text.trim().is_empty());
        let delta = Delta::Text(arguments.unwrap_or(Text::from("{}")));
        sink(Event::Delta { choice: 0, block: call.block, delta });
    }
    sink(Event::Close { choice: 0, block: call.block });
}
