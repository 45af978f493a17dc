//! Paths of platforms that differ from their dialect's own: Azure OpenAI, Vertex AI, Cohere.

use percent_encoding::utf8_percent_encode;

use super::openai_path;
use super::path::{GeminiMethod, IN_SEGMENT, UpstreamPath};
use crate::config::snapshot::platform::Platform;
use crate::dialect::ir::Dialect;
use crate::types::Operation;

/// The path at a platform; `None` where it is the dialect's own.
pub(super) fn path(asked: &UpstreamPath<'_>) -> Option<String> {
    match asked.platform {
        Platform::Plain | Platform::Mistral => None,
        Platform::Azure { api_version } => Some(azure(asked, api_version.as_deref())),
        Platform::Vertex { project, location } => Some(vertex(asked, project, location)),
        Platform::Cohere => Some(cohere(asked)),
    }
}

/// Azure OpenAI ("REST API reference"): the API without versions under `/openai/v1`, the one with dates under
/// `/openai`, where a model is a deployment in the path of all but Responses.
fn azure(asked: &UpstreamPath<'_>, version: Option<&str>) -> String {
    let operation = asked.openai_path();
    let base = asked.base.trim_end_matches("/v1").trim_end_matches("/openai");
    match version {
        None => format!("{base}/openai/v1{operation}"),
        Some(version) if !version.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("{base}/openai/v1{operation}?api-version={version}")
        }
        Some(version) if operation == "/responses" => {
            format!("{base}/openai/responses?api-version={version}")
        }
        Some(version) => {
            let deployment = utf8_percent_encode(asked.model, IN_SEGMENT);
            format!("{base}/openai/deployments/{deployment}{operation}?api-version={version}")
        }
    }
}

/// Vertex AI ("Generate content with the Gemini API", "Claude on Vertex AI", "OpenAI compatibility").
fn vertex(asked: &UpstreamPath<'_>, project: &str, location: &str) -> String {
    let version = if asked.base.is_empty() { "/v1" } else { asked.base };
    let place = format!("{version}/projects/{project}/locations/{location}");
    let model = utf8_percent_encode(asked.model, IN_SEGMENT);
    match (asked.dialect, asked.operation) {
        (Dialect::Anthropic, Operation::CountTokens) => {
            format!("{place}/publishers/anthropic/models/count-tokens:rawPredict")
        }
        (Dialect::Anthropic, _) => {
            let stream = asked.gemini == GeminiMethod::Stream;
            let method = if stream { "streamRawPredict" } else { "rawPredict" };
            format!("{place}/publishers/anthropic/models/{model}:{method}")
        }
        (Dialect::Gemini, _) => {
            let query = if asked.sse { "?alt=sse" } else { "" };
            let method = asked.gemini.name();
            format!("{place}/publishers/google/models/{model}:{method}{query}")
        }
        (Dialect::Chat | Dialect::Responses | Dialect::Bedrock, _) => {
            format!("{place}/endpoints/openapi{}", asked.openai_path())
        }
    }
}

/// Cohere: OpenAI's operations under `/compatibility/v1`, reranking at its own (`/v2/rerank`).
fn cohere(asked: &UpstreamPath<'_>) -> String {
    let base = asked.base.trim_end_matches("/v1").trim_end_matches("/v2");
    let base = base.trim_end_matches("/compatibility");
    match asked.operation {
        Operation::Rerank => format!("{base}/v2/rerank"),
        operation => format!("{base}/compatibility/v1{}", openai_path(operation, Dialect::Chat)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, GeminiMethod, Operation, Platform, UpstreamPath};

    fn path(platform: &Platform, base: &str, dialect: Dialect, operation: Operation) -> String {
        streamed(platform, base, dialect, operation, false)
    }

    fn streamed(
        platform: &Platform,
        base: &str,
        dialect: Dialect,
        operation: Operation,
        sse: bool,
    ) -> String {
        let gemini = if sse { GeminiMethod::Stream } else { GeminiMethod::Generate };
        UpstreamPath { platform, base, dialect, operation, model: "m 1", gemini, sse }.render()
    }

    #[test]
    fn azure_has_deployments_in_paths_of_dated_versions() {
        let dated = Platform::Azure { api_version: Some("2024-10-21".into()) };
        let (chat, responses) = (Dialect::Chat, Dialect::Responses);
        assert_eq!(
            path(&dated, "", chat, Operation::Chat),
            "/openai/deployments/m%201/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(
            path(&dated, "/openai", responses, Operation::Embedding),
            "/openai/deployments/m%201/embeddings?api-version=2024-10-21"
        );
        let whole = path(&dated, "", responses, Operation::Chat);
        assert_eq!(whole, "/openai/responses?api-version=2024-10-21");
        let undated = Platform::Azure { api_version: None };
        for base in ["", "/openai", "/openai/v1"] {
            let path = path(&undated, base, chat, Operation::Chat);
            assert_eq!(path, "/openai/v1/chat/completions");
        }
        let preview = Platform::Azure { api_version: Some("preview".into()) };
        let path = path(&preview, "", responses, Operation::Chat);
        assert_eq!(path, "/openai/v1/responses?api-version=preview");
    }

    #[test]
    fn vertex_has_a_publisher_for_each_dialect() {
        let vertex = Platform::Vertex { project: "p-1".into(), location: "eu".into() };
        let place = "/v1/projects/p-1/locations/eu";
        for (dialect, stream, expected) in [
            (Dialect::Gemini, false, "publishers/google/models/m%201:generateContent"),
            (Dialect::Gemini, true, "publishers/google/models/m%201:streamGenerateContent?alt=sse"),
            (Dialect::Anthropic, false, "publishers/anthropic/models/m%201:rawPredict"),
            (Dialect::Anthropic, true, "publishers/anthropic/models/m%201:streamRawPredict"),
            (Dialect::Chat, true, "endpoints/openapi/chat/completions"),
        ] {
            let path = streamed(&vertex, "", dialect, Operation::Chat, stream);
            assert_eq!(path, format!("{place}/{expected}"));
        }
        let count = path(&vertex, "/v1beta1", Dialect::Anthropic, Operation::CountTokens);
        let expected = "publishers/anthropic/models/count-tokens:rawPredict";
        assert_eq!(count, format!("/v1beta1/projects/p-1/locations/eu/{expected}"));
    }

    #[test]
    fn cohere_reranks_at_its_own_path() {
        for base in ["", "/v2", "/compatibility/v1"] {
            let chat = path(&Platform::Cohere, base, Dialect::Chat, Operation::Chat);
            assert_eq!(chat, "/compatibility/v1/chat/completions");
            let rerank = path(&Platform::Cohere, base, Dialect::Chat, Operation::Rerank);
            assert_eq!(rerank, "/v2/rerank");
        }
    }
}
