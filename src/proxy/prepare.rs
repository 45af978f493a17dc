//! Everything between a request's header and its first attempt: one line a step, in order.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ahash::RandomState;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::access;
use super::bill::Bill;
use super::contexts;
use super::deadline::Deadline;
use super::exchange::{Context, Exchange};
use super::faces;
use super::reply::Reply;
use super::waiting;
use crate::auth::certificate::Shown;
use crate::auth::{self, approval};
use crate::body;
use crate::body::coding::Coding;
use crate::config::snapshot::{Balance, HashOn, Key};
use crate::context::turn::Turn;
use crate::dialect::ir::Dialect;
use crate::dialect::{capabilities, models};
use crate::error::{Error, Kind, Result};
use crate::request::{Draft, Request, Rewriting, assumed};
use crate::route::{self, Route};
use crate::state::{Active, State};
use crate::upstream::{Pool, Tried};

/// A compressed body of at most so many bytes is unpacked on the worker that read it: a moment's work.
const UNPACKED_AT_ONCE_MAX: usize = 128 << 10;

/// What follows.
pub enum Next {
    /// It goes upstream.
    Forward(Box<Exchange>),
    /// It is answered here.
    Reply(Reply),
}

/// Takes a request from its header to its first attempt.
///
/// # Errors
/// Whatever a step refuses; nothing has been written to the client then.
pub async fn prepare(state: &State, session: &mut Session, ctx: &mut Context) -> Result<Next> {
    let (active, now) = (state.active(), ctx.started_at());
    keep_alive(state, &active, session);
    let route = find_route(session.req_header(), ctx)?;
    if let Some(reply) = contexts::for_everybody(&route, &active) {
        return Ok(Next::Reply(reply));
    }
    let caller = authenticate(session, &active, ctx, now)?;
    let call = match route {
        Route::Model(call) => call,
        Route::Context(place) => {
            let answer = contexts::serve(state, &active, (&caller, place), session);
            return Box::pin(answer).await.map(Next::Reply);
        }
        Route::Face(place) => {
            let answer = faces::serve(state, &active, (&caller, place), session);
            return Box::pin(answer).await.map(Next::Reply);
        }
        Route::Access(action) => {
            let answer = access::serve(state, &active, (&caller, action), session);
            return Box::pin(answer).await.map(Next::Reply);
        }
        route => return answer_here(&route, &active, (&caller, now), ctx),
    };
    let body = read_body(session, &active).await?;
    ctx.request_bytes = body.len() as u64;
    let (body, assumed) = assumed::with_model(call.operation, body);
    let header = session.req_header();
    let completed;
    let mut draft = Draft::read(call, header.headers.get(CONTENT_TYPE), &body)?;
    let pool = route::resolve(&active.pools, &caller, draft.model())
        .map_err(|error| assumed::explained(error, assumed))?;
    approval::check(&active.snapshot.made, &caller, pool.model.alias.as_str(), now)?;
    ctx.model = pool.metrics().cloned();
    if let Some(body) = draft.estimate(&pool.model)? {
        return Ok(Next::Reply(Reply::estimate(body)));
    }
    draft.admit(&pool.model)?;
    let mut rewriting = rewriting(&pool, &caller, header, now);
    let (mut turn, mut losses) = (None, Vec::new());
    if let Some(asked) = contexts::asked(&active.snapshot.contexts, header, &draft)? {
        let begin = contexts::begin(state, &active, *asked, &rewriting, (&draft, &body));
        let begun = Box::pin(begin).await?;
        (turn, rewriting.prompts) = (Some(begun.turn), Some(begun.prompts));
        (completed, losses) = (begun.completed.body, begun.completed.losses);
        draft = draft.with_body(&completed, &begun.completed.conversation)?;
    }
    draft.refuse_state()?;
    let open = || Bill::open(&active, &caller, &pool, (&draft, header), now);
    let mut bill = open_bill(state, open).await?;
    let request = draft.rewrite(&rewriting)?;
    let hash = hash(&pool, &request, (&caller, turn.as_deref()), header);
    if bill.refused.is_some() {
        let deadline = ctx.started + pool.model.timeouts.total;
        let room = waiting::for_room(&mut bill, (&active, &caller), session, deadline);
        Box::pin(room).await?;
    }
    let exchange = Exchange { turn, losses, ..exchange((pool, bill), request, hash, ctx) };
    Ok(Next::Forward(Box::new(exchange)))
}

/// Opens a bill; one that lacks a lease waits for the next exchange of leases.
async fn open_bill(state: &State, open: impl Fn() -> Result<Bill>) -> Result<Bill> {
    let Some(leases) = &state.ledger.leases else { return open() };
    let mut round = leases.round();
    let mut opened = open();
    let patience = leases.patience();
    while is_for_lease(&opened) {
        // Once the server is down, what is done then is decided by another look.
        if !leases.can_help() || !Box::pin(leases.exchanged(round, patience)).await {
            return open();
        }
        round = leases.round();
        opened = open();
    }
    opened
}

fn is_for_lease(opened: &Result<Bill>) -> bool {
    opened.as_ref().is_err_and(|error| error.kind == Kind::QuotaUnavailable)
}

/// The route, and from then on the dialect that the client is answered in.
fn find_route<'a>(header: &'a RequestHeader, ctx: &mut Context) -> Result<Route<'a>> {
    let (headers, path) = (&header.headers, header.uri.path());
    let route = route::find(&header.method, &header.uri)
        .inspect_err(|_| ctx.dialect = route::spoken(headers, path))?;
    ctx.dialect = route.dialect(headers, path);
    ctx.operation = Some(route.operation());
    Ok(route)
}

