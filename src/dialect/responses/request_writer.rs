//! A request out of the intermediate form, as Responses. Nothing is to be stored at the provider.

use super::wire::{
    Format, InputAudio, Item, Part, Reasoning, Request, TextConfig, Tool, ToolChoice,
};
use crate::dialect::chat::request_writer::{audio_format, effort, service_tier, url};
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::wire::{Json, Mixed, Text, to_json, to_raw};
use crate::dialect::ir::{
    self, CallResult, Dialect, Media, MediaKind, Message, OutputFormat, PartKind, Role, Signature,
    Source, Target,
};

/// The name given to a schema that has none; OpenAI requires one.
const SCHEMA_NAME: &str = "answer";

/// Writes a request. What cannot be said is noted.
pub fn write(request: &ir::Request<'_>, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    note_members(request, losses);
    let sampling = &request.sampling;
    let thinks = request.reasoning.enabled == Some(true);
    let mut include = Vec::new();
    if thinks {
        // Without the provider's state, a thought comes back only if the client holds it.
        include.push(Text::from("reasoning.encrypted_content"));
    }
    if sampling.logprobs.is_some() {
        include.push(Text::from("message.output_text.logprobs"));
    }
    let items = request.messages.iter().flat_map(|message| items(message, losses)).collect();
    to_json(&Request {
        model: Some(Text::from(target.model)),
        input: Some(Mixed::List(items)),
        tools: tools(&request.tools, losses),
        tool_choice: request.tool_choice.as_ref().map(tool_choice),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !request.tools.is_empty()),
        reasoning: thinks.then(|| Reasoning {
            effort: effort(request).map(Text::from),
            summary: Some(Text::from("auto")),
        }),
        text: request
            .output
            .as_ref()
            .map(|output| TextConfig { format: Some(format(output)), verbosity: None }),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        max_output_tokens: sampling.max_tokens,
        top_logprobs: sampling.logprobs,
        include,
        user: request.user.as_ref().map(Text::view),
        service_tier: request.service_tier.map(|tier| Text::from(service_tier(tier))),
        store: Some(false),
        stream: request.stream.then_some(true),
        ..Request::default()
    })
}

fn note_members(request: &ir::Request<'_>, losses: &mut Losses) {
    let sampling = &request.sampling;
    let lost = [
        (sampling.top_k.is_some(), Feature::TopK),
        (sampling.frequency_penalty.is_some_and(|degree| degree != 0.0), Feature::FrequencyPenalty),
        (sampling.presence_penalty.is_some_and(|degree| degree != 0.0), Feature::PresencePenalty),
        (sampling.seed.is_some(), Feature::Seed),
        (sampling.n.is_some_and(|n| n > 1), Feature::SeveralAnswers),
        (!sampling.stop.is_empty(), Feature::StopSequences),
        (request.messages.iter().any(|message| message.name.is_some()), Feature::SpeakerName),
    ];
    for (_, feature) in lost.into_iter().filter(|(present, _)| *present) {
        losses.feature(feature);
    }
}

/// The items of a message: its words together, and each thought, call and result on its own, in order.
fn items<'a>(message: &'a Message<'a>, losses: &mut Losses) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    let mut words = Vec::new();
    for part in &message.content {
        if part.cache.is_some() {
            losses.feature(Feature::CacheMarks);
        }
        let item = match &part.kind {
            PartKind::Text { .. } | PartKind::Media(_) | PartKind::Refusal(_) => {
                words.extend(word(&part.kind, message.role, losses));
                continue;
            }
            PartKind::Thinking { text, signature } => thought(text, signature.as_ref(), losses),
            PartKind::Redacted(_) => {
                losses.feature(Feature::RedactedThinking);
                None
            }
            PartKind::Call(call) => Some(Item {
                r#type: Some(Text::from("function_call")),
                call_id: Some(call.id.view()),
                name: Some(call.name.view()),
                arguments: Some(call.arguments.view()),
                ..Item::default()
            }),
            PartKind::Result(result) => Some(result_item(result, losses)),
        };
        items.extend(spoken(message.role, std::mem::take(&mut words)));
        items.extend(item);
    }
    items.extend(spoken(message.role, words));
    items
}

fn spoken<'a>(role: Role, content: Vec<Part<'a>>) -> Option<Item<'a>> {
    let role = match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    (!content.is_empty()).then(|| Item {
        r#type: Some(Text::from("message")),
        role: Some(Text::from(role)),
        content: Some(Mixed::List(content)),
        ..Item::default()
    })
}

/// OpenAI takes back only thoughts that it encrypted itself.
fn thought<'a>(
    text: &'a Text<'a>,
    signature: Option<&'a Signature<'a>>,
    losses: &mut Losses,
) -> Option<Item<'a>> {
    let Some(own) = signature.filter(|signature| signature.origin == Dialect::Responses) else {
        losses.feature(Feature::ThinkingHistory);
        return None;
    };
    Some(Item {
        r#type: Some(Text::from("reasoning")),
        summary: Some(summary(text)),
        encrypted_content: Some(own.data.view()),
        ..Item::default()
    })
}

/// The words of a thought as this dialect has them.
pub(super) fn summary<'a>(text: &'a str) -> Vec<Part<'a>> {
    let part = |text| Part { text: Some(text), ..part("summary_text") };
    if text.is_empty() { Vec::new() } else { vec![part(Text::from(text))] }
}

