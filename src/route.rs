//! What a request asks for, and where it may go.

pub mod contexts;

use std::sync::Arc;

use http::Method;

use crate::config::snapshot::Key;
use crate::error::{Error, Kind, Result};
use crate::types::Operation;
use crate::upstream::{Pool, Pools};

/// How many model names an error lists before it stops.
const NAMES_LISTED_MAX: usize = 20;

/// Every path served: its method, its operation, and what follows an endpoint's base path.
const ROUTES: [(&str, Operation); 9] = [
    ("/chat/completions", Operation::Chat),
    ("/completions", Operation::Completion),
    ("/embeddings", Operation::Embedding),
    ("/moderations", Operation::Moderation),
    ("/images/generations", Operation::Image),
    ("/audio/speech", Operation::Speech),
    ("/audio/transcriptions", Operation::Transcription),
    ("/audio/translations", Operation::Translation),
    ("/rerank", Operation::Rerank),
];

/// Where a client learns what of the context protocol is spoken here.
const PROTOCOL: &str = "/.well-known/context-protocol";

/// A served request: by its method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// To an upstream.
    Model(Operation),
    /// `GET /v1/models`, answered here.
    Models,
    /// `GET /v1/models/{id}`, answered here.
    OneModel(&'a str),
    /// Everything below `/v1/contexts`, answered here.
    Context(contexts::Place),
    /// `GET /.well-known/context-protocol`, answered here and for everybody.
    Protocol,
}

impl Route<'_> {
    /// The operation, for accounts.
    pub const fn operation(&self) -> Operation {
        match self {
            Route::Model(operation) => *operation,
            Route::Context(_) | Route::Protocol => Operation::Context,
            Route::Models | Route::OneModel(_) => Operation::Models,
        }
    }
}

/// The route of a method and path.
///
/// # Errors
/// `NotFound` for a path that is not served, `MethodNotAllowed` for one that is.
pub fn find<'a>(method: &Method, path: &'a str) -> Result<Route<'a>> {
    if let Some((id, actions)) = path.strip_prefix("/v1").and_then(contexts::at) {
        let action = actions.iter().find(|(of, _)| of == method).map(|(_, action)| *action);
        let place = |action| Route::Context(contexts::Place { id: id.into(), action });
        return action.map(place).ok_or_else(|| wrong_method(method, path));
    }
    if path == PROTOCOL {
        let is_get = *method == Method::GET;
        return is_get.then_some(Route::Protocol).ok_or_else(|| wrong_method(method, path));
    }
    let (route, allowed) = path.strip_prefix("/v1").and_then(by_path).ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!(
                "There is nothing at `{}`. Served are POST {} and GET /v1/models.",
                crate::error::excerpt(path),
                ROUTES.map(|(path, _)| format!("/v1{path}")).join(", "),
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
    if path == PROTOCOL {
        return Some(Method::GET.to_string());
    }
    let path = path.strip_prefix("/v1")?;
    if let Some((_, actions)) = contexts::at(path) {
        let methods: Vec<_> = actions.iter().map(|(method, _)| method.as_str()).collect();
        return Some(methods.join(", "));
    }
    by_path(path).map(|(_, method)| method.to_string())
}

fn wrong_method(method: &Method, path: &str) -> Error {
    let allowed = allowed(path).unwrap_or_default();
    Error::new(
        Kind::MethodNotAllowed,
        format!("`{path}` takes {allowed}, not {}.", crate::error::excerpt(method.as_str())),
    )
}

/// The path of an operation at an upstream, behind its base path.
pub fn upstream_path(operation: Operation) -> &'static str {
    ROUTES.iter().find(|(_, of)| *of == operation).map_or("/models", |(path, _)| path)
}

fn by_path(path: &str) -> Option<(Route<'_>, Method)> {
    if path == "/models" {
        return Some((Route::Models, Method::GET));
    }
    if let Some(id) = path.strip_prefix("/models/").filter(|id| !id.is_empty()) {
        return Some((Route::OneModel(id), Method::GET));
    }
    let (_, operation) = ROUTES.iter().find(|(of, _)| *of == path)?;
    Some((Route::Model(*operation), Method::POST))
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
