//! A Gemini request into the intermediate form.
//!
//! Calls and results are matched by order and name in this dialect; the others want ids, so calls
//! without one are numbered through the conversation.

use super::wire;
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::settings::{Effort, Reasoning, Sampling, ServiceTier};
use crate::dialect::ir::wire::{Json, Text, note_unknown};
use crate::dialect::ir::{
    Call, CallResult, Dialect, Media, MediaKind, Message, OutputFormat, Part, PartKind, Request,
    Role, Signature, Source, Tool, ToolChoice, schema,
};
use crate::error::{Error, Kind, Result};

/// Reads a request. Whether it asks for a stream stands in its path, so `stream` is told.
pub fn read<'a>(body: &'a [u8], stream: bool, losses: &mut Losses) -> Result<Request<'a>> {
    let wire: wire::Request<'a> = serde_json::from_slice(body).map_err(broken)?;
    note_unknown(body, wire::REQUEST_MEMBERS, "", losses);
    let generation = generation(wire.generation_config.as_ref(), losses)?;
    let mut reader = Reader { calls: 0, pending: Vec::new(), losses };
    let mut messages = Vec::with_capacity(wire.contents.len() + 1);
    if let Some(system) = wire.system_instruction {
        let content = reader.parts(system.parts);
        messages.push(Message { role: Role::System, name: None, content });
    }
    for content in wire.contents {
        messages.push(reader.message(content)?);
    }
    let declared = |tool: wire::Tool<'a>| tool.function_declarations.into_iter().map(declaration);
    if wire.tools.iter().any(|tool| tool.function_declarations.is_empty()) {
        losses.unknown("", "tools[] (other than functionDeclarations)");
    }
    Ok(Request {
        model: None,
        messages,
        tools: wire.tools.into_iter().flat_map(declared).collect(),
        tool_choice: wire.tool_config.and_then(|config| tool_choice(config, losses)),
        parallel_tool_calls: None,
        output: output(&generation, losses),
        reasoning: reasoning(generation.thinking_config.as_ref(), losses),
        sampling: sampling(generation),
        user: None,
        service_tier: wire.service_tier.and_then(|tier| service_tier(&tier, losses)),
        stream,
        // This dialect tells the usage of every stream.
        include_usage: true,
    })
}

fn broken(error: serde_json::Error) -> Error {
    Error::new(Kind::InvalidBody, format!("the body is not a generateContent request: {error}"))
}

fn generation<'a>(json: Option<&Json<'a>>, losses: &mut Losses) -> Result<wire::Generation<'a>> {
    let Some(json) = json.and_then(Json::borrowed) else { return Ok(wire::Generation::default()) };
    note_unknown(json.as_bytes(), wire::GENERATION_MEMBERS, "generationConfig.", losses);
    serde_json::from_str(json).map_err(|error| broken(error).param("generationConfig"))
}

