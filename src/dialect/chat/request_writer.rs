//! A request out of the intermediate form, as Chat Completions.

use super::wire::{
    AllowedTools, File, Function, FunctionCall, ImageUrl, InputAudio, JsonSchema, Message, Named,
    Part, Request, ResponseFormat, StreamOptions, Tool, ToolCall, ToolChoice,
};
use crate::dialect::ir::loss::{Fate, Feature, Losses};
use crate::dialect::ir::settings::{Effort, ServiceTier};
use crate::dialect::ir::wire::{Mixed, Text, to_json};
use crate::dialect::ir::{
    self, CallResult, Media, MediaKind, OutputFormat, PartKind, Role, Source, Target,
};

/// The name given to a schema that has none; OpenAI requires one.
const SCHEMA_NAME: &str = "answer";

/// Writes a request. What cannot be said is noted.
pub fn write(request: &ir::Request<'_>, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let choice = request.tool_choice.as_ref().map(tool_choice);
    let sampling = &request.sampling;
    if sampling.top_k.is_some() && !target.extensions {
        losses.feature(Feature::TopK);
    }
    let (max_tokens, max_completion_tokens) = match target.extensions {
        true => (sampling.max_tokens, None),
        false => (None, sampling.max_tokens),
    };
    let stop: Vec<Text<'_>> = sampling.stop.iter().map(Text::view).collect();
    to_json(&Request {
        model: Some(Text::from(target.model)),
        messages: messages(&request.messages, target, losses),
        tools: tools(&request.tools, losses),
        tool_choice: choice.as_deref(),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !request.tools.is_empty()),
        response_format: request.output.as_ref().map(output),
        reasoning_effort: effort(request).map(Text::from),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k.filter(|_| target.extensions),
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        seed: sampling.seed,
        max_tokens,
        max_completion_tokens,
        stop: (!stop.is_empty()).then_some(Mixed::List(stop)),
        n: sampling.n,
        logprobs: sampling.logprobs.map(|_| true),
        top_logprobs: sampling.logprobs.filter(|top| *top > 0),
        user: request.user.as_ref().map(Text::view),
        service_tier: request.service_tier.map(|tier| Text::from(service_tier(tier))),
        stream: request.stream.then_some(true),
        // The gateway needs the usage, whether the client does or not.
        stream_options: (request.stream && target.usage_in_streams)
            .then_some(StreamOptions { include_usage: Some(true) }),
        ..Request::default()
    })
}

fn messages<'a>(
    messages: &'a [ir::Message<'a>],
    target: Target<'_>,
    losses: &mut Losses,
) -> Vec<Message<'a>> {
    let mut out = Vec::with_capacity(messages.len());
    for message in messages {
        let mut spoken = Spoken::default();
        let mut moved = Vec::new();
        for part in &message.content {
            if part.cache.is_some() {
                losses.feature(Feature::CacheMarks);
            }
            match &part.kind {
                PartKind::Result(result) => out.push(call_result(result, &mut moved, losses)),
                kind => spoken.add(kind, target, losses),
            }
        }
        // OpenAI takes only text as a tool's result; what a tool showed is said by the user.
        spoken.parts.splice(0..0, moved);
        out.extend(spoken.into_message(message));
    }
    out
}

/// The parts of a message, gathered into the members that this dialect has for them.
#[derive(Default)]
struct Spoken<'a> {
    parts: Vec<Part<'a>>,
    calls: Vec<ToolCall<'a>>,
    refusal: Option<Text<'a>>,
    thoughts: String,
}

