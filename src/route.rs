//! What a request asks for, and where it may go.

pub mod access;
pub mod contexts;
pub mod faces;
pub mod path;
mod platform;

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};

use self::path::{Gemini, GeminiMethod};
use crate::config::snapshot::{Key, Model};
use crate::dialect::capabilities::Model as Reached;
use crate::dialect::ir::Dialect;
use crate::error::{Error, Kind, Result};
use crate::types::Operation;
use crate::upstream::{Pool, Pools};

/// How many model names an error lists before it stops.
const NAMES_LISTED_MAX: usize = 20;

/// Every path under `/v1` that is answered by a model, but Gemini's, which hold its name.
const ROUTES: [(&str, Operation, Dialect); 12] = [
    ("/chat/completions", Operation::Chat, Dialect::Chat),
    ("/responses", Operation::Chat, Dialect::Responses),
    ("/messages", Operation::Chat, Dialect::Anthropic),
    ("/messages/count_tokens", Operation::CountTokens, Dialect::Anthropic),
    ("/completions", Operation::Completion, Dialect::Chat),
    ("/embeddings", Operation::Embedding, Dialect::Chat),
    ("/moderations", Operation::Moderation, Dialect::Chat),
    ("/images/generations", Operation::Image, Dialect::Chat),
    ("/audio/speech", Operation::Speech, Dialect::Chat),
    ("/audio/transcriptions", Operation::Transcription, Dialect::Chat),
    ("/audio/translations", Operation::Translation, Dialect::Chat),
    ("/rerank", Operation::Rerank, Dialect::Chat),
];

/// Where a client learns what of the context protocol is spoken here.
const PROTOCOL: &str = "/.well-known/context-protocol";

/// The same in Protocol Buffers: what its messages are.
const PROTO: &str = "/.well-known/context-protocol.proto";

/// A served request: by its method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// To an upstream.
    Model(Call),
    /// `GET /v1/models`, answered here.
    Models,
    /// `GET /v1/models/{id}`, answered here.
    OneModel(&'a str),
    /// `GET /v1/capabilities`, answered here.
    Capabilities,
    /// Everything below `/v1/contexts`, answered here.
    Context(contexts::Place),
    /// `/v1/responses/{id}` and everything below `/v1/conversations`, answered here.
    Face(faces::Place),
    /// `/v1/access-requests`, answered here.
    Access(access::Action),
    /// `GET /.well-known/context-protocol`, answered here and for everybody.
    Protocol,
    /// `GET /.well-known/context-protocol.proto`, likewise.
    Proto,
}

/// What is asked of a model, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub operation: Operation,
    /// In which dialect.
    pub dialect: Dialect,
    /// What a Gemini path says beside.
    pub gemini: Option<Gemini>,
}

impl Route<'_> {
    /// The client's dialect: its path tells it, or what its SDK sends along.
    pub fn dialect(&self, headers: &HeaderMap, path: &str) -> Dialect {
        match self {
            Route::Model(call) => call.dialect,
            Route::Context(_)
            | Route::Face(_)
            | Route::Access(_)
            | Route::Protocol
            | Route::Proto => Dialect::Chat,
            Route::Models | Route::OneModel(_) | Route::Capabilities => spoken(headers, path),
        }
    }

    /// The operation, for accounts.
    pub const fn operation(&self) -> Operation {
        match self {
            Route::Model(call) => call.operation,
            Route::Context(_) | Route::Face(_) | Route::Protocol | Route::Proto => {
                Operation::Context
            }
            Route::Models | Route::OneModel(_) => Operation::Models,
            Route::Capabilities => Operation::Capabilities,
            Route::Access(_) => Operation::Access,
        }
    }
}

