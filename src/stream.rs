//! The answer's bytes on their way to the client: passed on as they are and read along for usage, or
//! translated into the client's dialect.
//!
//! Where both sides speak one dialect the bytes stay untouched, except that the usage event which only
//! the gateway asked for is cut out, and that a stream which ends too early gets an error event, so that
//! nobody takes it for complete.

mod kept;
mod stopping;
mod translated;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;

use self::kept::Kept;
use self::stopping::Beside;
use self::translated::{Streamed, Whole};
use crate::dialect::bedrock::frames;
use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::loss::Loss;
use crate::dialect::ir::{Dialect, Reply};
use crate::dialect::openai::answer::UsageTap;
use crate::dialect::openai::stream::AnswerStream;
use crate::dialect::translate::stream::{StreamOptions, StreamTranslator};
use crate::dialect::watch::{StreamEnd, Watch, usage_tap};
use crate::error::{Error, Kind};
use crate::request::Request;
use crate::types::TokenUsage;

/// What an early end is called, to the client.
const CUT_SHORT: &str = "The model's answer ended before it was complete.";

/// Reads one answer as it passes.
pub struct Meter {
    client: Dialect,
    framing: Framing,
    shape: Shape,
    /// Where a stream that passes may be ended early.
    beside: Option<Box<Beside>>,
    /// What was used by a stream that is ended early, from then on.
    stopped: Option<TokenUsage>,
}

/// What is done with an answer.
enum Shape {
    /// A stream of Chat Completions, or of any other of OpenAI's operations, passes.
    Events(Box<AnswerStream>),
    /// A stream of another dialect passes.
    Watched(Box<Watch>),
    /// One JSON text passes.
    Json(Box<UsageTap>),
    /// One JSON text passes once it is whole.
    Kept(Box<Kept>),
    /// A stream is translated.
    Streamed(Box<Streamed>),
    /// A whole answer is translated.
    Whole(Box<Whole>),
    /// It passes and says nothing that can be read: audio, an empty body.
    Other,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There is more to come, or nothing speaks against its being whole.
    Fine,
    /// A stream ended without its last event.
    CutShort,
    /// The upstream told of an error within the stream.
    Failed(String),
    /// A whole answer cannot be read: nothing of it has gone to the client.
    Unreadable(String),
}

/// An answer on its way from an upstream to a client.
pub struct Passage<'a> {
    /// What was asked.
    pub request: &'a Request,
    /// The dialect of the upstream.
    pub from: Dialect,
    /// Whether that is not the client's.
    pub translated: bool,
    /// Whether a stream may be ended early.
    pub stops: bool,
    /// Whether a whole answer's header has to wait for its body.
    pub held: bool,
    /// What the answer says where its provider says nothing.
    pub reply: Reply<'a>,
}

impl Meter {
    /// A meter for the body behind this header.
    pub fn of(response: &ResponseHeader, passage: &Passage<'_>) -> Self {
        let request = passage.request;
        let (client, framing) = (request.dialect, request.framing);
        let frames = is_media_type(&response.headers, frames::CONTENT_TYPE.as_bytes());
        let events = frames || is_media_type(&response.headers, b"text/event-stream");
        let json = is_media_type(&response.headers, b"application/json");
        let array = client == Dialect::Gemini && request.stream && framing == Framing::Array;
        let good = response.status.is_success();
        let shape = match passage.translated {
            true if events && good => Shape::Streamed(Box::new(Streamed::new(passage, frames))),
            true => Shape::Whole(Box::new(Whole::new(response.status.as_u16(), passage))),
            false if events && client == Dialect::Chat => {
                Shape::Events(Box::new(AnswerStream::new(request.hides_usage)))
            }
            false if events => Shape::Watched(Box::new(Watch::new(client, Framing::Sse))),
            false if json && array && good => {
                Shape::Watched(Box::new(Watch::new(client, Framing::Array)))
            }
            false if json && passage.held && good => {
                Shape::Kept(Box::new(Kept::new(usage_tap(client))))
            }
            false if json => Shape::Json(Box::new(usage_tap(client))),
            false => Shape::Other,
        };
        let is_beside = passage.stops && good && events && !passage.translated;
        let beside = is_beside.then(|| Box::new(Beside::new(passage)));
        Self { client, framing, shape, beside, stopped: None }
    }

    /// Ends a stream behind the bytes that were read last, as if it had reached its limit of tokens: nothing more
    /// of it goes to the client but its last events. False where it cannot be ended there.
    pub fn stop(&mut self, body: &mut Option<Bytes>, used: TokenUsage) -> bool {
        let stops = match (&self.shape, &self.beside) {
            (Shape::Streamed(stream), _) => stream.is_under_way(),
            (_, Some(beside)) => beside.stop(body),
            _ => false,
        };
        self.stopped = stops.then_some(used);
        stops
    }

    /// The events that end a stream which was stopped.
    fn last_events(&mut self, used: TokenUsage) -> Option<Bytes> {
        match (&mut self.shape, &mut self.beside) {
            (Shape::Streamed(stream), _) => Some(stream.last_events(used)),
            (_, Some(beside)) => Some(beside.last_events(used)),
            _ => None,
        }
    }

    /// Whether the answer's length is not known before its end.
    pub fn is_stream(&self) -> bool {
        matches!(self.shape, Shape::Events(_) | Shape::Watched(_) | Shape::Streamed(_))
    }

