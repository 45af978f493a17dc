//! One request on its way: what the hooks hand from one to the next.
//!
//! [`Context`] is made when a request's header arrives. After `prepare` it holds an
//! [`Exchange`], in which all that is known is known, and, while an upstream works, an
//! [`Attempt`], which each new try replaces whole.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::bill::{Answer, Bill, Open};
use super::deadline::Deadline;
use super::failure;
use super::held::{Hold, Wait};
use super::losses;
use super::reply;
use super::request_header::{passing, request_header};
use super::request_id;
use crate::admission::PassedBudget;
use crate::config::snapshot::Key;
use crate::context::turn::Turn;
use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::Loss;
use crate::error::{Error, Kind};
use crate::request::Request;
use crate::stream::{End, Meter};
use crate::telemetry::metrics::{AliasMetrics, InFlight};
use crate::types::Operation;
use crate::upstream::{Pool, Tried};
use crate::usage::{AttemptRecord, Charge, Outcome, UsageRecord};

/// What is known of a request from its first hook to its last.
pub struct Context {
    /// Counts the request as in flight until it ends.
    _in_flight: InFlight,
    /// The gateway's name for the request.
    pub request_id: HeaderValue,
    /// When its header had been read.
    pub started: Instant,
    /// The same, on the wall clock.
    started_at: SystemTime,
    /// Set as soon as `prepare` knows them, so that a refusal is accounted to its caller.
    pub operation: Option<Operation>,
    /// In which dialect the client is answered.
    pub dialect: Dialect,
    /// Who asks.
    pub caller: Option<Arc<Key>>,
    /// The alias asked for, once it is known to exist.
    pub model: Option<Arc<AliasMetrics>>,
    /// The body's size.
    pub request_bytes: u64,
    /// The bytes of the body sent to the client.
    pub response_bytes: u64,
    /// When the first byte went to the client.
    pub first_byte: Option<Duration>,
    /// The status sent to the client.
    pub status: Option<u16>,
    /// Why the request failed.
    pub failure: Option<Error>,
    /// Present once the request is prepared.
    pub exchange: Option<Exchange>,
    /// Present while an upstream works.
    pub attempt: Option<Attempt>,
    /// What read the last answer: it knows how to end what the client has received of it.
    pub meter: Option<Meter>,
    /// The attempts that have ended.
    attempts: SmallVec<[AttemptRecord; 2]>,
    /// What the last attempt's answer is charged by.
    answer: Option<Answer>,
}

/// A request that is ready to go upstream.
pub struct Exchange {
    /// Where it may go.
    pub pool: Arc<Pool>,
    /// What it may use, and what that comes to.
    pub bill: Bill,
    /// What is sent.
    pub request: Request,
    /// The client's headers that may go upstream.
    pub passing: HeaderMap,
    /// When the request arrived, in seconds since 1970.
    pub created: u64,
    /// The value a consistent hash is taken of.
    pub hash: Option<u64>,
    /// The time it has.
    pub deadline: Arc<Deadline>,
    /// Where it has been.
    pub tried: Tried,
    /// Attempts that count.
    pub attempts_made: usize,
    /// How long the next attempt waits before it begins.
    pub backoff: Duration,
    /// Whether the one free retry of a connection gone stale was used.
    pub stale_retried: bool,
    /// The smallest `Retry-After` of the upstreams that failed.
    pub retry_after: Option<Duration>,
    /// The client's session, to be given back.
    pub hold: Option<Hold>,
    /// The turn of a context that it is.
    pub turn: Option<Arc<Turn>>,
    /// What the conversation could not carry, whoever is asked.
    pub losses: Vec<Loss>,
}

impl Context {
    /// The context of a request whose header has just been read.
    pub fn new(in_flight: InFlight) -> Self {
        Self {
            _in_flight: in_flight,
            request_id: request_id::next(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            operation: None,
            dialect: Dialect::Chat,
            caller: None,
            model: None,
            request_bytes: 0,
            response_bytes: 0,
            first_byte: None,
            status: None,
            failure: None,
            exchange: None,
            attempt: None,
            meter: None,
            attempts: SmallVec::new(),
            answer: None,
        }
    }

    /// When the request's header had been read.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.started_at.into()
    }

