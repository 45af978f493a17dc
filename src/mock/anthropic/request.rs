//! What a request for a message asks, and whether Anthropic would take it at all.

use std::borrow::Cow;

use serde::Deserialize;
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
    pub(super) max_tokens: Option<usize>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    pub(super) stream: Option<bool>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(borrow)]
    thinking: Option<Kind<'a>>,
    output_config: Option<OutputConfig>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    source: Option<Source<'a>>,
}

/// Where an image or a document comes from.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    media_type: Option<Cow<'a, str>>,
    data: Option<serde::de::IgnoredAny>,
    url: Option<serde::de::IgnoredAny>,
}

/// What is told apart by its type alone.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
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
    /// Refuses what Anthropic refuses, and gives the model's name as JSON.
    pub(super) fn check(&self) -> Result<&'a str, Refusal> {
        let model = model_name(self.model)?;
        let messages = self.messages.as_ref().ok_or_else(|| Refusal::missing("messages"))?;
        messages.iter().try_for_each(Message::check)?;
        Ok(model)
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
    fn check(&self) -> Result<(), Refusal> {
        if !matches!(&*self.role, "user" | "assistant") {
            let message = format!("'role' must be user or assistant, not {}.", self.role);
            return Err(Refusal::bad(message).param("messages"));
        }
        self.blocks()?.iter().try_for_each(Block::check)
    }

    /// The content; none where it is a text.
    fn blocks(&self) -> Result<Vec<Block<'a>>, Refusal> {
        if self.content.get().starts_with('"') {
            return Ok(Vec::new());
        }
        parse("messages", self.content)
    }
}

impl Block<'_> {
    fn check(&self) -> Result<(), Refusal> {
        let whole = match (&*self.r#type, &self.source) {
            ("image" | "document", None) => false,
            (_, Some(source)) => source.is_whole(),
            _ => true,
        };
        if whole {
            return Ok(());
        }
        let message = format!("The source of a block of type '{}' lacks a member.", self.r#type);
        Err(Refusal::bad(message).param("messages"))
    }
}

impl Source<'_> {
    fn is_whole(&self) -> bool {
        match &*self.r#type {
            "base64" => self.media_type.is_some() && self.data.is_some(),
            "url" => self.url.is_some(),
            _ => true,
        }
    }
}
