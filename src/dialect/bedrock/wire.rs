//! The JSON of Converse, as far as it is translated. Shapes only: no meaning here.
//!
//! Converse has no type tags: a union is an object with one member, so each union is a struct of options here.

use serde::{Deserialize, Serialize};

use crate::dialect::anthropic::wire::Thinking;
use crate::dialect::ir::wire::{self, Json, Text};
use crate::types::TokenUsage;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    pub messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Typed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_model_request_fields: Option<ModelFields>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub additional_model_response_field_paths: &'static [&'static str],
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Message<'a> {
    #[serde(default)]
    pub role: Text<'a>,
    #[serde(default, deserialize_with = "wire::list")]
    pub content: Vec<Block<'a>>,
}

/// A piece of a message, of the system prompt or of a tool's result.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Block<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub image: Option<Media<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub document: Option<Media<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Media<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub video: Option<Media<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use: Option<ToolUse<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub tool_result: Option<ToolResult<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<Reasoning<'a>>,
    #[serde(skip_serializing)]
    pub citations_content: Option<Cited<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub cache_point: Option<CachePoint<'a>>,
}

#[derive(Debug, Default, Serialize)]
pub struct Media<'a> {
    pub format: Text<'a>,
    /// Of documents alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub source: Source<'a>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_location: Option<S3Location<'a>>,
}

#[derive(Debug, Serialize)]
pub struct S3Location<'a> {
    pub uri: Text<'a>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ToolUse<'a> {
    #[serde(default)]
    pub tool_use_id: Text<'a>,
    #[serde(default)]
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Json<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult<'a> {
    pub tool_use_id: Text<'a>,
    pub content: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_text: Option<ReasoningText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_content: Option<Text<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ReasoningText<'a> {
    #[serde(default)]
    pub text: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Cited<'a> {
    #[serde(default, deserialize_with = "wire::list")]
    pub content: Vec<Plain<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub citations: Vec<Citation<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Plain<'a> {
    #[serde(default)]
    pub text: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Citation<'a> {
    #[serde(default)]
    pub title: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub source_content: Vec<Plain<'a>>,
    #[serde(default)]
    pub location: Option<Location<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Location<'a> {
    #[serde(default)]
    pub web: Option<Web<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Web<'a> {
    #[serde(default)]
    pub url: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
pub struct CachePoint<'a> {
    pub r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Text<'a>>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<Text<'a>>,
}

/// What only some models take: each under the name that its maker gave it.
#[derive(Debug, Default, Serialize)]
pub struct ModelFields {
    /// Claude's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking<'static>>,
    /// Claude's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<Effort>,
    /// Claude's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    /// OpenAI's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<&'static str>,
    /// Nova's.
    #[serde(rename = "reasoningConfig", skip_serializing_if = "Option::is_none")]
    pub reasoning_config: Option<ReasoningConfig>,
    /// Nova's.
    #[serde(rename = "inferenceConfig", skip_serializing_if = "Option::is_none")]
    pub inference_config: Option<TopK>,
}

#[derive(Debug, Serialize)]
pub struct Effort {
    pub effort: Text<'static>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningConfig {
    pub r#type: &'static str,
    pub max_reasoning_effort: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopK {
    pub top_k: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_spec: Option<ToolSpec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_point: Option<CachePoint<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec<'a> {
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    pub input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

#[derive(Debug, Serialize)]
pub struct InputSchema<'a> {
    pub json: &'a serde_json::value::RawValue,
}

#[derive(Debug, Default, Serialize)]
pub struct ToolChoice<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Named<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Empty {}

#[derive(Debug, Serialize)]
pub struct Named<'a> {
    pub name: Text<'a>,
}

#[derive(Debug, Serialize)]
pub struct Typed<'a> {
    pub r#type: Text<'a>,
}

#[derive(Debug, Serialize)]
pub struct Metadata<'a> {
    pub user: Text<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfig<'a> {
    pub text_format: TextFormat<'a>,
}

#[derive(Debug, Serialize)]
pub struct TextFormat<'a> {
    pub r#type: &'static str,
    pub structure: Structure<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Structure<'a> {
    pub json_schema: JsonSchema<'a>,
}

#[derive(Debug, Serialize)]
pub struct JsonSchema<'a> {
    /// JSON within a text.
    pub schema: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
}

/// Tokens, in disjoint classes as they come. How many were thought is not told.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    cache_read_input_tokens: u64,
    #[serde(default)]
    cache_write_input_tokens: u64,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> TokenUsage {
        TokenUsage {
            input: usage.input_tokens,
            cache_read: usage.cache_read_input_tokens,
            cache_write: usage.cache_write_input_tokens,
            output: usage.output_tokens,
            reasoning: 0,
        }
    }
}

/// What Claude says beside the answer, because [`Request::additional_model_response_field_paths`] asked for it.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ResponseFields<'a> {
    #[serde(default)]
    pub stop_sequence: Option<Text<'a>>,
}
