//! The JSON of Gemini, as far as it is translated. Shapes only: no meaning here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::ir::wire::{self, Json, Text};
use crate::types::TokenUsage;

/// The members of a request that are read; others are noted as lost.
#[rustfmt::skip]
pub const REQUEST_MEMBERS: &[&str] = &[
    "model", "contents", "systemInstruction", "system_instruction", "tools", "toolConfig",
    "tool_config", "generationConfig", "generation_config", "serviceTier", "service_tier",
];

/// The members of `generationConfig` that are read.
#[rustfmt::skip]
pub const GENERATION_MEMBERS: &[&str] = &[
    "candidateCount", "candidate_count", "stopSequences", "stop_sequences", "maxOutputTokens",
    "max_output_tokens", "temperature", "topP", "top_p", "topK", "top_k", "seed", "presencePenalty",
    "presence_penalty", "frequencyPenalty", "frequency_penalty", "responseMimeType",
    "response_mime_type", "responseSchema", "response_schema", "responseJsonSchema",
    "response_json_schema", "responseLogprobs", "response_logprobs", "logprobs", "thinkingConfig",
    "thinking_config",
];

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Request<'a> {
    #[serde(alias = "system_instruction", skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content<'a>>,
    #[serde(deserialize_with = "wire::list")]
    pub contents: Vec<Content<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(alias = "tool_config", skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    #[serde(alias = "generation_config", skip_serializing_if = "Option::is_none")]
    pub generation_config: Option<Json<'a>>,
    #[serde(alias = "service_tier", skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Text<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Content<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub parts: Vec<Part<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought: Option<bool>,
    #[serde(alias = "inline_data", skip_serializing_if = "Option::is_none")]
    pub inline_data: Option<Blob<'a>>,
    #[serde(alias = "file_data", skip_serializing_if = "Option::is_none")]
    pub file_data: Option<FileData<'a>>,
    #[serde(alias = "function_call", skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall<'a>>,
    #[serde(alias = "function_response", skip_serializing_if = "Option::is_none")]
    pub function_response: Option<FunctionResponse<'a>>,
    #[serde(alias = "thought_signature", skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Text<'a>>,
    /// Read to be noted: only Gemini runs code by itself.
    #[serde(alias = "executable_code", skip_serializing)]
    pub executable_code: Option<&'a RawValue>,
    #[serde(alias = "code_execution_result", skip_serializing)]
    pub code_execution_result: Option<&'a RawValue>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Blob<'a> {
    #[serde(default, alias = "mime_type")]
    pub mime_type: Text<'a>,
    #[serde(default)]
    pub data: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct FileData<'a> {
    #[serde(default, alias = "mime_type", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<Text<'a>>,
    #[serde(alias = "file_uri")]
    pub file_uri: Text<'a>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    #[serde(default)]
    pub name: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Json<'a>>,
    /// Arguments in pieces, which Vertex AI sends only to those who ask for them.
    #[serde(alias = "partial_args", skip_serializing)]
    pub partial_args: Option<&'a RawValue>,
    #[serde(alias = "will_continue", skip_serializing)]
    pub will_continue: Option<bool>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    #[serde(default)]
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Json<'a>>,
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Tool<'a> {
    #[serde(
        default,
        alias = "function_declarations",
        deserialize_with = "wire::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub function_declarations: Vec<FunctionDeclaration<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct FunctionDeclaration<'a> {
    pub name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<&'a RawValue>,
    #[serde(alias = "parameters_json_schema", skip_serializing_if = "Option::is_none")]
    pub parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ToolConfig<'a> {
    #[serde(alias = "function_calling_config", skip_serializing_if = "Option::is_none")]
    pub function_calling_config: Option<CallingConfig<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CallingConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Text<'a>>,
    #[serde(
        default,
        alias = "allowed_function_names",
        deserialize_with = "wire::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub allowed_function_names: Vec<Text<'a>>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Generation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(alias = "top_p", skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(
        default,
        alias = "top_k",
        deserialize_with = "wire::whole",
        skip_serializing_if = "Option::is_none"
    )]
    pub top_k: Option<u64>,
    #[serde(alias = "frequency_penalty", skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    #[serde(alias = "presence_penalty", skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    #[serde(
        default,
        alias = "max_output_tokens",
        deserialize_with = "wire::whole",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_output_tokens: Option<u64>,
    #[serde(
        default,
        alias = "stop_sequences",
        deserialize_with = "wire::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub stop_sequences: Vec<Text<'a>>,
    #[serde(
        default,
        alias = "candidate_count",
        deserialize_with = "wire::whole",
        skip_serializing_if = "Option::is_none"
    )]
    pub candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    #[serde(alias = "response_logprobs", skip_serializing_if = "Option::is_none")]
    pub response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u64>,
    #[serde(alias = "response_mime_type", skip_serializing_if = "Option::is_none")]
    pub response_mime_type: Option<Text<'a>>,
    #[serde(alias = "response_schema", skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<Json<'a>>,
    #[serde(alias = "response_json_schema", skip_serializing_if = "Option::is_none")]
    pub response_json_schema: Option<Json<'a>>,
    #[serde(alias = "thinking_config", skip_serializing_if = "Option::is_none")]
    pub thinking_config: Option<ThinkingConfig<'a>>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ThinkingConfig<'a> {
    #[serde(alias = "include_thoughts", skip_serializing_if = "Option::is_none")]
    pub include_thoughts: Option<bool>,
    #[serde(alias = "thinking_budget", skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<i64>,
    #[serde(alias = "thinking_level", skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<Text<'a>>,
}

