//! What a request for a response asks, and whether OpenAI would take it at all.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mock::ask::{Ask, Choice, Format, Function, Metadata, model_name, parse};
use crate::mock::asked::Settings;
use crate::mock::refusal::Refusal;

/// The members that an answer depends on, and those that it repeats; others are read over.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    pub(super) stream: Option<bool>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    parallel_tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    previous_response_id: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    store: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    include: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    image_url: Option<IgnoredAny>,
    file_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ToolChoice<'a> {
    Mode(#[serde(borrow)] Cow<'a, str>),
    Named {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(borrow)]
    effort: Option<Cow<'a, str>>,
    summary: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Text {
    format: Option<TextFormat>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum TextFormat {
    Text,
    JsonObject,
    JsonSchema { schema: Value },
}

impl Settings for Body<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        serde_json::from_str::<Metadata<'_>>(self.metadata?.get()).ok()?.into_settings()
    }
}

impl<'a> Body<'a> {
    /// Refuses what OpenAI refuses, and gives the model's name as JSON.
    pub(super) fn check(&self) -> Result<&'a str, Refusal> {
        let model = model_name(self.model)?;
        self.input.ok_or_else(|| Refusal::missing("input"))?;
        let items = self.items()?;
        items.iter().try_for_each(Item::check)?;
        self.check_results(&items)?;
        Ok(model)
    }

    /// Each result has its call before, here or in an earlier answer.
    fn check_results(&self, items: &[Item<'a>]) -> Result<(), Refusal> {
        if self.previous_response_id.is_some() {
            return Ok(());
        }
        let mut calls = Vec::new();
        for item in items {
            match item.r#type.as_deref() {
                Some("function_call") => calls.extend(item.call_id.as_deref()),
                Some("function_call_output") if !calls.iter().any(|id| item.answers(id)) => {
                    let wrong = "No tool call found for a function call output.";
                    return Err(Refusal::bad(wrong).param("input"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn ask(&self) -> Result<Ask<'a>, Refusal> {
        let text = self.text.map(|raw| parse::<Text>("text", raw)).transpose()?;
        let format = match text.and_then(|text| text.format) {
            Some(TextFormat::JsonSchema { schema }) => Format::Schema(schema),
            Some(TextFormat::JsonObject) => Format::Json,
            Some(TextFormat::Text) | None => Format::Words,
        };
        let tokens_max = self.max_output_tokens.map(|raw| parse("max_output_tokens", raw));
        let tokens_max: Option<Option<usize>> = tokens_max.transpose()?;
        let thinks = self
            .reasoning()
            .is_some_and(|reasoning| reasoning.effort.is_none_or(|effort| effort != "none"));
        Ok(Ask { tokens_max: tokens_max.flatten(), call: self.called()?, format, thinks })
    }

    /// Whether the answer tells what was thought.
    pub(super) fn shows_thoughts(&self) -> bool {
        self.reasoning().is_some_and(|reasoning| reasoning.summary.is_some())
    }

    /// Whether the answer carries the thought under seal, for the next request.
    pub(super) fn seals_thoughts(&self) -> bool {
        self.include.iter().flatten().any(|what| what == "reasoning.encrypted_content")
    }

    /// Members of the request that stand in the answer again, with what they are by default.
    pub(super) fn repeated(&self) -> [(&'static str, &'a str); 12] {
        let given = |raw: Option<&'a RawValue>, default| raw.map_or(default, RawValue::get);
        [
            ("instructions", given(self.instructions, "null")),
            ("max_output_tokens", given(self.max_output_tokens, "null")),
            ("metadata", given(self.metadata, "{}")),
            ("parallel_tool_calls", given(self.parallel_tool_calls, "true")),
            ("previous_response_id", given(self.previous_response_id, "null")),
            ("reasoning", given(self.reasoning, r#"{"effort":null,"summary":null}"#)),
            ("store", given(self.store, "true")),
            ("temperature", given(self.temperature, "1.0")),
            ("text", given(self.text, r#"{"format":{"type":"text"}}"#)),
            ("tool_choice", given(self.tool_choice, r#""auto""#)),
            ("tools", given(self.tools, "[]")),
            ("top_p", given(self.top_p, "1.0")),
        ]
    }

    fn reasoning(&self) -> Option<Reasoning<'a>> {
        serde_json::from_str(self.reasoning?.get()).ok()
    }

    /// The input; none where it is a text.
    fn items(&self) -> Result<Vec<Item<'a>>, Refusal> {
        match self.input {
            Some(input) if !input.get().starts_with('"') => parse("input", input),
            _ => Ok(Vec::new()),
        }
    }

    /// The function that the model calls: never behind a result, so that a conversation ends.
    fn called(&self) -> Result<Option<Function<'a>>, Refusal> {
        let answers =
            |item: &Item<'_>| item.r#type.as_deref().is_some_and(|t| t == "function_call_output");
        let Some(tools) = self.tools else { return Ok(None) };
        if self.items()?.last().is_some_and(answers) {
            return Ok(None);
        }
        let choice = self.tool_choice.map(|raw| parse("tool_choice", raw)).transpose()?;
        let choice = match choice {
            Some(ToolChoice::Mode(mode)) if mode == "none" => Choice::None,
            Some(ToolChoice::Named { name }) => Choice::Named(name),
            _ => Choice::Any,
        };
        let tools: Vec<Tool<'a>> = parse("tools", tools)?;
        let functions = tools.into_iter().filter(|tool| tool.r#type == "function");
        let called = choice.of(functions, |tool| tool.name.as_deref().unwrap_or_default())?;
        let Some(Tool { name: Some(name), parameters, .. }) = called else { return Ok(None) };
        let schema = parameters.map(|raw| parse("tools", raw)).transpose()?;
        Ok(Some(Function { name, schema }))
    }
}

impl Item<'_> {
    fn answers(&self, call_id: &str) -> bool {
        self.call_id.as_deref() == Some(call_id)
    }

    fn check(&self) -> Result<(), Refusal> {
        let prefix = match self.r#type.as_deref() {
            Some("function_call") => "fc",
            Some("reasoning") => "rs",
            Some("message") => "msg",
            _ => "",
        };
        if self.id.as_deref().is_some_and(|id| !id.starts_with(prefix)) {
            let wrong = format!("Expected an id that begins with '{prefix}'.");
            return Err(Refusal::bad(wrong).param("input"));
        }
        let known = matches!(
            self.role.as_deref(),
            None | Some("user" | "assistant" | "system" | "developer")
        );
        if !known {
            let message = "'role' must be assistant, system, developer or user.";
            return Err(Refusal::bad(message).param("input"));
        }
        let parts: Vec<Part<'_>> = match self.content {
            Some(content) if content.get().starts_with('[') => parse("input", content)?,
            _ => Vec::new(),
        };
        let is_whole = |part: &Part<'_>| {
            part.r#type != "input_image" || part.image_url.is_some() || part.file_id.is_some()
        };
        if parts.iter().all(is_whole) {
            return Ok(());
        }
        Err(Refusal::bad("An 'input_image' lacks 'image_url' or 'file_id'.").param("input"))
    }
}
