//! What a request for content asks, and whether Gemini would take it at all.
//!
//! Google's JSON has two spellings of each name, `camelCase` and `snake_case`; both are read.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mock::ask::{Ask, Choice, Format, Function, Metadata, parse};
use crate::mock::asked::Settings;
use crate::mock::refusal::Refusal;

/// The members that an answer depends on; others are read over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    contents: Option<Vec<Content<'a>>>,
    /// A whole request, in `countTokens`.
    #[serde(alias = "generate_content_request")]
    generate_content_request: Option<IgnoredAny>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(alias = "tool_config", borrow)]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(alias = "generation_config", default)]
    generation_config: Generation,
    /// Gemini has no metadata; Vertex AI has labels.
    #[serde(borrow)]
    labels: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(alias = "inline_data", borrow)]
    inline_data: Option<Blob<'a>>,
    #[serde(alias = "function_call")]
    function_call: Option<IgnoredAny>,
    #[serde(alias = "function_response")]
    function_response: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    #[serde(alias = "mime_type", borrow)]
    mime_type: Option<Cow<'a, str>>,
    data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool<'a> {
    #[serde(alias = "function_declarations", default, borrow)]
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(alias = "parameters_json_schema", borrow)]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    #[serde(alias = "function_calling_config", borrow)]
    function_calling_config: Option<Calling<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    #[serde(borrow)]
    mode: Option<Cow<'a, str>>,
    #[serde(alias = "allowed_function_names", default, borrow)]
    allowed_function_names: Vec<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generation {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<usize>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    #[serde(alias = "response_json_schema")]
    response_json_schema: Option<Value>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<Thinking>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thinking {
    #[serde(alias = "include_thoughts")]
    include_thoughts: Option<bool>,
    #[serde(alias = "thinking_budget")]
    thinking_budget: Option<i64>,
}

impl Settings for Body<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        self.labels.as_ref()?.settings()
    }
}

impl<'a> Body<'a> {
    /// Refuses what Gemini refuses.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let contents = self.contents.as_ref().ok_or_else(|| Refusal::missing("contents"))?;
        contents.iter().try_for_each(Content::check)?;
        let calls = |content: &Content<'_>| content.count(|part| part.function_call.is_some());
        let mut before = 0;
        for content in contents {
            let results = content.count(|part| part.function_response.is_some());
            if results > 0 && results != before {
                let wrong = format!("There are {results} function responses to {before} calls.");
                return Err(Refusal::bad(wrong).param("contents"));
            }
            before = calls(content);
        }
        Ok(())
    }

    /// The same for `countTokens`, which takes a whole request too.
    pub(super) fn check_count(&self) -> Result<(), Refusal> {
        if self.generate_content_request.is_some() { Ok(()) } else { self.check() }
    }

    pub(super) fn ask(&self) -> Result<Ask<'a>, Refusal> {
        let call = self.called()?.map(|declaration| {
            let parameters = declaration.parameters.or(declaration.parameters_json_schema);
            let schema = parameters.map(|raw| parse("tools", raw)).transpose()?;
            Ok(Function { name: declaration.name.clone(), schema: schema.map(json_schema) })
        });
        let generation = &self.generation_config;
        let schema =
            generation.response_schema.as_ref().or(generation.response_json_schema.as_ref());
        let format = match (schema, generation.response_mime_type.as_deref()) {
            (Some(schema), _) => Format::Schema(json_schema(schema.clone())),
            (None, Some("application/json")) => Format::Json,
            (None, _) => Format::Words,
        };
        Ok(Ask {
            tokens_max: generation.max_output_tokens,
            call: call.transpose()?,
            format,
            thinks: generation
                .thinking_config
                .as_ref()
                .is_some_and(|thinking| thinking.thinking_budget != Some(0)),
        })
    }

    pub(super) fn shows_thoughts(&self) -> bool {
        let thinking = self.generation_config.thinking_config.as_ref();
        thinking.is_some_and(|thinking| thinking.include_thoughts == Some(true))
    }

    /// The function that the model calls: never behind a result, so that a conversation ends.
    fn called(&self) -> Result<Option<&Declaration<'a>>, Refusal> {
        let last = self.contents.iter().flatten().last();
        if last.is_some_and(|last| last.count(|part| part.function_response.is_some()) > 0) {
            return Ok(None);
        }
        let calling = self.tool_config.as_ref().and_then(|c| c.function_calling_config.as_ref());
        let choice = match calling {
            Some(Calling { mode: Some(mode), .. }) if mode == "NONE" => Choice::None,
            Some(Calling { allowed_function_names, .. }) => {
                allowed_function_names.first().cloned().map_or(Choice::Any, Choice::Named)
            }
            None => Choice::Any,
        };
        let tools = self.tools.iter().flatten();
        choice.of(tools.flat_map(|tool| &tool.function_declarations), |one| &one.name)
    }
}

impl Content<'_> {
    /// How many of the parts are of some kind.
    fn count(&self, is: impl Fn(&Part<'_>) -> bool) -> usize {
        self.parts.iter().filter(|part| is(part)).count()
    }

    fn check(&self) -> Result<(), Refusal> {
        if !matches!(self.role.as_deref(), None | Some("user" | "model" | "function")) {
            return Err(Refusal::bad("Please use a valid role: user, model.").param("contents"));
        }
        if self.parts.is_empty() {
            return Err(Refusal::bad("'parts' must not be empty.").param("contents"));
        }
        let is_whole = |part: &Part<'_>| {
            let blob = part.inline_data.as_ref();
            blob.is_none_or(|blob| blob.mime_type.is_some() && blob.data.is_some())
        };
        if self.parts.iter().all(is_whole) {
            return Ok(());
        }
        Err(Refusal::bad("'inlineData' lacks 'mimeType' or 'data'.").param("contents"))
    }
}

/// A schema in Google's spelling, which has types in capitals, as a JSON Schema.
fn json_schema(mut schema: Value) -> Value {
    lower_types(&mut schema);
    schema
}

fn lower_types(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(lower_types),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(kind) if name == "type" => kind.make_ascii_lowercase(),
                    // Values of the instance, not schemas.
                    _ if matches!(name.as_str(), "enum" | "const" | "default" | "example") => {}
                    _ => lower_types(member),
                }
            }
        }
        _ => {}
    }
}
