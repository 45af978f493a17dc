//! A request's whole way but for the wire: what is answered, when, and with which faults.
//!
//! [`respond`] decides everything; `connection` carries the decision out. Nothing here waits,
//! reads or writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;

use super::answer::{Answer, CREATED, Content};
use super::behaviour::{Active, Behaviour, Header, Instance};
use super::chat::{Reply as ChatReply, Shape};
use super::echo::describe;
use super::http::{Head, parse};
use super::refusal::Refusal;
use super::request::Body;
use super::route::{Route, model_id, path_of};
use super::stats::Stats;
use super::turn::Turn;
use super::{media, texts};

/// An event that no JSON parser takes.
const MALFORMED: &str = "data: {\"id\":\"chatcmpl-mock\",\"choices\":[{\"index\":0,\"delta\":\n\n";

/// One instance: its models, its behaviour, its counters.
pub(crate) struct Server {
    models: Vec<String>,
    flags: Instance,
    active: ArcSwap<Active>,
    numbers: AtomicU64,
    pub(crate) stats: Stats,
}

impl Server {
    pub(crate) fn new(models: Vec<String>, flags: Instance) -> Self {
        Self {
            models,
            active: ArcSwap::from_pointee(Active::new(flags.clone())),
            flags,
            numbers: AtomicU64::new(1),
            stats: Stats::default(),
        }
    }

    fn behave(&self, instance: Instance) {
        self.active.store(Active::new(instance).into());
    }

    /// Changes the behaviour of the whole instance, starting from the flags.
    fn set_behaviour(&self, list: &[u8]) -> Result<(), Refusal> {
        let list = std::str::from_utf8(list).map_err(|_| Refusal::bad("Settings are text."))?;
        let mut instance = self.flags.clone();
        instance.set_all(list).map_err(Refusal::bad)?;
        self.behave(instance);
        Ok(())
    }
}

/// A request, as it lies in the connection's buffer.
pub(crate) struct Request<'b> {
    pub(crate) head: Head,
    pub(crate) head_bytes: &'b [u8],
    pub(crate) body: &'b [u8],
}

/// An answer and how it is given.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<Header>,
    /// A number that no other answer has.
    pub(crate) number: u64,
    /// No answer at all: wait for the client to leave.
    pub(crate) hang: bool,
    /// The wait before the header.
    pub(crate) before_header: Duration,
    /// The wait before a stream's first event.
    pub(crate) before_first: Duration,
    /// The wait between two steps of a stream's pace.
    pub(crate) step: Duration,
    /// The length that a whole answer's header promises.
    pub(crate) length: usize,
    pub(crate) content: Content,
    pub(crate) ending: Ending,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    /// The connection is closed too early.
    Cut,
    /// The connection is reset too early.
    Reset,
}

/// Decides what a request is answered with.
pub(crate) fn respond(server: &Server, request: &Request<'_>) -> Reply {
    let route = request.head.route;
    let number = server.numbers.fetch_add(1, Ordering::Relaxed);
    if route.is_control() {
        let answer = control(server, request).unwrap_or_else(Answer::from);
        return Reply::new(answer, Behaviour::default(), number);
    }
    server.stats.count(route);
    let active = server.active.load();
    let mut behaviour = if route.is_model_request() { active.next() } else { active.unspread() };
    let answer = answer(server, request, &mut behaviour, number).unwrap_or_else(Answer::from);
    Reply::new(answer, behaviour, number)
}

fn control(server: &Server, request: &Request<'_>) -> Result<Answer, Refusal> {
    match request.head.route {
        Route::Stats => {}
        Route::SetBehaviour => server.set_behaviour(request.body)?,
        _ => {
            server.stats.reset();
            server.behave(server.flags.clone());
        }
    }
    Ok(Answer::value(&server.stats.json()))
}

fn answer(
    server: &Server,
    request: &Request<'_>,
    behaviour: &mut Behaviour,
    number: u64,
) -> Result<Answer, Refusal> {
    let route = request.head.route;
    if request.head.settings {
        set_by_headers(behaviour, request.head_bytes)?;
    }
    let body = takes_json(route).then(|| Body::read(request.body));
    if let Some(list) = body.as_ref().and_then(|body| body.as_ref().ok()?.settings()) {
        behaviour.set_all(list).map_err(|error| Refusal::bad(error).param("metadata"))?;
    }
    if let Some(status @ 400..) = behaviour.status {
        return Err(Refusal::new(status, format!("A simulated failure: {status}.")));
    }
    match body.transpose()? {
        Some(body) => json_answer(request, &body, behaviour, number),
        None if behaviour.echo => Ok(Answer::json(describe(request.head_bytes, request.body)?)),
        None => plain_answer(server, request),
    }
}

fn set_by_headers(behaviour: &mut Behaviour, head: &[u8]) -> Result<(), Refusal> {
    let set = |request: &httparse::Request<'_, '_>, _| {
        request.headers.iter().try_for_each(|header| {
            let name = header.name.to_ascii_lowercase();
            let Some(name) = name.strip_prefix("x-mock-") else { return Ok(()) };
            behaviour.set(name, String::from_utf8_lossy(header.value).trim())
        })
    };
    parse(head, set)?.unwrap_or(Ok(())).map_err(Refusal::bad)
}

fn takes_json(route: Route) -> bool {
    matches!(
        route,
        Route::Chat
            | Route::Completions
            | Route::Embeddings
            | Route::Moderations
            | Route::Images
            | Route::Speech
            | Route::Rerank
    )
}

