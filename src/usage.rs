//! What one request was and did: the record from which everything is accounted.
//!
//! It is filled while the request goes its way and used once, in `logging`: by the limits
//! that settle, by metrics and by the access log. It holds no secret and no body.

mod csv;
pub mod entry;
pub mod journal;
pub mod report;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smallvec::SmallVec;

use crate::config::snapshot::Key;
use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::Loss;
use crate::error::Kind;
use crate::telemetry::metrics::{AliasMetrics, TargetMetrics};
use crate::types::{MicroUsd, ModelName, Operation, TokenUsage};

/// One request, from its first byte to its last.
pub struct UsageRecord {
    /// `x-request-id`: the gateway's own, 32 hexadecimal digits.
    pub request_id: Box<str>,
    /// When the request's header had been read.
    pub started: SystemTime,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The method, as sent.
    pub method: http::Method,
    /// The path, without its query.
    pub path: Box<str>,
    /// What was asked for; `None` where the path is not served.
    pub operation: Option<Operation>,
    /// The dialect in which the client was answered.
    pub dialect: Dialect,
    /// Who asked; `None` where that is not known.
    pub caller: Option<Arc<Key>>,
    /// The alias asked for, once it is known to exist: its name and its counters in one handle.
    pub model: Option<Arc<AliasMetrics>>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// The status sent to the client; 499 where it left before one was sent.
    pub status: u16,
    /// Why the request failed, if it did: also set when a stream breaks off behind a 200.
    pub error: Option<Kind>,
    /// The operator's side of the error: never sent to a client.
    pub error_detail: Option<Box<str>>,
    /// Each attempt at an upstream, in order.
    pub attempts: SmallVec<[AttemptRecord; 2]>,
    /// From the request's header to the answer's first byte to the client.
    pub first_byte: Option<Duration>,
    /// From the request's header to its end.
    pub total: Duration,
    /// The body as received, in bytes.
    pub request_bytes: u64,
    /// The body as sent to the client, in bytes.
    pub response_bytes: u64,
    /// As reported by the upstream of a good answer, or as estimated where they are charged.
    pub tokens: Option<TokenUsage>,
    /// What its use comes to.
    pub charge: Charge,
}

impl UsageRecord {
    /// The time that the gateway itself took: all but the waiting for upstreams.
    pub fn overhead(&self) -> Duration {
        self.attempts.iter().fold(self.total, |rest, attempt| rest.saturating_sub(attempt.total))
    }
}

/// What a request's use comes to: reported, or estimated where an answer went out without a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Tokens; all zero where there was no answer.
    pub tokens: TokenUsage,
    /// Where they are known from; `None` where there are none.
    pub source: Option<UsageSource>,
    /// What is charged; `None` where the model has no price.
    pub cost: Option<MicroUsd>,
}

/// Where a request's tokens are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSource {
    /// The upstream said.
    Reported,
    /// By the size of what went over the wire.
    Estimated,
}

impl UsageSource {
    /// The name in logs and in the journal.
    pub const fn label(self) -> &'static str {
        match self {
            UsageSource::Reported => "reported",
            UsageSource::Estimated => "estimated",
        }
    }
}

/// One attempt at one endpoint.
pub struct AttemptRecord {
    /// Where: the endpoint's name and its counters in one handle.
    pub target: Arc<TargetMetrics>,
    /// What was asked for there.
    pub model: ModelName,
    /// What came of it.
    pub outcome: Outcome,
    /// The translation, where the endpoint does not speak the client's dialect.
    pub translation: Option<Box<Translation>>,
    /// Whether it was at the endpoint that the request's context belongs to; `None` where there is
    /// no such thing.
    pub at_home: Option<bool>,
    /// Whether the connection had been used before; `None` where there was none.
    pub reused: Option<bool>,
    /// From the attempt's start to the answer's header.
    pub first_byte: Option<Duration>,
    /// From the attempt's start to its end.
    pub total: Duration,
    /// The body sent, in bytes.
    pub request_bytes: u64,
    /// The body received, in bytes.
    pub response_bytes: u64,
}

/// A translation between a client and an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// What the endpoint speaks.
    pub upstream: Dialect,
    /// What could not be carried: of the request, and of the answer.
    pub losses: Vec<Loss>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer with this status was passed on.
    Answered(u16),
    /// An answer with this status led to another attempt.
    Status(u16),
    /// The provider's credential was not to be had.
    NoCredential,
    /// No connection: refused, unreachable, TLS.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No first byte in time.
    FirstByteTimeout,
    /// No further byte in time.
    BetweenBytesTimeout,
    /// The request's whole time was used up.
    TotalTimeout,
    /// The connection broke before the answer was complete.
    Broken,
    /// The client left first.
    ClientGone,
    /// A fault of the gateway itself.
    Internal,
}

impl Outcome {
    /// The metric label: bounded, and the status class in place of the status.
    pub const fn label(self) -> &'static str {
        match self {
            Outcome::Answered(status) | Outcome::Status(status) => match status {
                100..=199 => "1xx",
                200..=299 => "2xx",
                300..=399 => "3xx",
                429 => "429",
                400..=499 => "4xx",
                _ => "5xx",
            },
            Outcome::NoCredential => "no_credential",
            Outcome::Connect => "connect",
            Outcome::ConnectTimeout => "connect_timeout",
            Outcome::FirstByteTimeout => "first_byte_timeout",
            Outcome::BetweenBytesTimeout => "between_bytes_timeout",
            Outcome::TotalTimeout => "total_timeout",
            Outcome::Broken => "broken",
            Outcome::ClientGone => "client_gone",
            Outcome::Internal => "internal",
        }
    }
}
