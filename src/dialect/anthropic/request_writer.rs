//! A request out of the intermediate form, as Anthropic Messages.

use serde::Serialize;
use serde_json::value::RawValue;

use super::tuning::Tuning;
use super::wire::{
    Block, CacheControl, Format, Message, Metadata, OutputConfig, Request, Source, Tool, ToolChoice,
};
use crate::dialect::ir::loss::{Fate, Feature, Losses};
use crate::dialect::ir::settings::ServiceTier;
use crate::dialect::ir::wire::{Json, Mixed, Text, to_json, to_raw};
use crate::dialect::ir::{
    self, CacheMark, Call, CallResult, Dialect, Media, MediaKind, OutputFormat, PartKind, Role,
    Target, schema,
};

/// An object schema for functions that have none; Anthropic requires one.
const EMPTY_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

/// Writes a request. What cannot be said is noted.
pub fn write(request: &ir::Request<'_>, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let tuning = Tuning::of(request, target, losses);
    let empty = serde_json::from_str::<&RawValue>(EMPTY_SCHEMA).ok();
    let schema = closed_schema(request.output.as_ref(), losses);
    let format = schema
        .as_deref()
        .map(|schema| Format { r#type: Text::from("json_schema"), schema: Some(schema) });
    let config = OutputConfig { effort: tuning.effort, format };
    let (system, messages) = messages(request, losses);
    to_json(&Request {
        model: Some(Text::from(target.model)),
        max_tokens: Some(tuning.max_tokens),
        system,
        messages,
        tools: request.tools.iter().map(|entry| tool(entry, empty)).collect(),
        tool_choice: tool_choice(request, losses),
        thinking: tuning.thinking,
        output_config: (config.effort.is_some() || config.format.is_some()).then_some(config),
        temperature: tuning.temperature,
        top_p: tuning.top_p,
        top_k: tuning.top_k,
        stop_sequences: request.sampling.stop.iter().map(Text::view).collect(),
        metadata: request.user.as_ref().map(|user| Metadata { user_id: Some(user.view()) }),
        service_tier: request
            .service_tier
            .and_then(|tier| service_tier(tier, losses))
            .map(Text::from),
        stream: request.stream.then_some(true),
    })
}

fn closed_schema<'a>(
    output: Option<&'a OutputFormat<'a>>,
    losses: &mut Losses,
) -> Option<Json<'a>> {
    match output? {
        OutputFormat::Json => {
            losses.feature(Feature::FreeJson);
            None
        }
        OutputFormat::Schema { description, schema, .. } => {
            if description.is_some() {
                losses.feature(Feature::SchemaDescription);
            }
            Some(schema::closed(schema))
        }
    }
}

type System<'a> = Option<Mixed<'a, Block<'a>>>;

fn messages<'a>(
    request: &'a ir::Request<'a>,
    losses: &mut Losses,
) -> (System<'a>, Vec<Message<'a>>) {
    let mut system = Vec::new();
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        if message.name.is_some() {
            losses.feature(Feature::SpeakerName);
        }
        let blocks = blocks(&message.content, losses);
        let role = match message.role {
            Role::System | Role::Developer => {
                if !messages.is_empty() {
                    losses.feature_with(Feature::InstructionsLater, Fate::Moved);
                }
                system.extend(blocks);
                continue;
            }
            Role::User => Text::from("user"),
            Role::Assistant => Text::from("assistant"),
        };
        // Anthropic refuses an empty message, and means the same without it.
        if !blocks.is_empty() {
            messages.push(Message { role, content: Mixed::List(blocks) });
        }
    }
    ((!system.is_empty()).then_some(Mixed::List(system)), messages)
}

fn blocks<'a>(content: &'a [ir::Part<'a>], losses: &mut Losses) -> Vec<Block<'a>> {
    let mut blocks = Vec::with_capacity(content.len());
    for part in content {
        let block = match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    losses.feature(Feature::Citations);
                }
                // Anthropic refuses an empty text.
                (!text.is_empty()).then(|| text_block(text.view()))
            }
            PartKind::Refusal(text) => Some(text_block(text.view())),
            PartKind::Media(media) => media_block(media, losses),
            PartKind::Thinking { text, signature } => {
                thinking_block(text, signature.as_ref(), losses)
            }
            PartKind::Redacted(data) => Some(Block {
                r#type: Text::from("redacted_thinking"),
                data: Some(data.view()),
                ..Block::default()
            }),
            PartKind::Call(call) => Some(call_block(call, losses)),
            PartKind::Result(result) => Some(result_block(result, losses)),
        };
        let cache_control = part.cache.as_ref().map(cache_control);
        blocks.extend(block.map(|block| Block { cache_control, ..block }));
    }
    blocks
}

