//! A whole Responses answer, to and from the intermediate form.

use super::event::{Repeated, Snapshot};
use super::request_reader::{call, content, thought};
use super::request_writer::summary;
use super::wire::{self, Annotation, Incomplete, Item, Usage};
use crate::dialect::chat;
use crate::dialect::ir::answer::{Answer, Choice, Citation, Finish};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::wire::{Mixed, Text, to_json};
use crate::dialect::ir::{Call, Dialect, Part, PartKind, Reply, Signature};

/// Reads an answer. One that is none, or that holds an error, is an error.
pub fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<Answer<'a>, Fault> {
    let wire: wire::Answer<'a> =
        serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    if let Some(error) = wire.error {
        return Err(chat::error::read_detail(502, error));
    }
    if wire.object.as_deref() != Some("response") {
        return Err(Fault::unreadable(502));
    }
    let mut said = Vec::new();
    for item in wire.output {
        read_item(item, &mut said, losses);
    }
    let called = said.iter().any(|part| matches!(part.kind, PartKind::Call(_)));
    let reason = wire.incomplete_details.and_then(|details| details.reason);
    let finish = finish_of(wire.status.as_deref(), reason.as_deref(), called);
    Ok(Answer {
        id: wire.id,
        model: wire.model,
        created: wire.created_at.and_then(|seconds| seconds.as_u64()),
        choices: vec![Choice { content: said, finish: Some(finish), ..Choice::default() }],
        usage: wire.usage.map(|usage| usage.tokens()),
    })
}

fn read_item<'a>(item: Item<'a>, said: &mut Vec<Part<'a>>, losses: &mut Losses) {
    match item.r#type.as_deref() {
        Some("message") => said.extend(content(item.content, losses)),
        Some("function_call") => said.push(Part::new(PartKind::Call(call(item)))),
        Some("reasoning") => {
            let part = Part::new(thought(item));
            let empty = matches!(&part.kind, PartKind::Thinking { text, signature: None } if text.is_empty());
            said.extend((!empty).then_some(part));
        }
        Some(other) => losses.unknown("output[].", other),
        None => {}
    }
}

pub(super) fn finish_of(status: Option<&str>, reason: Option<&str>, called: bool) -> Finish {
    match (status, reason) {
        (Some("incomplete"), Some("max_output_tokens" | "max_tokens")) => Finish::Length,
        (Some("incomplete"), Some("content_filter")) => Finish::ContentFilter,
        (Some("completed"), _) if called => Finish::ToolCalls,
        (Some("completed"), _) => Finish::Stop,
        _ => Finish::Other,
    }
}

/// The status of an answer, and why it is not complete.
pub(super) const fn status_of(finish: Finish) -> (&'static str, Option<&'static str>) {
    match finish {
        Finish::Stop | Finish::StopSequence | Finish::ToolCalls | Finish::Pause | Finish::Other => {
            ("completed", None)
        }
        Finish::Length => ("incomplete", Some("max_output_tokens")),
        Finish::ContentFilter | Finish::Refusal => ("incomplete", Some("content_filter")),
    }
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
    let id = answer.id.as_deref().unwrap_or(reply.id);
    let mut output = Vec::new();
    for part in first.map(|choice| choice.content.as_slice()).unwrap_or_default() {
        write_part(part, id, &mut output, losses);
    }
    let finish = first.and_then(|choice| choice.finish).unwrap_or(Finish::Other);
    let (status, reason) = status_of(finish);
    to_json(&Snapshot {
        id,
        object: "response",
        created_at: answer.created.unwrap_or(reply.created),
        status,
        error: None,
        incomplete_details: reason.map(|reason| Incomplete { reason: Some(Text::from(reason)) }),
        model: answer.model.as_deref().unwrap_or(reply.model),
        output,
        usage: answer.usage.map(Usage::from),
        request: Repeated::default(),
    })
}

fn write_part<'a>(part: &'a Part<'a>, id: &str, output: &mut Vec<Item<'a>>, losses: &mut Losses) {
    let place = output.len();
    let words = match &part.kind {
        PartKind::Text { text, citations } => {
            let cited = citations.iter().filter_map(|cited| annotation(cited, losses)).collect();
            text_part(text.view(), cited)
        }
        PartKind::Refusal(text) => refusal_part(text.view()),
        PartKind::Thinking { text, signature } => {
            output.push(reasoning_item(item_id("rs", id, place), text, signature.as_ref()));
            return;
        }
        PartKind::Call(call) => {
            // A call has no place for a signature here; an empty thought before it has.
            if let Some(signature) = &call.signature {
                output.push(reasoning_item(item_id("rs", id, place), "", Some(signature)));
            }
            output.push(call_item(item_id("fc", id, output.len()), call));
            return;
        }
        PartKind::Redacted(_) => return losses.feature(Feature::AnswerRedactedThinking),
        PartKind::Media(_) | PartKind::Result(_) => return losses.feature(Feature::AnswerMedia),
    };
    match output.last_mut().and_then(|last| last.content.as_mut()) {
        Some(Mixed::List(parts)) => parts.push(words),
        _ => output.push(message_item(item_id("msg", id, place), vec![words])),
    }
}

/// An id for an item, from the answer's and the item's place.
pub(super) fn item_id(kind: &str, answer: &str, place: usize) -> Text<'static> {
    Text::from(format!("{kind}_{answer}_{place}"))
}

pub(super) fn text_part<'a>(text: Text<'a>, annotations: Vec<Annotation<'a>>) -> wire::Part<'a> {
    wire::Part {
        r#type: Text::from("output_text"),
        text: Some(text),
        annotations: Some(annotations),
        logprobs: Some(Vec::new()),
        ..wire::Part::default()
    }
}

pub(super) fn refusal_part(text: Text<'_>) -> wire::Part<'_> {
    wire::Part { r#type: Text::from("refusal"), refusal: Some(text), ..wire::Part::default() }
}

pub(super) fn message_item<'a>(id: Text<'a>, parts: Vec<wire::Part<'a>>) -> Item<'a> {
    Item {
        r#type: Some(Text::from("message")),
        id: Some(id),
        status: Some(Text::from("completed")),
        role: Some(Text::from("assistant")),
        content: Some(Mixed::List(parts)),
        ..Item::default()
    }
}

pub(super) fn call_item<'a>(id: Text<'a>, call: &'a Call<'a>) -> Item<'a> {
    Item {
        r#type: Some(Text::from("function_call")),
        id: Some(id),
        status: Some(Text::from("completed")),
        call_id: Some(call.id.view()),
        name: Some(call.name.view()),
        arguments: Some(call.arguments.view()),
        ..Item::default()
    }
}

pub(super) fn reasoning_item<'a>(
    id: Text<'a>,
    text: &'a str,
    signature: Option<&'a Signature<'a>>,
) -> Item<'a> {
    Item {
        r#type: Some(Text::from("reasoning")),
        id: Some(id),
        summary: Some(summary(text)),
        encrypted_content: signature.map(|known| known.written(Dialect::Responses).into()),
        ..Item::default()
    }
}

pub(super) fn annotation<'a>(
    cited: &'a Citation<'a>,
    losses: &mut Losses,
) -> Option<Annotation<'a>> {
    let Some(url) = &cited.url else {
        losses.feature(Feature::AnswerDocumentCitations);
        return None;
    };
    let (start_index, end_index) = cited.span.unwrap_or_default();
    Some(Annotation {
        r#type: Text::from("url_citation"),
        url: Some(url.view()),
        title: Some(cited.title.as_ref().map_or(Text::default(), Text::view)),
        start_index,
        end_index,
    })
}
