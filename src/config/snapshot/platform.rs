//! Servers that differ from what their dialect says.

/// Whose servers these are, as far as paths, bodies and credentials differ by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// As the dialect says.
    Plain,
    /// Azure OpenAI.
    Azure {
        /// With a date, models are deployments in the path; without, the API is that of `/openai/v1`.
        api_version: Option<Box<str>>,
    },
    /// Vertex AI.
    Vertex {
        /// The project's id.
        project: Box<str>,
        /// Where the models run.
        location: Box<str>,
    },
    /// Cohere's OpenAI-compatible API.
    Cohere,
    /// Mistral's API.
    Mistral,
}
