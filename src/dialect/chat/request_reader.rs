//! A Chat Completions request into the intermediate form.

use serde_json::value::RawValue;

use super::wire;
use crate::dialect::ir::loss::Losses;
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
        Error::new(Kind::InvalidBody, format!("the body is not a chat completion request: {error}"))
    })?;
    note_unknown(body, wire::REQUEST_MEMBERS, "", losses);
    let sampling = sampling(&wire);
    let choice = wire.tool_choice.or(wire.function_call).map(|choice| tool_choice(choice, losses));
    let functions = wire.functions.into_iter().map(|function| tool(function, None));
    Ok(Request {
        messages: messages(wire.messages, losses)?,
        tools: tools(wire.tools, losses).into_iter().chain(functions).collect(),
        tool_choice: choice.flatten(),
        parallel_tool_calls: wire.parallel_tool_calls,
        output: wire.response_format.and_then(|format| output(format, losses)),
        reasoning: reasoning(wire.reasoning_effort.as_deref(), "reasoning_effort", losses),
        sampling: Sampling { stop: stop(wire.stop), ..sampling },
        user: wire.user.or(wire.safety_identifier),
        service_tier: wire.service_tier.and_then(|tier| service_tier(&tier, losses)),
        stream: wire.stream.unwrap_or(false),
        include_usage: wire
            .stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(false),
        model: wire.model,
    })
}

fn sampling<'a>(wire: &wire::Request<'_>) -> Sampling<'a> {
    Sampling {
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k,
        frequency_penalty: wire.frequency_penalty,
        presence_penalty: wire.presence_penalty,
        seed: wire.seed,
        max_tokens: wire.max_completion_tokens.or(wire.max_tokens),
        stop: Vec::new(),
        n: wire.n,
        logprobs: wire.logprobs.unwrap_or(false).then(|| wire.top_logprobs.unwrap_or(0)),
    }
}

fn stop<'a>(stop: Option<Mixed<'a, Text<'a>>>) -> Vec<Text<'a>> {
    match stop {
        None => Vec::new(),
        Some(Mixed::Text(text)) => vec![text],
        Some(Mixed::List(list)) => list,
    }
}

fn messages<'a>(wire: Vec<wire::Message<'a>>, losses: &mut Losses) -> Result<Vec<Message<'a>>> {
    let mut messages: Vec<Message<'a>> = Vec::with_capacity(wire.len());
    let mut after_result = false;
    for message in wire {
        let role = match &*message.role {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" | "tool" | "function" => Role::User,
            "assistant" => Role::Assistant,
            other => return Err(unknown_role(other)),
        };
        if matches!(&*message.role, "tool" | "function") {
            let result = Part::new(PartKind::Result(call_result(message, losses)));
            // Results of parallel calls stand together, as the other dialects require.
            match messages.last_mut().filter(|_| after_result) {
                Some(results) => results.content.push(result),
                None => messages.push(Message { role, name: None, content: vec![result] }),
            }
            after_result = true;
        } else {
            messages.push(spoken(role, message, losses));
            after_result = false;
        }
    }
    Ok(messages)
}

fn unknown_role(role: &str) -> Error {
    let role: String = role.chars().take(32).collect();
    let public = format!(
        "`{role}` is no role of a message: known are `system`, `developer`, `user`, `assistant`, `tool`"
    );
    Error::new(Kind::InvalidBody, public).param("messages")
}

fn call_result<'a>(message: wire::Message<'a>, losses: &mut Losses) -> CallResult<'a> {
    CallResult {
        id: message.tool_call_id.unwrap_or_default(),
        name: message.name,
        content: parts(message.content, losses),
        is_error: false,
    }
}

fn spoken<'a>(role: Role, message: wire::Message<'a>, losses: &mut Losses) -> Message<'a> {
    let mark = message.cache_control.map(|cache| CacheMark { ttl: cache.ttl });
    let mut content =
        thoughts(message.thinking_blocks, message.reasoning_content, message.reasoning);
    content.extend(parts(message.content, losses));
    content.extend(message.refusal.map(|refusal| Part::new(PartKind::Refusal(refusal))));
    content.extend(message.tool_calls.into_iter().filter_map(|call| tool_call(call, losses)));
    content.extend(message.function_call.map(|function| {
        let (name, arguments) =
            (function.name.unwrap_or_default(), function.arguments.unwrap_or_default());
        Part::new(PartKind::Call(Call { id: name.clone(), name, arguments, signature: None }))
    }));
    if !message.annotations.is_empty() {
        losses.unknown("", "messages[].annotations");
    }
    if message.audio.is_some_and(|audio| audio.get() != "null") {
        losses.unknown("", "messages[].audio");
    }
    if let (Some(mark), Some(last)) = (mark, content.last_mut()) {
        last.cache = Some(mark);
    }
    Message { role, name: message.name, content }
}