/// The route of a method and path.
///
/// # Errors
/// `NotFound` for a path that is not served, `MethodNotAllowed` for one that is.
pub fn find<'a>(method: &Method, uri: &'a Uri) -> Result<Route<'a>> {
    let path = uri.path();
    if let Some((id, actions)) = path.strip_prefix("/v1").and_then(contexts::at) {
        let action = actions.iter().find(|(of, _)| of == method).map(|(_, action)| *action);
        let place = |action| Route::Context(contexts::Place { id: id.into(), action });
        return action.map(place).ok_or_else(|| wrong_method(method, path));
    }
    if let Some((names, actions)) = path.strip_prefix("/v1").and_then(faces::at) {
        let action = actions.iter().find(|(of, _)| of == method).map(|(_, action)| *action);
        let face = action.map(|action| Route::Face(names.place(action)));
        return face.ok_or_else(|| wrong_method(method, path));
    }
    if path == access::PATH {
        let action = access::ACTIONS.into_iter().find(|(of, _)| of == method);
        let route = action.map(|(_, action)| Route::Access(action));
        return route.ok_or_else(|| wrong_method(method, path));
    }
    if let PROTOCOL | PROTO = path {
        let route = if path == PROTO { Route::Proto } else { Route::Protocol };
        let is_get = *method == Method::GET;
        return is_get.then_some(route).ok_or_else(|| wrong_method(method, path));
    }
    let (route, allowed) = by_path(path, uri.query()).ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!(
                "There is nothing at `{}`. Served are POST {}, Gemini's POST \
                 /v1beta/models/{{model}}:generateContent and its like, GET /v1/models and GET \
                 /v1/capabilities.",
                crate::error::excerpt(path),
                ROUTES.map(|(path, ..)| format!("/v1{path}")).join(", "),
            ),
        )
    })?;
    if *method != allowed {
        return Err(wrong_method(method, path));
    }
    Ok(route)
}

/// The methods that a path takes, joined by commas; `None` where it is not served.
pub fn allowed(path: &str) -> Option<String> {
    if let PROTOCOL | PROTO = path {
        return Some(Method::GET.to_string());
    }
    if path == access::PATH {
        return Some(access::ACTIONS.map(|(method, _)| method.to_string()).join(", "));
    }
    if let Some((_, actions)) = path.strip_prefix("/v1").and_then(contexts::at) {
        let methods: Vec<_> = actions.iter().map(|(method, _)| method.as_str()).collect();
        return Some(methods.join(", "));
    }
    if let Some((_, actions)) = path.strip_prefix("/v1").and_then(faces::at) {
        let methods: Vec<_> = actions.iter().map(|(method, _)| method.as_str()).collect();
        return Some(methods.join(", "));
    }
    by_path(path, None).map(|(_, method)| method.to_string())
}

/// An example of every request that is served: what checks all of them, such as that none is served
/// without a credential, goes through this list. A path that is added to the tables of this module is in it.
pub fn every() -> Vec<(Method, String)> {
    let calls = ROUTES.iter().map(|(path, ..)| (Method::POST, format!("/v1{path}")));
    let models = ["/v1", "/v1beta"].into_iter().flat_map(|version| {
        let gemini = GeminiMethod::ALL.map(GeminiMethod::name);
        let gemini = gemini.map(|name| (Method::POST, format!("{version}/models/demo:{name}")));
        let lists = ["/models", "/models/demo"];
        lists.map(|path| (Method::GET, format!("{version}{path}"))).into_iter().chain(gemini)
    });
    let contexts = contexts::PATHS.into_iter().flat_map(|path| {
        let (_, actions) = contexts::at(path).unwrap_or_default();
        actions.iter().map(move |(method, _)| (method.clone(), format!("/v1{path}")))
    });
    let faces = faces::PATHS.into_iter().filter_map(|path| Some((path, faces::at(path)?.1)));
    let faces = faces.flat_map(|(path, actions)| {
        actions.iter().map(move |(method, _)| (method.clone(), format!("/v1{path}")))
    });
    let others = ["/v1/capabilities", PROTOCOL, PROTO].map(|path| (Method::GET, path.into()));
    let access = access::ACTIONS.map(|(method, _)| (method, access::PATH.to_owned()));
    calls.chain(models).chain(contexts).chain(faces).chain(access).chain(others).collect()
}

fn wrong_method(method: &Method, path: &str) -> Error {
    let allowed = allowed(path).unwrap_or_default();
    Error::new(
        Kind::MethodNotAllowed,
        format!("`{path}` takes {allowed}, not {}.", crate::error::excerpt(method.as_str())),
    )
}

