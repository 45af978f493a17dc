//! A whole chat completion, to and from the intermediate form.

use serde::Serialize;

use super::request_reader::{parts, thoughts, tool_call};
use super::usage::Usage;
use super::wire::{
    Annotation, Completion, ExtraContent, FunctionCall, GoogleContent, ThinkingBlock, TokenLogprob,
    ToolCall, UrlCitation,
};
use super::{error, wire};
use crate::dialect::ir::answer::{self, Answer, Choice, Citation, Finish};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::wire::{Text, to_json};
use crate::dialect::ir::{Call, Dialect, Part, PartKind, Reply};

/// Reads an answer. One that is none, or that holds an error, is an error.
pub fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<Answer<'a>, Fault> {
    let wire: Completion<'a> = serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    if let Some(error) = wire.error {
        return Err(error::read_detail(502, error));
    }
    let mut choices = Vec::with_capacity(wire.choices.len());
    for choice in wire.choices {
        choices.push(read_choice(choice, losses)?);
    }
    Ok(Answer {
        id: present(wire.id),
        model: present(wire.model),
        created: wire.created,
        choices,
        usage: wire.usage.map(|usage| usage.tokens()),
    })
}

/// Azure and others send empty texts where they know nothing yet.
pub(super) fn present(text: Option<Text<'_>>) -> Option<Text<'_>> {
    text.filter(|text| !text.is_empty())
}

fn read_choice<'a>(choice: wire::Choice<'a>, losses: &mut Losses) -> Result<Choice<'a>, Fault> {
    let message = choice.message.ok_or_else(|| Fault::new(502, "a choice without a message"))?;
    let mut content =
        thoughts(message.thinking_blocks, message.reasoning_content, message.reasoning);
    let said = parts(message.content, losses).into_iter();
    content.extend(
        said.filter(|part| !matches!(&part.kind, PartKind::Text { text, .. } if text.is_empty())),
    );
    let cited = message.annotations.into_iter().filter_map(citation).collect();
    if let Some(PartKind::Text { citations, .. }) = content.last_mut().map(|part| &mut part.kind) {
        *citations = cited;
    }
    if message.audio.is_some() {
        losses.feature(Feature::AnswerMedia);
    }
    content.extend(message.refusal.map(|refusal| Part::new(PartKind::Refusal(refusal))));
    content.extend(message.tool_calls.into_iter().filter_map(|call| tool_call(call, losses)));
    for part in &mut content {
        if let PartKind::Call(call) = &mut part.kind
            && call.arguments.trim().is_empty()
        {
            call.arguments = Text::from("{}");
        }
    }
    let logprobs = choice.logprobs.map(|logprobs| logprobs.content).unwrap_or_default();
    Ok(Choice {
        index: choice.index,
        content,
        finish: choice.finish_reason.as_deref().map(finish_of),
        stop_sequence: None,
        logprobs: logprobs.into_iter().map(read_logprob).collect(),
    })
}

pub(super) fn citation(annotation: Annotation<'_>) -> Option<Citation<'_>> {
    let cited = annotation.url_citation?;
    Some(Citation {
        url: Some(cited.url),
        title: cited.title,
        quote: None,
        span: Some((cited.start_index, cited.end_index)),
    })
}

fn read_logprob(token: TokenLogprob<'_>) -> answer::TokenLogprob<'_> {
    answer::TokenLogprob {
        token: token.token,
        logprob: token.logprob,
        top: token.top_logprobs.into_iter().map(|top| (top.token, top.logprob)).collect(),
    }
}

pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        _ => Finish::Other,
    }
}

pub(super) const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence | Finish::Pause | Finish::Other => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter | Finish::Refusal => "content_filter",
    }
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WrittenChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct WrittenChoice<'a> {
    index: u32,
    message: WrittenMessage<'a>,
    logprobs: Option<wire::Logprobs<'a>>,
    finish_reason: &'static str,
}

