//! One try at one endpoint: its connection, its header and body, its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::upstreams::peer::HttpPeer;
use pingora::{OrErr, Result};
use tokio::time::Instant;

use super::exchange::{Exchange, unprepared};
use crate::context::turn::Turn;
use crate::dialect::openai::capture::Capture;
use crate::route;
use crate::stream::{End, Meter};
use crate::types::TokenUsage;
use crate::upstream::Pick;
use crate::usage::{AttemptRecord, Outcome};

/// The client's headers that go upstream. Everything else stays here: credentials above all.
const REQUEST_HEADERS: [HeaderName; 8] = [
    ACCEPT,
    USER_AGENT,
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("x-stainless-retry-count"),
];

/// The upstream's headers that reach the client. Everything else stays here: cookies, the
/// upstream's own limits, its server's name.
const RESPONSE_HEADERS: [HeaderName; 9] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_DISPOSITION,
    http::header::CACHE_CONTROL,
    http::header::RETRY_AFTER,
    HeaderName::from_static("openai-version"),
    HeaderName::from_static("openai-processing-ms"),
];

/// Under this name each request and answer carries the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A try at one endpoint.
pub struct Attempt {
    pick: Pick,
    /// The body sent: the client's, rewritten for the model asked for here.
    pub body: Bytes,
    started: Instant,
    /// Whether the connection had been used before; `None` until there is one.
    pub reused: Option<bool>,
    /// The answer's status, once it is passed on.
    pub status: Option<u16>,
    first_byte: Option<Duration>,
    response_bytes: u64,
    meter: Option<Meter>,
    /// Gathers the answer of a turn.
    capture: Option<Capture>,
}

impl Attempt {
    /// Picks an endpoint and rewrites the body for it.
    ///
    /// # Errors
    /// `Internal` where the alias has no endpoint at all, which the configuration rules out.
    pub fn start(exchange: &mut Exchange) -> Result<Self> {
        let started = Instant::now();
        let pick = exchange.pool.pick(exchange.hash, &mut exchange.tried, started.into_std());
        let pick = pick.ok_or_else(unprepared)?;
        exchange.attempts_made += 1;
        let body = exchange.request.body_for(pick.target());
        let body = body.or_err(pingora::ErrorType::InternalError, "rewriting the body")?;
        Ok(Self {
            pick,
            body,
            started,
            reused: None,
            status: None,
            first_byte: None,
            response_bytes: 0,
            meter: None,
            capture: None,
        })
    }

    /// How to connect, within what is left of the request's time.
    ///
    /// # Errors
    /// Where the endpoint's name is not resolved: the attempt then fails as one that found no
    /// connection.
    pub fn peer(&mut self, exchange: &Exchange) -> Result<Box<HttpPeer>> {
        let left = exchange.deadline.left(self.started);
        let now = self.started.into_std();
        let peer = self.pick.peer(&exchange.pool.model.timeouts, left, now);
        peer.ok_or_else(|| {
            pingora::Error::explain(pingora::ErrorType::ConnectNoRoute, "no address is known")
        })
    }

    /// The answer's header is passed on: what the client may see of it, and a meter for its body.
    pub fn answered(
        &mut self,
        exchange: &Exchange,
        response: &mut ResponseHeader,
        request_id: &HeaderValue,
    ) -> Result<()> {
        let now = Instant::now();
        self.first_byte = Some(now.saturating_duration_since(self.started));
        let status = response.status.as_u16();
        self.status = Some(status);
        self.pick.answered(status, now.into_std());
        exchange.deadline.await_next_byte(exchange.pool.model.timeouts.between_bytes, now);
        let meter = Meter::of(response, &exchange.request);
        let turn = exchange.turn.as_ref().filter(|_| response.status.is_success());
        self.capture = turn.and_then(|turn| capture(turn, response, &meter));
        *response = response_header(response, meter.is_stream(), request_id)?;
        for (name, value) in turn.into_iter().flat_map(|turn| turn.headers()) {
            response.insert_header(name, value)?;
        }
        self.meter = Some(meter);
        Ok(())
    }