fn cache_control<'a>(mark: &'a CacheMark<'a>) -> CacheControl<'a> {
    CacheControl { r#type: Text::from("ephemeral"), ttl: mark.ttl.as_ref().map(Text::view) }
}

pub(super) fn text_block(text: Text<'_>) -> Block<'_> {
    Block { r#type: Text::from("text"), text: Some(text), ..Block::default() }
}

/// Anthropic takes back only thoughts that it signed itself.
fn thinking_block<'a>(
    text: &'a Text<'a>,
    signature: Option<&'a ir::Signature<'a>>,
    losses: &mut Losses,
) -> Option<Block<'a>> {
    let Some(signature) = signature.filter(|signature| signature.origin == Dialect::Anthropic)
    else {
        losses.feature(Feature::ThinkingHistory);
        return None;
    };
    Some(Block {
        r#type: Text::from("thinking"),
        thinking: Some(text.view()),
        signature: Some(signature.data.view()),
        ..Block::default()
    })
}

fn media_block<'a>(media: &'a Media<'a>, losses: &mut Losses) -> Option<Block<'a>> {
    if media.detail.as_ref().is_some_and(|detail| &**detail != "auto") {
        losses.feature(Feature::ImageDetail);
    }
    let kind = match media.kind {
        MediaKind::Image => "image",
        MediaKind::File => "document",
        MediaKind::Audio | MediaKind::Video => {
            let audio = media.kind == MediaKind::Audio;
            losses.feature(if audio { Feature::Audio } else { Feature::Video });
            return None;
        }
    };
    let source = |kind: &'static str| Source { r#type: Text::from(kind), ..Source::default() };
    let source = match &media.source {
        ir::Source::Data { mime, base64 } => {
            Source { media_type: Some(mime.view()), data: Some(base64.view()), ..source("base64") }
        }
        ir::Source::Url { url, .. } => Source { url: Some(url.view()), ..source("url") },
        ir::Source::Plain(text) => Source {
            media_type: Some(Text::from("text/plain")),
            data: Some(text.view()),
            ..source("text")
        },
        ir::Source::Id(_) => {
            losses.feature(Feature::ProviderFiles);
            return None;
        }
    };
    Some(Block {
        r#type: Text::from(kind),
        source: Some(source),
        title: media.name.as_ref().filter(|_| media.kind == MediaKind::File).map(Text::view),
        ..Block::default()
    })
}

fn call_block<'a>(call: &'a Call<'a>, losses: &mut Losses) -> Block<'a> {
    Block {
        r#type: Text::from("tool_use"),
        id: Some(id(&call.id)),
        name: Some(call.name.view()),
        input: Some(arguments(&call.arguments, losses)),
        ..Block::default()
    }
}

/// Anthropic takes ids of letters, digits, `_` and `-`; others (`functions.now:0`) are made such.
fn id<'a>(id: &'a Text<'a>) -> Text<'a> {
    let fits = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-');
    if !id.is_empty() && id.chars().all(fits) {
        return id.view();
    }
    let fitted: String = id.chars().map(|one| if fits(one) { one } else { '_' }).collect();
    Text::from(if fitted.is_empty() { "call".to_owned() } else { fitted })
}

/// The arguments as an object; other text, which models do write, as the one member of one.
fn arguments<'a>(text: &'a str, losses: &mut Losses) -> Json<'a> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if raw.get().starts_with('{') => Json::from(raw),
        _ => {
            losses.feature_with(Feature::BrokenArguments, Fate::Changed);
            to_raw(&BrokenArguments { arguments: text })
        }
    }
}

#[derive(Serialize)]
struct BrokenArguments<'a> {
    arguments: &'a str,
}

fn result_block<'a>(result: &'a CallResult<'a>, losses: &mut Losses) -> Block<'a> {
    let content = match result.content.as_slice() {
        [] => None,
        [ir::Part { kind: PartKind::Text { text, .. }, cache: None }] => Some(to_raw(text)),
        parts => Some(to_raw(&blocks(parts, losses))),
    };
    Block {
        r#type: Text::from("tool_result"),
        tool_use_id: Some(id(&result.id)),
        content,
        is_error: result.is_error.then_some(true),
        ..Block::default()
    }
}

fn tool<'a>(tool: &'a ir::Tool<'a>, empty: Option<&'a RawValue>) -> Tool<'a> {
    Tool {
        r#type: None,
        name: tool.name.view(),
        description: tool.description.as_ref().map(Text::view),
        input_schema: tool.schema.as_deref().or(empty),
        strict: tool.strict.filter(|strict| *strict),
        cache_control: tool.cache.as_ref().map(cache_control),
    }
}

fn tool_choice<'a>(request: &'a ir::Request<'a>, losses: &mut Losses) -> Option<ToolChoice<'a>> {
    let disable = request.parallel_tool_calls.map(|parallel| !parallel);
    let choice = |kind: &'static str, name| ToolChoice {
        r#type: Text::from(kind),
        name,
        disable_parallel_tool_use: disable.filter(|disable| *disable),
    };
    if request.tools.is_empty() {
        return None;
    }
    match request.tool_choice.as_ref() {
        None => disable.filter(|disable| *disable).map(|_| choice("auto", None)),
        Some(ir::ToolChoice::Auto) => Some(choice("auto", None)),
        Some(ir::ToolChoice::Required) => Some(choice("any", None)),
        Some(ir::ToolChoice::Function(name)) => Some(choice("tool", Some(name.view()))),
        Some(ir::ToolChoice::None) => Some(ToolChoice {
            r#type: Text::from("none"),
            name: None,
            disable_parallel_tool_use: None,
        }),
        Some(ir::ToolChoice::Allowed { required, .. }) => {
            losses.feature(Feature::AllowedTools);
            Some(choice(if *required { "any" } else { "auto" }, None))
        }
    }
}

fn service_tier(tier: ServiceTier, losses: &mut Losses) -> Option<&'static str> {
    match tier {
        ServiceTier::Auto => Some("auto"),
        ServiceTier::Standard => Some("standard_only"),
        ServiceTier::Flex | ServiceTier::Priority => {
            losses.feature(Feature::ServiceTier);
            None
        }
    }
}
