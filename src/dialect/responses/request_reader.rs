//! A Responses request into the intermediate form.

use super::wire;
use crate::dialect::chat::request_reader::{reasoning, service_tier, source_of_url};
use crate::dialect::ir::answer::Citation;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::settings::Sampling;
use crate::dialect::ir::wire::{Json, Mixed, Text, note_unknown};
use crate::dialect::ir::{
    Call, CallResult, Dialect, Media, MediaKind, Message, OutputFormat, Part, PartKind, Request,
    Role, Signature, Source, Tool, ToolChoice,
};
use crate::error::{Error, Kind, Result};

/// Reads a request. What no other dialect could say is noted.
pub fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<Request<'a>> {
    let wire: wire::Request<'a> = serde_json::from_slice(body).map_err(|error| {
        Error::new(Kind::InvalidBody, format!("the body is not a Responses request: {error}"))
    })?;
    note_unknown(body, wire::REQUEST_MEMBERS, "", losses);
    let mut messages = Vec::new();
    if let Some(text) = wire.instructions {
        let content = vec![Part::text(text)];
        messages.push(Message { role: Role::System, name: None, content });
    }
    match wire.input {
        None => {}
        Some(Mixed::Text(text)) => {
            messages.push(Message {
                role: Role::User,
                name: None,
                content: vec![Part::text(text)],
            });
        }
        Some(Mixed::List(items)) => read_items(items, &mut messages, losses)?,
    }
    let effort = wire.reasoning.and_then(|reasoning| reasoning.effort);
    Ok(Request {
        model: wire.model,
        messages,
        tools: wire.tools.into_iter().filter_map(|entry| tool(entry, losses)).collect(),
        tool_choice: wire.tool_choice.and_then(|choice| tool_choice(&choice, losses)),
        parallel_tool_calls: wire.parallel_tool_calls,
        output: wire.text.and_then(|text| output(text, losses)),
        reasoning: reasoning(effort.as_deref(), "reasoning.effort", losses),
        sampling: Sampling {
            temperature: wire.temperature,
            top_p: wire.top_p,
            max_tokens: wire.max_output_tokens,
            logprobs: wire.top_logprobs.filter(|top| *top > 0),
            ..Sampling::default()
        },
        user: wire.user.or(wire.safety_identifier),
        service_tier: wire.service_tier.and_then(|tier| service_tier(&tier, losses)),
        stream: wire.stream.unwrap_or(false),
        // This dialect tells the usage of every stream.
        include_usage: true,
    })
}

/// Items that the same side says in a row become one message; results are one message of the user's.
fn read_items<'a>(
    items: Vec<wire::Item<'a>>,
    messages: &mut Vec<Message<'a>>,
    losses: &mut Losses,
) -> Result<()> {
    for item in items {
        let joins = |kind: &PartKind<'_>| matches!(kind, PartKind::Result(_));
        let (role, content) = read_item(item, losses)?;
        if content.is_empty() {
            continue;
        }
        let results = content.iter().all(|part| joins(&part.kind));
        let before = messages.last_mut().filter(|before| {
            before.role == role
                && match role {
                    Role::Assistant => true,
                    Role::User => results && before.content.iter().all(|part| joins(&part.kind)),
                    Role::System | Role::Developer => false,
                }
        });
        match before {
            Some(before) => before.content.extend(content),
            None => messages.push(Message { role, name: None, content }),
        }
    }
    Ok(())
}

fn read_item<'a>(item: wire::Item<'a>, losses: &mut Losses) -> Result<(Role, Vec<Part<'a>>)> {
    let one = |kind| vec![Part::new(kind)];
    Ok(match item.r#type.as_deref() {
        None | Some("message") => {
            let role = role(item.role.as_deref().unwrap_or_default())?;
            (role, content(item.content, losses))
        }
        Some("function_call") => (Role::Assistant, one(PartKind::Call(call(item)))),
        Some("function_call_output") => {
            let content = item.output.map(|json| result(&json, losses)).unwrap_or_default();
            let id = item.call_id.unwrap_or_default();
            let result = CallResult { id, name: None, content, is_error: false };
            (Role::User, one(PartKind::Result(result)))
        }
        Some("reasoning") => (Role::Assistant, one(thought(item))),
        Some(other) => {
            losses.unknown("input[].", other);
            (Role::User, Vec::new())
        }
    })
}

fn role(role: &str) -> Result<Role> {
    match role {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        "developer" => Ok(Role::Developer),
        other => {
            let role: String = other.chars().take(32).collect();
            let public = format!(
                "`{role}` is no role of a message: known are `user`, `assistant`, `system`, `developer`"
            );
            Err(Error::new(Kind::InvalidBody, public).param("input"))
        }
    }
}

