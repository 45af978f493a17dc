//! The members of a JSON request to OpenAI's endpoints that an answer depends on.
//!
//! One shape serves every endpoint but responses: each reads what concerns it. What is not named
//! here is read over, as a model server does with members that it does not know.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ask::{Ask, Choice, Format, Function, Metadata, model_name, parse};
use super::asked::Settings;
use super::refusal::Refusal;

/// A request's body; texts stay as they stand in it.
#[derive(Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    pub(crate) messages: Option<Vec<Message<'a>>>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) response_format: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    n: Option<u32>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    #[serde(borrow)]
    pub(crate) prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) encoding_format: Option<Cow<'a, str>>,
    pub(crate) dimensions: Option<usize>,
    #[serde(borrow)]
    pub(crate) query: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) documents: Option<Vec<Document<'a>>>,
    pub(crate) top_n: Option<usize>,
    pub(crate) return_documents: Option<bool>,
}

/// The most choices or images of one answer.
const N_MAX: u32 = 128;

impl<'a> Body<'a> {
    /// The model's name as it stands in the body, quotes included.
    pub(crate) fn model(&self) -> Result<&'a str, Refusal> {
        model_name(self.model)
    }

    /// How many choices or images are asked for.
    pub(crate) fn n(&self) -> Result<u32, Refusal> {
        let n = self.n.unwrap_or(1);
        if (1..=N_MAX).contains(&n) {
            return Ok(n);
        }
        Err(Refusal::bad(format!("'n' must be from 1 to {N_MAX}.")).param("n"))
    }

    /// The most tokens that the caller wants.
    pub(crate) fn tokens_max(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Whether a stream ends with its token counts.
    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true)
    }

    /// What a chat asks of the model: a call if there are tools, JSON if that is asked for.
    pub(crate) fn ask(&self) -> Result<Ask<'a>, Refusal> {
        let call = self.called()?.map(|called| {
            let schema = called.parameters.map(|raw| parse("tools", raw)).transpose()?;
            Ok(Function { name: called.name.clone(), schema })
        });
        let format = self.response_format.map(|raw| parse("response_format", raw)).transpose()?;
        let format = match format {
            Some(ResponseFormat::JsonSchema { json_schema }) => {
                Format::Schema(json_schema.schema.unwrap_or_else(|| json!({ "type": "object" })))
            }
            Some(ResponseFormat::JsonObject) => Format::Json,
            Some(ResponseFormat::Text) | None => Format::Words,
        };
        Ok(Ask { tokens_max: self.tokens_max(), call: call.transpose()?, format, thinks: false })
    }

    /// The function that the model calls: never behind a tool's result, so that a conversation ends.
    fn called(&self) -> Result<Option<&Called<'a>>, Refusal> {
        let messages = self.messages.iter().flatten();
        if messages.last().is_some_and(|message| message.role == "tool") {
            return Ok(None);
        }
        let choice = match self.tool_choice.map(|raw| parse("tool_choice", raw)).transpose()? {
            Some(ToolChoice::Mode(mode)) if mode == "none" => Choice::None,
            Some(ToolChoice::Function { function: Named { name } }) => Choice::Named(name),
            _ => Choice::Any,
        };
        let functions = self.tools.iter().flatten().filter_map(|tool| tool.function.as_ref());
        choice.of(functions, |called| &called.name)
    }
}

impl Settings for Body<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        self.metadata.as_ref()?.settings()
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// A message of a chat.
#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    /// Who said it.
    #[serde(borrow)]
    pub(crate) role: Cow<'a, str>,
}

/// A tool; one that is no function has none.
#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Option<Called<'a>>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ToolChoice<'a> {
    Mode(#[serde(borrow)] Cow<'a, str>),
    Function {
        #[serde(borrow)]
        function: Named<'a>,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: JsonSchema },
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
}

/// A document to rank.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Document<'a> {
    /// As a text.
    Text(#[serde(borrow)] Cow<'a, str>),
    /// As an object with a text.
    Object {
        /// The text.
        text: String,
    },
}

impl Document<'_> {
    /// The document's text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Document::Text(text) => text,
            Document::Object { text } => text,
        }
    }
}