fn sampling(wire: wire::Generation<'_>) -> Sampling<'_> {
    Sampling {
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k,
        frequency_penalty: wire.frequency_penalty,
        presence_penalty: wire.presence_penalty,
        seed: wire.seed,
        max_tokens: wire.max_output_tokens,
        stop: wire.stop_sequences,
        n: wire.candidate_count,
        logprobs: wire.response_logprobs.unwrap_or(false).then(|| wire.logprobs.unwrap_or(0)),
    }
}

struct Reader<'a, 'l> {
    calls: usize,
    /// Calls without a result so far: name and id.
    pending: Vec<(Text<'a>, Text<'a>)>,
    losses: &'l mut Losses,
}

impl<'a> Reader<'a, '_> {
    fn message(&mut self, content: wire::Content<'a>) -> Result<Message<'a>> {
        let role = match content.role.as_deref() {
            None | Some("user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some("system") => Role::System,
            Some(other) => {
                let role: String = other.chars().take(32).collect();
                let public = format!("`{role}` is no role of a content: known are `user`, `model`");
                return Err(Error::new(Kind::InvalidBody, public).param("contents"));
            }
        };
        Ok(Message { role, name: None, content: self.parts(content.parts) })
    }

    fn parts(&mut self, parts: Vec<wire::Part<'a>>) -> Vec<Part<'a>> {
        parts.into_iter().filter_map(|part| self.part(part)).map(Part::new).collect()
    }

    fn part(&mut self, part: wire::Part<'a>) -> Option<PartKind<'a>> {
        if let Some(call) = part.function_call {
            let name = call.name.unwrap_or_default();
            self.calls += 1;
            let id = call.id.unwrap_or_else(|| Text::from(format!("call_{}", self.calls)));
            self.pending.push((name.clone(), id.clone()));
            let arguments = call.args.map_or(Text::from("{}"), Json::into_text);
            let signature =
                part.thought_signature.map(|data| Signature::read(Dialect::Gemini, data));
            return Some(PartKind::Call(Call { id, name, arguments, signature }));
        }
        if let Some(response) = part.function_response {
            return Some(PartKind::Result(self.result(response)));
        }
        if part.executable_code.is_some() || part.code_execution_result.is_some() {
            self.losses.unknown("contents[].parts[].", "executableCode");
            return None;
        }
        other_part(part, self.losses)
    }

    fn result(&mut self, response: wire::FunctionResponse<'a>) -> CallResult<'a> {
        let matched = self.pending.iter().position(|(name, id)| match &response.id {
            Some(wanted) => id == wanted,
            None => *name == response.name,
        });
        let id = match (matched, response.id) {
            (Some(at), _) => self.pending.remove(at).1,
            (None, Some(id)) => id,
            // An answer to nothing: it still needs an id, and its name says most.
            (None, None) => response.name.clone(),
        };
        let (text, is_error) = outcome(response.response);
        let mut content: Vec<Part<'a>> = text.map(Part::text).into_iter().collect();
        content.extend(self.parts(response.parts));
        CallResult { id, name: Some(response.name), content, is_error }
    }
}

/// What a function gave: the text under `output` or `error` (FunctionResponse, `response`), else all of it as JSON.
fn outcome(response: Option<Json<'_>>) -> (Option<Text<'_>>, bool) {
    #[derive(serde::Deserialize)]
    #[serde(bound(deserialize = "'de: 'a"), deny_unknown_fields)]
    struct Outcome<'a> {
        #[serde(default)]
        output: Option<Json<'a>>,
        #[serde(default)]
        error: Option<Json<'a>>,
    }
    let Some(json) = response else { return (None, false) };
    let parsed = json.borrowed().and_then(|json| serde_json::from_str::<Outcome<'_>>(json).ok());
    let (value, is_error) = match parsed {
        Some(Outcome { output: Some(output), error: None }) => (output, false),
        Some(Outcome { output: None, error: Some(error) }) => (error, true),
        _ => (json, false),
    };
    let text = value.borrowed().and_then(|json| serde_json::from_str::<Text<'_>>(json).ok());
    (Some(text.unwrap_or_else(|| value.into_text())), is_error)
}

/// Reads a part that is no call and no result.
pub(super) fn other_part<'a>(part: wire::Part<'a>, losses: &mut Losses) -> Option<PartKind<'a>> {
    if let Some(text) = part.text {
        if part.thought == Some(true) {
            let signature =
                part.thought_signature.map(|data| Signature::read(Dialect::Gemini, data));
            return Some(PartKind::Thinking { text, signature });
        }
        if part.thought_signature.is_some() {
            losses.feature(Feature::TextSignatures);
        }
        return Some(PartKind::Text { text, citations: Vec::new() });
    }
    let (kind, source) = if let Some(blob) = part.inline_data {
        let kind = MediaKind::of_mime(&blob.mime_type);
        (kind, Source::Data { mime: blob.mime_type, base64: blob.data })
    } else if let Some(file) = part.file_data {
        let kind = file.mime_type.as_deref().map_or(MediaKind::File, MediaKind::of_mime);
        let own = file.file_uri.starts_with("https://generativelanguage.googleapis.com/");
        let source = match own || !file.file_uri.starts_with("http") {
            true => Source::Id(file.file_uri),
            false => Source::Url { mime: file.mime_type, url: file.file_uri },
        };
        (kind, source)
    } else {
        return None;
    };
    Some(PartKind::Media(Media { kind, source, name: None, detail: None }))
}

fn declaration(declared: wire::FunctionDeclaration<'_>) -> Tool<'_> {
    let own = declared.parameters.map(schema::from_openapi);
    Tool {
        name: declared.name,
        description: declared.description,
        schema: declared.parameters_json_schema.map(Json::from).or(own),
        strict: None,
        cache: None,
    }
}

fn tool_choice<'a>(config: wire::ToolConfig<'a>, losses: &mut Losses) -> Option<ToolChoice<'a>> {
    let config = config.function_calling_config?;
    let mode = config.mode.as_deref().unwrap_or("AUTO");
    let required = match mode {
        "NONE" => return Some(ToolChoice::None),
        "AUTO" | "VALIDATED" | "MODE_UNSPECIFIED" => false,
        "ANY" => true,
        _ => {
            losses.unknown("toolConfig.functionCallingConfig.", "mode");
            return None;
        }
    };
    let mut names = config.allowed_function_names;
    Some(match (names.len(), required) {
        (0, true) => ToolChoice::Required,
        (0, false) => ToolChoice::Auto,
        (1, true) => ToolChoice::Function(names.pop()?),
        _ => ToolChoice::Allowed { required, names },
    })
}

fn output<'a>(wire: &wire::Generation<'a>, losses: &mut Losses) -> Option<OutputFormat<'a>> {
    let own = wire.response_schema.as_ref().and_then(Json::raw).map(schema::from_openapi);
    let schema = wire.response_json_schema.clone().or(own);
    match (wire.response_mime_type.as_deref(), schema) {
        (None | Some("text/plain"), _) => None,
        (Some("application/json"), None) => Some(OutputFormat::Json),
        (Some("application/json"), Some(schema)) => {
            Some(OutputFormat::Schema { name: None, description: None, schema, strict: Some(true) })
        }
        (Some(_), _) => {
            losses.unknown("generationConfig.", "responseMimeType");
            None
        }
    }
}

fn reasoning(config: Option<&wire::ThinkingConfig<'_>>, losses: &mut Losses) -> Reasoning {
    let Some(config) = config else { return Reasoning::default() };
    let effort = match config.thinking_level.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("thinking_level_unspecified") => None,
        Some("minimal") => Some(Effort::Minimal),
        Some("low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some(_) => {
            losses.unknown("generationConfig.thinkingConfig.", "thinkingLevel");
            None
        }
    };
    // Zero is "not at all", -1 is "as it likes".
    let enabled = match config.thinking_budget {
        Some(0) => Some(false),
        Some(_) => Some(true),
        None => (effort.is_some() || config.include_thoughts == Some(true)).then_some(true),
    };
    let budget = config.thinking_budget.and_then(|tokens| u64::try_from(tokens).ok());
    Reasoning { enabled, effort, budget: budget.filter(|tokens| *tokens > 0) }
}

fn service_tier(tier: &str, losses: &mut Losses) -> Option<ServiceTier> {
    match tier.to_ascii_lowercase().as_str() {
        "unspecified" => None,
        "standard" => Some(ServiceTier::Standard),
        "flex" => Some(ServiceTier::Flex),
        "priority" => Some(ServiceTier::Priority),
        _ => {
            losses.unknown("", "serviceTier");
            None
        }
    }
}