impl<'a> Spoken<'a> {
    fn add(&mut self, kind: &'a PartKind<'a>, target: Target<'_>, losses: &mut Losses) {
        match kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    losses.feature(Feature::Citations);
                }
                self.parts.push(text_part(text.view()));
            }
            PartKind::Media(media) => self.parts.extend(media_part(media, losses)),
            PartKind::Thinking { text, .. } if target.extensions => self.thoughts.push_str(text),
            PartKind::Thinking { .. } => losses.feature(Feature::ThinkingHistory),
            PartKind::Redacted(_) => losses.feature(Feature::RedactedThinking),
            PartKind::Refusal(text) => self.refusal = Some(text.view()),
            PartKind::Call(call) => {
                self.calls.push(ToolCall {
                    id: Some(call.id.view()),
                    r#type: Some(Text::from("function")),
                    function: Some(FunctionCall {
                        name: Some(call.name.view()),
                        arguments: Some(call.arguments.view()),
                    }),
                    extra_content: None,
                });
            }
            // Results became messages of their own.
            PartKind::Result(_) => {}
        }
    }

    fn into_message(self, message: &'a ir::Message<'a>) -> Option<Message<'a>> {
        let silent = self.parts.is_empty() && self.calls.is_empty() && self.refusal.is_none();
        if silent && !message.content.is_empty() {
            return None;
        }
        Some(Message {
            role: Text::from(role(message.role)),
            content: (!self.parts.is_empty()).then(|| content(self.parts)),
            name: message.name.as_ref().map(Text::view),
            tool_calls: self.calls,
            refusal: self.refusal,
            reasoning_content: (!self.thoughts.is_empty()).then(|| Text::from(self.thoughts)),
            ..Message::default()
        })
    }
}

/// One text is written as a string: every server takes that, and not every one takes a list.
fn content<'a>(mut parts: Vec<Part<'a>>) -> Mixed<'a, Part<'a>> {
    match parts.as_mut_slice() {
        [Part { text: text @ Some(_), .. }] => Mixed::Text(text.take().unwrap_or_default()),
        _ => Mixed::List(parts),
    }
}