    /// Bytes of the answer: counted, read along, and shortened where the client asked for less.
    pub fn bytes(&mut self, exchange: &Exchange, body: &mut Option<Bytes>, end: bool) -> End {
        let between_bytes = exchange.pool.model.timeouts.between_bytes;
        exchange.deadline.await_next_byte(between_bytes, Instant::now());
        self.response_bytes += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if let (Some(capture), Some(turn)) = (&mut self.capture, &exchange.turn) {
            turn.answered(capture.feed(body.as_deref().unwrap_or_default(), end));
        }
        self.meter.as_mut().map_or(End::Fine, |meter| meter.read(body, end))
    }

    /// Whether the answer is a stream of events.
    pub fn sends_events(&self) -> bool {
        self.meter.as_ref().is_some_and(Meter::is_stream)
    }

    /// The tokens that the answer reported so far.
    pub fn tokens(&self) -> Option<TokenUsage> {
        self.meter.as_ref().and_then(Meter::tokens)
    }

    /// Reports the outcome to the endpoint's health, and says what the attempt was.
    pub fn end(self, outcome: Outcome, retry_after: Option<Duration>) -> AttemptRecord {
        let now = Instant::now();
        let record = AttemptRecord {
            target: self.pick.metrics().clone(),
            model: self.pick.target().model.clone(),
            outcome,
            reused: self.reused,
            first_byte: self.first_byte,
            total: now.saturating_duration_since(self.started),
            request_bytes: self.body.len() as u64,
            response_bytes: self.response_bytes,
        };
        self.pick.report(outcome, retry_after, now.into_std());
        record
    }
}

/// What gathers the answer of a turn, where it is to be kept.
fn capture(turn: &Turn, response: &ResponseHeader, meter: &Meter) -> Option<Capture> {
    let length = response.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    turn.wants_answer().then(|| match meter.is_stream() {
        true => Capture::stream(turn.answer_bytes_max),
        false => Capture::whole(length, turn.answer_bytes_max),
    })
}

/// The header that goes upstream: made anew, with what the endpoint wants and the few of the
/// client's headers that are allowed.
pub fn request_header(
    exchange: &Exchange,
    attempt: &Attempt,
    client: &RequestHeader,
    request_id: &HeaderValue,
) -> Result<RequestHeader> {
    exchange.deadline.await_first_byte(exchange.pool.model.timeouts.first_byte, Instant::now());
    let endpoint = &attempt.pick.target().endpoint;
    let path =
        format!("{}{}", endpoint.base_path, route::upstream_path(exchange.request.operation));
    let size = REQUEST_HEADERS.len() + endpoint.headers.len() + 4;
    let mut header = RequestHeader::build_no_case(Method::POST, path.as_bytes(), Some(size))?;
    header.insert_header(HOST, endpoint.authority.clone())?;
    for (name, value) in &client.headers {
        if REQUEST_HEADERS.contains(name) {
            header.insert_header(name.clone(), value.clone())?;
        }
    }
    header.insert_header(CONTENT_TYPE, exchange.request.content_type.clone())?;
    header.insert_header(CONTENT_LENGTH, attempt.body.len())?;
    header.insert_header(X_REQUEST_ID, request_id.clone())?;
    for (name, value) in &endpoint.headers {
        header.insert_header(name.clone(), value.clone())?;
    }
    Ok(header)
}

/// The header that reaches the client. A stream's length is not known: events may be cut out.
fn response_header(
    upstream: &ResponseHeader,
    is_stream: bool,
    request_id: &HeaderValue,
) -> Result<ResponseHeader> {
    let size = Some(RESPONSE_HEADERS.len() + 2);
    let mut header = ResponseHeader::build_no_case(upstream.status, size)?;
    let mut has_length = false;
    for (name, value) in &upstream.headers {
        let is_length = name == CONTENT_LENGTH;
        if RESPONSE_HEADERS.contains(name) && !(is_length && is_stream) {
            has_length |= is_length;
            header.insert_header(name.clone(), value.clone())?;
        }
    }
    // These two have no body, and must not announce one (RFC 9110, section 8.6).
    let bodiless = matches!(upstream.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_length && !bodiless {
        header.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    header.insert_header(X_REQUEST_ID, request_id.clone())?;
    header.set_version(upstream.version);
    Ok(header)
}
