//! The JSON of Chat Completions, as far as it is translated. Shapes only: no meaning here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::usage::Usage;
use crate::dialect::ir::wire::{self, Mixed, Text};

/// The members of a request that are read; others are noted as lost.
#[rustfmt::skip]
pub const REQUEST_MEMBERS: &[&str] = &[
    "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call",
    "response_format", "reasoning_effort", "temperature", "top_p", "top_k", "frequency_penalty",
    "presence_penalty", "seed", "max_tokens", "max_completion_tokens", "stop", "n", "logprobs",
    "top_logprobs", "user", "safety_identifier", "service_tier", "stream", "stream_options", "store",
];

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Text<'a>>,
    #[serde(deserialize_with = "wire::list")]
    pub messages: Vec<Message<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Mixed<'a, Text<'a>>>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    #[serde(default, deserialize_with = "wire::whole", skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_identifier: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
}

/// A message of a request, or of an answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Message<'a> {
    pub role: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Mixed<'a, Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<Text<'a>>,
    /// The same as `reasoning_content`, under the name that OpenRouter and newer engines use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Part<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<ImageUrl<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<InputAudio<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ImageUrl<'a> {
    pub url: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct InputAudio<'a> {
    pub data: Text<'a>,
    pub format: Text<'a>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct CacheControl<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ToolCall<'a> {
    #[serde(default)]
    pub id: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Text<'a>>,
}

/// Google's place for the signature of a call (Gemini API, "OpenAI compatibility", "Thought signatures").
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ExtraContent<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google: Option<GoogleContent<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct GoogleContent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Text<'a>>,
}

/// LiteLLM's place for Anthropic's thoughts: the blocks as Anthropic writes them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ThinkingBlock<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Annotation<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_citation: Option<UrlCitation<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct UrlCitation<'a> {
    pub url: Text<'a>,
    #[serde(default)]
    pub title: Option<Text<'a>>,
    #[serde(default)]
    pub start_index: u64,
    #[serde(default)]
    pub end_index: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Tool<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Function<'a> {
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// `tool_choice` and `function_call` when they are objects.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ToolChoice<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<AllowedTools<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Named<'a> {
    pub name: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct AllowedTools<'a> {
    pub mode: Text<'a>,
    #[serde(deserialize_with = "wire::list")]
    pub tools: Vec<ToolChoice<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ResponseFormat<'a> {
    pub r#type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchema<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct JsonSchema<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// A whole answer, or one chunk of a stream: they differ in `message` and `delta`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Completion<'a> {
    #[serde(default)]
    pub id: Option<Text<'a>>,
    #[serde(default)]
    pub object: Option<Text<'a>>,
    #[serde(default)]
    pub created: Option<u64>,
    #[serde(default)]
    pub model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Choice<'a> {
    #[serde(default)]
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs<'a>>,
    #[serde(default)]
    pub finish_reason: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Logprobs<'a> {
    #[serde(default, deserialize_with = "wire::list")]
    pub content: Vec<TokenLogprob<'a>>,
    /// Those of a refusal's tokens, which no other dialect has; always written.
    #[serde(skip_deserializing)]
    pub refusal: Option<()>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct TokenLogprob<'a> {
    pub token: Text<'a>,
    pub logprob: f64,
    /// The token's bytes; always written, because clients require the member.
    #[serde(skip_deserializing)]
    pub bytes: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TokenLogprob<'a>>,
}
