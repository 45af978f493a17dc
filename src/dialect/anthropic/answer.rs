//! A whole Messages answer, to and from the intermediate form.

use serde::Serialize;

use super::error;
use super::request_reader::read_block;
use super::request_writer::text_block;
use super::wire::{self, Block, StopDetails, Usage};
use crate::dialect::ir::answer::{Answer, Choice, Citation, Finish};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::wire::{Json, Text, to_json, to_raw};
use crate::dialect::ir::{Call, Dialect, Part, PartKind, Reply, Signature};
use crate::types::TokenUsage;

/// Reads a usage object alone; what it leaves out is taken from the one before.
pub fn usage(object: &[u8], before: Option<TokenUsage>) -> Option<TokenUsage> {
    let usage: Usage = serde_json::from_slice(object).ok()?;
    usage.is_told().then(|| usage.tokens(before.unwrap_or_default()))
}

/// Reads an answer. One that is none, or that holds an error, is an error.
pub fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<Answer<'a>, Fault> {
    let wire: wire::Answer<'a> =
        serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    if wire.error.is_some() {
        return Err(error::read(200, body));
    }
    if wire.r#type.as_deref() != Some("message") {
        return Err(Fault::unreadable(502));
    }
    let mut content: Vec<Part<'a>> =
        wire.content.into_iter().filter_map(|block| read_block(block, losses)).collect();
    if let Some(explanation) = wire.stop_details.and_then(|details| details.explanation) {
        content.push(Part::new(PartKind::Refusal(explanation)));
    }
    let choice = Choice {
        index: 0,
        content,
        finish: wire.stop_reason.as_deref().map(finish_of),
        stop_sequence: wire.stop_sequence,
        logprobs: Vec::new(),
    };
    Ok(Answer {
        id: wire.id,
        model: wire.model,
        created: None,
        choices: vec![choice],
        usage: wire.usage.map(|usage| usage.tokens(TokenUsage::default())),
    })
}

pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "pause_turn" => Finish::Pause,
        "refusal" => Finish::Refusal,
        _ => Finish::Other,
    }
}

pub(super) const fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Other => "end_turn",
        Finish::StopSequence => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Refusal => "refusal",
        Finish::Pause => "pause_turn",
    }
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<StopDetails<'a>>,
    usage: Usage,
}

/// Writes an answer. What cannot be said is noted.
pub fn write(answer: &Answer<'_>, reply: &Reply<'_>, losses: &mut Losses) -> Vec<u8> {
    if answer.choices.len() > 1 {
        losses.feature(Feature::AnswerChoices);
    }
    let first = answer.choices.first();
    if first.is_some_and(|choice| !choice.logprobs.is_empty()) {
        losses.feature(Feature::AnswerLogprobs);
    }
    let mut content = Vec::new();
    for part in first.map(|choice| choice.content.as_slice()).unwrap_or_default() {
        write_part(part, &mut content, losses);
    }
    to_json(&Written {
        id: answer.id.as_deref().unwrap_or(reply.id),
        r#type: "message",
        role: "assistant",
        model: answer.model.as_deref().unwrap_or(reply.model),
        content,
        stop_reason: stop_reason(first.and_then(|choice| choice.finish).unwrap_or(Finish::Other)),
        stop_sequence: first.and_then(|choice| choice.stop_sequence.as_deref()),
        stop_details: None,
        usage: Usage::from(answer.usage.unwrap_or_default()),
    })
}

fn write_part<'a>(part: &'a Part<'a>, out: &mut Vec<Block<'a>>, losses: &mut Losses) {
    match &part.kind {
        PartKind::Text { text, citations } => {
            let cited: Vec<_> =
                citations.iter().filter_map(|cited| written_citation(cited, losses)).collect();
            let citations = (!cited.is_empty()).then(|| to_raw(&cited));
            out.push(Block { citations, ..text_block(text.view()) });
        }
        PartKind::Refusal(text) => out.push(text_block(text.view())),
        PartKind::Thinking { text, signature } => out.push(thought(text, signature.as_ref())),
        PartKind::Redacted(data) => out.push(Block {
            r#type: Text::from("redacted_thinking"),
            data: Some(data.view()),
            ..Block::default()
        }),
        PartKind::Call(call) => {
            // A call has no place for a signature here; an empty thought before it has.
            if let Some(signature) = &call.signature {
                out.push(thought("", Some(signature)));
            }
            out.push(call_block(call));
        }
        PartKind::Media(_) | PartKind::Result(_) => losses.feature(Feature::AnswerMedia),
    }
}

fn thought<'a>(text: &'a str, signature: Option<&'a Signature<'a>>) -> Block<'a> {
    let signature = signature.map(|signature| signature.written(Dialect::Anthropic).into());
    Block {
        r#type: Text::from("thinking"),
        thinking: Some(Text::from(text)),
        signature: Some(signature.unwrap_or_default()),
        ..Block::default()
    }
}

fn call_block<'a>(call: &'a Call<'a>) -> Block<'a> {
    let input = serde_json::from_str::<Json<'a>>(&call.arguments)
        .ok()
        .filter(|json| json.get().starts_with('{'))
        .unwrap_or_else(|| to_raw(&Broken { arguments: &call.arguments }));
    Block {
        r#type: Text::from("tool_use"),
        id: Some(call.id.view()),
        name: Some(call.name.view()),
        input: Some(input),
        ..Block::default()
    }
}

/// Arguments that are no JSON object, which a model can write when it is cut off.
#[derive(Serialize)]
struct Broken<'a> {
    arguments: &'a str,
}

pub(super) fn written_citation<'a>(
    cited: &'a Citation<'a>,
    losses: &mut Losses,
) -> Option<wire::Citation<'a>> {
    let Some(url) = &cited.url else {
        losses.feature(Feature::AnswerDocumentCitations);
        return None;
    };
    Some(wire::Citation {
        r#type: Text::from("web_search_result_location"),
        url: Some(url.view()),
        title: Some(cited.title.as_ref().map_or(Text::default(), Text::view)),
        document_title: None,
        cited_text: Some(cited.quote.as_ref().map_or(Text::default(), Text::view)),
        encrypted_index: Some(Text::default()),
    })
}