/// Who asks. Only Google's clients send their key in the query.
fn authenticate(
    session: &Session,
    active: &Active,
    ctx: &mut Context,
    now: DateTime<Utc>,
) -> Result<Arc<Key>> {
    let header = session.req_header();
    let query = header.uri.query().filter(|_| ctx.dialect == Dialect::Gemini);
    let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
    let shown = tls.and_then(|tls| tls.extension.get::<Shown>());
    let known = (&*active.snapshot, &active.tokens);
    let caller = auth::authenticate(&header.headers, query, shown, known, now)?;
    ctx.caller = Some(caller.clone());
    Ok(caller)
}

/// Whether the connection is kept behind the answer, and how long: a leaving process keeps none,
/// and a client that wants its own closed has it closed.
fn keep_alive(state: &State, active: &Active, session: &mut Session) {
    if state.is_draining() {
        session.set_keepalive(None);
    } else if session.get_keepalive().is_some() {
        session.set_keepalive(Some(active.snapshot.server.client_keepalive.as_secs()));
    }
}

fn answer_here(
    route: &Route<'_>,
    active: &Active,
    (caller, now): (&Key, DateTime<Utc>),
    ctx: &Context,
) -> Result<Next> {
    let made = &active.snapshot.made;
    let is_open = |alias: &str| made.is_open(&caller.tenant, alias, now);
    let body = match route {
        Route::OneModel(id) if active.pools.get(id).is_some() && caller.may_use(id) => {
            approval::check(made, caller, id, now)?;
            models::one(ctx.dialect, id)
        }
        Route::OneModel(id) => return Err(route::unknown_model(&active.pools, caller, id)),
        Route::Capabilities => {
            let mut reached = route::reach(&active.pools, caller);
            reached.retain(|model| is_open(model.id));
            capabilities::body(&reached)
        }
        _ => {
            let mut names = route::available(&active.pools, caller);
            names.retain(|name| is_open(name));
            models::list(ctx.dialect, &names)
        }
    };
    Ok(Next::Reply(Reply::ok(body)))
}

/// The body, without the compression that it came in.
pub async fn read_body(session: &mut Session, active: &Active) -> Result<Bytes> {
    let server = &active.snapshot.server;
    let bytes_max = server.body_bytes_max;
    let coding = session.get_header(CONTENT_ENCODING).map(Coding::of).transpose()?.flatten();
    let limits = body::Limits { bytes_max, timeout: server.body_timeout };
    let body = body::read(session, limits).await?;
    match coding {
        None => Ok(body),
        Some(coding) => unpacked(coding, body, bytes_max).await,
    }
}

/// The body itself. What is large is unpacked beside the workers: a megabyte takes milliseconds, in which
/// a worker would answer nobody; and few bytes may stand for many.
async fn unpacked(coding: Coding, body: Bytes, bytes_max: usize) -> Result<Bytes> {
    let at_once = UNPACKED_AT_ONCE_MAX.min(bytes_max);
    if body.len() <= at_once {
        match coding.decode(&body, at_once) {
            Err(error) if error.kind == Kind::BodyTooLarge && at_once < bytes_max => {}
            done => return done,
        }
    }
    let decoding = move || coding.decode(&body, bytes_max);
    tokio::task::spawn_blocking(decoding).await.unwrap_or_else(|error| {
        let text = "The gateway failed; the request id names the case in its log.";
        Err(Error::new(Kind::Internal, text).because(error.to_string()))
    })
}

fn rewriting<'a>(
    pool: &'a Pool,
    caller: &'a Key,
    header: &'a RequestHeader,
    now: DateTime<Utc>,
) -> Rewriting<'a> {
    Rewriting {
        model: &pool.model,
        caller,
        headers: &header.headers,
        today: now.date_naive(),
        prompts: None,
    }
}

/// The value that a consistent hash goes by: the same in every process and after a restart.
fn hash(
    pool: &Pool,
    request: &Request,
    (caller, turn): (&Key, Option<&Turn>),
    header: &RequestHeader,
) -> Option<u64> {
    static HASHER: LazyLock<RandomState> = LazyLock::new(|| RandomState::with_seeds(1, 2, 3, 4));
    let on = match &pool.model.balance {
        Balance::ConsistentHash(on) => on,
        Balance::Context { .. } => return turn.map(|turn| HASHER.hash_one(turn.key())),
        Balance::RoundRobin | Balance::LeastRequests | Balance::PeakEwma => return None,
    };
    let key = caller.id.as_str().as_bytes();
    Some(match on {
        HashOn::Key => HASHER.hash_one(key),
        HashOn::User => HASHER.hash_one(request.user().map_or(key, str::as_bytes)),
        HashOn::Header(name) => {
            HASHER.hash_one(header.headers.get(name).map_or(key, |value| value.as_bytes()))
        }
    })
}

fn exchange(
    (pool, bill): (Arc<Pool>, Bill),
    request: Request,
    hash: Option<u64>,
    ctx: &Context,
) -> Exchange {
    pool.budget.deposit(ctx.started.into_std());
    let deadline = Arc::new(Deadline::new(ctx.started, pool.model.timeouts.total));
    Exchange {
        pool,
        bill,
        request,
        passing: HeaderMap::new(),
        created: ctx.created(),
        hash,
        deadline,
        tried: Tried::default(),
        attempts_made: 0,
        stale_retried: false,
        backoff: Duration::ZERO,
        retry_after: None,
        hold: None,
        turn: None,
        losses: Vec::new(),
    }
}
