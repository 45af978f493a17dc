//! A whole Gemini answer, to and from the intermediate form.

use std::collections::BTreeMap;

use super::error;
use super::request_reader::other_part;
use super::wire::{
    self, Blob, Candidate, CitationMetadata, CitationSource, Content, FunctionCall,
    GroundingMetadata, LogprobsResult, TokenCandidate, TopCandidates, Usage,
};
use crate::dialect::ir::answer::{Answer, Choice, Citation, Finish, TokenLogprob};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::wire::{Json, Text, to_json, to_raw};
use crate::dialect::ir::{Call, Dialect, Part, PartKind, Reply, Signature, Source};
use crate::types::TokenUsage;

/// Reads a usage object alone.
pub fn usage(object: &[u8], _before: Option<TokenUsage>) -> Option<TokenUsage> {
    serde_json::from_slice::<Usage>(object).ok()?.tokens()
}

/// Reads an answer. One that is none, or that holds an error, is an error. Calls without an id are
/// numbered under the reply's id.
pub fn read<'a>(
    body: &'a [u8],
    reply: &Reply<'_>,
    losses: &mut Losses,
) -> Result<Answer<'a>, Fault> {
    let wire: wire::Answer<'a> =
        serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    if let Some(error) = wire.error {
        return Err(error::read_status(200, error));
    }
    let mut calls = 0;
    let mut choices = Vec::with_capacity(wire.candidates.len().max(1));
    for candidate in wire.candidates {
        choices.push(read_candidate(candidate, reply.id, &mut calls, losses));
    }
    if choices.is_empty() {
        if wire.prompt_feedback.is_none() {
            return Err(Fault::new(502, "the model's provider gave no answer"));
        }
        // The prompt was blocked: an answer without words, cut by a filter.
        choices.push(Choice { finish: Some(Finish::ContentFilter), ..Choice::default() });
    }
    Ok(Answer {
        id: wire.response_id,
        model: wire.model_version,
        created: None,
        choices,
        usage: wire.usage_metadata.and_then(|usage| usage.tokens()),
    })
}

fn read_candidate<'a>(
    candidate: Candidate<'a>,
    seed: &str,
    calls: &mut u32,
    losses: &mut Losses,
) -> Choice<'a> {
    let mut content = Vec::new();
    for part in candidate.content.unwrap_or_default().parts {
        content.extend(read_part(part, seed, calls, losses).map(Part::new));
    }
    let cited = citations(candidate.citation_metadata, candidate.grounding_metadata);
    let text = content.iter_mut().rev().find_map(|part| match &mut part.kind {
        PartKind::Text { citations, .. } => Some(citations),
        _ => None,
    });
    if let Some(citations) = text {
        *citations = cited;
    }
    let called = content.iter().any(|part| matches!(part.kind, PartKind::Call(_)));
    let finish = candidate.finish_reason.as_deref().map(|reason| finish_of(reason, called));
    Choice {
        index: candidate.index,
        content,
        finish,
        stop_sequence: None,
        logprobs: candidate.logprobs_result.map(read_logprobs).unwrap_or_default(),
    }
}

fn read_part<'a>(
    part: wire::Part<'a>,
    seed: &str,
    calls: &mut u32,
    losses: &mut Losses,
) -> Option<PartKind<'a>> {
    if let Some(call) = part.function_call {
        return Some(PartKind::Call(Call {
            id: call.id.unwrap_or_else(|| call_id(seed, calls)),
            name: call.name.unwrap_or_default(),
            arguments: call.args.map_or(Text::from("{}"), Json::into_text),
            signature: part.thought_signature.map(|data| Signature::read(Dialect::Gemini, data)),
        }));
    }
    if part.executable_code.is_some() || part.code_execution_result.is_some() {
        losses.unknown("candidates[].content.parts[].", "executableCode");
        return None;
    }
    other_part(part, losses)
        .filter(|kind| !matches!(kind, PartKind::Text { text, .. } if text.is_empty()))
}

/// An id for a call that has none.
pub(super) fn call_id(seed: &str, calls: &mut u32) -> Text<'static> {
    let id = format!("call_{seed}_{calls}");
    *calls = calls.saturating_add(1);
    Text::from(id)
}

pub(super) fn citations<'a>(
    metadata: Option<CitationMetadata<'a>>,
    grounding: Option<GroundingMetadata<'a>>,
) -> Vec<Citation<'a>> {
    let recited = metadata.map(|metadata| metadata.citation_sources).unwrap_or_default();
    let grounded = grounding.map(|grounding| grounding.grounding_chunks).unwrap_or_default();
    let sources = recited.into_iter().chain(grounded.into_iter().filter_map(|chunk| chunk.web));
    let cited = |source: CitationSource<'a>| Citation {
        url: source.uri,
        title: source.title,
        quote: None,
        span: source.start_index.zip(source.end_index),
    };
    sources.filter(|source| source.uri.is_some()).map(cited).collect()
}

fn read_logprobs<'a>(result: LogprobsResult<'a>) -> Vec<TokenLogprob<'a>> {
    let mut tops = result.top_candidates.into_iter();
    let read = |chosen: TokenCandidate<'a>| {
        let top = tops.next().unwrap_or_default().candidates.into_iter();
        TokenLogprob {
            token: chosen.token,
            logprob: chosen.log_probability,
            top: top.map(|one| (one.token, one.log_probability)).collect(),
        }
    };
    result.chosen_candidates.into_iter().map(read).collect()
}

