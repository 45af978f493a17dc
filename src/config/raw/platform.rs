//! Whose servers a provider's are, as the file says it.

use schemars::JsonSchema;
use serde::Deserialize;

/// Servers that differ from what their dialect says: in paths, in bodies, in how they are authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Azure OpenAI: models are deployments.
    Azure,
    /// Google's Vertex AI: the publishers google (Gemini) and anthropic, and OpenAI's chats.
    Vertex,
    /// Cohere, by its OpenAI-compatible API.
    Cohere,
    /// Mistral, whose API refuses some of OpenAI's members.
    Mistral,
}
