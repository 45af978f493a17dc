//! A stream of ConverseStream's events into events of the intermediate form.
//!
//! Its state is one small record for each open block.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{citation, finish_of, signed};
use super::error;
use super::wire::{self, ResponseFields, ToolUse, Usage};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::stream::{BLOCKS_MAX, Block, Delta, Event, Sink};
use crate::dialect::ir::wire::{Json, Text};
use crate::types::TokenUsage;

/// One event: a union of which one member is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Union<'a> {
    #[serde(default)]
    message_start: Option<&'a RawValue>,
    #[serde(default)]
    content_block_start: Option<BlockStart<'a>>,
    #[serde(default)]
    content_block_delta: Option<BlockDelta<'a>>,
    #[serde(default)]
    content_block_stop: Option<BlockStop>,
    #[serde(default)]
    message_stop: Option<MessageStop<'a>>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    internal_server_exception: Option<&'a RawValue>,
    #[serde(default)]
    model_stream_error_exception: Option<&'a RawValue>,
    #[serde(default)]
    throttling_exception: Option<&'a RawValue>,
    #[serde(default)]
    validation_exception: Option<&'a RawValue>,
    #[serde(default)]
    service_unavailable_exception: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct BlockStart<'a> {
    #[serde(default)]
    content_block_index: u32,
    #[serde(default)]
    start: Start<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Start<'a> {
    #[serde(default)]
    tool_use: Option<ToolUse<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct BlockDelta<'a> {
    #[serde(default)]
    content_block_index: u32,
    #[serde(default)]
    delta: Added<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Added<'a> {
    #[serde(default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    tool_use: Option<Arguments<'a>>,
    #[serde(default)]
    reasoning_content: Option<Thought<'a>>,
    #[serde(default)]
    citation: Option<wire::Citation<'a>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Arguments<'a> {
    /// A piece of JSON in a text.
    #[serde(default)]
    input: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Thought<'a> {
    #[serde(default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    signature: Option<Text<'a>>,
    #[serde(default)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    #[serde(default)]
    content_block_index: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct MessageStop<'a> {
    #[serde(default)]
    stop_reason: Text<'a>,
    #[serde(default)]
    additional_model_response_fields: Option<ResponseFields<'a>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    usage: Option<Usage>,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    started: bool,
    finished: bool,
    ended: bool,
    next: u32,
    open: Vec<Open>,
}

/// An open block: its number at the upstream and here.
#[derive(Debug)]
struct Open {
    index: u32,
    block: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Redacted,
    /// A call, and whether arguments have come.
    Call(bool),
}

