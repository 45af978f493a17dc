//! Requests for access to models that need approval, in the request path.

use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use pingora::proxy::Session;
use serde::Deserialize;
use serde_json::{Value, json};

use super::prepare::read_body;
use super::reply::Reply;
use crate::config::snapshot::Key as Caller;
use crate::error::{Error, Kind, Result};
use crate::roster::Author;
use crate::roster::access::{Asked, shown, standing};
use crate::roster::edit::Refusal;
use crate::route::{self, access::Action};
use crate::state::{Active, State};

/// What a caller sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    #[serde(default)]
    reason: String,
}

/// Answers what is asked of requests for access: a tenant sees its own.
///
/// # Errors
/// `InvalidBody`, `UnknownModel`, `NotFound` where no model needs approval, and `AccessUnavailable`.
pub async fn serve(
    state: &State,
    active: &Arc<Active>,
    (caller, action): (&Caller, Action),
    session: &mut Session,
) -> Result<Reply> {
    if active.snapshot.made.guarded.is_empty() {
        return Err(Error::new(Kind::NotFound, "No model needs an approval here."));
    }
    match action {
        Action::List => Ok(reply(200, &list(state, caller))),
        Action::Ask => {
            let address = session.client_addr().and_then(|address| address.as_inet().copied());
            let body = read_body(session, active).await?;
            let author = Author { by: format!("key {}", caller.id), address };
            ask(state, active, (caller, &author), &body).await
        }
    }
}

fn list(state: &State, caller: &Caller) -> Value {
    let (_, objects) = state.sources();
    let now = Utc::now().timestamp();
    let own = objects.requests.iter().filter(|(_, asked)| *asked.tenant == *caller.tenant.as_str());
    let own: Vec<_> = own.map(|(id, asked)| shown(id, asked, now)).collect();
    json!({ "object": "list", "data": own })
}

async fn ask(
    state: &State,
    active: &Active,
    (caller, author): (&Caller, &Author),
    body: &Bytes,
) -> Result<Reply> {
    let Body { model, reason } = serde_json::from_slice(body).map_err(|wrong| {
        let text = format!("The body must be {{\"model\": …, \"reason\": …}}: {wrong}.");
        Error::new(Kind::InvalidBody, text)
    })?;
    route::resolve(&active.pools, caller, &model)?;
    if !active.snapshot.made.guarded.contains(&*model) {
        let text = format!("The model `{model}` needs no approval: use it.");
        return Err(Error::new(Kind::InvalidBody, text).param("model"));
    }
    let (tenant, key) = (caller.tenant.to_string(), caller.id.to_string());
    let asked = Asked { tenant, key, model, reason };
    let (_, objects) = state.sources();
    // Who asks in a loop writes once.
    if let Some(standing) = standing(&objects.requests, &asked, Utc::now().timestamp()) {
        return Ok(reply(200, &standing));
    }
    let changed = state.change(author, |edit| edit.ask(asked.clone())).await.map_err(refused)?;
    Ok(reply(201, &changed.after))
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Malformed(text) => Error::new(Kind::InvalidBody, format!("{text}.")),
        other => {
            let text = "The request for access could not be kept. Ask again in a moment.";
            Error::new(Kind::AccessUnavailable, text).because(format!("{other:?}"))
        }
    }
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, ..Reply::ok(body.to_string().into()) }
}
