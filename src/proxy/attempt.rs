//! One try at one endpoint: its connection, its header and body, its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Version};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use super::answer_header::answer_header;
use super::bill::Answer;
use super::cut::Course;
use super::exchange::Exchange;
use super::failure::NO_CREDENTIAL;
use super::held::Hold;
use super::keeping::Keeping;
use super::losses;
use super::quota;
use super::refusal::Refusal;
use crate::admission::PassedBudget;
use crate::dialect::ir::Reply;
use crate::dialect::ir::loss::Loss;
use crate::error::{Error, Kind};
use crate::request::outgoing::Outgoing;
use crate::stream::{End, Meter, Passage};
use crate::types::{Operation, TokenUsage};
use crate::upstream::{Grant, Pick};
use crate::usage::measure::{Head, Unreported};
use crate::usage::{AttemptRecord, Outcome, Translation};

/// Under this name each request and answer carries the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A try at one endpoint.
pub struct Attempt {
    /// Where.
    pub pick: Pick,
    /// What is sent: the client's body, rewritten or translated for the model asked for here.
    pub outgoing: Outgoing,
    /// What authorises it, where fixed headers do not: the same from the pick to the header.
    pub grant: Option<Arc<Grant>>,
    started: Instant,
    /// Whether the connection had been used before; `None` until there is one.
    pub reused: Option<bool>,
    /// The answer's status, once it is passed on.
    pub status: Option<u16>,
    /// Set while a refusal's body is read, which ends the attempt.
    pub refusal: Option<Refusal>,
    /// Pieces of the body that have been sent.
    pieces: usize,
    first_byte: Option<Duration>,
    response_bytes: u64,
    meter: Option<Meter>,
    /// How the answer began, where its tokens may have to be counted.
    head: Head,
    /// What a stream comes to that a budget may end.
    course: Option<Course>,
    /// What a turn does with the answer.
    keeping: Option<Box<Keeping>>,
}

impl Attempt {
    /// Picks an endpoint and makes the body for it.
    ///
    /// # Errors
    /// `Internal` where the alias has no endpoint at all, which the configuration rules out; the
    /// client's, where its body cannot be translated.
    pub fn start(exchange: &mut Exchange) -> std::result::Result<Self, Error> {
        let started = Instant::now();
        let (pick, outgoing) = pick(exchange, started)?;
        exchange.attempts_made += 1;
        Ok(Self {
            grant: pick.endpoint().credential().and_then(|credential| credential.grant()),
            pick,
            outgoing,
            started,
            reused: None,
            status: None,
            refusal: None,
            pieces: 0,
            first_byte: None,
            response_bytes: 0,
            meter: None,
            head: Head::default(),
            course: None,
            keeping: None,
        })
    }

    /// How to connect, within what is left of the request's time.
    ///
    /// # Errors
    /// Where the endpoint's name is not resolved, or its provider's credential is not to be had: the
    /// attempt then fails as one that found no connection.
    pub fn peer(&mut self, exchange: &Exchange) -> Result<Box<HttpPeer>> {
        if self.grant.is_none() && self.pick.endpoint().credential().is_some() {
            let kind = pingora::ErrorType::Custom(NO_CREDENTIAL);
            return Err(pingora::Error::explain(kind, "the provider has no credential"));
        }
        let left = exchange.deadline.left(self.started);
        let now = self.started.into_std();
        let peer = self.pick.peer(&exchange.pool.model.timeouts, left, now);
        peer.ok_or_else(|| {
            pingora::Error::explain(pingora::ErrorType::ConnectNoRoute, "no address is known")
        })
    }

    /// Has the body asked for piece by piece. Over HTTP/2 it is sent as one: where a later piece is not taken,
    /// Pingora waits for an answer then, and looks at no deadline.
    pub fn sends(&mut self, hold: Option<&Hold>, version: Version) {
        let body = &mut self.outgoing.body;
        if version == Version::HTTP_2 && body.count() > 1 {
            *body = body.whole().into();
        }
        hold.iter().for_each(|hold| hold.sends(body.count()));
    }