/// A whole answer, or one piece of a stream: the dialect makes no difference.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Answer<'a> {
    #[serde(default, deserialize_with = "wire::list", skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_metadata: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<Text<'a>>,
    #[serde(skip_serializing)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Candidate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<Text<'a>>,
    #[serde(default)]
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation_metadata: Option<CitationMetadata<'a>>,
    #[serde(skip_serializing)]
    pub grounding_metadata: Option<GroundingMetadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs_result: Option<LogprobsResult<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CitationMetadata<'a> {
    /// `citations` in Vertex AI.
    #[serde(default, alias = "citations", deserialize_with = "wire::list")]
    pub citation_sources: Vec<CitationSource<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CitationSource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct GroundingMetadata<'a> {
    #[serde(default, deserialize_with = "wire::list")]
    pub grounding_chunks: Vec<GroundingChunk<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct GroundingChunk<'a> {
    #[serde(default)]
    pub web: Option<CitationSource<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct LogprobsResult<'a> {
    #[serde(default, deserialize_with = "wire::list")]
    pub top_candidates: Vec<TopCandidates<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    pub chosen_candidates: Vec<TokenCandidate<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct TopCandidates<'a> {
    #[serde(default, deserialize_with = "wire::list")]
    pub candidates: Vec<TokenCandidate<'a>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct TokenCandidate<'a> {
    #[serde(default)]
    pub token: Text<'a>,
    #[serde(default)]
    pub log_probability: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct PromptFeedback<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_token_count: Option<u64>,
}

impl Usage {
    /// In disjoint classes: the prompt holds the cached tokens, thoughts stand beside the candidates.
    /// `None` for the empty records that Vertex AI sends along in mid-stream.
    pub fn tokens(&self) -> Option<TokenUsage> {
        let prompt = self.prompt_token_count?;
        let cached = self.cached_content_token_count.unwrap_or(0);
        let tools = self.tool_use_prompt_token_count.unwrap_or(0);
        Some(TokenUsage {
            input: prompt.saturating_sub(cached).saturating_add(tools),
            cache_read: cached,
            cache_write: 0,
            output: self.candidates_token_count.unwrap_or(0),
            reasoning: self.thoughts_token_count.unwrap_or(0),
        })
    }
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Usage {
        let some = |count: u64| (count > 0).then_some(count);
        let prompt =
            tokens.input.saturating_add(tokens.cache_read).saturating_add(tokens.cache_write);
        let total = prompt.saturating_add(tokens.output).saturating_add(tokens.reasoning);
        Usage {
            prompt_token_count: Some(prompt),
            cached_content_token_count: some(tokens.cache_read),
            tool_use_prompt_token_count: None,
            candidates_token_count: Some(tokens.output),
            thoughts_token_count: some(tokens.reasoning),
            total_token_count: Some(total),
        }
    }
}
