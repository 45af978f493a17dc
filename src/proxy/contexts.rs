//! Contexts in the request path: the turn of a chat, and what is asked of contexts themselves.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use serde_json::json;

use super::prepare::read_body;
use super::reply::Reply;
use crate::body::coding::Coding;
use crate::config::snapshot::contexts::Contexts as Rules;
use crate::config::snapshot::{Key as Caller, Model};
use crate::context::ask::{self, Asked, CONTEXT_PROTOCOL, PROTOCOL_VERSION, X_CONTEXT_ID};
use crate::context::format::{self, Format, JSON_PATCH, MERGE_PATCH};
use crate::context::message;
use crate::context::resource::Shown;
use crate::context::responses;
use crate::context::store::Key;
use crate::context::turn::{Coming, Turn};
use crate::context::{Contexts, bounds, tokens};
use crate::dialect::ir::Dialect;
use crate::dialect::members::Members;
use crate::dialect::turns::{self, Completed};
use crate::error::{Error, Kind, Result};
use crate::request::prompt::Prompts;
use crate::request::{Draft, Rewriting};
use crate::route::Route;
use crate::route::contexts::{Action, Place};
use crate::state::{Active, State};
use crate::types::{Operation, Version};

/// Shorter answers are not worth compressing, in bytes.
const CODED_BYTES_MIN: usize = 512;

/// What a request asks of a context.
///
/// # Errors
/// Those of [`Asked::read`], and `InvalidBody` where a turn is asked for that is no chat completion.
pub fn asked(
    rules: &Rules,
    header: &RequestHeader,
    draft: &Draft<'_>,
) -> Result<Option<Box<Asked>>> {
    if !rules.enabled {
        return Ok(None);
    }
    let call = draft.call();
    if call.operation != Operation::Chat {
        let text = "A turn of a context is a chat: a POST to /v1/chat/completions, /v1/messages, \
                    /v1/responses or Gemini's generateContent.";
        let named = header.headers.get(X_CONTEXT_ID);
        let refused = || Err(Error::new(Kind::InvalidBody, text).param("X-Context-Id"));
        return named.map_or(Ok(None), |_| refused());
    }
    let asked = Asked::read(&header.headers, draft.context(), bounds(rules))?;
    let asked = match draft.of_responses() {
        Some(members) if asked.is_none() => responses::asked(members, rules.store_responses)?,
        _ => asked,
    };
    Ok(asked.map(Box::new))
}

/// A turn that has begun.
pub struct Begun<'a> {
    /// Goes with the request.
    pub turn: Arc<Turn>,
    /// The body, with the whole prompt.
    pub completed: Completed,
    /// The messages that the configuration puts in.
    pub prompts: Prompts<'a>,
}

/// Begins a turn: the body that comes back has the whole prompt in place of the request's own
/// messages, and no member `context`.
///
/// # Errors
/// Those of `Contexts::start` and `Contexts::begin`, `PromptTemplate`, and `InvalidBody` where there are no
/// messages.
pub async fn begin<'a>(
    state: &State,
    active: &Active,
    asked: Asked,
    rewriting: &Rewriting<'a>,
    (draft, body): (&Draft<'_>, &Bytes),
) -> Result<Begun<'a>> {
    let rules = &active.snapshot.contexts;
    let dialect = draft.call().dialect;
    let members = Members::parse(body).map_err(|error| unreadable(&error))?;
    let said = turns::said(dialect, &members)?.ok_or_else(|| no_messages(dialect))?;
    let messages = message::read_all(&said.text)?;
    let start = state.contexts.start(&rewriting.caller.tenant, &asked, rules).await?;
    let prompts = Prompts::make(rewriting, Some(start.data()))?;
    let beside: u32 = turns::beside(dialect, &members).map(tokens::estimate).sum();
    let beside = prompts.texts().map(tokens::estimate).fold(beside, u32::saturating_add);
    let frame = turns::frame(dialect, body, &members)?;
    let coming = Coming {
        messages,
        by_name: dialect == Dialect::Gemini,
        tokens_max: tokens_max(dialect, &members, beside, (rewriting.model, &asked), rules),
        frame: &frame,
    };
    let begun = state.contexts.begin(start, asked, coming, rules).await?;
    let mut completed = turns::completed(dialect, body, &members, (&frame, begun.framed))?;
    completed.losses.splice(..0, said.losses);
    Ok(Begun { turn: Arc::new(begun.turn), completed, prompts })
}

