//! What a request line asks for.
//!
//! The table of paths is the whole of the mock's surface; there is no other place that
//! knows a path.

use super::dialect::Dialect;

/// What is asked for. The order is that of [`Route::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Chat,
    Completions,
    Embeddings,
    Moderations,
    Images,
    Speech,
    Transcriptions,
    Translations,
    Rerank,
    Models,
    Model,
    Responses,
    Messages,
    CountTokens,
    AnthropicModels,
    AnthropicModel,
    Generate,
    StreamGenerate,
    StreamGenerateArray,
    GeminiCountTokens,
    Embed,
    BatchEmbed,
    GeminiModels,
    GeminiModel,
    Converse,
    ConverseStream,
    Health,
    /// The path is served, with another method.
    WrongMethod,
    NotFound,
    Stats,
    Reset,
    SetBehaviour,
}

impl Route {
    /// Every route, in order.
    pub(crate) const ALL: [Route; 32] = [
        Route::Chat,
        Route::Completions,
        Route::Embeddings,
        Route::Moderations,
        Route::Images,
        Route::Speech,
        Route::Transcriptions,
        Route::Translations,
        Route::Rerank,
        Route::Models,
        Route::Model,
        Route::Responses,
        Route::Messages,
        Route::CountTokens,
        Route::AnthropicModels,
        Route::AnthropicModel,
        Route::Generate,
        Route::StreamGenerate,
        Route::StreamGenerateArray,
        Route::GeminiCountTokens,
        Route::Embed,
        Route::BatchEmbed,
        Route::GeminiModels,
        Route::GeminiModel,
        Route::Converse,
        Route::ConverseStream,
        Route::Health,
        Route::WrongMethod,
        Route::NotFound,
        Route::Stats,
        Route::Reset,
        Route::SetBehaviour,
    ];

    /// The route of a request line. What only headers tell is left to [`Route::for_anthropic`].
    pub(crate) fn of(method: &str, target: &str) -> Self {
        let Some(route) = Self::at(target) else { return Route::NotFound };
        let method = if method == "HEAD" { "GET" } else { method };
        if method == route.method() { route } else { Route::WrongMethod }
    }

    /// The same for a caller that speaks Anthropic's dialect: two paths are OpenAI's as well.
    pub(crate) fn for_anthropic(self) -> Self {
        match self {
            Route::Models => Route::AnthropicModels,
            Route::Model => Route::AnthropicModel,
            other => other,
        }
    }

    fn at(target: &str) -> Option<Self> {
        let path = path_of(target);
        let known = |route: &Route| route.method() != "" && route.path() == path;
        match path {
            // The two that a load test asks for need no search.
            "/v1/chat/completions" => Some(Route::Chat),
            "/v1/embeddings" => Some(Route::Embeddings),
            _ => Self::gemini(target)
                .or_else(|| Self::bedrock(path))
                .or_else(|| Self::on_platform(path))
                .or_else(|| Self::model(path))
                .or_else(|| Self::ALL.into_iter().find(known)),
        }
    }

    /// A method of a model of Gemini's.
    fn gemini(target: &str) -> Option<Self> {
        let (_, method) = gemini_model(path_of(target))?;
        match method {
            "generateContent" => Some(Route::Generate),
            "streamGenerateContent" if has_parameter(target, "alt=sse") => {
                Some(Route::StreamGenerate)
            }
            "streamGenerateContent" => Some(Route::StreamGenerateArray),
            "countTokens" => Some(Route::GeminiCountTokens),
            "embedContent" => Some(Route::Embed),
            "batchEmbedContents" => Some(Route::BatchEmbed),
            _ => None,
        }
    }

    /// An operation on a model of Bedrock's.
    fn bedrock(path: &str) -> Option<Self> {
        match bedrock_model(path)?.1 {
            "converse" => Some(Route::Converse),
            "converse-stream" => Some(Route::ConverseStream),
            _ => None,
        }
    }

