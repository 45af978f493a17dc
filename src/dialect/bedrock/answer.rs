//! A whole answer of Converse into the intermediate form.

use serde::Deserialize;

use super::error;
use super::wire::{self, Block, Message, ResponseFields, Usage};
use crate::dialect::ir::answer::{Answer, Choice, Citation, Finish};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::wire::{Json, Text};
use crate::dialect::ir::{Call, Dialect, Part, PartKind, Signature};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    #[serde(default)]
    output: Option<Output<'a>>,
    #[serde(default)]
    stop_reason: Option<Text<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    additional_model_response_fields: Option<ResponseFields<'a>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Output<'a> {
    #[serde(default)]
    message: Message<'a>,
}

/// Reads an answer. One that is none is an error.
pub fn read(body: &[u8]) -> Result<Answer<'_>, Fault> {
    let wire: Body<'_> = serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    let Some(output) = wire.output else { return Err(error::read(200, body)) };
    let fields = wire.additional_model_response_fields.unwrap_or_default();
    let choice = Choice {
        index: 0,
        content: output.message.content.into_iter().filter_map(part).collect(),
        finish: wire.stop_reason.as_deref().map(finish_of),
        stop_sequence: fields.stop_sequence,
        logprobs: Vec::new(),
    };
    Ok(Answer {
        id: None,
        model: None,
        created: None,
        choices: vec![choice],
        usage: wire.usage.map(Into::into),
    })
}

pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        "refusal" => Finish::Refusal,
        _ => Finish::Other,
    }
}

/// A block of a kind that is new is passed over: nothing tells what it is.
fn part(block: Block<'_>) -> Option<Part<'_>> {
    let kind = if let Some(text) = block.text {
        PartKind::Text { text, citations: Vec::new() }
    } else if let Some(call) = block.tool_use {
        PartKind::Call(Call {
            id: call.tool_use_id,
            name: call.name,
            arguments: call.input.map_or(Text::from("{}"), Json::into_text),
            signature: None,
        })
    } else if let Some(cited) = block.citations_content {
        let text: String = cited.content.iter().map(|piece| &*piece.text).collect();
        let citations = cited.citations.into_iter().map(citation).collect();
        PartKind::Text { text: text.into(), citations }
    } else {
        let thought = block.reasoning_content?;
        match (thought.reasoning_text, thought.redacted_content) {
            (Some(said), _) => {
                PartKind::Thinking { text: said.text, signature: said.signature.and_then(signed) }
            }
            (None, Some(data)) => PartKind::Redacted(data),
            (None, None) => return None,
        }
    };
    Some(Part::new(kind))
}

/// Claude alone signs its thoughts here, and Anthropic takes them back wherever they were signed ("Extended
/// thinking": signatures hold across platforms).
pub(super) fn signed(data: Text<'_>) -> Option<Signature<'_>> {
    (!data.is_empty()).then(|| Signature::read(Dialect::Anthropic, data))
}

pub(super) fn citation(cited: wire::Citation<'_>) -> Citation<'_> {
    let quote: String = cited.source_content.iter().map(|piece| &*piece.text).collect();
    Citation {
        url: cited.location.and_then(|location| location.web).and_then(|web| web.url),
        title: cited.title,
        quote: (!quote.is_empty()).then(|| quote.into()),
        span: None,
    }
}
