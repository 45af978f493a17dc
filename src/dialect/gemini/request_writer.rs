//! A request out of the intermediate form, as Gemini. The model and whether to stream go into the path.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::wire::{
    Blob, CallingConfig, Content, FileData, FunctionCall, FunctionDeclaration, FunctionResponse,
    Generation, Part, Request, ThinkingConfig, Tool, ToolConfig,
};
use crate::dialect::ir::loss::{Fate, Feature, Losses};
use crate::dialect::ir::model::gemini_thinks_by_level;
use crate::dialect::ir::settings::{Effort, ServiceTier};
use crate::dialect::ir::wire::{Json, Text, to_json, to_raw};
use crate::dialect::ir::{
    self, Call, CallResult, Dialect, Media, MediaKind, Message, OutputFormat, PartKind, Role,
    Signature, Source, Target, ToolChoice,
};

/// Writes a request. What cannot be said is noted.
pub fn write(request: &ir::Request<'_>, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    note_members(request, losses);
    let generation = generation(request, target, losses);
    let empty = generation == Generation::default();
    let (system_instruction, contents) = contents(&request.messages, losses);
    to_json(&Request {
        system_instruction,
        contents,
        tools: tools(&request.tools, losses),
        tool_config: request
            .tool_choice
            .as_ref()
            .filter(|_| !request.tools.is_empty())
            .map(tool_config),
        generation_config: (!empty).then(|| to_raw(&generation)),
        service_tier: request.service_tier.and_then(service_tier).map(Text::from),
    })
}

fn note_members(request: &ir::Request<'_>, losses: &mut Losses) {
    if request.user.is_some() {
        losses.feature(Feature::User);
    }
    if request.parallel_tool_calls == Some(false) {
        losses.feature(Feature::ParallelToolCalls);
    }
    if request.messages.iter().any(|message| message.name.is_some()) {
        losses.feature(Feature::SpeakerName);
    }
}

fn generation<'a>(
    request: &'a ir::Request<'a>,
    target: Target<'_>,
    losses: &mut Losses,
) -> Generation<'a> {
    let sampling = &request.sampling;
    let (response_mime_type, response_json_schema) = output(request.output.as_ref(), losses);
    Generation {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        max_output_tokens: sampling.max_tokens,
        stop_sequences: sampling.stop.iter().map(Text::view).collect(),
        candidate_count: sampling.n,
        seed: sampling.seed,
        response_logprobs: sampling.logprobs.map(|_| true),
        logprobs: sampling.logprobs.filter(|top| *top > 0),
        response_mime_type: response_mime_type.map(Text::from),
        response_schema: None,
        response_json_schema,
        thinking_config: thinking(request, target),
    }
}

fn output<'a>(
    format: Option<&'a OutputFormat<'a>>,
    losses: &mut Losses,
) -> (Option<&'static str>, Option<Json<'a>>) {
    const JSON: &str = "application/json";
    match format {
        None => (None, None),
        Some(OutputFormat::Json) => (Some(JSON), None),
        Some(OutputFormat::Schema { schema, description, .. }) => {
            if description.is_some() {
                losses.feature(Feature::SchemaDescription);
            }
            (Some(JSON), Some(Json::from(&**schema)))
        }
    }
}

/// Models since Gemini 3 think by a level, those before by a number of tokens. Where thinking is
/// switched off nothing is said, because some models cannot do without it.
fn thinking(request: &ir::Request<'_>, target: Target<'_>) -> Option<ThinkingConfig<'static>> {
    let reasoning = request.reasoning;
    if reasoning.enabled != Some(true) {
        return None;
    }
    let mut config = ThinkingConfig { include_thoughts: Some(true), ..ThinkingConfig::default() };
    if gemini_thinks_by_level(target.model) {
        let effort = reasoning.effort.or(reasoning.budget.map(Effort::of_budget));
        config.thinking_level = effort.map(|effort| Text::from(level(effort)));
    } else {
        let budget = reasoning.budget.or(reasoning.effort.map(Effort::budget));
        config.thinking_budget = budget.and_then(|tokens| i64::try_from(tokens).ok());
    }
    Some(config)
}

const fn level(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::XHigh | Effort::Max => "HIGH",
    }
}

type Contents<'a> = (Option<Content<'a>>, Vec<Content<'a>>);