    /// When the request arrived, in seconds since 1970; 0 for a clock that is before.
    pub fn created(&self) -> u64 {
        self.started_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// The request is ready: its session is held until the answer is complete.
    pub fn hold(&mut self, session: &mut Session, mut exchange: Exchange) {
        exchange.passing = passing(&session.req_header().headers);
        exchange.hold = Some(Hold::take(&mut session.downstream_session, Wait::of(&exchange)));
        self.exchange = Some(exchange);
    }

    /// Waits, where an endpoint that failed is to be asked again.
    pub async fn back_off(&mut self) {
        let wait = self.exchange.as_mut().map(|exchange| std::mem::take(&mut exchange.backoff));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            // Boxed: a timer would make the future of every request larger.
            Box::pin(tokio::time::sleep(wait)).await;
        }
    }

    /// Picks an endpoint and makes the attempt's body.
    ///
    /// # Errors
    /// Where no address of the endpoint is known: as any failure to connect; where the body cannot be
    /// translated: the client's, and the last word.
    pub fn start_attempt(&mut self) -> Result<Box<HttpPeer>> {
        let Some(exchange) = &mut self.exchange else { return Err(unprepared()) };
        let attempt = match Attempt::start(exchange) {
            Ok(attempt) => attempt,
            Err(error) => return Err(failure::refused(self, error)),
        };
        let peer = self.attempt.insert(attempt).peer(exchange);
        peer.map_err(|error| failure::connect(self, error))
    }

    /// A connection is there.
    pub fn connected(&mut self, reused: bool) {
        if let Some(attempt) = &mut self.attempt {
            attempt.reused = Some(reused);
        }
    }

    /// The header that goes upstream.
    pub fn upstream_request(&mut self, version: Version) -> Result<RequestHeader> {
        match (&self.exchange, &mut self.attempt) {
            (Some(exchange), Some(attempt)) => {
                attempt.sends(exchange.hold.as_ref(), version);
                request_header(exchange, attempt, &self.request_id)
            }
            _ => Err(unprepared()),
        }
    }

    /// The next piece of the body that goes upstream.
    pub fn upstream_piece(&mut self) -> Option<Bytes> {
        self.attempt.as_mut().and_then(Attempt::next_piece)
    }

    /// An answer's header has come: it is passed on, or it leads to another attempt.
    ///
    /// # Errors
    /// One with `retry` set where another attempt is made; the failure's own where none is.
    pub fn answered(&mut self, response: &mut ResponseHeader) -> Result<()> {
        if response.status.is_informational() {
            // The answer is still to come, and its header says what the client may know.
            *response = ResponseHeader::build_no_case(response.status, Some(0))?;
            return Ok(());
        }
        failure::status(self, response)?;
        let (Some(exchange), Some(attempt)) = (&self.exchange, &mut self.attempt) else {
            return Err(unprepared());
        };
        if attempt.refusal.is_some() {
            return attempt.await_refusal(exchange, response);
        }
        attempt.answered(exchange, response, &self.request_id);
        match &exchange.hold {
            Some(hold) if attempt.waits() => hold.wait(),
            _ => self.status = attempt.status,
        }
        Ok(())
    }

    /// Bytes of an answer have come.
    ///
    /// # Errors
    /// Where an answer cannot be read of which nothing has gone to the client.
    pub fn answer_bytes(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        failure::refusal_bytes(self, body, end)?;
        let now = Instant::now();
        if let (Some(exchange), Some(attempt)) = (&self.exchange, &mut self.attempt) {
            match attempt.bytes(exchange, body, end, now) {
                End::Fine => {}
                End::CutShort => {
                    failure::ended_early(self, "the stream ended without its last event")
                }
                End::Failed(detail) => failure::ended_early(self, &detail),
                End::Unreadable(detail) => return Err(failure::unreadable(self, &detail)),
            }
        }
        if let Some(over) = self.over().filter(|_| self.failure.is_none()) {
            self.failure = Some(failure::cut(over));
        }
        if let Some(body) = body {
            self.release(body.len());
            self.response_bytes += body.len() as u64;
            self.first_byte.get_or_insert_with(|| now.saturating_duration_since(self.started));
        }
        Ok(())
    }

    /// The budget that has ended the stream under way, if one has.
    pub fn over(&self) -> Option<&PassedBudget> {
        self.attempt.as_ref()?.over()
    }