/// The dialect of a client whose path does not tell it, by what its SDK sends along.
pub fn spoken(headers: &HeaderMap, path: &str) -> Dialect {
    if path.starts_with("/v1beta") || headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else if headers.contains_key("anthropic-version") || path.starts_with("/v1/messages") {
        Dialect::Anthropic
    } else {
        Dialect::Chat
    }
}

fn by_path<'a>(path: &'a str, query: Option<&str>) -> Option<(Route<'a>, Method)> {
    let (v1, path) = match path.strip_prefix("/v1") {
        Some(rest) if rest.starts_with('/') => (true, rest),
        Some(rest) => (false, rest.strip_prefix("beta")?),
        None => return None,
    };
    if let Some(behind) = path.strip_prefix("/models") {
        return models(behind, query);
    }
    if path == "/capabilities" && v1 {
        return Some((Route::Capabilities, Method::GET));
    }
    let (_, operation, dialect) = ROUTES.iter().find(|(of, ..)| v1 && *of == path)?;
    let call = Call { operation: *operation, dialect: *dialect, gemini: None };
    Some((Route::Model(call), Method::POST))
}

/// What stands behind `/models`: nothing, a model, or a model and what Gemini is asked to do with it.
fn models<'a>(behind: &'a str, query: Option<&str>) -> Option<(Route<'a>, Method)> {
    if behind.is_empty() {
        return Some((Route::Models, Method::GET));
    }
    let id = behind.strip_prefix('/').filter(|id| !id.is_empty())?;
    let Some(gemini) = Gemini::read(id, query) else {
        return Some((Route::OneModel(id), Method::GET));
    };
    let operation = gemini.method.operation();
    let call = Call { operation, dialect: Dialect::Gemini, gemini: Some(gemini) };
    Some((Route::Model(call), Method::POST))
}

/// The pool behind an alias, if the caller may use it.
///
/// # Errors
/// `UnknownModel`, with the names that would be right; a model that exists but is not
/// available to the caller cannot be told from one that does not exist.
pub fn resolve(pools: &Pools, caller: &Key, alias: &str) -> Result<Arc<Pool>> {
    match pools.get(alias).filter(|_| caller.may_use(alias)) {
        Some(pool) => Ok(pool.clone()),
        None => Err(unknown_model(pools, caller, alias)),
    }
}

/// Whether any of a model's providers serves an operation that is asked for in a dialect.
///
/// # Errors
/// `UnsupportedOperation` where none does.
pub fn admit(model: &Model, operation: Operation, client: Dialect) -> Result<()> {
    let mut targets = model.levels.iter().flat_map(|level| &level.targets);
    if targets.any(|target| {
        path::serves(operation, target.endpoint.wire(client), &target.endpoint.platform)
    }) {
        return Ok(());
    }
    let text = format!(
        "No provider of the model `{}` serves `{}`: ask another model.",
        model.alias,
        operation.label()
    );
    Err(Error::new(Kind::UnsupportedOperation, text).param("model"))
}

/// The error for a name that leads nowhere.
pub fn unknown_model(pools: &Pools, caller: &Key, alias: &str) -> Error {
    let names = available(pools, caller);
    let listed: Vec<String> =
        names.iter().take(NAMES_LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > listed.len() { ", and more at GET /v1/models" } else { "" };
    let alias = crate::error::excerpt(alias);
    let text = if listed.is_empty() {
        format!("The model `{alias}` is not available to this key; no model is.")
    } else {
        let listed = listed.join(", ");
        format!("The model `{alias}` is not available to this key. Available are {listed}{more}.")
    };
    Error::new(Kind::UnknownModel, text).param("model")
}

/// The aliases the caller may use, in order.
pub fn available<'a>(pools: &'a Pools, caller: &Key) -> Vec<&'a str> {
    let mut names: Vec<&str> = pools.aliases().filter(|alias| caller.may_use(alias)).collect();
    names.sort_unstable();
    names
}

/// The aliases the caller may use, with the dialects that reach one of their providers untranslated.
pub fn reach<'a>(pools: &'a Pools, caller: &Key) -> Vec<Reached<'a>> {
    let reach = |id: &'a str| {
        let levels = pools.get(id).map(|pool| pool.model.levels.as_slice()).unwrap_or_default();
        let targets = || levels.iter().flat_map(|level| &level.targets);
        let is_native =
            |dialect: &Dialect| targets().any(|target| target.endpoint.wire(*dialect) == *dialect);
        let dialects = Dialect::ALL.into_iter().filter(is_native).map(Dialect::name);
        Reached { id, dialects: dialects.collect() }
    };
    available(pools, caller).into_iter().map(reach).collect()
}