/// Thoughts of an earlier turn: blocks with signatures where the client kept them, else the plain text.
///
/// A stream tells a block's signature and leaves its words to the plain text, so one block takes them back.
pub(super) fn thoughts<'a>(
    mut blocks: Vec<wire::ThinkingBlock<'a>>,
    plain: Option<Text<'a>>,
    reasoning: Option<&'a RawValue>,
) -> Vec<Part<'a>> {
    let other = reasoning.and_then(|raw| serde_json::from_str::<Text<'a>>(raw.get()).ok());
    let plain = plain.or(other).filter(|text| !text.is_empty());
    if blocks.is_empty() {
        let thought = |text| Part::new(PartKind::Thinking { text, signature: None });
        return plain.map(thought).into_iter().collect();
    }
    let mut thinking = blocks.iter_mut().filter(|block| &*block.r#type == "thinking");
    if let (Some(block), None) = (thinking.next(), thinking.next()) {
        block.thinking = block.thinking.take().filter(|text| !text.is_empty()).or(plain);
    }
    blocks.into_iter().filter_map(thinking_block).collect()
}

fn thinking_block(block: wire::ThinkingBlock<'_>) -> Option<Part<'_>> {
    let kind = match &*block.r#type {
        "thinking" => PartKind::Thinking {
            text: block.thinking.unwrap_or_default(),
            signature: block.signature.map(|data| Signature::read(Dialect::Anthropic, data)),
        },
        "redacted_thinking" => PartKind::Redacted(block.data?),
        _ => return None,
    };
    Some(Part::new(kind))
}

pub(super) fn parts<'a>(
    content: Option<Mixed<'a, wire::Part<'a>>>,
    losses: &mut Losses,
) -> Vec<Part<'a>> {
    match content {
        None => Vec::new(),
        Some(Mixed::Text(text)) => vec![Part::text(text)],
        Some(Mixed::List(list)) => {
            list.into_iter().filter_map(|part| read_part(part, losses)).collect()
        }
    }
}

fn read_part<'a>(part: wire::Part<'a>, losses: &mut Losses) -> Option<Part<'a>> {
    let kind = match (&*part.r#type, part.text, part.image_url, part.input_audio, part.file) {
        ("text", Some(text), ..) => PartKind::Text { text, citations: Vec::new() },
        ("refusal", ..) => PartKind::Refusal(part.refusal?),
        ("image_url", _, Some(image), ..) => PartKind::Media(Media {
            kind: MediaKind::Image,
            source: source_of_url(image.url),
            name: None,
            detail: image.detail,
        }),
        ("input_audio", _, _, Some(audio), _) => PartKind::Media(Media {
            kind: MediaKind::Audio,
            source: Source::Data {
                mime: Text::from(format!("audio/{}", &*audio.format)),
                base64: audio.data,
            },
            name: None,
            detail: None,
        }),
        ("file", _, _, _, Some(file)) => PartKind::Media(Media {
            kind: MediaKind::File,
            source: file.file_data.map(source_of_url).or(file.file_id.map(Source::Id))?,
            name: file.filename,
            detail: None,
        }),
        (other, ..) => {
            losses.unknown("messages[].content[].", other);
            return None;
        }
    };
    Some(Part { kind, cache: part.cache_control.map(|cache| CacheMark { ttl: cache.ttl }) })
}

