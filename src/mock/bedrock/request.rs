//! What a request of Converse asks.
//!
//! Its unions are objects with one member, which is what an enum without tags is to serde: one with two members,
//! or with one that there is not, is refused.

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
    messages: Option<Vec<Message<'a>>>,
    #[serde(default, borrow)]
    pub(super) system: Vec<Block<'a>>,
    #[serde(default)]
    pub(super) inference_config: Inference,
    #[serde(borrow)]
    pub(super) tool_config: Option<Tools<'a>>,
    #[serde(borrow)]
    output_config: Option<Output<'a>>,
    #[serde(default, borrow)]
    pub(super) additional_model_request_fields: Fields<'a>,
    #[serde(borrow)]
    request_metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Image(#[serde(borrow)] Media<'a>),
    Document(#[serde(borrow)] Media<'a>),
    Audio(#[serde(borrow)] Media<'a>),
    Video(#[serde(borrow)] Media<'a>),
    ToolUse(#[serde(borrow)] ToolUse<'a>),
    ToolResult(#[serde(borrow)] ToolResult<'a>),
    ReasoningContent(Reasoning),
    CachePoint(IgnoredAny),
    GuardContent(IgnoredAny),
    /// In a tool's result.
    Json(IgnoredAny),
}

/// A picture, a sound, a film or a document.
#[derive(Deserialize)]
pub(super) struct Media<'a> {
    /// `png`, not `image/png`.
    #[serde(borrow)]
    pub(super) format: Cow<'a, str>,
    /// Of documents alone.
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) source: Source<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Source<'a> {
    /// In Base64.
    Bytes(#[serde(borrow)] Cow<'a, str>),
    Text(IgnoredAny),
    S3Location(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    #[serde(borrow)]
    pub(super) tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) input: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult<'a> {
    #[serde(borrow)]
    pub(super) tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning {
    ReasoningText(Thought),
    RedactedContent(IgnoredAny),
}

#[derive(Deserialize)]
pub(super) struct Thought {
    pub(super) signature: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inference {
    pub(super) max_tokens: Option<usize>,
    pub(super) temperature: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tools<'a> {
    #[serde(borrow)]
    pub(super) tools: Vec<Tool<'a>>,
    #[serde(borrow)]
    tool_choice: Option<ToolChoice<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Tool<'a> {
    ToolSpec(#[serde(borrow)] Spec<'a>),
    CachePoint(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    input_schema: InputSchema<'a>,
}

#[derive(Deserialize)]
struct InputSchema<'a> {
    #[serde(borrow)]
    json: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ToolChoice<'a> {
    Auto(IgnoredAny),
    Any(IgnoredAny),
    Tool {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    #[serde(borrow)]
    text_format: TextFormat<'a>,
}

#[derive(Deserialize)]
struct TextFormat<'a> {
    #[serde(borrow)]
    structure: Structure<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Structure<'a> {
    JsonSchema {
        /// JSON within a text.
        #[serde(borrow)]
        schema: Cow<'a, str>,
    },
}

/// What only some models take, under the names of their makers.
#[derive(Default, Deserialize)]
pub(super) struct Fields<'a> {
    /// Claude's.
    #[serde(borrow)]
    thinking: Option<Thinking<'a>>,
    /// OpenAI's.
    reasoning_effort: Option<IgnoredAny>,
    /// Nova's.
    #[serde(rename = "reasoningConfig", borrow)]
    reasoning_config: Option<Thinking<'a>>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    budget_tokens: Option<usize>,
}

impl Settings for Body<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        self.request_metadata.as_ref()?.settings()
    }
}

impl<'a> Body<'a> {
    pub(super) fn messages(&self) -> Result<&[Message<'a>], Refusal> {
        self.messages.as_deref().ok_or_else(|| Refusal::missing("messages"))
    }

    pub(super) fn ask(&self) -> Result<Ask<'a>, Refusal> {
        let call = self.called()?.map(|spec| {
            let schema = parse("toolConfig", spec.input_schema.json)?;
            Ok(Function { name: spec.name.clone(), schema: Some(schema) })
        });
        let format = match &self.output_config {
            None => Format::Words,
            Some(Output { text_format: TextFormat { structure } }) => {
                let Structure::JsonSchema { schema } = structure;
                Format::Schema(read_schema(schema)?)
            }
        };
        Ok(Ask {
            tokens_max: self.inference_config.max_tokens,
            call: call.transpose()?,
            format,
            thinks: self.additional_model_request_fields.thinks(),
        })
    }

    /// The tool that the model calls: never behind a tool's result, so that a conversation ends.
    fn called(&self) -> Result<Option<&Spec<'a>>, Refusal> {
        let last = self.messages.iter().flatten().last();
        let answered = last.is_some_and(|last| !last.results().is_empty());
        let Some(config) = self.tool_config.as_ref().filter(|_| !answered) else { return Ok(None) };
        let choice = match &config.tool_choice {
            Some(ToolChoice::Tool { name }) => Choice::Named(name.clone()),
            Some(ToolChoice::Auto(_) | ToolChoice::Any(_)) | None => Choice::Any,
        };
        choice.of(config.specs(), |spec| &spec.name)
    }
}

fn read_schema(schema: &str) -> Result<Value, Refusal> {
    serde_json::from_str(schema).map_err(|error| {
        let wrong = format!("The schema is not the JSON that it should be: {error}.");
        Refusal::bad(wrong).param("outputConfig")
    })
}

impl<'a> Tools<'a> {
    pub(super) fn specs(&self) -> impl Iterator<Item = &Spec<'a>> {
        self.tools.iter().filter_map(|tool| match tool {
            Tool::ToolSpec(spec) => Some(spec),
            Tool::CachePoint(_) => None,
        })
    }
}

impl Message<'_> {
    /// The ids of the calls in it.
    pub(super) fn calls(&self) -> Vec<&str> {
        self.content.iter().filter_map(Block::call).collect()
    }

    /// The ids of the calls whose results are in it.
    pub(super) fn results(&self) -> Vec<&str> {
        self.content.iter().filter_map(Block::result).collect()
    }
}

impl Block<'_> {
    fn call(&self) -> Option<&str> {
        if let Block::ToolUse(call) = self { Some(&call.tool_use_id) } else { None }
    }

    fn result(&self) -> Option<&str> {
        if let Block::ToolResult(result) = self { Some(&result.tool_use_id) } else { None }
    }
}

impl Fields<'_> {
    /// How many tokens Claude may think, where that is said.
    pub(super) fn thinking_budget(&self) -> Option<usize> {
        let thinking = self.thinking.as_ref().filter(|thinking| thinking.r#type == "enabled")?;
        Some(thinking.budget_tokens.unwrap_or(0))
    }

    fn thinks(&self) -> bool {
        let thinking = self.thinking.as_ref().or(self.reasoning_config.as_ref());
        self.reasoning_effort.is_some() || thinking.is_some_and(|one| one.r#type != "disabled")
    }
}
