//! The answer's bytes on their way to the client: passed on as they are, read along for usage.
//!
//! A whole answer is watched for its `usage` member, a stream for its events. The bytes stay
//! untouched, except that the usage event which only the gateway asked for is cut out, and that
//! a stream which ends too early gets an error event, so that nobody takes it for complete.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;

use crate::dialect::openai::answer::UsageTap;
use crate::dialect::openai::error::ErrorBody;
use crate::dialect::openai::stream::AnswerStream;
use crate::error::Kind;
use crate::request::Request;
use crate::types::TokenUsage;

/// What an early end is called, to the client.
const CUT_SHORT: &str = "The model's answer ended before it was complete.";

/// Reads one answer as it passes.
pub struct Meter(Shape);

/// What an answer is made of.
enum Shape {
    /// Events.
    Events(Box<AnswerStream>),
    /// One JSON text.
    Json(Box<UsageTap>),
    /// Neither: audio, an empty body.
    Other,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is more to come, or nothing speaks against its being whole.
    Fine,
    /// A stream ended without its last event.
    CutShort,
    /// The upstream told of an error within the stream.
    Failed,
}

impl Meter {
    /// A meter for the body behind this header.
    pub fn of(response: &ResponseHeader, request: &Request) -> Self {
        let shape = if is_media_type(&response.headers, b"text/event-stream") {
            Shape::Events(Box::new(AnswerStream::new(request.hides_usage)))
        } else if is_media_type(&response.headers, b"application/json") {
            Shape::Json(Box::default())
        } else {
            Shape::Other
        };
        Self(shape)
    }

    /// Whether the answer is a stream of events.
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Shape::Events(_))
    }

    /// Reads the next bytes, and leaves in their place those that go to the client.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> End {
        match &mut self.0 {
            Shape::Other => End::Fine,
            Shape::Json(tap) => {
                if let Some(bytes) = body {
                    tap.feed(bytes);
                }
                End::Fine
            }
            Shape::Events(stream) => {
                let passed = body.take().map(|bytes| stream.feed(bytes));
                *body = passed.filter(|bytes| !bytes.is_empty());
                if end { finish(stream, body) } else { End::Fine }
            }
        }
    }

    /// The tokens reported so far.
    pub fn tokens(&self) -> Option<TokenUsage> {
        match &self.0 {
            Shape::Events(stream) => stream.seen.usage,
            Shape::Json(tap) => tap.usage(),
            Shape::Other => None,
        }
    }
}

/// Gives out what was kept back; behind a stream cut short, an error event.
fn finish(stream: &mut AnswerStream, body: &mut Option<Bytes>) -> End {
    append(body, stream.finish());
    let seen = &stream.seen;
    if seen.error.is_some() {
        return End::Failed;
    }
    if seen.done || seen.finished {
        return End::Fine;
    }
    let event = ErrorBody {
        message: CUT_SHORT,
        kind: Kind::UpstreamBroken.openai_type(),
        param: None,
        code: Some(Kind::UpstreamBroken.code()),
    };
    append(body, event.to_event());
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
