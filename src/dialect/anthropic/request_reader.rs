//! A Messages request into the intermediate form.

use super::wire;
use crate::dialect::ir::answer::Citation;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::settings::{Effort, Reasoning, Sampling, ServiceTier};
use crate::dialect::ir::wire::{Json, Mixed, Text, note_unknown};
use crate::dialect::ir::{
    CacheMark, Call, CallResult, Dialect, Media, MediaKind, Message, OutputFormat, Part, PartKind,
    Request, Role, Signature, Source, Tool, ToolChoice,
};
use crate::error::{Error, Kind, Result};

/// Reads a request. What no other dialect could say is noted.
pub fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<Request<'a>> {
    let wire: wire::Request<'a> = serde_json::from_slice(body).map_err(|error| {
        Error::new(Kind::InvalidBody, format!("the body is not a Messages request: {error}"))
    })?;
    note_unknown(body, wire::REQUEST_MEMBERS, "", losses);
    let mut messages = Vec::with_capacity(wire.messages.len() + 1);
    if let Some(system) = wire.system {
        messages.push(Message { role: Role::System, name: None, content: content(system, losses) });
    }
    for message in wire.messages {
        messages.push(read_message(message, losses)?);
    }
    let parallel = wire.tool_choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use);
    let (effort, format) =
        wire.output_config.map_or((None, None), |config| (config.effort, config.format));
    Ok(Request {
        model: wire.model,
        messages,
        tools: wire.tools.into_iter().filter_map(|entry| tool(entry, losses)).collect(),
        tool_choice: wire.tool_choice.and_then(|choice| tool_choice(choice, losses)),
        parallel_tool_calls: parallel.map(|disabled| !disabled),
        output: format.and_then(|format| output(format, losses)),
        reasoning: reasoning(wire.thinking, effort.as_deref(), losses),
        sampling: Sampling {
            temperature: wire.temperature,
            top_p: wire.top_p,
            top_k: wire.top_k,
            max_tokens: wire.max_tokens,
            stop: wire.stop_sequences,
            ..Sampling::default()
        },
        user: wire.metadata.and_then(|metadata| metadata.user_id),
        service_tier: wire.service_tier.and_then(|tier| service_tier(&tier, losses)),
        stream: wire.stream.unwrap_or(false),
        // This dialect tells the usage of every stream.
        include_usage: true,
    })
}

fn read_message<'a>(message: wire::Message<'a>, losses: &mut Losses) -> Result<Message<'a>> {
    let role = match &*message.role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let role: String = other.chars().take(32).collect();
            let public = format!(
                "`{role}` is no role of a message: known are `user`, `assistant`, `system`"
            );
            return Err(Error::new(Kind::InvalidBody, public).param("messages"));
        }
    };
    Ok(Message { role, name: None, content: content(message.content, losses) })
}

fn content<'a>(mixed: Mixed<'a, wire::Block<'a>>, losses: &mut Losses) -> Vec<Part<'a>> {
    match mixed {
        Mixed::Text(text) => vec![Part::text(text)],
        Mixed::List(blocks) => {
            blocks.into_iter().filter_map(|block| read_block(block, losses)).collect()
        }
    }
}

/// Reads a block of a request or of an answer; one that only Anthropic knows is noted.
pub(super) fn read_block<'a>(block: wire::Block<'a>, losses: &mut Losses) -> Option<Part<'a>> {
    let cache = block.cache_control.map(|mark| CacheMark { ttl: mark.ttl });
    let kind = match &*block.r#type {
        "text" => PartKind::Text {
            text: block.text?,
            citations: block.citations.map(|list| citations(&list)).unwrap_or_default(),
        },
        "image" => media(MediaKind::Image, block.source?, None, losses)?,
        "document" => media(MediaKind::File, block.source?, block.title, losses)?,
        "thinking" => PartKind::Thinking {
            text: block.thinking.unwrap_or_default(),
            signature: block
                .signature
                .filter(|data| !data.is_empty())
                .map(|data| Signature::read(Dialect::Anthropic, data)),
        },
        "redacted_thinking" => PartKind::Redacted(block.data?),
        "tool_use" => PartKind::Call(Call {
            id: block.id.unwrap_or_default(),
            name: block.name.unwrap_or_default(),
            arguments: block.input.map_or(Text::from("{}"), Json::into_text),
            signature: None,
        }),
        "tool_result" => PartKind::Result(CallResult {
            id: block.tool_use_id.unwrap_or_default(),
            name: None,
            content: block.content.map(|raw| result(raw, losses)).unwrap_or_default(),
            is_error: block.is_error.unwrap_or(false),
        }),
        other => {
            losses.unknown("messages[].content[].", other);
            return None;
        }
    };
    Some(Part { kind, cache })
}

