//! The JSON of Anthropic Messages, as far as it is translated. Shapes only: no meaning here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::ir::wire::{self, Json, Mixed, Text};
use crate::types::TokenUsage;

/// The members of a request that are read; others are noted as lost.
#[rustfmt::skip]
pub const REQUEST_MEMBERS: &[&str] = &[
    "model", "messages", "system", "max_tokens", "metadata", "output_config", "service_tier",
    "stop_sequences", "stream", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
];

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Mixed<'a, Block<'a>>>,
    #[serde(deserialize_with = "wire::list")]
    pub messages: Vec<Message<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Message<'a> {
    pub role: Text<'a>,
    pub content: Mixed<'a, Block<'a>>,
}

/// A content block of any type: the members of all types together, as each uses a few.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Block<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Text<'a>>,
    /// A list of blocks in a `tool_result`; something else in the results of Anthropic's own tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// A list in a text, a switch in a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct CacheControl<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Text<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Source<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Citation<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_title: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cited_text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_index: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Tool<'a> {
    /// Absent or `custom` for the client's functions; Anthropic's own tools have dated names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Text<'a>>,
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ToolChoice<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Thinking<'a> {
    pub r#type: Text<'a>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u64>,
    /// Newer models show no thoughts unless told to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Format<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<&'a RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Text<'a>>,
}

/// A whole answer; the beginning of a stream is one without content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Answer<'a> {
    #[serde(default)]
    pub id: Option<Text<'a>>,
    #[serde(default)]
    pub r#type: Option<Text<'a>>,
    #[serde(default)]
    pub role: Option<Text<'a>>,
    #[serde(default)]
    pub model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub content: Vec<Block<'a>>,
    #[serde(default)]
    pub stop_reason: Option<Text<'a>>,
    #[serde(default)]
    pub stop_sequence: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_details: Option<StopDetails<'a>>,
    #[serde(default)]
    pub usage: Option<Usage>,
    #[serde(skip_serializing)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct StopDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Text<'a>>,
}

/// Tokens. The members are disjoint already, but for thinking, which is part of the output.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

impl Usage {
    /// Whether it counts anything.
    pub const fn is_told(&self) -> bool {
        self.input_tokens.is_some() || self.output_tokens.is_some()
    }

    /// In disjoint classes; what this report leaves out is taken from an earlier one.
    pub fn tokens(&self, before: TokenUsage) -> TokenUsage {
        let output = self.output_tokens.unwrap_or(before.output.saturating_add(before.reasoning));
        let reasoning = self
            .output_tokens_details
            .and_then(|details| details.thinking_tokens)
            .unwrap_or(before.reasoning)
            .min(output);
        TokenUsage {
            input: self.input_tokens.unwrap_or(before.input),
            cache_read: self.cache_read_input_tokens.unwrap_or(before.cache_read),
            cache_write: self.cache_creation_input_tokens.unwrap_or(before.cache_write),
            output: output - reasoning,
            reasoning,
        }
    }
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Usage {
        Usage {
            input_tokens: Some(tokens.input),
            cache_creation_input_tokens: Some(tokens.cache_write),
            cache_read_input_tokens: Some(tokens.cache_read),
            output_tokens: Some(tokens.output.saturating_add(tokens.reasoning)),
            output_tokens_details: (tokens.reasoning > 0)
                .then_some(OutputDetails { thinking_tokens: Some(tokens.reasoning) }),
        }
    }
}