/// This dialect stops for calls as it stops for the end.
pub(super) fn finish_of(reason: &str, called: bool) -> Finish {
    match reason {
        "STOP" if called => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::ContentFilter,
        _ => Finish::Other,
    }
}

pub(super) const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence | Finish::ToolCalls | Finish::Pause => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Other => "OTHER",
    }
}

/// Writes an answer. What cannot be said is noted.
pub fn write(answer: &Answer<'_>, reply: &Reply<'_>, losses: &mut Losses) -> Vec<u8> {
    let candidates = answer.choices.iter().map(|choice| candidate(choice, losses));
    to_json(&wire::Answer {
        candidates: candidates.collect(),
        prompt_feedback: None,
        usage_metadata: answer.usage.map(Usage::from),
        model_version: Some(answer.model.as_ref().map_or(Text::from(reply.model), Text::view)),
        response_id: Some(answer.id.as_ref().map_or(Text::from(reply.id), Text::view)),
        error: None,
    })
}

fn candidate<'a>(choice: &'a Choice<'a>, losses: &mut Losses) -> Candidate<'a> {
    let mut sources = Vec::new();
    let mut parts = Vec::with_capacity(choice.content.len());
    for part in &choice.content {
        if let PartKind::Text { citations, .. } = &part.kind {
            sources.extend(citations.iter().filter_map(|cited| source(cited, losses)));
        }
        parts.extend(write_part(part, losses));
    }
    let metadata = (!sources.is_empty()).then_some(CitationMetadata { citation_sources: sources });
    Candidate {
        content: Some(Content { role: Some(Text::from("model")), parts }),
        finish_reason: Some(Text::from(finish_reason(choice.finish.unwrap_or(Finish::Other)))),
        index: choice.index,
        citation_metadata: metadata,
        grounding_metadata: None,
        logprobs_result: logprobs(&choice.logprobs),
    }
}

pub(super) fn source<'a>(
    cited: &'a Citation<'a>,
    losses: &mut Losses,
) -> Option<CitationSource<'a>> {
    let Some(url) = &cited.url else {
        losses.feature(Feature::AnswerDocumentCitations);
        return None;
    };
    Some(CitationSource {
        start_index: cited.span.map(|(start, _)| start),
        end_index: cited.span.map(|(_, end)| end),
        uri: Some(url.view()),
        title: cited.title.as_ref().map(Text::view),
    })
}

fn write_part<'a>(part: &'a Part<'a>, losses: &mut Losses) -> Option<wire::Part<'a>> {
    let written = match &part.kind {
        PartKind::Text { text, .. } | PartKind::Refusal(text) => text_part(text.view()),
        PartKind::Thinking { text, signature } => wire::Part {
            thought: Some(true),
            thought_signature: signature
                .as_ref()
                .map(|known| known.written(Dialect::Gemini).into()),
            ..text_part(text.view())
        },
        PartKind::Call(call) => call_part(call),
        PartKind::Media(media) => match &media.source {
            Source::Data { mime, base64 } => wire::Part {
                inline_data: Some(Blob { mime_type: mime.view(), data: base64.view() }),
                ..wire::Part::default()
            },
            Source::Url { .. } | Source::Id(_) | Source::Plain(_) => {
                losses.feature(Feature::AnswerMedia);
                return None;
            }
        },
        PartKind::Redacted(_) => {
            losses.feature(Feature::AnswerRedactedThinking);
            return None;
        }
        PartKind::Result(_) => return None,
    };
    Some(written)
}

pub(super) fn text_part(text: Text<'_>) -> wire::Part<'_> {
    wire::Part { text: Some(text), ..wire::Part::default() }
}

fn call_part<'a>(call: &'a Call<'a>) -> wire::Part<'a> {
    wire::Part {
        function_call: Some(FunctionCall {
            id: Some(call.id.view()),
            name: Some(call.name.view()),
            args: Some(arguments(&call.arguments)),
            ..FunctionCall::default()
        }),
        thought_signature: call
            .signature
            .as_ref()
            .map(|known| known.written(Dialect::Gemini).into()),
        ..wire::Part::default()
    }
}

/// A call's arguments as an object, which this dialect requires: text that is none becomes the one
/// member of one, as a model can be cut off in the middle.
pub(super) fn arguments(text: &str) -> Json<'_> {
    object(text).unwrap_or_else(|| to_raw(&BTreeMap::from([("arguments", text)])))
}

/// A JSON object.
pub(super) fn object(text: &str) -> Option<Json<'_>> {
    let json: Json<'_> = serde_json::from_str(text).ok()?;
    json.get().starts_with('{').then_some(json)
}

fn logprobs<'a>(tokens: &'a [TokenLogprob<'a>]) -> Option<LogprobsResult<'a>> {
    let token = |text: &'a Text<'a>, log_probability| TokenCandidate {
        token: text.view(),
        log_probability,
    };
    let tops = tokens.iter().map(|one| TopCandidates {
        candidates: one.top.iter().map(|(text, logprob)| token(text, *logprob)).collect(),
    });
    (!tokens.is_empty()).then(|| LogprobsResult {
        top_candidates: tops.collect(),
        chosen_candidates: tokens.iter().map(|one| token(&one.token, one.logprob)).collect(),
    })
}
