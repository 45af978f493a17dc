//! A stream of chat completion chunks into events of the intermediate form.
//!
//! The dialect has no blocks: text, thoughts and calls come as they come. This reader makes blocks
//! of them. Its state is one small record a choice and one a call.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{citation, finish_of, present};
use super::error;
use super::usage::Usage;
use super::wire::{Annotation, ExtraContent, FunctionCall, Logprobs, ThinkingBlock};
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::stream::{
    BLOCKS_MAX, Block, Blocks, CHOICES_MAX, Delta, Event, Running, Sink,
};
use crate::dialect::ir::wire::{self, Text};
use crate::dialect::ir::{Dialect, Signature};
use crate::types::TokenUsage;

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Chunk<'a> {
    #[serde(default)]
    id: Option<Text<'a>>,
    #[serde(default)]
    model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    choices: Vec<ChunkChoice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    delta: Option<ChunkDelta<'a>>,
    #[serde(default)]
    logprobs: Option<Logprobs<'a>>,
    #[serde(default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct ChunkDelta<'a> {
    #[serde(default)]
    content: Option<Text<'a>>,
    #[serde(default)]
    refusal: Option<Text<'a>>,
    #[serde(default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(default)]
    reasoning: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    tool_calls: Vec<CallDelta<'a>>,
    #[serde(default)]
    function_call: Option<FunctionCall<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    annotations: Vec<Annotation<'a>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct CallDelta<'a> {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    id: Option<Text<'a>>,
    #[serde(default)]
    function: Option<FunctionCall<'a>>,
    #[serde(default)]
    extra_content: Option<ExtraContent<'a>>,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    started: bool,
    ended: bool,
    choices: Vec<Choice>,
    usage: Option<TokenUsage>,
}

#[derive(Debug)]
struct Choice {
    blocks: Blocks,
    calls: Vec<OpenCall>,
    finished: bool,
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
        if data == "[DONE]" {
            self.end(sink);
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_str(data).map_err(|_| {
            Fault::new(502, "the model's provider sent a chunk that cannot be read")
        })?;
        if let Some(error) = chunk.error {
            return Err(error::read_detail(502, error));
        }
        if !self.started && !chunk.choices.is_empty() {
            self.started = true;
            sink(Event::Start { id: present(chunk.id), model: present(chunk.model), usage: None });
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage.tokens());
        }
        for choice in chunk.choices {
            if choice.logprobs.as_ref().is_some_and(|logprobs| !logprobs.content.is_empty()) {
                losses.feature(Feature::AnswerLogprobs);
            }
            self.choice(choice.index)?.read(choice, sink)?;
        }
        Ok(())
    }

    /// The upstream's stream is over. Some servers send no `[DONE]`; what counts is that every choice finished.
    pub fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished) {
            self.end(sink);
        }
        if self.ended {
            return Ok(());
        }
        Err(Fault::new(502, "the model's provider ended the stream before the answer was complete"))
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if !self.started {
            sink(Event::Start { id: None, model: None, usage: None });
        }
        for choice in &mut self.choices {
            choice.finish(Finish::Other, sink);
        }
        if let Some(usage) = self.usage {
            sink(Event::Usage(usage));
        }
        sink(Event::End);
    }

    fn choice(&mut self, index: u32) -> Result<&mut Choice, Fault> {
        let known = self.choices.iter().position(|choice| choice.blocks.choice == index);
        let at = match known {
            Some(at) => at,
            None if index < CHOICES_MAX => {
                let blocks = Blocks::new(index);
                self.choices.push(Choice { blocks, calls: Vec::new(), finished: false });
                self.choices.len() - 1
            }
            None => return Err(Fault::new(502, "a choice with too high a number")),
        };
        self.choices.get_mut(at).ok_or_else(|| Fault::new(502, "a choice that is not there"))
    }
}

impl Choice {
    fn read(&mut self, choice: ChunkChoice<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if let Some(delta) = choice.delta {
            self.think(delta.thinking_blocks, delta.reasoning_content.or(delta.reasoning), sink)?;
            if let Some(text) = present(delta.content) {
                self.blocks.add(Running::Text, Delta::Text(text), sink)?;
            }
            for cited in delta.annotations.into_iter().filter_map(citation) {
                self.blocks.add(Running::Text, Delta::Citation(cited), sink)?;
            }
            if let Some(text) = present(delta.refusal) {
                self.blocks.add(Running::Refusal, Delta::Text(text), sink)?;
            }
            for call in delta.tool_calls {
                self.call(call, sink)?;
            }
            if let Some(function) = delta.function_call {
                let id = function.name.clone();
                self.call(
                    CallDelta { index: 0, id, function: Some(function), extra_content: None },
                    sink,
                )?;
            }
        }
        if let Some(reason) = present(choice.finish_reason) {
            self.finish(finish_of(&reason), sink);
        }
        Ok(())
    }

    /// A delta may say a thought twice: as blocks with signatures and as plain text.
    fn think(
        &mut self,
        blocks: Vec<ThinkingBlock<'_>>,
        plain: Option<Text<'_>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        if let Some(text) = present(plain) {
            self.blocks.add(Running::Thinking, Delta::Text(text), sink)?;
        }
        for block in blocks {
            if let Some(data) = block.data {
                let number = self.blocks.number(sink)?;
                let choice = self.blocks.choice;
                sink(Event::Open { choice, block: number, kind: Block::Redacted(data) });
                sink(Event::Close { choice, block: number });
            } else if let Some(data) = present(block.signature) {
                let signature = Signature::read(Dialect::Anthropic, data);
                self.blocks.add(Running::Thinking, Delta::Signature(signature), sink)?;
            }
        }
        Ok(())
    }

    fn call(&mut self, call: CallDelta<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let choice = self.blocks.choice;
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (present(function.name), present(function.arguments)));
        if !self.calls.iter().any(|open| open.index == call.index) {
            if self.calls.len() >= BLOCKS_MAX as usize {
                return Err(Fault::new(502, "the answer has too many calls"));
            }
            let block = self.blocks.number(sink)?;
            self.calls.push(OpenCall { index: call.index, block, empty: true });
            let signature = call.extra_content.and_then(|extra| extra.google?.thought_signature);
            let kind = Block::Call {
                id: call.id.unwrap_or_default(),
                name: name.unwrap_or_default(),
                signature: signature.map(|data| Signature::read(Dialect::Gemini, data)),
            };
            sink(Event::Open { choice, block, kind });
        }
        let open = self.calls.iter_mut().find(|open| open.index == call.index);
        if let (Some(open), Some(text)) = (open, arguments) {
            open.empty = false;
            sink(Event::Delta { choice, block: open.block, delta: Delta::Text(text) });
        }
        Ok(())
    }

    fn finish(&mut self, finish: Finish, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let choice = self.blocks.choice;
        self.blocks.close(sink);
        for call in self.calls.drain(..) {
            if call.empty {
                let delta = Delta::Text(Text::from("{}"));
                sink(Event::Delta { choice, block: call.block, delta });
            }
            sink(Event::Close { choice, block: call.block });
        }
        sink(Event::Finish { choice, finish, stop_sequence: None });
    }
}
