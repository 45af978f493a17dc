//! The JSON of Responses, as far as it is translated. Shapes only: no meaning here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::ir::wire::{self, Json, Mixed, Text};
use crate::types::TokenUsage;

/// The members of a request that are read, or that mean nothing without the provider's state.
#[rustfmt::skip]
pub const REQUEST_MEMBERS: &[&str] = &[
    "model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "tools",
    "tool_choice", "parallel_tool_calls", "reasoning", "text", "stream", "stream_options", "user",
    "safety_identifier", "service_tier", "top_logprobs", "store", "include", "background",
    "conversation", "previous_response_id",
];

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Mixed<'a, Item<'a>>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u64>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_identifier: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

/// An item of any type, of a request or of an answer: the members of all types together.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Item<'a> {
    /// Absent from messages that are written the short way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::lenient", skip_serializing_if = "Option::is_none")]
    pub content: Option<Mixed<'a, Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::lenient", skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Json<'a>>,
    #[serde(default, deserialize_with = "wire::lenient", skip_serializing_if = "Option::is_none")]
    pub summary: Option<Vec<Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_content: Option<Text<'a>>,
}

/// A piece of a message, of a result, or of a thought.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Part<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<InputAudio<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<Annotation<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct InputAudio<'a> {
    pub data: Text<'a>,
    pub format: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Annotation<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Text<'a>>,
    #[serde(default)]
    pub start_index: u64,
    #[serde(default)]
    pub end_index: u64,
}

impl Annotation<'_> {
    /// An annotation that outlives its event.
    pub fn kept(self) -> Annotation<'static> {
        let own = |text: Text<'_>| Text::from(text.into_string());
        Annotation {
            r#type: own(self.r#type),
            url: self.url.map(own),
            title: self.title.map(own),
            start_index: self.start_index,
            end_index: self.end_index,
        }
    }

    /// The length of its texts.
    pub fn bytes(&self) -> usize {
        [&self.url, &self.title].into_iter().flatten().map(|text| text.len()).sum()
    }

    /// A view that lives no longer than this one.
    pub fn view(&self) -> Annotation<'_> {
        Annotation {
            r#type: self.r#type.view(),
            url: self.url.as_ref().map(Text::view),
            title: self.title.as_ref().map(Text::view),
            start_index: self.start_index,
            end_index: self.end_index,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Tool<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    /// Required, if only to say that there are none.
    #[serde(default)]
    pub parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// `tool_choice` when it is an object, and each of its allowed tools.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ToolChoice<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolChoice<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct TextConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format<'a>>,
    #[serde(skip_serializing)]
    pub verbosity: Option<Text<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Format<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// A whole answer, as it is read; a stream says it at its beginning without output, and at its end whole.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Answer<'a> {
    #[serde(default)]
    pub id: Option<Text<'a>>,
    #[serde(default)]
    pub object: Option<Text<'a>>,
    #[serde(default)]
    pub created_at: Option<serde_json::Number>,
    #[serde(default)]
    pub status: Option<Text<'a>>,
    #[serde(default)]
    pub error: Option<&'a RawValue>,
    #[serde(default)]
    pub incomplete_details: Option<Incomplete<'a>>,
    #[serde(default)]
    pub model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub output: Vec<Item<'a>>,
    #[serde(default)]
    pub usage: Option<Usage>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Incomplete<'a> {
    #[serde(default)]
    pub reason: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    input_tokens_details: InputDetails,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    output_tokens_details: OutputDetails,
    #[serde(default)]
    total_tokens: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: u64,
}

impl Usage {
    /// In disjoint classes: the input holds the cached tokens, the output the reasoning. Where there
    /// is more reasoning than output, the server counts it beside.
    pub fn tokens(&self) -> TokenUsage {
        let cache_read = self.input_tokens_details.cached_tokens;
        let cache_write = self.input_tokens_details.cache_write_tokens.unwrap_or(0);
        let reasoning = self.output_tokens_details.reasoning_tokens;
        TokenUsage {
            input: self.input_tokens.saturating_sub(cache_read).saturating_sub(cache_write),
            cache_read,
            cache_write,
            output: self.output_tokens.checked_sub(reasoning).unwrap_or(self.output_tokens),
            reasoning,
        }
    }
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Usage {
        let input =
            tokens.input.saturating_add(tokens.cache_read).saturating_add(tokens.cache_write);
        let output = tokens.output.saturating_add(tokens.reasoning);
        Usage {
            input_tokens: input,
            input_tokens_details: InputDetails {
                cached_tokens: tokens.cache_read,
                cache_write_tokens: (tokens.cache_write > 0).then_some(tokens.cache_write),
            },
            output_tokens: output,
            output_tokens_details: OutputDetails { reasoning_tokens: tokens.reasoning },
            total_tokens: input.saturating_add(output),
        }
    }
}
