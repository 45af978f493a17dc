//! A request's whole way but for the wire: what is answered, when, and with which faults.
//!
//! [`respond`] decides everything; `connection` carries the decision out. Nothing here waits,
//! reads or writes.

use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde_json::json;

use super::answer::Answer;
use super::asked::Asked;
use super::behaviour::{Active, Behaviour, Instance};
use super::chat::{Reply as ChatReply, Shape};
use super::http::{Head, parse};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Body;
use super::route::{Route, path_of};
use super::stats::Stats;
use super::turn::Turn;
use super::{anthropic, bedrock, gemini, media, models, responses, texts};

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

/// Decides what a request is answered with.
pub(crate) fn respond(server: &Server, request: &Request<'_>) -> Reply {
    let route = request.head.route;
    let dialect = route.dialect();
    let number = server.numbers.fetch_add(1, Ordering::Relaxed);
    let refused = |refusal: Refusal| Answer::refusal(dialect, &refusal);
    if route.is_control() {
        let answer = control(server, request).unwrap_or_else(refused);
        return Reply::new(answer, dialect, Behaviour::default(), number);
    }
    server.stats.count(route);
    let active = server.active.load();
    let mut behaviour = if route.is_model_request() { active.next() } else { active.unspread() };
    let mut asked = Asked { request, behaviour: &mut behaviour, number };
    let answer = answer(server, &mut asked).unwrap_or_else(refused);
    Reply::new(answer, dialect, behaviour, number)
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

fn answer(server: &Server, asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let head = asked.request.head;
    if head.settings {
        set_by_headers(asked.behaviour, asked.request.head_bytes)?;
    }
    match head.route {
        Route::Chat | Route::Completions => chat(asked),
        Route::Embeddings | Route::Moderations | Route::Images | Route::Speech | Route::Rerank => {
            other_json(asked)
        }
        Route::Responses => responses::create(asked),
        Route::Messages => anthropic::messages(asked),
        Route::CountTokens => anthropic::count_tokens(asked),
        Route::Generate => gemini::generate(asked),
        Route::StreamGenerate | Route::StreamGenerateArray => gemini::stream_generate(asked),
        Route::GeminiCountTokens => gemini::count_tokens(asked),
        Route::Embed | Route::BatchEmbed => gemini::embed(asked),
        Route::Converse | Route::ConverseStream => bedrock::converse(asked),
        _ => plain_answer(server, asked),
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

fn chat(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    let shape = if asked.request.head.route == Route::Chat { Shape::Chat } else { Shape::Text };
    let behaviour = &*asked.behaviour;
    let turn = match (asked.echo()?, shape) {
        (Some(echo), _) => Turn::exactly(echo),
        (None, Shape::Chat) => {
            body.messages.as_ref().ok_or_else(|| Refusal::missing("messages"))?;
            Turn::of(&body.ask()?, behaviour)
        }
        (None, Shape::Text) => {
            body.prompt.ok_or_else(|| Refusal::missing("prompt"))?;
            Turn::words(body.tokens_max(), behaviour)
        }
    };
    let reply = ChatReply {
        shape,
        model: body.model()?,
        number: asked.number,
        turn: &turn,
        n: body.n()?,
        prompt_tokens: asked.prompt_tokens(),
        usage: !behaviour.no_usage,
        stream_usage: body.include_usage() && !behaviour.no_usage,
        chunks: behaviour.chunks,
    };
    Ok(if body.stream == Some(true) { reply.stream() } else { reply.whole() })
}

/// The other endpoints of OpenAI's that take JSON.
fn other_json(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    if let Some(echo) = asked.echo()? {
        return Ok(Answer::json(echo));
    }
    let prompt_tokens = asked.prompt_tokens();
    match asked.request.head.route {
        Route::Embeddings => texts::embeddings(&body, prompt_tokens),
        Route::Moderations => texts::moderations(&body, asked.number),
        Route::Images => media::images(&body, prompt_tokens),
        Route::Speech => media::speech(&body),
        _ => texts::rerank(&body, asked.number, prompt_tokens),
    }
}

/// What is asked for without JSON.
fn plain_answer(server: &Server, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    asked.fail()?;
    if let Some(echo) = asked.echo()? {
        return Ok(Answer::json(echo));
    }
    let request = asked.request;
    let target = parse(request.head_bytes, |head, _| head.path.unwrap_or_default())?;
    let path = path_of(target.unwrap_or_default());
    match request.head.route {
        Route::Health => Ok(Answer::value(&json!({ "status": "ok" }))),
        Route::WrongMethod => Err(Refusal::new(405, format!("Not allowed method at {path}."))),
        Route::Transcriptions | Route::Translations => {
            media::transcription(request.head_bytes, request.body)
        }
        Route::NotFound => {
            Err(Refusal::new(404, format!("Unknown request URL: {path}.")).code("unknown_url"))
        }
        route => models::answer(route, path, &server.models),
    }
}