/// The most tokens that the prompt's messages may have: what the client says, or the model's window
/// less the answer and what goes beside the messages, whichever is less.
fn tokens_max(
    dialect: Dialect,
    members: &Members<'_>,
    beside: u32,
    (model, asked): (&Model, &Asked),
    rules: &Rules,
) -> Option<u32> {
    let answer = turns::answer_tokens(dialect, members);
    let answer = answer.unwrap_or(u64::from(rules.window.answer_tokens));
    let window = model.window_tokens.map(|window| {
        window.saturating_sub(u32::try_from(answer).unwrap_or(u32::MAX)).saturating_sub(beside)
    });
    match (window, asked.tokens_max) {
        (Some(window), Some(asked)) => Some(window.min(asked)),
        (window, asked) => window.or(asked),
    }
}

/// The rules by which contexts are served.
///
/// # Errors
/// `NotFound` where they are not.
pub fn rules(active: &Active) -> Result<&Rules> {
    let rules = &active.snapshot.contexts;
    rules.enabled.then_some(rules).ok_or_else(|| {
        Error::new(Kind::NotFound, "Contexts are not served here (`contexts.enabled`).")
    })
}

/// Answers what is asked of a context.
///
/// # Errors
/// Those of the operations in `context::resource`.
pub async fn serve(
    state: &State,
    active: &Active,
    (caller, place): (&Caller, Place),
    session: &mut Session,
) -> Result<Reply> {
    let rules = rules(active)?;
    let request = session.req_header();
    let headers = request.headers.clone();
    let version = version_of(request.uri.query().unwrap_or_default())?;
    ask::check_protocol(&headers)?;
    let body = read_body(session, active).await?;
    let action = place.action;
    let asking = Asking { caller, place, version, headers: &headers, body: &body };
    let answer = asking.carry_out(&state.contexts, rules).await?;
    spoken(answer, &headers, action)
}

/// What is asked of a context.
struct Asking<'a> {
    caller: &'a Caller,
    place: Place,
    /// As the query names it.
    version: Option<Version>,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Asking<'_> {
    async fn carry_out(self, contexts: &Contexts, rules: &Rules) -> Result<Reply> {
        let Self { caller, place, version, headers, body } = self;
        let (tenant, action) = (caller.tenant.clone(), place.action);
        let given = || Format::of(headers)?.read(body, action);
        if action == Action::Create {
            return Ok(made(contexts.create(tenant, &given()?, rules).await?, headers));
        }
        let key = Key { tenant, id: ask::id(&place.id, "id")? };
        let expected = expected(headers)?;
        let shown = match action {
            Action::Show => {
                return Ok(read(contexts.show(&key, version, rules).await?, headers));
            }
            Action::Change => {
                let delta = format::delta(headers, body, bounds(rules))?;
                contexts.change(&key, expected, &delta, rules).await?
            }
            Action::Delete => contexts.delete(&key, expected, rules).await?,
            Action::Versions => contexts.versions(&key, rules).await?,
            Action::Rollback => contexts.rollback(&key, expected, &given()?, rules).await?,
            Action::Fork | Action::Create => {
                return Ok(made(contexts.fork(&key, &given()?, rules).await?, headers));
            }
        };
        Ok(answer(200, [(ETAG, etag(shown.version, headers))], shown.body))
    }
}

/// The answer in the format and the coding that the client wants.
fn spoken(reply: Reply, headers: &HeaderMap, action: Action) -> Result<Reply> {
    let vary = (VARY, HeaderValue::from_static("accept, accept-encoding"));
    let mut reply = Reply { headers: [reply.headers, vec![vary]].concat(), ..reply };
    if reply.body.is_empty() {
        return Ok(reply);
    }
    let format = Format::accepted(headers);
    // What another format cannot say is answered as it is.
    if format != Format::Json
        && let Some(written) = format.write(&String::from_utf8_lossy(&reply.body), action)
    {
        reply.body = written.into();
        reply.headers.push((CONTENT_TYPE, HeaderValue::from_static(format.name())));
    }
    if let Some(coding) = coding(headers).filter(|_| reply.body.len() >= CODED_BYTES_MIN) {
        let text = "The gateway failed; the request id names the case in its log.";
        let failed = |why| Error::new(Kind::Internal, text).because(why);
        reply.body = coding.encode(&reply.body).map_err(failed)?.into();
        reply.headers.push((CONTENT_ENCODING, HeaderValue::from_static(coding.name())));
    }
    Ok(reply)
}

/// What needs no key: what of the protocol is spoken, and its messages.
pub fn for_everybody(route: &Route<'_>, active: &Active) -> Option<Reply> {
    match route {
        Route::Protocol => Some(protocol(active)),
        Route::Proto => Some(proto()),
        _ => None,
    }
}