    /// The next piece of the body.
    pub fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.outgoing.body.get(self.pieces).cloned();
        self.pieces += 1;
        piece
    }

    /// The answer's header is passed on: what the client may see of it, and a meter for its body.
    pub fn answered(
        &mut self,
        exchange: &Exchange,
        response: &mut ResponseHeader,
        request_id: &HeaderValue,
    ) {
        let now = Instant::now();
        self.first_byte = Some(now.saturating_duration_since(self.started));
        let status = response.status.as_u16();
        self.status = Some(status);
        self.pick.answered(status, now.into_std());
        exchange.deadline.await_next_byte(exchange.pool.model.timeouts.between_bytes, now);
        let turn = exchange.turn.as_ref().filter(|_| response.status.is_success());
        let request = &exchange.request;
        let is_stream = request.stream && request.operation == Operation::Chat;
        // A turn of a context is kept whole, or not at all.
        let course = if is_stream && turn.is_none() { Course::of(&exchange.bill) } else { None };
        let passage = Passage {
            request,
            stops: course.is_some(),
            from: self.outgoing.dialect,
            translated: self.outgoing.translated,
            held: exchange.bill.tells_cost || turn.is_some_and(|turn| !turn.names.is_empty()),
            reply: Reply {
                id: request_id.to_str().unwrap_or_default(),
                created: exchange.created,
                model: exchange.pool.model.alias.as_str(),
            },
        };
        let meter = Meter::of(response, &passage);
        let mut own = quota::headers(&exchange.bill.quota());
        own.insert(X_REQUEST_ID, request_id.clone());
        own.extend(losses::headers(&self.outgoing.losses));
        own.extend(turn.into_iter().flat_map(|turn| turn.headers()));
        *response = answer_header(response, &meter, own);
        self.keeping = turn.and_then(|turn| Keeping::of(turn, response, &meter, &passage));
        (self.meter, self.course) = (Some(meter), course);
    }

    /// A refusal's header has come, and its body is to be read: until then nothing goes to the client.
    pub fn await_refusal(&self, exchange: &Exchange, response: &mut ResponseHeader) -> Result<()> {
        exchange.hold.iter().for_each(Hold::wait);
        let between_bytes = exchange.pool.model.timeouts.between_bytes;
        exchange.deadline.await_next_byte(between_bytes, Instant::now());
        *response = ResponseHeader::build_no_case(response.status, Some(1))?;
        response.insert_header(CONTENT_LENGTH, 0)
    }

    /// Bytes of the answer: counted, read along, and shortened where the client asked for less.
    pub fn bytes(
        &mut self,
        exchange: &Exchange,
        body: &mut Option<Bytes>,
        end: bool,
        now: Instant,
    ) -> End {
        if self.over().is_none() {
            let between_bytes = exchange.pool.model.timeouts.between_bytes;
            exchange.deadline.await_next_byte(between_bytes, now);
        }
        if let Some(bytes) = body.as_ref().filter(|_| self.over().is_none()) {
            self.response_bytes += bytes.len() as u64;
            if exchange.bill.measures(exchange.request.operation) {
                self.head.see(bytes);
            }
        }
        let told = self.meter.as_mut().map_or(End::Fine, |meter| meter.read(body, end));
        if told == End::Fine && !end {
            self.cut(exchange, body, now);
        }
        if let (Some(keeping), Some(turn)) = (&mut self.keeping, &exchange.turn) {
            keeping.read(turn, body, end, &told);
        }
        told
    }

    /// Ends a stream by which a budget is passed: no further byte of it is waited for.
    fn cut(&mut self, exchange: &Exchange, body: &mut Option<Bytes>, now: Instant) {
        let (Some(course), Some(meter)) = (&mut self.course, &mut self.meter) else { return };
        let (prices, seen) = (&self.pick.target().prices, (&self.head, self.response_bytes));
        let Some((used, over)) = course.look(&exchange.bill, prices, seen) else { return };
        if meter.stop(body, used) {
            exchange.bill.cut(&over);
            course.over = Some(over);
            exchange.deadline.expire(now);
        }
    }

    /// The budget that has ended the stream, if one has.
    pub fn over(&self) -> Option<&PassedBudget> {
        self.course.as_ref()?.over.as_ref()
    }

    /// What could not be carried so far, of the request and of the answer.
    pub fn losses(&mut self) -> &[Loss] {
        let told = self.meter.as_mut().map(Meter::losses).unwrap_or_default();
        for loss in told {
            if !self.outgoing.losses.contains(&loss) {
                self.outgoing.losses.push(loss);
            }
        }
        &self.outgoing.losses
    }

    /// When to ask again, where the answer's body tells it and no header does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.meter.as_ref().and_then(Meter::retry_after)
    }

    /// The upstream refused the credential: one that is fetched may be fetched anew.
    pub fn doubt_credential(&self) {
        if let Some(credential) = self.pick.endpoint().credential() {
            credential.doubt();
        }
    }

    /// Whether nothing goes to the client before the whole answer was read.
    pub fn waits(&self) -> bool {
        self.meter.as_ref().is_some_and(Meter::waits)
    }

    /// What reads the answer, once there is one.
    pub fn take_meter(&mut self) -> Option<Meter> {
        self.meter.take()
    }

    /// The tokens that the answer reported so far.
    pub fn tokens(&self) -> Option<TokenUsage> {
        self.meter.as_ref().and_then(Meter::tokens)
    }

    /// What the answer is charged by; `None` where there is none, or a bad one. Asked again, it does not
    /// know how the answer began.
    pub fn answer(&mut self) -> Option<Answer> {
        self.status.filter(|status| (200..300).contains(status))?;
        let (target, tokens) = (self.pick.target(), self.tokens());
        let unreported = tokens.is_none().then(|| {
            Box::new(Unreported {
                model: target.model.clone(),
                sent: self.outgoing.body.clone(),
                head: std::mem::take(&mut self.head),
                bytes: self.response_bytes,
            })
        });
        Some(Answer { prices: target.prices.clone(), tokens, unreported })
    }

    /// Reports the outcome to the endpoint's health, and says what the attempt was.
    pub fn end(
        self,
        outcome: Outcome,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> AttemptRecord {
        let Outgoing { body, dialect, translated, losses } = self.outgoing;
        let translation = translated.then(|| Box::new(Translation { upstream: dialect, losses }));
        let record = AttemptRecord {
            target: self.pick.metrics().clone(),
            model: self.pick.target().model.clone(),
            outcome,
            translation,
            at_home: self.pick.at_home(),
            reused: self.reused,
            first_byte: self.first_byte,
            total: now.saturating_duration_since(self.started),
            request_bytes: body.byte_count() as u64,
            response_bytes: self.response_bytes,
        };
        self.pick.report(outcome, retry_after, now.into_std());
        record
    }
}

/// A target that serves what is asked (that one does was made sure of before), and what is sent to it.
/// Where losses are refused, targets that would lose something are passed over; if all would, the
/// request is refused.
fn pick(exchange: &mut Exchange, now: Instant) -> std::result::Result<(Pick, Outgoing), Error> {
    let Exchange { pool, request, hash, tried, losses, .. } = exchange;
    let mut refusal = None;
    for _ in 0..pool.len() {
        let pick = pool.pick(*hash, tried, now.into_std()).ok_or_else(nowhere)?;
        if !request.is_served_by(&pick.target().endpoint) {
            continue;
        }
        let mut outgoing = request.outgoing(pick.target())?;
        outgoing.losses.extend(losses.iter().cloned());
        match losses::refused(&pool.model, &outgoing) {
            Some(error) => refusal = Some(error),
            None => return Ok((pick, outgoing)),
        }
    }
    Err(refusal.unwrap_or_else(nowhere))
}

fn nowhere() -> Error {
    Error::new(Kind::Internal, "The gateway failed; the request id names the case in its log.")
        .because("the alias has no endpoint")
}