fn result<'a>(json: Json<'a>, losses: &mut Losses) -> Vec<Part<'a>> {
    let parsed = json
        .borrowed()
        .and_then(|json| serde_json::from_str::<Mixed<'a, wire::Block<'a>>>(json).ok());
    match parsed {
        Some(mixed) => content(mixed, losses),
        None => {
            losses.unknown("", "messages[].content[].content");
            Vec::new()
        }
    }
}

fn media<'a>(
    kind: MediaKind,
    source: wire::Source<'a>,
    name: Option<Text<'a>>,
    losses: &mut Losses,
) -> Option<PartKind<'a>> {
    let source = match (&*source.r#type, source.data, source.url, source.file_id) {
        ("base64", Some(base64), ..) => {
            Source::Data { mime: source.media_type.unwrap_or_default(), base64 }
        }
        ("text", Some(text), ..) => Source::Plain(text),
        ("url", _, Some(url), _) => Source::Url { mime: source.media_type, url },
        ("file", _, _, Some(id)) => Source::Id(id),
        (other, ..) => {
            losses.unknown("messages[].content[].source.", other);
            return None;
        }
    };
    Some(PartKind::Media(Media { kind, source, name, detail: None }))
}

/// The sources of a text. A switch, as documents have it, names none.
pub(super) fn citations<'a>(json: &Json<'a>) -> Vec<Citation<'a>> {
    let list =
        json.borrowed().and_then(|json| serde_json::from_str::<Vec<wire::Citation<'a>>>(json).ok());
    list.unwrap_or_default().into_iter().map(citation).collect()
}

pub(super) fn citation(cited: wire::Citation<'_>) -> Citation<'_> {
    Citation {
        url: cited.url,
        title: cited.title.or(cited.document_title),
        quote: cited.cited_text,
        span: None,
    }
}

fn tool<'a>(entry: wire::Tool<'a>, losses: &mut Losses) -> Option<Tool<'a>> {
    if let Some(kind) = entry.r#type.filter(|kind| &**kind != "custom") {
        losses.unknown("tools[].", &kind);
        return None;
    }
    Some(Tool {
        name: entry.name,
        description: entry.description,
        schema: entry.input_schema.map(Json::from),
        strict: entry.strict,
        cache: entry.cache_control.map(|mark| CacheMark { ttl: mark.ttl }),
    })
}

fn tool_choice<'a>(choice: wire::ToolChoice<'a>, losses: &mut Losses) -> Option<ToolChoice<'a>> {
    match (&*choice.r#type, choice.name) {
        ("auto", _) => Some(ToolChoice::Auto),
        ("none", _) => Some(ToolChoice::None),
        ("any", _) => Some(ToolChoice::Required),
        ("tool", Some(name)) => Some(ToolChoice::Function(name)),
        _ => {
            losses.unknown("", "tool_choice");
            None
        }
    }
}

fn output<'a>(format: wire::Format<'a>, losses: &mut Losses) -> Option<OutputFormat<'a>> {
    match (&*format.r#type, format.schema) {
        ("json_schema", Some(schema)) => Some(OutputFormat::Schema {
            name: None,
            description: None,
            schema: Json::from(schema),
            // Anthropic always keeps to the schema.
            strict: Some(true),
        }),
        (other, _) => {
            losses.unknown("output_config.format.", other);
            None
        }
    }
}

fn reasoning(
    thinking: Option<wire::Thinking<'_>>,
    effort: Option<&str>,
    losses: &mut Losses,
) -> Reasoning {
    let effort = match effort {
        None => None,
        Some("low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some("xhigh") => Some(Effort::XHigh),
        Some("max") => Some(Effort::Max),
        Some(_) => {
            losses.unknown("", "output_config.effort");
            None
        }
    };
    let (enabled, budget) = match thinking {
        // Without the member, this dialect does not think.
        None => (Some(false), None),
        Some(thinking) => (Some(&*thinking.r#type != "disabled"), thinking.budget_tokens),
    };
    if effort.is_some() && enabled == Some(false) {
        losses.feature(Feature::EffortWithoutThinking);
    }
    Reasoning { enabled, effort, budget }
}

fn service_tier(tier: &str, losses: &mut Losses) -> Option<ServiceTier> {
    match tier {
        "auto" => Some(ServiceTier::Auto),
        "standard_only" => Some(ServiceTier::Standard),
        _ => {
            losses.unknown("", "service_tier");
            None
        }
    }
}
