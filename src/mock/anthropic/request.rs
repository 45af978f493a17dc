//! What a request for a message asks.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mock::ask::{Ask, Choice, Format, Function, Metadata, model_name, parse};
use crate::mock::asked::Settings;
use crate::mock::refusal::Refusal;

/// The members that an answer depends on; others are read over.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    anthropic_version: Option<Cow<'a, str>>,
    pub(super) max_tokens: Option<usize>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    pub(super) stream: Option<bool>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(borrow)]
    thinking: Option<Thinking<'a>>,
    pub(super) temperature: Option<f64>,
    output_config: Option<OutputConfig>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// A content block of any type.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    /// Of a call.
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) name: Option<IgnoredAny>,
    /// Of a call's result.
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Cow<'a, str>>,
    pub(super) signature: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) source: Option<Source<'a>>,
}

/// Where an image or a document comes from.
#[derive(Deserialize)]
pub(super) struct Source<'a> {
    #[serde(borrow)]
    pub(super) r#type: Cow<'a, str>,
    pub(super) media_type: Option<IgnoredAny>,
    pub(super) data: Option<IgnoredAny>,
    pub(super) url: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    budget_tokens: Option<usize>,
}

/// A tool; one of Anthropic's own has no schema.
#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ToolChoice<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct OutputConfig {
    format: Option<OutputFormat>,
}

#[derive(Deserialize)]
struct OutputFormat {
    schema: Option<Value>,
}

impl Settings for Body<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        self.metadata.as_ref()?.settings()
    }
}

impl<'a> Body<'a> {
    /// The model's name as JSON, quotes included: that of the body, or on Vertex AI that of the path, where
    /// the body has Anthropic's version in its place.
    pub(super) fn model(&self, on_vertex: Option<&str>) -> Result<Cow<'a, str>, Refusal> {
        let Some(name) = on_vertex else { return model_name(self.model).map(Cow::Borrowed) };
        if self.model.is_some() {
            return Err(Refusal::bad("The model stands in the path.").param("model"));
        }
        if self.anthropic_version.as_deref() != Some("vertex-2023-10-16") {
            return Err(Refusal::missing("anthropic_version"));
        }
        Ok(Cow::Owned(Value::from(name).to_string()))
    }

    pub(super) fn messages(&self) -> Result<&[Message<'a>], Refusal> {
        self.messages.as_deref().ok_or_else(|| Refusal::missing("messages"))
    }

    /// How many tokens the model may think, where that is said.
    pub(super) fn thinking_budget(&self) -> Option<usize> {
        let thinking = self.thinking.as_ref().filter(|thinking| thinking.r#type == "enabled")?;
        Some(thinking.budget_tokens.unwrap_or(0))
    }

    pub(super) fn forces_a_call(&self) -> bool {
        self.tool_choice.as_ref().is_some_and(|choice| matches!(&*choice.r#type, "any" | "tool"))
    }

    pub(super) fn ask(&self) -> Result<Ask<'a>, Refusal> {
        let call = self.called()?.map(|tool| {
            let schema = tool.input_schema.map(|raw| parse("tools", raw)).transpose()?;
            Ok(Function { name: tool.name.clone(), schema })
        });
        let format = self.output_config.as_ref().and_then(|output| output.format.as_ref());
        let format = match format.map(|format| &format.schema) {
            None => Format::Words,
            Some(None) => Format::Json,
            Some(Some(schema)) => Format::Schema(schema.clone()),
        };
        let thinks = self.thinking.as_ref().is_some_and(|thinking| thinking.r#type != "disabled");
        Ok(Ask { tokens_max: self.max_tokens, call: call.transpose()?, format, thinks })
    }

    /// The tool that the model calls: never behind a tool's result, so that a conversation ends.
    fn called(&self) -> Result<Option<&Tool<'a>>, Refusal> {
        let last = self.messages.iter().flatten().last().map(Message::blocks).transpose()?;
        if last.iter().flatten().any(|block| block.r#type == "tool_result") {
            return Ok(None);
        }
        let choice = match &self.tool_choice {
            Some(ToolChoice { r#type, .. }) if r#type == "none" => Choice::None,
            Some(ToolChoice { name: Some(name), .. }) => Choice::Named(name.clone()),
            _ => Choice::Any,
        };
        choice.of(self.tools.iter().flatten(), |tool| &tool.name)
    }
}

impl<'a> Message<'a> {
    /// The content; none where it is a text.
    pub(super) fn blocks(&self) -> Result<Vec<Block<'a>>, Refusal> {
        if self.content.get().starts_with('"') {
            return Ok(Vec::new());
        }
        parse("messages", self.content)
    }
}