/// A `data:` URL (RFC 2397, base64) holds its bytes; any other is an address.
pub(in crate::dialect) fn source_of_url(url: Text<'_>) -> Source<'_> {
    let parsed = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match parsed {
        Some((mime, base64)) => {
            let mime = match mime.split(';').next().unwrap_or_default() {
                // `image/jpg` is no MIME type, and providers refuse it.
                "image/jpg" => "image/jpeg",
                mime => mime,
            };
            let base64 = url.suffix(url.len() - base64.len());
            Source::Data { mime: Text::from(mime.to_owned()), base64 }
        }
        None => Source::Url { mime: None, url },
    }
}

pub(super) fn tool_call<'a>(call: wire::ToolCall<'a>, losses: &mut Losses) -> Option<Part<'a>> {
    let Some(function) = call.function else {
        losses.unknown("messages[].tool_calls[].", call.r#type.as_deref().unwrap_or("type"));
        return None;
    };
    let signature = call.extra_content.and_then(|extra| extra.google?.thought_signature);
    Some(Part::new(PartKind::Call(Call {
        id: call.id.unwrap_or_default(),
        name: function.name.unwrap_or_default(),
        arguments: function.arguments.unwrap_or_default(),
        signature: signature.map(|data| Signature::read(Dialect::Gemini, data)),
    })))
}

fn tools<'a>(wire: Vec<wire::Tool<'a>>, losses: &mut Losses) -> Vec<Tool<'a>> {
    let known = |entry: wire::Tool<'a>| match entry.function {
        Some(function) if &*entry.r#type == "function" => Some(tool(function, entry.cache_control)),
        _ => {
            losses.unknown("tools[].", &entry.r#type);
            None
        }
    };
    wire.into_iter().filter_map(known).collect()
}

fn tool<'a>(function: wire::Function<'a>, cache: Option<wire::CacheControl<'a>>) -> Tool<'a> {
    Tool {
        name: function.name,
        description: function.description,
        schema: function.parameters.map(Json::from),
        strict: function.strict,
        cache: cache.map(|cache| CacheMark { ttl: cache.ttl }),
    }
}

fn tool_choice<'a>(raw: &'a RawValue, losses: &mut Losses) -> Option<ToolChoice<'a>> {
    let word = match raw.get() {
        r#""auto""# => Some(ToolChoice::Auto),
        r#""none""# => Some(ToolChoice::None),
        r#""required""# => Some(ToolChoice::Required),
        _ => None,
    };
    let choice = word.or_else(|| {
        let object: wire::ToolChoice<'a> = serde_json::from_str(raw.get()).ok()?;
        if let Some(allowed) = object.allowed_tools {
            let names = allowed.tools.into_iter().filter_map(|tool| Some(tool.function?.name));
            let required = &*allowed.mode == "required";
            return Some(ToolChoice::Allowed { required, names: names.collect() });
        }
        object.function.map(|function| function.name).or(object.name).map(ToolChoice::Function)
    });
    if choice.is_none() && raw.get() != "null" {
        losses.unknown("", "tool_choice");
    }
    choice
}

fn output<'a>(format: wire::ResponseFormat<'a>, losses: &mut Losses) -> Option<OutputFormat<'a>> {
    match (&*format.r#type, format.json_schema) {
        ("text", _) => None,
        ("json_object", _) => Some(OutputFormat::Json),
        ("json_schema", Some(schema)) => Some(OutputFormat::Schema {
            name: schema.name,
            description: schema.description,
            schema: Json::from(schema.schema?),
            strict: schema.strict,
        }),
        (other, _) => {
            losses.unknown("response_format.", other);
            None
        }
    }
}

pub(in crate::dialect) fn reasoning(
    effort: Option<&str>,
    member: &'static str,
    losses: &mut Losses,
) -> Reasoning {
    let effort = match effort {
        None => return Reasoning::default(),
        Some("none") => return Reasoning { enabled: Some(false), ..Reasoning::default() },
        Some("minimal") => Effort::Minimal,
        Some("low") => Effort::Low,
        Some("medium") => Effort::Medium,
        Some("high") => Effort::High,
        Some("xhigh") => Effort::XHigh,
        Some("max") => Effort::Max,
        Some(_) => {
            losses.unknown("", member);
            return Reasoning::default();
        }
    };
    Reasoning { enabled: Some(true), effort: Some(effort), budget: None }
}

pub(in crate::dialect) fn service_tier(tier: &str, losses: &mut Losses) -> Option<ServiceTier> {
    match tier {
        "auto" => Some(ServiceTier::Auto),
        "default" => Some(ServiceTier::Standard),
        "flex" => Some(ServiceTier::Flex),
        "priority" => Some(ServiceTier::Priority),
        _ => {
            losses.unknown("", "service_tier");
            None
        }
    }
}