/// The messages of Protocol Buffers.
fn proto() -> Reply {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer(200, [kind], format::PROTO.to_owned())
}

/// What of the protocol is spoken here.
fn protocol(active: &Active) -> Reply {
    let rules = &active.snapshot.contexts;
    let strategies = match rules.window.summary {
        Some(_) => &["oldest_turns", "summarize", "none"][..],
        None => &["oldest_turns", "none"],
    };
    let body = json!({
        "protocol": "context",
        "versions": [PROTOCOL_VERSION],
        "enabled": rules.enabled,
        "delta_formats": [JSON_PATCH, MERGE_PATCH],
        "serializations": Format::ALL.map(Format::name),
        "proto": "/.well-known/context-protocol.proto",
        "encodings": Coding::ALL.map(Coding::name),
        "window_strategies": strategies,
        "limits": {
            "ttl_seconds": rules.ttl.as_secs(),
            "turn_wait_ms": rules.turn_wait.as_millis() as u64,
            "messages_max": rules.messages_max,
            "versions_max": rules.versions_max,
            "context_bytes_max": rules.context_bytes_max,
            "delta_bytes_max": rules.delta_bytes_max,
            "delta_operations_max": rules.delta_operations_max,
            "answer_bytes_max": rules.answer_bytes_max,
        },
    });
    answer(200, [], body.to_string())
}

fn made(shown: Shown, headers: &HeaderMap) -> Reply {
    let location = HeaderValue::from_str(&format!("/v1/contexts/{}", shown.id));
    let location = location.ok().map(|location| (LOCATION, location));
    let headers = [(ETAG, etag(shown.version, headers))].into_iter().chain(location);
    answer(201, headers, shown.body)
}

/// A context, or that the client has it already (RFC 9110, section 13.1.2).
fn read(shown: Shown, headers: &HeaderMap) -> Reply {
    let etag = etag(shown.version, headers);
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &etag));
    match known {
        true => answer(304, [(ETAG, etag)], String::new()),
        false => answer(200, [(ETAG, etag)], shown.body),
    }
}

fn answer(
    status: u16,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: String,
) -> Reply {
    let protocol = (CONTEXT_PROTOCOL, HeaderValue::from_static(PROTOCOL_VERSION));
    let headers = headers.into_iter().chain([protocol]).collect();
    Reply { status, headers, ..Reply::ok(Bytes::from(body)) }
}

/// The tag of a version as this client gets it: another format, or another coding, is another
/// representation and has a tag of its own (RFC 9110, section 8.8.3).
fn etag(version: Version, headers: &HeaderMap) -> HeaderValue {
    let format = match Format::accepted(headers) {
        Format::Json => "",
        Format::MessagePack => "-msgpack",
        Format::Protobuf => "-protobuf",
    };
    let coding = coding(headers).map(|coding| format!("-{}", coding.name()));
    let text = format!("\"{version}{format}{}\"", coding.unwrap_or_default());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The coding that the client wants.
fn coding(headers: &HeaderMap) -> Option<Coding> {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    Coding::accepted(format::weighed(accepted.unwrap_or_default()))
}

/// Whether a list of tags has this one; what is weak counts too (RFC 9110, section 13.1.2).
fn names(list: &HeaderValue, etag: &HeaderValue) -> bool {
    let tags = list.to_str().unwrap_or_default().split(',').map(str::trim);
    let mut tags = tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
    tags.any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}

/// The version that `If-Match` names, whatever representation had the tag; `*` is any.
fn expected(headers: &HeaderMap) -> Result<Option<Version>> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let number = tag.map(|tag| tag.split_once('-').map_or(tag, |(number, _)| number));
    let version = number.and_then(|number| number.parse().ok()).map(Version);
    version.map(Some).ok_or_else(|| {
        let text = "`If-Match` must be an `ETag` of the context, such as `\"7\"`.";
        Error::new(Kind::InvalidBody, text).param("If-Match")
    })
}

/// The version that the query names.
fn version_of(query: &str) -> Result<Option<Version>> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("version=")) else {
        return Ok(None);
    };
    text.parse()
        .map(|version| Some(Version(version)))
        .map_err(|_| Error::new(Kind::InvalidBody, "`version` must be a number.").param("version"))
}

fn unreadable(why: &impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidBody, format!("The request cannot be read: {why}."))
}

fn no_messages(dialect: Dialect) -> Error {
    let name = turns::messages_member(dialect);
    let text = format!("A turn of a context needs `{name}`: what is new, or an empty array.");
    Error::new(Kind::InvalidBody, text).param(name)
}