    /// What platforms serve at paths of their own: Azure and Vertex AI what OpenAI does, Vertex AI also Claude.
    fn on_platform(path: &str) -> Option<Self> {
        if let Some(model) = vertex_claude(path) {
            let counts = model == "count-tokens";
            return Some(if counts { Route::CountTokens } else { Route::Messages });
        }
        let operation = match path.strip_prefix("/openai/deployments/") {
            Some(deployed) => deployed.split_once('/')?.1,
            None => path
                .strip_prefix("/openai/v1/")
                .or_else(|| path.strip_prefix("/openai/"))
                .or_else(|| Some(path.split_once("/endpoints/openapi/")?.1))?,
        };
        let is_it = |route: &Route| route.path().strip_prefix("/v1/") == Some(operation);
        Self::ALL.into_iter().find(is_it)
    }

    /// The description of one model.
    fn model(path: &str) -> Option<Self> {
        model_id(path)?;
        Some(if path.starts_with("/v1beta/") { Route::GeminiModel } else { Route::Model })
    }

    /// The path, as the counters name it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Route::Chat => "/v1/chat/completions",
            Route::Completions => "/v1/completions",
            Route::Embeddings => "/v1/embeddings",
            Route::Moderations => "/v1/moderations",
            Route::Images => "/v1/images/generations",
            Route::Speech => "/v1/audio/speech",
            Route::Transcriptions => "/v1/audio/transcriptions",
            Route::Translations => "/v1/audio/translations",
            Route::Rerank => "/v1/rerank",
            Route::Models => "/v1/models",
            Route::Model => "/v1/models/{id}",
            Route::Responses => "/v1/responses",
            Route::Messages => "/v1/messages",
            Route::CountTokens => "/v1/messages/count_tokens",
            Route::AnthropicModels => "/v1/models (anthropic)",
            Route::AnthropicModel => "/v1/models/{id} (anthropic)",
            Route::Generate => "/v1beta/models/{id}:generateContent",
            Route::StreamGenerate => "/v1beta/models/{id}:streamGenerateContent?alt=sse",
            Route::StreamGenerateArray => "/v1beta/models/{id}:streamGenerateContent",
            Route::GeminiCountTokens => "/v1beta/models/{id}:countTokens",
            Route::Embed => "/v1beta/models/{id}:embedContent",
            Route::BatchEmbed => "/v1beta/models/{id}:batchEmbedContents",
            Route::GeminiModels => "/v1beta/models",
            Route::GeminiModel => "/v1beta/models/{id}",
            Route::Converse => "/model/{id}/converse",
            Route::ConverseStream => "/model/{id}/converse-stream",
            Route::Health => "/health",
            Route::WrongMethod => "wrong method",
            Route::NotFound => "unknown",
            Route::Stats => "/mock/stats",
            Route::Reset => "/mock/reset",
            Route::SetBehaviour => "/mock/behaviour",
        }
    }

    /// The method; empty where no request line leads here.
    fn method(self) -> &'static str {
        match self {
            Route::Models | Route::Model | Route::GeminiModels | Route::GeminiModel => "GET",
            Route::Health | Route::Stats => "GET",
            Route::AnthropicModels | Route::AnthropicModel => "",
            Route::WrongMethod | Route::NotFound => "",
            _ => "POST",
        }
    }

    /// Whose words answers and errors are in.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Route::Responses => Dialect::Responses,
            Route::Messages
            | Route::CountTokens
            | Route::AnthropicModels
            | Route::AnthropicModel => Dialect::Anthropic,
            Route::StreamGenerateArray => Dialect::GeminiArray,
            Route::Generate
            | Route::StreamGenerate
            | Route::GeminiCountTokens
            | Route::Embed
            | Route::BatchEmbed
            | Route::GeminiModels
            | Route::GeminiModel => Dialect::Gemini,
            Route::Converse | Route::ConverseStream => Dialect::Bedrock,
            _ => Dialect::OpenAi,
        }
    }

    /// Whether the request is one that a model would answer: it counts, and meets faults.
    pub(crate) fn is_model_request(self) -> bool {
        !matches!(self, Route::Health | Route::WrongMethod | Route::NotFound) && !self.is_control()
    }

    /// Whether the request is to the mock itself.
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Route::Stats | Route::Reset | Route::SetBehaviour)
    }
}

/// The path of a request target, without its query.
pub(crate) fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The id in `/v1/models/{id}` or `/v1beta/models/{id}`; ids may hold slashes.
pub(crate) fn model_id(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/v1/models/").or_else(|| path.strip_prefix("/v1beta/models/"));
    id.filter(|id| !id.is_empty())
}