fn contents<'a>(messages: &'a [Message<'a>], losses: &mut Losses) -> Contents<'a> {
    let names = call_names(messages);
    let mut system = Vec::new();
    let mut contents = Vec::with_capacity(messages.len());
    for message in messages {
        let parts = parts(&message.content, &names, losses);
        let role = match message.role {
            Role::System | Role::Developer => {
                if !contents.is_empty() {
                    losses.feature_with(Feature::InstructionsLater, Fate::Moved);
                }
                system.extend(parts);
                continue;
            }
            Role::User => "user",
            Role::Assistant => "model",
        };
        // Gemini refuses a content without parts.
        if !parts.is_empty() {
            contents.push(Content { role: Some(Text::from(role)), parts });
        }
    }
    ((!system.is_empty()).then_some(Content { role: None, parts: system }), contents)
}

type Names<'a> = HashMap<&'a str, &'a str>;

/// The names of the called functions by the calls' ids: a result must name its function.
fn call_names<'a>(messages: &'a [Message<'a>]) -> Names<'a> {
    let parts = messages.iter().flat_map(|message| &message.content);
    parts
        .filter_map(|part| match &part.kind {
            PartKind::Call(call) => Some((&*call.id, &*call.name)),
            _ => None,
        })
        .collect()
}

fn parts<'a>(content: &'a [ir::Part<'a>], names: &Names<'a>, losses: &mut Losses) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(content.len());
    // A signature that came through a dialect without a place for it in calls belongs to the next call.
    let mut carried: Option<&Signature<'a>> = None;
    for part in content {
        if part.cache.is_some() {
            losses.feature(Feature::CacheMarks);
        }
        let written = match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    losses.feature(Feature::Citations);
                }
                Some(Part { text: Some(text.view()), ..Part::default() })
            }
            PartKind::Refusal(text) => Some(Part { text: Some(text.view()), ..Part::default() }),
            PartKind::Media(media) => media_part(media, losses),
            PartKind::Thinking { text, signature } => match signature.as_ref().filter(own) {
                Some(signature) if text.is_empty() => {
                    carried = Some(signature);
                    None
                }
                Some(signature) => Some(Part {
                    text: Some(text.view()),
                    thought: Some(true),
                    thought_signature: Some(signature.data.view()),
                    ..Part::default()
                }),
                None => {
                    losses.feature(Feature::ThinkingHistory);
                    None
                }
            },
            PartKind::Redacted(_) => {
                losses.feature(Feature::RedactedThinking);
                None
            }
            PartKind::Call(call) => Some(call_part(call, carried.take(), losses)),
            PartKind::Result(result) => Some(result_part(result, names, losses)),
        };
        parts.extend(written);
    }
    parts
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "a predicate of Option::filter")]
fn own(signature: &&Signature<'_>) -> bool {
    signature.origin == Dialect::Gemini
}

fn media_part<'a>(media: &'a Media<'a>, losses: &mut Losses) -> Option<Part<'a>> {
    if media.detail.as_ref().is_some_and(|detail| &**detail != "auto") {
        losses.feature(Feature::ImageDetail);
    }
    let part = match &media.source {
        Source::Data { mime, base64 } => {
            let blob = Blob { mime_type: mime.view(), data: base64.view() };
            Part { inline_data: Some(blob), ..Part::default() }
        }
        Source::Url { mime, url } => {
            let mime_type =
                mime.as_ref().map(Text::view).or(guess(media.kind, url).map(Text::from));
            Part {
                file_data: Some(FileData { mime_type, file_uri: url.view() }),
                ..Part::default()
            }
        }
        Source::Plain(text) => Part { text: Some(text.view()), ..Part::default() },
        Source::Id(_) => {
            losses.feature(Feature::ProviderFiles);
            return None;
        }
    };
    Some(part)
}

/// The MIME type of what lies at an address, by its ending, else the commonest of its kind.
fn guess(kind: MediaKind, url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    Some(match (ending.as_str(), kind) {
        ("png", _) => "image/png",
        ("webp", _) => "image/webp",
        ("gif", _) => "image/gif",
        ("heic", _) => "image/heic",
        ("mp3", _) => "audio/mp3",
        ("wav", _) => "audio/wav",
        ("mp4", _) => "video/mp4",
        ("txt", _) => "text/plain",
        (_, MediaKind::Image) => "image/jpeg",
        (_, MediaKind::File) => "application/pdf",
        (_, MediaKind::Audio | MediaKind::Video) => return None,
    })
}

