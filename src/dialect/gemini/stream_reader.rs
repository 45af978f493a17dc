//! A stream of Gemini answers, each with a few more parts, into events of the intermediate form.
//!
//! The dialect has no last event: a stream is complete when each candidate has its reason to end.

use super::answer::{call_id, citations, finish_of};
use super::{error, wire};
use crate::dialect::ir::answer::Finish;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::stream::{Block, Blocks, CHOICES_MAX, Delta, Event, Running, Sink};
use crate::dialect::ir::wire::{Json, Text};
use crate::dialect::ir::{Dialect, Reply, Signature};
use crate::types::TokenUsage;

/// Reads one stream.
#[derive(Debug)]
pub struct Reader {
    seed: String,
    calls: u32,
    started: bool,
    ended: bool,
    usage: Option<TokenUsage>,
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    blocks: Blocks,
    called: bool,
    finish: Option<Finish>,
}

impl Reader {
    /// A stream whose calls are numbered under the reply's id.
    pub fn new(reply: &Reply<'_>) -> Self {
        Reader {
            seed: reply.id.to_owned(),
            calls: 0,
            started: false,
            ended: false,
            usage: None,
            choices: Vec::new(),
        }
    }

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
        let answer: wire::Answer<'_> = serde_json::from_str(data).map_err(|_| {
            Fault::new(502, "the model's provider sent an answer that cannot be read")
        })?;
        if let Some(error) = answer.error {
            return Err(error::read_status(200, error));
        }
        if let Some(usage) = answer.usage_metadata.and_then(|usage| usage.tokens()) {
            self.usage = Some(usage);
        }
        if !self.started {
            self.started = true;
            let (id, model) = (answer.response_id, answer.model_version);
            sink(Event::Start { id, model, usage: self.usage });
        }
        for candidate in answer.candidates {
            self.candidate(candidate, losses, sink)?;
        }
        if answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            let at = self.choice(0)?;
            if let Some(choice) = self.choices.get_mut(at) {
                choice.finish.get_or_insert(Finish::ContentFilter);
            }
        }
        Ok(())
    }

    /// The upstream's stream is over.
    pub fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        if self.choices.is_empty() || self.choices.iter().any(|choice| choice.finish.is_none()) {
            let message = "the model's provider ended the stream before the answer was complete";
            return Err(Fault::new(502, message));
        }
        self.ended = true;
        for choice in &mut self.choices {
            choice.blocks.close(sink);
            let finish = choice.finish.unwrap_or(Finish::Other);
            sink(Event::Finish { choice: choice.blocks.choice, finish, stop_sequence: None });
        }
        if let Some(usage) = self.usage {
            sink(Event::Usage(usage));
        }
        sink(Event::End);
        Ok(())
    }

    fn candidate(
        &mut self,
        candidate: wire::Candidate<'_>,
        losses: &mut Losses,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let at = self.choice(candidate.index)?;
        let Some(choice) = self.choices.get_mut(at) else { return Ok(()) };
        for part in candidate.content.unwrap_or_default().parts {
            if let Some(call) = part.function_call {
                let signature = part.thought_signature;
                let id = call.id.clone().unwrap_or_else(|| call_id(&self.seed, &mut self.calls));
                choice.call(id, call, signature, sink)?;
            } else {
                choice.part(part, losses, sink)?;
            }
        }
        for cited in citations(candidate.citation_metadata, candidate.grounding_metadata) {
            choice.blocks.add(Running::Text, Delta::Citation(cited), sink)?;
        }
        if candidate.logprobs_result.is_some() {
            losses.feature(Feature::AnswerLogprobs);
        }
        if let Some(reason) = candidate.finish_reason {
            choice.finish = Some(finish_of(&reason, choice.called));
        }
        Ok(())
    }

    fn choice(&mut self, index: u32) -> Result<usize, Fault> {
        if let Some(at) = self.choices.iter().position(|choice| choice.blocks.choice == index) {
            return Ok(at);
        }
        if index >= CHOICES_MAX {
            return Err(Fault::new(502, "a candidate with too high a number"));
        }
        self.choices.push(Choice { blocks: Blocks::new(index), called: false, finish: None });
        Ok(self.choices.len() - 1)
    }
}

impl Choice {
    fn part(
        &mut self,
        part: wire::Part<'_>,
        losses: &mut Losses,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let thought = part.thought == Some(true);
        let running = if thought { Running::Thinking } else { Running::Text };
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            self.blocks.add(running, Delta::Text(text), sink)?;
        }
        match part.thought_signature {
            Some(data) if thought => {
                let delta = Delta::Signature(Signature::read(Dialect::Gemini, data));
                self.blocks.add(Running::Thinking, delta, sink)?;
            }
            Some(_) => losses.feature(Feature::TextSignatures),
            None => {}
        }
        if part.inline_data.is_some() || part.file_data.is_some() {
            losses.feature(Feature::AnswerMedia);
        }
        if part.executable_code.is_some() || part.code_execution_result.is_some() {
            losses.unknown("candidates[].content.parts[].", "executableCode");
        }
        Ok(())
    }

    fn call(
        &mut self,
        id: Text<'_>,
        call: wire::FunctionCall<'_>,
        signature: Option<Text<'_>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        if call.partial_args.is_some() || call.will_continue.is_some() || call.name.is_none() {
            return Err(Fault::new(502, "the model's provider sent a call in pieces, unasked"));
        }
        self.called = true;
        let block = self.blocks.number(sink)?;
        let choice = self.blocks.choice;
        let kind = Block::Call {
            id,
            name: call.name.unwrap_or_default(),
            signature: signature.map(|data| Signature::read(Dialect::Gemini, data)),
        };
        sink(Event::Open { choice, block, kind });
        let arguments = call.args.map_or(Text::from("{}"), Json::into_text);
        sink(Event::Delta { choice, block, delta: Delta::Text(arguments) });
        sink(Event::Close { choice, block });
        Ok(())
    }
}