    /// The media type of what the client gets, where it is not the upstream's.
    pub fn content_type(&self) -> Option<&'static str> {
        match &self.shape {
            Shape::Streamed(_) if !self.is_array() => Some("text/event-stream"),
            Shape::Streamed(_) | Shape::Whole(_) => Some("application/json"),
            Shape::Events(_)
            | Shape::Watched(_)
            | Shape::Json(_)
            | Shape::Kept(_)
            | Shape::Other => None,
        }
    }

    /// Whether nothing goes to the client before the whole answer is there and was read.
    pub fn waits(&self) -> bool {
        matches!(self.shape, Shape::Whole(_) | Shape::Kept(_))
    }

    /// Reads the next bytes, and leaves in their place those that go to the client.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> End {
        if let Some(used) = self.stopped {
            *body = if end { self.last_events(used) } else { None };
            return End::Fine;
        }
        if let (Some(beside), Some(bytes)) = (&mut self.beside, &*body) {
            beside.feed(bytes);
        }
        match &mut self.shape {
            Shape::Other => End::Fine,
            Shape::Json(tap) => {
                if let Some(bytes) = body {
                    tap.feed(bytes);
                }
                End::Fine
            }
            Shape::Kept(kept) => kept.read(body, end),
            Shape::Events(stream) => {
                let passed = body.take().map(|bytes| stream.feed(bytes));
                *body = passed.filter(|bytes| !bytes.is_empty());
                if end { finish(stream, body) } else { End::Fine }
            }
            Shape::Watched(watch) => {
                if let Some(bytes) = body {
                    watch.feed(bytes);
                }
                if end { self.finish_watched(body) } else { End::Fine }
            }
            Shape::Streamed(stream) => stream.read(body, end),
            Shape::Whole(whole) => whole.read(body, end),
        }
    }

    /// The tokens reported so far; of a stream that was stopped, what was told is not all.
    pub fn tokens(&self) -> Option<TokenUsage> {
        if self.stopped.is_some() {
            return None;
        }
        match &self.shape {
            Shape::Events(stream) => stream.seen.usage,
            Shape::Watched(watch) => watch.usage(),
            Shape::Json(tap) => tap.usage(),
            Shape::Kept(kept) => kept.usage(),
            Shape::Streamed(stream) => stream.usage(),
            Shape::Whole(whole) => whole.usage(),
            Shape::Other => None,
        }
    }

    /// What the answer could not carry.
    pub fn losses(&mut self) -> Vec<Loss> {
        match &mut self.shape {
            Shape::Streamed(stream) => stream.losses(),
            Shape::Whole(whole) => whole.losses(),
            Shape::Events(_)
            | Shape::Watched(_)
            | Shape::Json(_)
            | Shape::Kept(_)
            | Shape::Other => Vec::new(),
        }
    }

    /// When to ask again, where a translated error's body told it.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.shape {
            Shape::Whole(whole) => whole.retry_after(),
            Shape::Events(_)
            | Shape::Watched(_)
            | Shape::Streamed(_)
            | Shape::Json(_)
            | Shape::Kept(_)
            | Shape::Other => None,
        }
    }

    /// The bytes that end a stream with an error, or as it was stopped; `None` where it can only be broken off.
    pub fn fail(&mut self, error: &Error) -> Option<Bytes> {
        if let Some(used) = self.stopped {
            return self.last_events(used);
        }
        match &mut self.shape {
            Shape::Events(_) => Some(error_event(self.client, error)),
            Shape::Watched(watch) if watch.takes_events() => Some(error_event(self.client, error)),
            Shape::Streamed(stream) => Some(stream.fail(error)),
            Shape::Watched(_)
            | Shape::Json(_)
            | Shape::Kept(_)
            | Shape::Whole(_)
            | Shape::Other => None,
        }
    }

    fn is_array(&self) -> bool {
        self.client == Dialect::Gemini && self.framing == Framing::Array
    }

    fn finish_watched(&mut self, body: &mut Option<Bytes>) -> End {
        let Shape::Watched(watch) = &mut self.shape else { return End::Fine };
        match watch.finish() {
            StreamEnd::Complete => End::Fine,
            StreamEnd::Failed => End::Failed(TOLD_OF_ERROR.to_owned()),
            StreamEnd::Open => {
                if let Some(event) = self.fail(&cut_short()) {
                    append(body, event);
                }
                End::CutShort
            }
        }
    }
}

/// For the log: the client has the upstream's own words.
const TOLD_OF_ERROR: &str = "the upstream told of an error";

fn cut_short() -> Error {
    Error::new(Kind::UpstreamBroken, CUT_SHORT)
}

/// The event of a client's dialect that tells of an error behind a stream that passed untouched.
fn error_event(client: Dialect, error: &Error) -> Bytes {
    let reply = Reply { id: "", created: 0, model: "" };
    let options = StreamOptions { reply, include_usage: false, framing: Framing::Sse };
    let mut out = Vec::new();
    StreamTranslator::new(client, client, &options).error(error, &mut out);
    Bytes::from(out)
}

/// Gives out what was kept back; behind a stream cut short, an error event.
fn finish(stream: &mut AnswerStream, body: &mut Option<Bytes>) -> End {
    append(body, stream.finish());
    let seen = &stream.seen;
    if seen.error.is_some() {
        return End::Failed(TOLD_OF_ERROR.to_owned());
    }
    if seen.done || seen.finished {
        return End::Fine;
    }
    append(body, error_event(Dialect::Chat, &cut_short()));
    End::CutShort
}

fn append(body: &mut Option<Bytes>, more: Bytes) {
    if more.is_empty() {
        return;
    }
    *body = Some(match body.take() {
        None => more,
        Some(bytes) => {
            let mut joined = BytesMut::with_capacity(bytes.len() + more.len());
            joined.extend_from_slice(&bytes);
            joined.extend_from_slice(&more);
            joined.freeze()
        }
    });
}

fn is_media_type(headers: &HeaderMap, expected: &[u8]) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()) else {
        return false;
    };
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    value.get(..end).is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(expected))
}