fn json_answer(
    request: &Request<'_>,
    body: &Body<'_>,
    behaviour: &Behaviour,
    number: u64,
) -> Result<Answer, Refusal> {
    let route = request.head.route;
    let prompt_tokens = (request.body.len() / 4).max(1);
    let echo = behaviour.echo.then(|| describe(request.head_bytes, request.body)).transpose()?;
    let (shape, turn) = match (route, echo) {
        (Route::Chat, Some(echo)) => (Shape::Chat, Turn::exactly(echo)),
        (Route::Completions, Some(echo)) => (Shape::Text, Turn::exactly(echo)),
        (_, Some(echo)) => return Ok(Answer::json(echo)),
        (Route::Chat, None) => {
            body.messages.as_ref().ok_or_else(|| Refusal::missing("messages"))?;
            (Shape::Chat, Turn::of_chat(body, behaviour)?)
        }
        (Route::Completions, None) => {
            body.prompt.ok_or_else(|| Refusal::missing("prompt"))?;
            (Shape::Text, Turn::words(body, behaviour))
        }
        (Route::Embeddings, None) => return texts::embeddings(body, prompt_tokens),
        (Route::Moderations, None) => return texts::moderations(body, number),
        (Route::Images, None) => return media::images(body, prompt_tokens),
        (Route::Speech, None) => return media::speech(body),
        (_, None) => return texts::rerank(body, number, prompt_tokens),
    };
    let reply = ChatReply {
        shape,
        model: body.model()?,
        number,
        turn: &turn,
        n: body.n()?,
        prompt_tokens,
        usage: !behaviour.no_usage,
        stream_usage: body.include_usage() && !behaviour.no_usage,
        chunks: behaviour.chunks,
    };
    Ok(if body.stream == Some(true) { reply.stream() } else { reply.whole() })
}

/// What is asked for without JSON.
fn plain_answer(server: &Server, request: &Request<'_>) -> Result<Answer, Refusal> {
    let target = parse(request.head_bytes, |head, _| head.path.unwrap_or_default())?;
    let path = path_of(target.unwrap_or_default());
    match request.head.route {
        Route::Models => {
            let cards: Vec<_> = server.models.iter().map(|id| model_card(id)).collect();
            Ok(Answer::value(&json!({ "object": "list", "data": cards })))
        }
        Route::Model => {
            let id = model_id(path).unwrap_or_default();
            if server.models.iter().any(|known| known == id) {
                return Ok(Answer::value(&model_card(id)));
            }
            let message =
                format!("The model '{id}' does not exist: there are {:?}.", server.models);
            Err(Refusal::new(404, message).param("model").code("model_not_found"))
        }
        Route::Health => Ok(Answer::value(&json!({ "status": "ok" }))),
        Route::WrongMethod => Err(Refusal::new(405, format!("Not allowed method at {path}."))),
        Route::Transcriptions | Route::Translations => {
            media::transcription(request.head_bytes, request.body)
        }
        _ => Err(Refusal::new(404, format!("Unknown request URL: {path}.")).code("unknown_url")),
    }
}

fn model_card(id: &str) -> serde_json::Value {
    json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "mock" })
}

impl Reply {
    fn new(answer: Answer, behaviour: Behaviour, number: u64) -> Self {
        let first = Duration::from_millis(behaviour.first_token_ms.into());
        let mut reply = Self {
            status: if answer.status == 200 {
                behaviour.status.unwrap_or(200)
            } else {
                answer.status
            },
            content_type: answer.content_type,
            number,
            hang: behaviour.hang,
            before_header: Duration::from_millis(behaviour.delay_ms.into()),
            before_first: first,
            step: Duration::from_millis(behaviour.chunk_ms.into()),
            length: 0,
            content: answer.content,
            ending: Ending::Complete,
            headers: Vec::new(),
        };
        let generation = match behaviour.tokens_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs(answer.tokens.saturating_sub(1) as u64) / rate,
        };
        match &mut reply.content {
            // A whole answer takes as long as a stream of the same length.
            Content::Whole(bytes) => {
                reply.before_header += first + generation;
                reply.length = bytes.len();
            }
            Content::Events(events) => {
                let steps = u32::try_from(events.paced().saturating_sub(1)).unwrap_or(u32::MAX);
                reply.step = reply.step.max(generation.checked_div(steps).unwrap_or_default());
            }
        }
        reply.fail(&behaviour);
        reply.headers = behaviour.headers;
        reply
    }

    /// Puts the faults into the answer.
    fn fail(&mut self, behaviour: &Behaviour) {
        if let Content::Events(events) = &mut self.content {
            if behaviour.no_done {
                events.truncate(events.len().saturating_sub(1));
            }
            if let Some(number) = behaviour.error_at {
                let error = Refusal::new(500, "A simulated failure in mid-stream.").body();
                events.truncate(number);
                events.push(|out| {
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(&error);
                    out.extend_from_slice(b"\n\n");
                });
            }
            if let Some(number) = behaviour.malformed_at {
                events.insert(number, MALFORMED);
            }
        }
        if let Some(rest) = behaviour.cut_after {
            self.ending = if behaviour.reset { Ending::Reset } else { Ending::Cut };
            match &mut self.content {
                Content::Whole(bytes) => bytes.truncate(rest),
                Content::Events(events) => events.truncate(rest),
            }
        }
        if let (Content::Events(events), Some(bytes)) = (&mut self.content, behaviour.piece_bytes) {
            events.recut(bytes);
        }
    }
}