fn call_part<'a>(
    call: &'a Call<'a>,
    carried: Option<&Signature<'a>>,
    losses: &mut Losses,
) -> Part<'a> {
    let signature = call.signature.as_ref().filter(own).map(|signature| signature.data.view());
    let function_call = FunctionCall {
        name: Some(call.name.view()),
        args: Some(arguments(&call.arguments, losses)),
        ..FunctionCall::default()
    };
    Part {
        function_call: Some(function_call),
        thought_signature: signature.or(carried.map(|signature| signature.data.clone())),
        ..Part::default()
    }
}

/// The arguments as an object; other text, which models do write, as the one member of one.
fn arguments<'a>(text: &'a str, losses: &mut Losses) -> Json<'a> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    object(text).unwrap_or_else(|| {
        losses.feature_with(Feature::BrokenArguments, Fate::Changed);
        to_raw(&HashMap::from([("arguments", text)]))
    })
}

fn object(text: &str) -> Option<Json<'_>> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    raw.get().starts_with('{').then(|| Json::from(raw))
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Output(&'a str),
    Error(&'a str),
}

fn result_part<'a>(result: &'a CallResult<'a>, names: &Names<'a>, losses: &mut Losses) -> Part<'a> {
    let named = result.name.as_ref().map(Text::view);
    let name = named.or_else(|| names.get(&*result.id).map(|name| Text::from(*name)));
    let mut texts = Vec::new();
    let mut media = Vec::new();
    for part in &result.content {
        match &part.kind {
            PartKind::Text { text, .. } => texts.push(&**text),
            PartKind::Media(shown) => media.extend(media_part(shown, losses)),
            PartKind::Thinking { .. }
            | PartKind::Redacted(_)
            | PartKind::Call(_)
            | PartKind::Result(_)
            | PartKind::Refusal(_) => {}
        }
    }
    let response = match (texts.as_slice(), result.is_error) {
        ([text], false) => object(text).unwrap_or_else(|| to_raw(&Outcome::Output(text))),
        (texts, false) => to_raw(&Outcome::Output(&texts.join("\n"))),
        (texts, true) => to_raw(&Outcome::Error(&texts.join("\n"))),
    };
    let function_response = FunctionResponse {
        id: None,
        name: name.unwrap_or_else(|| result.id.view()),
        response: Some(response),
        parts: media,
    };
    Part { function_response: Some(function_response), ..Part::default() }
}

fn tools<'a>(tools: &'a [ir::Tool<'a>], losses: &mut Losses) -> Vec<Tool<'a>> {
    if tools.iter().any(|tool| tool.strict == Some(true)) {
        losses.feature(Feature::StrictTools);
    }
    if tools.iter().any(|tool| tool.cache.is_some()) {
        losses.feature(Feature::CacheMarks);
    }
    let declared = tools.iter().map(|tool| FunctionDeclaration {
        name: tool.name.view(),
        description: tool.description.as_ref().map(Text::view),
        parameters: None,
        parameters_json_schema: tool.schema.as_deref(),
    });
    let function_declarations: Vec<_> = declared.collect();
    if function_declarations.is_empty() { Vec::new() } else { vec![Tool { function_declarations }] }
}

fn tool_config<'a>(choice: &'a ToolChoice<'a>) -> ToolConfig<'a> {
    let (mode, names) = match choice {
        ToolChoice::Auto => ("AUTO", Vec::new()),
        ToolChoice::None => ("NONE", Vec::new()),
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Function(name) => ("ANY", vec![name.view()]),
        // Names are taken only with `ANY` and `VALIDATED`, and the latter forces no call.
        ToolChoice::Allowed { required, names } => {
            (if *required { "ANY" } else { "VALIDATED" }, names.iter().map(Text::view).collect())
        }
    };
    ToolConfig {
        function_calling_config: Some(CallingConfig {
            mode: Some(Text::from(mode)),
            allowed_function_names: names,
        }),
    }
}

const fn service_tier(tier: ServiceTier) -> Option<&'static str> {
    match tier {
        ServiceTier::Auto => None,
        ServiceTier::Standard => Some("standard"),
        ServiceTier::Flex => Some("flex"),
        ServiceTier::Priority => Some("priority"),
    }
}
