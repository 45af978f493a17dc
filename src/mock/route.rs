//! What a request line asks for.
//!
//! The table of paths is the whole of the mock's surface; there is no other place that
//! knows a path.

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
    pub(crate) const ALL: [Route; 17] = [
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
        Route::Health,
        Route::WrongMethod,
        Route::NotFound,
        Route::Stats,
        Route::Reset,
        Route::SetBehaviour,
    ];

    /// The route of a request line.
    pub(crate) fn of(method: &str, target: &str) -> Self {
        let path = path_of(target);
        let Some(route) = Self::at(path) else { return Route::NotFound };
        let method = if method == "HEAD" { "GET" } else { method };
        if method == route.method() { route } else { Route::WrongMethod }
    }

    fn at(path: &str) -> Option<Self> {
        let known = |route: &Route| route.method() != "" && route.path() == path;
        match path {
            // The two that a load test asks for need no search.
            "/v1/chat/completions" => Some(Route::Chat),
            "/v1/embeddings" => Some(Route::Embeddings),
            _ if model_id(path).is_some() => Some(Route::Model),
            _ => Self::ALL.into_iter().find(known),
        }
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
            Route::Models | Route::Model | Route::Health | Route::Stats => "GET",
            Route::WrongMethod | Route::NotFound => "",
            _ => "POST",
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

/// The id in `/v1/models/{id}`; ids may hold slashes.
pub(crate) fn model_id(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/models/").filter(|id| !id.is_empty())
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
            ("HEAD", "/health", Route::Health),
            ("GET", "/v1/chat/completions", Route::WrongMethod),
            ("POST", "/v1/models", Route::WrongMethod),
            ("GET", "/v1/models/", Route::NotFound),
            ("POST", "/chat/completions", Route::NotFound),
            ("POST", "/v1/chat/completions/", Route::NotFound),
            ("GET", "unknown", Route::NotFound),
            ("", "wrong method", Route::NotFound),
        ] {
            assert_eq!(Route::of(method, target), expected, "{method} {target}");
        }
    }
}