/// The path of an operation at OpenAI, behind the base path.
fn openai_path(operation: Operation, dialect: Dialect) -> &'static str {
    let mut routes = ROUTES.iter();
    routes.find(|(_, of, by)| (*of, *by) == (operation, dialect)).map_or("/models", |route| route.0)
}

#[cfg(test)]
mod tests {
    use super::{Call, Dialect, HeaderMap, Method, Operation, Result, Route, spoken};
    use crate::dialect::gemini::stream_writer::Framing;
    use crate::route::path::GeminiMethod;

    fn find(method: &Method, path: &'static str) -> Result<Route<'static>> {
        let uri = Box::leak(Box::new(http::Uri::from_static(path)));
        super::find(method, uri)
    }

    #[test]
    fn a_path_says_what_is_asked_and_in_which_dialect() {
        for (path, operation, dialect) in [
            ("/v1/chat/completions", Operation::Chat, Dialect::Chat),
            ("/v1/responses", Operation::Chat, Dialect::Responses),
            ("/v1/messages", Operation::Chat, Dialect::Anthropic),
            ("/v1/messages/count_tokens", Operation::CountTokens, Dialect::Anthropic),
            ("/v1/embeddings", Operation::Embedding, Dialect::Chat),
        ] {
            let call = Call { operation, dialect, gemini: None };
            assert_eq!(find(&Method::POST, path).unwrap(), Route::Model(call), "{path}");
        }
        for version in ["v1", "v1beta"] {
            for (method, operation, stream) in [
                ("generateContent", Operation::Chat, false),
                ("streamGenerateContent", Operation::Chat, true),
                ("countTokens", Operation::CountTokens, false),
                ("embedContent", Operation::Embedding, false),
                ("batchEmbedContents", Operation::Embedding, false),
            ] {
                let path = format!("/{version}/models/org%2Fa:7b:{method}?key=k&alt=sse");
                let Route::Model(call) = find(&Method::POST, path.leak()).unwrap() else {
                    panic!("{method}");
                };
                let gemini = call.gemini.unwrap();
                assert_eq!((call.operation, call.dialect), (operation, Dialect::Gemini));
                assert_eq!((&*gemini.model, gemini.framing), ("org/a:7b", Framing::Sse));
                assert_eq!(gemini.method == GeminiMethod::Stream, stream);
            }
        }
    }

    #[test]
    fn models_are_told_apart_from_calls() {
        for path in ["/v1/models", "/v1beta/models"] {
            assert_eq!(find(&Method::GET, path).unwrap(), Route::Models);
        }
        for path in ["/v1/models/a:7b", "/v1beta/models/a:7b"] {
            assert_eq!(find(&Method::GET, path).unwrap(), Route::OneModel("a:7b"));
        }
        assert_eq!(find(&Method::GET, "/v1/capabilities").unwrap(), Route::Capabilities);
    }

    #[test]
    fn other_paths_are_not_served() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/messages",
            "/v1betamax",
            "/v1beta/messages",
            "/v1beta",
            "/v1/modelsx",
            "/v1/models/",
            "/v1beta/capabilities",
            "/v1chat/completions",
        ] {
            assert!(find(&Method::POST, path).is_err_and(|e| e.kind.status() == 404), "{path}");
        }
    }

    #[test]
    fn a_clients_dialect_is_told_by_its_headers_where_the_path_is_everyones() {
        let with = |name: &'static str| {
            HeaderMap::from_iter([(name.parse().unwrap(), "x".parse().unwrap())])
        };
        assert_eq!(spoken(&with("authorization"), "/v1/models"), Dialect::Chat);
        assert_eq!(spoken(&with("anthropic-version"), "/v1/models"), Dialect::Anthropic);
        assert_eq!(spoken(&with("x-goog-api-key"), "/v1/models"), Dialect::Gemini);
        assert_eq!(spoken(&with("authorization"), "/v1beta/models"), Dialect::Gemini);
    }
}
