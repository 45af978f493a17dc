//! A stream of Messages events into events of the intermediate form.
//!
//! Its state is the usage so far and one small record for each open block.

use serde::Deserialize;

use super::answer::finish_of;
use super::error;
use super::request_reader::citation;
use super::wire::{self, Block as WireBlock, StopDetails, Usage};
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::Losses;
use crate::dialect::ir::stream::{BLOCKS_MAX, Block, Delta, Event, Sink};
use crate::dialect::ir::wire::{Json, Text};
use crate::dialect::ir::{Dialect, Signature};
use crate::types::TokenUsage;

/// One event, with the members of all types together.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Message<'a> {
    r#type: Text<'a>,
    #[serde(default)]
    index: u32,
    #[serde(default)]
    message: Option<wire::Answer<'a>>,
    #[serde(default)]
    content_block: Option<WireBlock<'a>>,
    #[serde(default)]
    delta: Option<MessageDelta<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct MessageDelta<'a> {
    #[serde(default)]
    r#type: Option<Text<'a>>,
    #[serde(default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thinking: Option<Text<'a>>,
    #[serde(default)]
    signature: Option<Text<'a>>,
    #[serde(default)]
    partial_json: Option<Text<'a>>,
    #[serde(default)]
    citation: Option<wire::Citation<'a>>,
    #[serde(default)]
    stop_reason: Option<Text<'a>>,
    #[serde(default)]
    stop_sequence: Option<Text<'a>>,
    #[serde(default)]
    stop_details: Option<StopDetails<'a>>,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    started: bool,
    finished: bool,
    ended: bool,
    usage: TokenUsage,
    next: u32,
    open: Vec<Open>,
}

/// An open block: its number at the upstream and here.
#[derive(Debug)]
struct Open {
    index: u32,
    /// `None` for a block of a kind that only Anthropic knows: it is passed over.
    block: Option<u32>,
    arguments: Arguments,
}