fn text_part(text: Text<'_>) -> Part<'_> {
    Part { r#type: Text::from("text"), text: Some(text), ..Part::default() }
}

fn media_part<'a>(media: &'a Media<'a>, losses: &mut Losses) -> Option<Part<'a>> {
    let part = match (media.kind, &media.source) {
        (MediaKind::Image, Source::Data { .. } | Source::Url { .. }) => Part {
            r#type: Text::from("image_url"),
            image_url: Some(ImageUrl {
                url: url(&media.source)?,
                detail: media.detail.as_ref().map(Text::view),
            }),
            ..Part::default()
        },
        (MediaKind::Audio, Source::Data { mime, base64 }) => Part {
            r#type: Text::from("input_audio"),
            input_audio: Some(InputAudio { data: base64.view(), format: audio_format(mime) }),
            ..Part::default()
        },
        (MediaKind::File, Source::Plain(text)) => text_part(text.view()),
        (MediaKind::File, Source::Data { .. }) => Part {
            r#type: Text::from("file"),
            file: Some(File {
                filename: Some(media.name.as_ref().map_or(Text::from("file.pdf"), Text::view)),
                file_data: url(&media.source),
                file_id: None,
            }),
            ..Part::default()
        },
        (_, Source::Id(_)) => {
            losses.feature(Feature::ProviderFiles);
            return None;
        }
        (MediaKind::Video, _) => {
            losses.feature(Feature::Video);
            return None;
        }
        (MediaKind::Audio | MediaKind::File | MediaKind::Image, _) => {
            losses.feature(Feature::FileByUrl);
            return None;
        }
    };
    Some(part)
}

pub(in crate::dialect) fn url<'a>(source: &'a Source<'a>) -> Option<Text<'a>> {
    match source {
        Source::Data { mime, base64 } => {
            Some(Text::from(format!("data:{};base64,{}", &**mime, &**base64)))
        }
        Source::Url { url, .. } => Some(url.view()),
        Source::Id(_) | Source::Plain(_) => None,
    }
}

pub(in crate::dialect) fn audio_format<'a>(mime: &'a Text<'a>) -> Text<'a> {
    match mime.strip_prefix("audio/") {
        Some("mpeg") => Text::from("mp3"),
        Some("x-wav" | "wave") => Text::from("wav"),
        Some(format) => Text::from(format),
        None => mime.view(),
    }
}

fn call_result<'a>(
    result: &'a CallResult<'a>,
    moved: &mut Vec<Part<'a>>,
    losses: &mut Losses,
) -> Message<'a> {
    if result.is_error {
        losses.feature(Feature::FailedResult);
    }
    let mut texts = Vec::new();
    for part in &result.content {
        match &part.kind {
            PartKind::Text { text, .. } => texts.push(text_part(text.view())),
            PartKind::Media(media) => {
                losses.feature_with(Feature::MediaInResults, Fate::Moved);
                moved.extend(media_part(media, losses));
            }
            PartKind::Thinking { .. }
            | PartKind::Redacted(_)
            | PartKind::Call(_)
            | PartKind::Result(_)
            | PartKind::Refusal(_) => {}
        }
    }
    if texts.is_empty() {
        texts.push(text_part(Text::default()));
    }
    Message {
        role: Text::from("tool"),
        content: Some(content(texts)),
        tool_call_id: Some(result.id.view()),
        ..Message::default()
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn tools<'a>(tools: &'a [ir::Tool<'a>], losses: &mut Losses) -> Vec<Tool<'a>> {
    if tools.iter().any(|tool| tool.cache.is_some()) {
        losses.feature(Feature::CacheMarks);
    }
    let function = |tool: &'a ir::Tool<'a>| Tool {
        r#type: Text::from("function"),
        function: Some(Function {
            name: tool.name.view(),
            description: tool.description.as_ref().map(Text::view),
            parameters: tool.schema.as_deref(),
            strict: tool.strict,
        }),
        cache_control: None,
    };
    tools.iter().map(function).collect()
}

fn tool_choice(choice: &ir::ToolChoice<'_>) -> Box<serde_json::value::RawValue> {
    let named = |name: Text<'_>| ToolChoice {
        r#type: Some(Text::from("function")),
        name: None,
        function: Some(Named { name: Text::from(name.into_string()) }),
        allowed_tools: None,
    };
    let raw = match choice {
        ir::ToolChoice::Auto => serde_json::value::to_raw_value("auto"),
        ir::ToolChoice::None => serde_json::value::to_raw_value("none"),
        ir::ToolChoice::Required => serde_json::value::to_raw_value("required"),
        ir::ToolChoice::Function(name) => serde_json::value::to_raw_value(&named(name.view())),
        ir::ToolChoice::Allowed { required, names } => {
            let mode = Text::from(if *required { "required" } else { "auto" });
            let tools = names.iter().map(|name| named(name.view())).collect();
            serde_json::value::to_raw_value(&ToolChoice {
                r#type: Some(Text::from("allowed_tools")),
                name: None,
                function: None,
                allowed_tools: Some(AllowedTools { mode, tools }),
            })
        }
    };
    // Names and words always serialize.
    raw.unwrap_or_default()
}

fn output<'a>(format: &'a OutputFormat<'a>) -> ResponseFormat<'a> {
    match format {
        OutputFormat::Json => {
            ResponseFormat { r#type: Text::from("json_object"), json_schema: None }
        }
        OutputFormat::Schema { name, description, schema, strict } => ResponseFormat {
            r#type: Text::from("json_schema"),
            json_schema: Some(JsonSchema {
                name: Some(name.as_ref().map_or(Text::from(SCHEMA_NAME), Text::view)),
                description: description.as_ref().map(Text::view),
                schema: Some(schema),
                strict: *strict,
            }),
        },
    }
}

/// Only where thinking was asked for: a model that cannot think refuses the member.
pub(in crate::dialect) fn effort(request: &ir::Request<'_>) -> Option<&'static str> {
    let reasoning = request.reasoning;
    if reasoning.enabled != Some(true) {
        return None;
    }
    let effort = reasoning.effort.or(reasoning.budget.map(Effort::of_budget))?;
    Some(match effort {
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh | Effort::Max => "xhigh",
    })
}

pub(in crate::dialect) const fn service_tier(tier: ServiceTier) -> &'static str {
    match tier {
        ServiceTier::Auto => "auto",
        ServiceTier::Standard => "default",
        ServiceTier::Flex => "flex",
        ServiceTier::Priority => "priority",
    }
}