/// Model and method in `/v1beta/models/{id}:{method}`. What stands before `/models/` may differ:
/// Vertex AI has project and place there.
pub(crate) fn gemini_model(path: &str) -> Option<(&str, &str)> {
    let (_, model) = path.split_once("/models/")?;
    model.rsplit_once(':').filter(|(id, _)| !id.is_empty())
}

/// Model and operation in `/model/{id}/{operation}`; slashes of an id are escaped.
pub(crate) fn bedrock_model(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/model/")?.split_once('/').filter(|(id, _)| !id.is_empty())
}

/// The model in Vertex AI's path of one of Anthropic's.
pub(crate) fn vertex_claude(path: &str) -> Option<&str> {
    let (_, model) = path.split_once("/publishers/anthropic/models/")?;
    model.strip_suffix(":rawPredict").or_else(|| model.strip_suffix(":streamRawPredict"))
}

fn has_parameter(target: &str, parameter: &str) -> bool {
    target.split_once('?').is_some_and(|(_, query)| query.split('&').any(|one| one == parameter))
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn every_route_is_found_where_it_says() {
        for (place, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place);
            if !route.method().is_empty() {
                assert_eq!(Route::of(route.method(), route.path()), route);
            }
        }
    }

    #[test]
    fn request_lines_lead_to_routes() {
        for (method, target, expected) in [
            ("POST", "/v1/chat/completions?api-version=1", Route::Chat),
            ("GET", "/v1/models/meta/llama-3", Route::Model),
            ("GET", "/v1/models/llama:8b", Route::Model),
            ("GET", "/v1beta/models/a/b", Route::GeminiModel),
            ("POST", "/v1beta/models/a:b:generateContent?key=k", Route::Generate),
            (
                "POST",
                "/v1/projects/p/publishers/google/models/a:countTokens",
                Route::GeminiCountTokens,
            ),
            ("POST", "/v1/models/a:streamGenerateContent?key=k&alt=sse", Route::StreamGenerate),
            ("POST", "/v1beta/models/a:streamGenerateContent?alt=json", Route::StreamGenerateArray),
            ("GET", "/v1beta/models/a:generateContent", Route::WrongMethod),
            ("POST", "/v1beta/models/:generateContent", Route::WrongMethod),
            ("POST", "/openai/deployments/d/chat/completions?api-version=1", Route::Chat),
            ("POST", "/openai/deployments/d/embeddings?api-version=1", Route::Embeddings),
            ("POST", "/openai/responses?api-version=1", Route::Responses),
            ("POST", "/openai/v1/audio/speech", Route::Speech),
            ("POST", "/openai/deployments/d/nothing", Route::NotFound),
            ("POST", "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", Route::Chat),
            (
                "POST",
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict",
                Route::Messages,
            ),
            (
                "POST",
                "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
                Route::CountTokens,
            ),
            ("POST", "/model/us.anthropic.claude-x-v1%3A0/converse", Route::Converse),
            ("POST", "/model/arn%3Aaws%3Abedrock%2Fa/converse-stream", Route::ConverseStream),
            ("POST", "/model//converse", Route::NotFound),
            ("POST", "/model/a/invoke", Route::NotFound),
            ("HEAD", "/health", Route::Health),
            ("GET", "/v1/chat/completions", Route::WrongMethod),
            ("POST", "/v1/models", Route::WrongMethod),
            ("GET", "/v1/models/", Route::NotFound),
            ("GET", "/v1/models (anthropic)", Route::NotFound),
            ("POST", "/chat/completions", Route::NotFound),
            ("POST", "/v1/chat/completions/", Route::NotFound),
            ("GET", "unknown", Route::NotFound),
            ("", "wrong method", Route::NotFound),
        ] {
            assert_eq!(Route::of(method, target), expected, "{method} {target}");
        }
        assert_eq!(Route::of("GET", "/v1/models").for_anthropic(), Route::AnthropicModels);
        assert_eq!(Route::of("GET", "/v1/models/a").for_anthropic(), Route::AnthropicModel);
        assert_eq!(Route::of("POST", "/v1/messages").for_anthropic(), Route::Messages);
    }
}