/// A call of a function.
pub(super) fn call(item: wire::Item<'_>) -> Call<'_> {
    let arguments = item.arguments.filter(|text| !text.trim().is_empty());
    Call {
        id: item.call_id.or(item.id).unwrap_or_default(),
        name: item.name.unwrap_or_default(),
        arguments: arguments.unwrap_or(Text::from("{}")),
        signature: None,
    }
}

/// A thought: its own words where there are some, else their summary.
pub(super) fn thought(item: wire::Item<'_>) -> PartKind<'_> {
    let words = match item.content {
        Some(Mixed::List(parts)) if !parts.is_empty() => parts,
        _ => item.summary.unwrap_or_default(),
    };
    let mut texts: Vec<Text<'_>> = words.into_iter().filter_map(|part| part.text).collect();
    let text = match texts.len() {
        0 | 1 => texts.pop().unwrap_or_default(),
        _ => Text::from(texts.iter().map(|text| &**text).collect::<Vec<_>>().join("\n\n")),
    };
    let signature = item.encrypted_content.filter(|data| !data.is_empty());
    PartKind::Thinking {
        text,
        signature: signature.map(|data| Signature::read(Dialect::Responses, data)),
    }
}

/// The parts of a message.
pub(super) fn content<'a>(
    content: Option<Mixed<'a, wire::Part<'a>>>,
    losses: &mut Losses,
) -> Vec<Part<'a>> {
    match content {
        None => Vec::new(),
        Some(Mixed::Text(text)) => vec![Part::text(text)],
        Some(Mixed::List(parts)) => {
            parts.into_iter().filter_map(|part| read_part(part, losses)).map(Part::new).collect()
        }
    }
}

fn read_part<'a>(part: wire::Part<'a>, losses: &mut Losses) -> Option<PartKind<'a>> {
    let media =
        |kind, source, name, detail| Some(PartKind::Media(Media { kind, source, name, detail }));
    match &*part.r#type {
        "input_text" | "output_text" | "text" => {
            if part.logprobs.is_some_and(|logprobs| !logprobs.is_empty()) {
                losses.feature(Feature::AnswerLogprobs);
            }
            let cited = part.annotations.unwrap_or_default().into_iter().filter_map(citation);
            Some(PartKind::Text { text: part.text?, citations: cited.collect() })
        }
        "refusal" => Some(PartKind::Refusal(part.refusal?)),
        "input_image" => {
            let source = part.image_url.map(source_of_url).or(part.file_id.map(Source::Id))?;
            let detail = part.detail.filter(|detail| &**detail != "auto");
            media(MediaKind::Image, source, None, detail)
        }
        "input_file" => {
            let url = part.file_url.map(|url| Source::Url { mime: None, url });
            let held = part.file_data.map(source_of_url);
            let source = held.or(url).or(part.file_id.map(Source::Id))?;
            media(MediaKind::File, source, part.filename, None)
        }
        "input_audio" => {
            let audio = part.input_audio?;
            let mime = Text::from(format!("audio/{}", &*audio.format));
            media(MediaKind::Audio, Source::Data { mime, base64: audio.data }, None, None)
        }
        other => {
            losses.unknown("input[].content[].", other);
            None
        }
    }
}

/// A source, if it is an address.
pub(super) fn citation(annotation: wire::Annotation<'_>) -> Option<Citation<'_>> {
    Some(Citation {
        url: Some(annotation.url?),
        title: annotation.title,
        quote: None,
        span: Some((annotation.start_index, annotation.end_index)),
    })
}

fn result<'a>(json: &Json<'a>, losses: &mut Losses) -> Vec<Part<'a>> {
    let parsed = json
        .borrowed()
        .and_then(|json| serde_json::from_str::<Mixed<'a, wire::Part<'a>>>(json).ok());
    if parsed.is_none() {
        losses.unknown("", "input[].output");
    }
    content(parsed, losses)
}

fn tool<'a>(entry: wire::Tool<'a>, losses: &mut Losses) -> Option<Tool<'a>> {
    let Some(name) = entry.name.filter(|_| &*entry.r#type == "function") else {
        losses.unknown("tools[].", &entry.r#type);
        return None;
    };
    Some(Tool {
        name,
        description: entry.description,
        schema: entry.parameters.map(Json::from),
        strict: entry.strict,
        cache: None,
    })
}

fn tool_choice<'a>(json: &Json<'a>, losses: &mut Losses) -> Option<ToolChoice<'a>> {
    let object = |json| serde_json::from_str::<wire::ToolChoice<'a>>(json).ok();
    let choice = match json.get() {
        r#""auto""# => Some(ToolChoice::Auto),
        r#""none""# => Some(ToolChoice::None),
        r#""required""# => Some(ToolChoice::Required),
        _ => json.borrowed().and_then(object).and_then(|choice| match &*choice.r#type {
            "function" => choice.name.map(ToolChoice::Function),
            "allowed_tools" => Some(ToolChoice::Allowed {
                required: choice.mode.as_deref() == Some("required"),
                names: choice.tools.into_iter().filter_map(|tool| tool.name).collect(),
            }),
            _ => None,
        }),
    };
    if choice.is_none() {
        losses.unknown("", "tool_choice");
    }
    choice
}

fn output<'a>(text: wire::TextConfig<'a>, losses: &mut Losses) -> Option<OutputFormat<'a>> {
    if text.verbosity.is_some_and(|verbosity| &*verbosity != "medium") {
        losses.unknown("text.", "verbosity");
    }
    let format = text.format?;
    match (&*format.r#type, format.schema) {
        ("text", _) => None,
        ("json_object", _) => Some(OutputFormat::Json),
        ("json_schema", Some(schema)) => Some(OutputFormat::Schema {
            name: format.name,
            description: format.description,
            schema: Json::from(schema),
            strict: format.strict,
        }),
        (other, _) => {
            losses.unknown("text.format.", other);
            None
        }
    }
}