fn part<'a>(kind: &'static str) -> Part<'a> {
    Part { r#type: Text::from(kind), ..Part::default() }
}

fn word<'a>(kind: &'a PartKind<'a>, role: Role, losses: &mut Losses) -> Option<Part<'a>> {
    match kind {
        PartKind::Text { text, citations } => {
            if !citations.is_empty() {
                losses.feature(Feature::Citations);
            }
            Some(match role {
                Role::Assistant => Part {
                    text: Some(text.view()),
                    annotations: Some(Vec::new()),
                    ..part("output_text")
                },
                Role::System | Role::Developer | Role::User => {
                    Part { text: Some(text.view()), ..part("input_text") }
                }
            })
        }
        PartKind::Refusal(text) => Some(Part { refusal: Some(text.view()), ..part("refusal") }),
        PartKind::Media(media) => media_part(media, losses),
        PartKind::Thinking { .. }
        | PartKind::Redacted(_)
        | PartKind::Call(_)
        | PartKind::Result(_) => None,
    }
}

fn media_part<'a>(media: &'a Media<'a>, losses: &mut Losses) -> Option<Part<'a>> {
    let name = media.name.as_ref().map(Text::view);
    let part = match (media.kind, &media.source) {
        (MediaKind::Image, Source::Data { .. } | Source::Url { .. }) => Part {
            image_url: url(&media.source),
            detail: Some(media.detail.as_ref().map_or(Text::from("auto"), Text::view)),
            ..part("input_image")
        },
        (MediaKind::File, Source::Data { .. }) => Part {
            filename: Some(name.unwrap_or(Text::from("file.pdf"))),
            file_data: url(&media.source),
            ..part("input_file")
        },
        (MediaKind::File, Source::Url { url, .. }) => {
            Part { file_url: Some(url.view()), filename: name, ..part("input_file") }
        }
        (MediaKind::Audio, Source::Data { mime, base64 }) => Part {
            input_audio: Some(InputAudio { data: base64.view(), format: audio_format(mime) }),
            ..part("input_audio")
        },
        (_, Source::Plain(text)) => Part { text: Some(text.view()), ..part("input_text") },
        (_, Source::Id(_)) => {
            losses.feature(Feature::ProviderFiles);
            return None;
        }
        (MediaKind::Video | MediaKind::Audio, _) => {
            let audio = media.kind == MediaKind::Audio;
            losses.feature(if audio { Feature::Audio } else { Feature::Video });
            return None;
        }
    };
    Some(part)
}

fn result_item<'a>(result: &'a CallResult<'a>, losses: &mut Losses) -> Item<'a> {
    if result.is_error {
        losses.feature(Feature::FailedResult);
    }
    let output = match result.content.as_slice() {
        [] => to_raw(&""),
        [ir::Part { kind: PartKind::Text { text, .. }, .. }] => to_raw(text),
        parts => {
            let words = parts.iter().filter_map(|part| word(&part.kind, Role::User, losses));
            to_raw(&words.collect::<Vec<_>>())
        }
    };
    Item {
        r#type: Some(Text::from("function_call_output")),
        call_id: Some(result.id.view()),
        output: Some(output),
        ..Item::default()
    }
}

fn tools<'a>(tools: &'a [ir::Tool<'a>], losses: &mut Losses) -> Vec<Tool<'a>> {
    if tools.iter().any(|tool| tool.cache.is_some()) {
        losses.feature(Feature::CacheMarks);
    }
    let function = |tool: &'a ir::Tool<'a>| Tool {
        r#type: Text::from("function"),
        name: Some(tool.name.view()),
        description: tool.description.as_ref().map(Text::view),
        parameters: tool.schema.as_deref(),
        // This dialect is strict unless told otherwise; the others are not.
        strict: Some(tool.strict.unwrap_or(false)),
    };
    tools.iter().map(function).collect()
}

fn tool_choice(choice: &ir::ToolChoice<'_>) -> Json<'static> {
    let object =
        |kind: &'static str| ToolChoice { r#type: Text::from(kind), ..ToolChoice::default() };
    match choice {
        ir::ToolChoice::Auto => to_raw(&"auto"),
        ir::ToolChoice::None => to_raw(&"none"),
        ir::ToolChoice::Required => to_raw(&"required"),
        ir::ToolChoice::Function(name) => {
            to_raw(&ToolChoice { name: Some(name.view()), ..object("function") })
        }
        ir::ToolChoice::Allowed { required, names } => {
            let tool = |name| ToolChoice { name: Some(Text::view(name)), ..object("function") };
            to_raw(&ToolChoice {
                mode: Some(Text::from(if *required { "required" } else { "auto" })),
                tools: names.iter().map(tool).collect(),
                ..object("allowed_tools")
            })
        }
    }
}

fn format<'a>(output: &'a OutputFormat<'a>) -> Format<'a> {
    match output {
        OutputFormat::Json => Format { r#type: Text::from("json_object"), ..Format::default() },
        OutputFormat::Schema { name, description, schema, strict } => Format {
            r#type: Text::from("json_schema"),
            name: Some(name.as_ref().map_or(Text::from(SCHEMA_NAME), Text::view)),
            description: description.as_ref().map(Text::view),
            schema: Some(schema),
            strict: *strict,
        },
    }
}