/// Unlike a request's message, an answer's says `content` and `refusal` even where they are null.
#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation<'a>>,
}

/// Writes an answer. What cannot be said is noted.
pub fn write(answer: &Answer<'_>, reply: &Reply<'_>, losses: &mut Losses) -> Vec<u8> {
    let choices = answer.choices.iter().map(|choice| WrittenChoice {
        index: choice.index,
        message: message(&choice.content, losses),
        logprobs: logprobs(&choice.logprobs),
        finish_reason: finish_reason(choice.finish.unwrap_or(Finish::Other)),
    });
    to_json(&Written {
        id: answer.id.as_deref().unwrap_or(reply.id),
        object: "chat.completion",
        created: answer.created.unwrap_or(reply.created),
        model: answer.model.as_deref().unwrap_or(reply.model),
        choices: choices.collect(),
        usage: answer.usage.map(Usage::from),
    })
}

fn message<'a>(content: &'a [Part<'a>], losses: &mut Losses) -> WrittenMessage<'a> {
    let mut out = WrittenMessage {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        thinking_blocks: Vec::new(),
        tool_calls: Vec::new(),
        annotations: Vec::new(),
    };
    for part in content {
        match &part.kind {
            PartKind::Text { text, citations } => {
                out.annotations
                    .extend(citations.iter().filter_map(|cited| annotation(cited, losses)));
                out.content.get_or_insert_default().push_str(text);
            }
            PartKind::Thinking { text, signature } => {
                if !text.is_empty() {
                    out.reasoning_content.get_or_insert_default().push_str(text);
                }
                out.thinking_blocks.extend(signature.as_ref().map(|signature| ThinkingBlock {
                    r#type: Text::from("thinking"),
                    thinking: Some(text.view()),
                    signature: Some(Text::from(signature.written(Dialect::Anthropic))),
                    data: None,
                }));
            }
            PartKind::Redacted(data) => out.thinking_blocks.push(redacted(data)),
            PartKind::Refusal(text) => out.refusal.get_or_insert_default().push_str(text),
            PartKind::Call(call) => out.tool_calls.push(written_call(call)),
            PartKind::Media(_) | PartKind::Result(_) => losses.feature(Feature::AnswerMedia),
        }
    }
    out
}

pub(super) fn redacted<'a>(data: &'a Text<'a>) -> ThinkingBlock<'a> {
    ThinkingBlock {
        r#type: Text::from("redacted_thinking"),
        data: Some(data.view()),
        ..ThinkingBlock::default()
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
        url_citation: Some(UrlCitation {
            url: url.view(),
            title: Some(cited.title.as_ref().map_or(Text::default(), Text::view)),
            start_index,
            end_index,
        }),
    })
}

fn written_call<'a>(call: &'a Call<'a>) -> ToolCall<'a> {
    ToolCall {
        id: Some(call.id.view()),
        r#type: Some(Text::from("function")),
        function: Some(FunctionCall {
            name: Some(call.name.view()),
            arguments: Some(call.arguments.view()),
        }),
        extra_content: call
            .signature
            .as_ref()
            .map(|signature| extra(signature.written(Dialect::Gemini).into())),
    }
}

pub(super) fn extra(signature: Text<'_>) -> ExtraContent<'_> {
    ExtraContent { google: Some(GoogleContent { thought_signature: Some(signature) }) }
}

fn logprobs<'a>(tokens: &'a [answer::TokenLogprob<'a>]) -> Option<wire::Logprobs<'a>> {
    let token = |text: &'a Text<'a>, logprob, top_logprobs| TokenLogprob {
        bytes: Some(text.as_bytes().to_vec()),
        token: text.view(),
        logprob,
        top_logprobs,
    };
    let written = tokens.iter().map(|one| {
        let top = one.top.iter().map(|(text, logprob)| token(text, *logprob, Vec::new()));
        token(&one.token, one.logprob, top.collect())
    });
    (!tokens.is_empty()).then(|| wire::Logprobs { content: written.collect(), refusal: None })
}