/// What has come of a block's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arguments {
    /// It is no call.
    None,
    /// Nothing yet.
    Awaited,
    /// All of them, with its beginning, as some servers send them: what follows can only repeat them.
    Whole,
    /// A piece of them.
    Pieces,
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
        match &*event.r#type {
            "message_start" => self.start(event.message.unwrap_or_default(), sink),
            "content_block_start" => {
                let block = event
                    .content_block
                    .ok_or_else(|| Fault::new(502, "a block without content"))?;
                self.open(event.index, block, losses, sink)
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(event.index, delta, sink);
                }
                Ok(())
            }
            "content_block_stop" => {
                self.close(event.index, sink);
                Ok(())
            }
            "message_delta" => self.finish_message(event.delta, event.usage, sink),
            "message_stop" => {
                self.end(sink);
                Ok(())
            }
            "error" => Err(error::read(200, data.as_bytes())),
            // `ping`, and what may come later: clients are told to pass over unknown events.
            _ => Ok(()),
        }
    }

    /// The upstream's stream is over: it must have said so itself.
    pub fn finish(&mut self, _sink: &mut Sink<'_>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        Err(Fault::new(502, "the model's provider ended the stream before the answer was complete"))
    }

    fn start(&mut self, message: wire::Answer<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if self.started {
            // Some proxies say it twice at once; in the middle of an answer, another one was spliced in.
            return match self.next {
                0 => Ok(()),
                _ => {
                    Err(Fault::new(502, "the model's provider began a second answer in the stream"))
                }
            };
        }
        self.started = true;
        self.usage = message.usage.unwrap_or_default().tokens(TokenUsage::default());
        sink(Event::Start { id: message.id, model: message.model, usage: Some(self.usage) });
        Ok(())
    }

    fn open(
        &mut self,
        index: u32,
        block: WireBlock<'_>,
        losses: &mut Losses,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let mut input = None;
        let mut arguments = Arguments::None;
        let kind = match &*block.r#type {
            "text" => Some(Block::Text),
            "thinking" => Some(Block::Thinking),
            "redacted_thinking" => Some(Block::Redacted(block.data.unwrap_or_default())),
            "tool_use" => {
                input = block.input.map(Json::into_text).filter(|input| !is_empty(input));
                arguments = input.as_ref().map_or(Arguments::Awaited, |_| Arguments::Whole);
                let (id, name) = (block.id.unwrap_or_default(), block.name.unwrap_or_default());
                Some(Block::Call { id, name, signature: None })
            }
            other => {
                losses.unknown("content[].", other);
                None
            }
        };
        let number = match kind {
            Some(_) => Some(self.number()?),
            None => None,
        };
        if self.open.len() >= BLOCKS_MAX as usize {
            return Err(Fault::new(502, "the answer has too many open parts"));
        }
        self.open.push(Open { index, block: number, arguments });
        if let (Some(block_number), Some(kind)) = (number, kind) {
            sink(Event::Open { choice: 0, block: block_number, kind });
            for text in [block.text, block.thinking, input].into_iter().flatten() {
                text_delta(block_number, text, sink);
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32, Fault> {
        let number = self.next;
        if number == BLOCKS_MAX {
            return Err(Fault::new(502, "the answer has too many parts"));
        }
        self.next += 1;
        Ok(number)
    }

    fn delta(&mut self, index: u32, delta: MessageDelta<'_>, sink: &mut Sink<'_>) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == index) else { return };
        let Some(block) = open.block else { return };
        match delta.r#type.as_deref() {
            Some("text_delta") => {
                delta.text.into_iter().for_each(|text| text_delta(block, text, sink))
            }
            Some("thinking_delta") => {
                delta.thinking.into_iter().for_each(|text| text_delta(block, text, sink));
            }
            Some("input_json_delta") => {
                let piece = delta.partial_json.filter(|text| !text.is_empty());
                if let Some(text) = piece.filter(|_| open.arguments != Arguments::Whole) {
                    open.arguments = Arguments::Pieces;
                    text_delta(block, text, sink);
                }
            }
            Some("signature_delta") => {
                if let Some(data) = delta.signature.filter(|data| !data.is_empty()) {
                    let delta = Delta::Signature(Signature::read(Dialect::Anthropic, data));
                    sink(Event::Delta { choice: 0, block, delta });
                }
            }
            Some("citations_delta") => {
                if let Some(cited) = delta.citation {
                    let delta = Delta::Citation(citation(cited));
                    sink(Event::Delta { choice: 0, block, delta });
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, index: u32, sink: &mut Sink<'_>) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else { return };
        let open = self.open.remove(at);
        if let Some(block) = open.block {
            close(block, open.arguments, sink);
        }
    }

    fn finish_message(
        &mut self,
        delta: Option<MessageDelta<'_>>,
        usage: Option<Usage>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        if let Some(usage) = usage {
            self.usage = usage.tokens(self.usage);
            sink(Event::Usage(self.usage));
        }
        let Some(delta) = delta else { return Ok(()) };
        if let Some(reason) = delta.stop_reason.filter(|_| !self.finished) {
            self.close_all(sink);
            if let Some(text) = delta.stop_details.and_then(|details| details.explanation) {
                let block = self.number()?;
                sink(Event::Open { choice: 0, block, kind: Block::Refusal });
                text_delta(block, text, sink);
                sink(Event::Close { choice: 0, block });
            }
            self.finished = true;
            let (finish, stop_sequence) = (finish_of(&reason), delta.stop_sequence);
            sink(Event::Finish { choice: 0, finish, stop_sequence });
        }
        Ok(())
    }

    /// A call that was cut off by the limit of tokens has no end of its own.
    fn close_all(&mut self, sink: &mut Sink<'_>) {
        for open in std::mem::take(&mut self.open) {
            if let Some(block) = open.block {
                close(block, open.arguments, sink);
            }
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if !self.started {
            sink(Event::Start { id: None, model: None, usage: None });
        }
        self.close_all(sink);
        if !self.finished {
            sink(Event::Finish { choice: 0, finish: Finish::Other, stop_sequence: None });
        }
        sink(Event::End);
    }
}

/// Whether a call's beginning leaves its arguments to the deltas.
fn is_empty(input: &str) -> bool {
    let letters = input.bytes().filter(|byte| !byte.is_ascii_whitespace());
    matches!(input, "null" | "\"\"") || letters.eq(*b"{}")
}

fn text_delta(block: u32, text: Text<'_>, sink: &mut Sink<'_>) {
    if !text.is_empty() {
        sink(Event::Delta { choice: 0, block, delta: Delta::Text(text) });
    }
}

fn close(block: u32, arguments: Arguments, sink: &mut Sink<'_>) {
    if arguments == Arguments::Awaited {
        text_delta(block, Text::from("{}"), sink);
    }
    sink(Event::Close { choice: 0, block });
}