    /// A whole answer of so many bytes is there: its header may go before it.
    fn release(&mut self, length: usize) {
        let (Some(exchange), Some(attempt)) = (&mut self.exchange, &mut self.attempt) else {
            return;
        };
        if self.status.is_some() || !attempt.waits() {
            return;
        }
        self.status = attempt.status;
        let mut headers = losses::headers(attempt.losses());
        headers.extend(attempt.retry_after().map(|after| (RETRY_AFTER, reply::retry_after(after))));
        headers.push((CONTENT_LENGTH, reply::number(length as u64)));
        if let Some(hold) = &exchange.hold {
            let answer = if exchange.bill.tells_cost { attempt.answer() } else { None };
            let operation = exchange.request.operation;
            headers.extend(answer.and_then(|a| exchange.bill.tell_cost(operation, &a)));
            hold.release(headers);
        }
    }

    /// Ends the attempt under way, if one is.
    pub fn end_attempt(&mut self, outcome: Outcome, retry_after: Option<Duration>, now: Instant) {
        if let Some(mut attempt) = self.attempt.take() {
            self.answer = attempt.answer();
            attempt.losses();
            self.meter = attempt.take_meter();
            let record = attempt.end(outcome, retry_after, now);
            if let Some(exchange) = &self.exchange {
                losses::warn(&exchange.pool.model, &record, &self.request_id);
            }
            self.attempts.push(record);
        }
    }

    /// Forgets the attempt under way: its connection was stale, and it did not count.
    pub fn discard_attempt(&mut self) {
        self.attempt = None;
    }

    /// Why a turn's answer could not be kept, if that is so; told once.
    pub fn not_kept(&self) -> Option<Error> {
        self.exchange.as_ref()?.turn.as_ref()?.failure()
    }

    /// The status of the attempt's answer, once one was passed on.
    pub fn answered_status(&self) -> Option<u16> {
        self.attempt.as_ref().and_then(|attempt| attempt.status)
    }

    /// Puts the client's own session back in its place: no upstream works on the request any more.
    pub fn give_back(&mut self, session: &mut Session) {
        if let Some(hold) = self.exchange.as_mut().and_then(|exchange| exchange.hold.take()) {
            hold.give_back(&mut session.downstream_session);
        }
    }

    /// Ends the request: gives the session back, and says what it was, but for what it used where that
    /// has to be counted.
    pub fn settle(
        &mut self,
        session: &mut Session,
        error: Option<&pingora::Error>,
    ) -> (UsageRecord, Option<Box<Open>>) {
        self.give_back(session);
        let now = Instant::now();
        if let Some(status) = self.answered_status() {
            self.end_attempt(Outcome::Answered(status), None, now);
        }
        let refused = self.attempt.as_ref().and_then(|attempt| attempt.refusal.as_ref());
        let outcome = refused.map_or(Outcome::Internal, |refusal| Outcome::Status(refusal.status));
        self.end_attempt(outcome, None, now);
        let stream = self.exchange.as_ref().is_some_and(|exchange| exchange.request.stream);
        let tokens = self.answer.as_ref().and_then(|answer| answer.tokens);
        let (charge, open) = self.close_bill(now);
        let failure = self.failure.take();
        let header = session.req_header();
        let mut record = UsageRecord {
            request_id: self.request_id.to_str().unwrap_or_default().into(),
            started: self.started_at,
            client: session
                .client_addr()
                .and_then(|address| address.as_inet())
                .map(std::net::SocketAddr::ip),
            method: header.method.clone(),
            path: header.uri.path().into(),
            operation: self.operation,
            dialect: self.dialect,
            caller: self.caller.take(),
            model: self.model.take(),
            stream,
            status: self.status.unwrap_or(Kind::ClientGone.status()),
            error: failure.as_ref().map(|failure| failure.kind),
            error_detail: failure
                .map(|failure| failure.to_string().into())
                .or_else(|| error.map(|error| error.to_string().into())),
            attempts: std::mem::take(&mut self.attempts),
            first_byte: self.first_byte,
            total: now.saturating_duration_since(self.started),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            tokens,
            charge: Charge::default(),
        };
        record.charge(charge);
        (record, open)
    }

    /// What the request comes to, put in the place of what it might have come to.
    fn close_bill(&mut self, now: Instant) -> (Charge, Option<Box<Open>>) {
        let Some(Exchange { bill, request, .. }) = self.exchange.take() else {
            return (Charge::default(), None);
        };
        bill.close(request.operation, self.answer.take(), now)
    }
}

/// A hook was called out of order: Pingora does not do this.
pub fn unprepared() -> Box<pingora::Error> {
    pingora::Error::explain(pingora::ErrorType::InternalError, "hook called out of order")
}
