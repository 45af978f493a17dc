//! One request as one line of JSON.
//!
//! Members that are not known are absent, so a line carries what there is to say. Durations
//! are milliseconds with three decimals. There is no secret to leave out: a usage record
//! holds none, and the path comes without its query.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::error::Kind;
use crate::types::{Operation, TokenUsage};
use crate::usage::{AttemptRecord, UsageRecord};

/// The longest text logged of what a client chose, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Formats lines, remembering the last second's timestamp: most lines share it.
#[derive(Default)]
pub(super) struct LineFormat {
    second: i64,
    /// `2026-01-31T12:00:00`, of `second`; empty before the first line.
    second_text: String,
    /// The whole timestamp of the line being made.
    timestamp: String,
}

impl LineFormat {
    /// Appends a record's line, line break included.
    pub(super) fn append(&mut self, record: &UsageRecord, out: &mut Vec<u8>) {
        let begin = out.len();
        self.set_timestamp(record.started);
        let line = Line::new(&self.timestamp, record);
        match serde_json::to_writer(&mut *out, &line) {
            Ok(()) => out.push(b'\n'),
            // Nothing of a line can fail, and if it did, half a line would spoil the next.
            Err(error) => {
                out.truncate(begin);
                log::error!("the access log's line of {} was lost: {error}", record.request_id);
            }
        }
    }

    fn set_timestamp(&mut self, started: SystemTime) {
        let started = DateTime::<Utc>::from(started);
        if self.second_text.is_empty() || self.second != started.timestamp() {
            self.second = started.timestamp();
            self.second_text = started.to_rfc3339_opts(SecondsFormat::Secs, true);
            self.second_text.truncate("2026-01-31T12:00:00".len());
        }
        let millis = started.timestamp_subsec_millis().min(999);
        let digit = |value: u32| char::from_digit(value % 10, 10).unwrap_or('0');
        self.timestamp.clear();
        self.timestamp.push_str(&self.second_text);
        self.timestamp.push('.');
        self.timestamp.extend([digit(millis / 100), digit(millis / 10), digit(millis), 'Z']);
    }
}

/// The line's members, in order.
#[derive(Serialize)]
struct Line<'a> {
    ts: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    stream: bool,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<&'a str>,
    attempts: Attempts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<Millis>,
    total_ms: Millis,
    overhead_ms: Millis,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
}

impl<'a> Line<'a> {
    fn new(ts: &'a str, record: &'a UsageRecord) -> Self {
        let caller = record.caller.as_deref();
        let last = record.attempts.last();
        Self {
            ts,
            request_id: &record.request_id,
            client: record.client,
            method: short(record.method.as_str()),
            path: short(&record.path),
            operation: record.operation.map(Operation::label),
            tenant: caller.map(|key| key.tenant.as_str()),
            key: caller.map(|key| key.id.as_str()),
            model: record.model.as_ref().map(|model| model.alias().as_str()),
            stream: record.stream,
            status: record.status,
            error: record.error.map(Kind::code),
            error_detail: record.error_detail.as_deref().map(short),
            endpoint: last.map(|attempt| attempt.target.endpoint().id().as_str()),
            upstream_model: last.map(|attempt| attempt.model.as_str()),
            attempts: Attempts(&record.attempts),
            first_byte_ms: record.first_byte.map(Millis),
            total_ms: Millis(record.total),
            overhead_ms: Millis(record.overhead()),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            tokens: record.tokens.map(Tokens::from),
        }
    }
}

/// The beginning of a text, in whole characters.
fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

/// Each attempt, in order.
struct Attempts<'a>(&'a [AttemptRecord]);

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Attempt::from))
    }
}

#[derive(Serialize)]
struct Attempt<'a> {
    endpoint: &'a str,
    model: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<Millis>,
    total_ms: Millis,
}

impl<'a> From<&'a AttemptRecord> for Attempt<'a> {
    fn from(attempt: &'a AttemptRecord) -> Self {
        Self {
            endpoint: attempt.target.endpoint().id().as_str(),
            model: attempt.model.as_str(),
            outcome: attempt.outcome.label(),
            reused: attempt.reused,
            first_byte_ms: attempt.first_byte.map(Millis),
            total_ms: Millis(attempt.total),
        }
    }
}

#[derive(Serialize)]
struct Tokens {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

impl From<TokenUsage> for Tokens {
    fn from(tokens: TokenUsage) -> Self {
        let TokenUsage { input, cache_read, cache_write, output, reasoning } = tokens;
        Self { input, cache_read, cache_write, output, reasoning }
    }
}

/// A duration in milliseconds, to the microsecond.
struct Millis(Duration);

impl Serialize for Millis {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_micros() as f64 / 1000.0)
    }
}