impl Reader {
    /// Takes one event. What comes after the end is passed over.
    pub fn event(&mut self, data: &str, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let event: Union<'_> = serde_json::from_str(data).map_err(|_| {
            Fault::new(502, "the model's provider sent an event that cannot be read")
        })?;
        if let Some((kind, body)) = exception(&event) {
            return Err(error::exception(kind, body.get().as_bytes()));
        }
        if event.message_start.is_some() {
            self.start(sink);
        } else if let Some(start) = event.content_block_start {
            self.block_start(start, sink)?;
        } else if let Some(delta) = event.content_block_delta {
            self.delta(delta, sink)?;
        } else if let Some(stop) = event.content_block_stop {
            self.close(stop.content_block_index, sink);
        } else if let Some(stop) = event.message_stop {
            self.stop(stop, sink);
        } else if let Some(metadata) = event.metadata {
            self.metadata(&metadata, sink);
        }
        // What may come later is passed over, as clients are told to.
        Ok(())
    }

    /// The upstream's stream is over: its last message must have been complete.
    pub fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if !self.finished {
            let text = "the model's provider ended the stream before the answer was complete";
            return Err(Fault::new(502, text));
        }
        self.end(sink);
        Ok(())
    }

    fn start(&mut self, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.started, true) {
            sink(Event::Start { id: None, model: None, usage: None });
        }
    }

    fn block_start(&mut self, start: BlockStart<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        // Texts and thoughts have no beginning of their own: their first delta is it.
        let Some(call) = start.start.tool_use else { return Ok(()) };
        let kind = Block::Call { id: call.tool_use_id, name: call.name, signature: None };
        let block = self.open(start.content_block_index, Kind::Call(false), kind, sink)?;
        let arguments = call.input.map(Json::into_text);
        if let Some(arguments) = arguments.filter(|text| &**text != "{}" && &**text != "null") {
            self.arguments(block, arguments, sink);
        }
        Ok(())
    }

    fn open(
        &mut self,
        index: u32,
        kind: Kind,
        block: Block<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<u32, Fault> {
        self.start(sink);
        // Some models leave out the end of a text: what follows it is its end.
        let running = |open: &Open| open.index == index || !matches!(open.kind, Kind::Call(_));
        while let Some(at) = self.open.iter().position(running) {
            close(&self.open.remove(at), sink);
        }
        let number = self.next;
        if number == BLOCKS_MAX {
            return Err(Fault::new(502, "the answer has too many parts"));
        }
        self.next += 1;
        self.open.push(Open { index, block: number, kind });
        sink(Event::Open { choice: 0, block: number, kind: block });
        Ok(number)
    }

    /// The open block that a delta goes on with, or a new one.
    fn running(&mut self, index: u32, kind: Kind, sink: &mut Sink<'_>) -> Result<u32, Fault> {
        let known = self.open.iter().find(|open| open.index == index && open.kind == kind);
        if let Some(open) = known {
            return Ok(open.block);
        }
        let block = if kind == Kind::Thinking { Block::Thinking } else { Block::Text };
        self.open(index, kind, block, sink)
    }

    fn delta(&mut self, delta: BlockDelta<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let (index, added) = (delta.content_block_index, delta.delta);
        if let Some(text) = added.text.filter(|text| !text.is_empty()) {
            let block = self.running(index, Kind::Text, sink)?;
            sink(Event::Delta { choice: 0, block, delta: Delta::Text(text) });
        }
        if let Some(arguments) = added.tool_use.filter(|call| !call.input.is_empty()) {
            let call = self.open.iter().find(|open| open.index == index);
            if let Some(block) = call.map(|open| open.block) {
                self.arguments(block, arguments.input, sink);
            }
        }
        if let Some(cited) = added.citation {
            let block = self.running(index, Kind::Text, sink)?;
            sink(Event::Delta { choice: 0, block, delta: Delta::Citation(citation(cited)) });
        }
        match added.reasoning_content {
            Some(thought) => self.thought(index, thought, sink),
            None => Ok(()),
        }
    }

    fn thought(
        &mut self,
        index: u32,
        thought: Thought<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        if let Some(text) = thought.text.filter(|text| !text.is_empty()) {
            let block = self.running(index, Kind::Thinking, sink)?;
            sink(Event::Delta { choice: 0, block, delta: Delta::Text(text) });
        }
        if let Some(signature) = thought.signature.and_then(signed) {
            let block = self.running(index, Kind::Thinking, sink)?;
            sink(Event::Delta { choice: 0, block, delta: Delta::Signature(signature) });
        }
        if let Some(data) = thought.redacted_content {
            self.open(index, Kind::Redacted, Block::Redacted(data), sink)?;
        }
        Ok(())
    }

    fn arguments(&mut self, block: u32, text: Text<'_>, sink: &mut Sink<'_>) {
        let call = self.open.iter_mut().find(|open| open.block == block);
        if let Some(Open { kind: Kind::Call(filled), .. }) = call {
            *filled = true;
            sink(Event::Delta { choice: 0, block, delta: Delta::Text(text) });
        }
    }

    fn close(&mut self, index: u32, sink: &mut Sink<'_>) {
        if let Some(at) = self.open.iter().position(|open| open.index == index) {
            close(&self.open.remove(at), sink);
        }
    }

    fn stop(&mut self, stop: MessageStop<'_>, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.start(sink);
        for open in std::mem::take(&mut self.open) {
            close(&open, sink);
        }
        let fields = stop.additional_model_response_fields.unwrap_or_default();
        let (finish, stop_sequence) = (finish_of(&stop.stop_reason), fields.stop_sequence);
        sink(Event::Finish { choice: 0, finish, stop_sequence });
    }

    /// Normally the last event: what it tells comes behind the answer's end.
    fn metadata(&mut self, metadata: &Metadata, sink: &mut Sink<'_>) {
        self.start(sink);
        if let Some(usage) = metadata.usage {
            sink(Event::Usage(TokenUsage::from(usage)));
        }
        if self.finished {
            self.end(sink);
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            sink(Event::End);
        }
    }
}

fn exception<'a>(event: &Union<'a>) -> Option<(&'static str, &'a RawValue)> {
    [
        ("internalServerException", event.internal_server_exception),
        ("modelStreamErrorException", event.model_stream_error_exception),
        ("throttlingException", event.throttling_exception),
        ("validationException", event.validation_exception),
        ("serviceUnavailableException", event.service_unavailable_exception),
    ]
    .into_iter()
    .find_map(|(kind, body)| Some((kind, body?)))
}

fn close(open: &Open, sink: &mut Sink<'_>) {
    if open.kind == Kind::Call(false) {
        let delta = Delta::Text(Text::from("{}"));
        sink(Event::Delta { choice: 0, block: open.block, delta });
    }
    sink(Event::Close { choice: 0, block: open.block });
}
