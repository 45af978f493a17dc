//! Chat's count of tokens, to and from the disjoint classes.

use serde::{Deserialize, Serialize};

use crate::types::TokenUsage;

/// Tokens, as `usage` tells them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl Usage {
    /// In disjoint classes. OpenAI's `prompt_tokens` hold the cached ones and its `completion_tokens` the
    /// reasoning; where the total shows that a server (xAI's) counts reasoning beside the completion, so do we.
    pub fn tokens(&self) -> TokenUsage {
        let prompt = self.prompt_tokens.unwrap_or(0);
        let completion = self.completion_tokens.unwrap_or(0);
        let details = self.prompt_tokens_details.unwrap_or_default();
        let cache_read = details.cached_tokens.unwrap_or(0);
        let cache_write = details.cache_write_tokens.unwrap_or(0);
        let reasoning = self
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens)
            .unwrap_or(0);
        let beside = reasoning > completion
            || (reasoning > 0
                && self.total_tokens
                    == Some(prompt.saturating_add(completion).saturating_add(reasoning)));
        TokenUsage {
            input: prompt.saturating_sub(cache_read).saturating_sub(cache_write),
            cache_read,
            cache_write,
            output: if beside { completion } else { completion - reasoning },
            reasoning,
        }
    }
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Usage {
        let prompt =
            tokens.input.saturating_add(tokens.cache_read).saturating_add(tokens.cache_write);
        let completion = tokens.output.saturating_add(tokens.reasoning);
        Usage {
            prompt_tokens: Some(prompt),
            completion_tokens: Some(completion),
            total_tokens: Some(prompt.saturating_add(completion)),
            prompt_tokens_details: Some(PromptDetails {
                cached_tokens: Some(tokens.cache_read),
                cache_write_tokens: (tokens.cache_write > 0).then_some(tokens.cache_write),
            }),
            completion_tokens_details: Some(CompletionDetails {
                reasoning_tokens: Some(tokens.reasoning),
            }),
        }
    }
}
