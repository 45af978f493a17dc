//! One request as one line of JSON.
//!
//! Members that are not known are absent, so a line carries what there is to say. Durations
//! are milliseconds with three decimals. There is no secret to leave out: a usage record
//! holds none, and the path comes without its query.

use std::io::Write;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::error::Kind;
use crate::types::Operation;
use crate::usage::{AttemptRecord, UsageRecord};

/// The longest text logged of what a client chose, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Formats lines, remembering the last second's timestamp: most lines share it.
#[derive(Default)]
pub(super) struct LineFormat {
    second: i64,
    /// `2026-01-31T12:00:00`, of `second`; empty before the first line.
    second_text: String,
}

impl LineFormat {
    /// Appends a record's line, line break included.
    pub(super) fn append(&mut self, record: &UsageRecord, out: &mut Vec<u8>) {
        let mut line = Object::open(out);
        self.timestamp(record.started, line.name("ts"));
        who(record, &mut line);
        what(record, &mut line);
        attempts(&record.attempts, line.name("attempts"));
        how_much(record, &mut line);
        line.close();
        out.push(b'\n');
    }

    fn timestamp(&mut self, started: SystemTime, out: &mut Vec<u8>) {
        let started = DateTime::<Utc>::from(started);
        if self.second_text.is_empty() || self.second != started.timestamp() {
            self.second = started.timestamp();
            self.second_text = started.to_rfc3339_opts(SecondsFormat::Secs, true);
            self.second_text.truncate("2026-01-31T12:00:00".len());
        }
        out.push(b'"');
        out.extend_from_slice(self.second_text.as_bytes());
        fraction(started.timestamp_subsec_millis().min(999), out);
        out.extend_from_slice(b"Z\"");
    }
}

fn who(record: &UsageRecord, line: &mut Object<'_>) {
    line.text("request_id", &record.request_id);
    if let Some(client) = record.client {
        // Writing into memory cannot fail, here and below.
        let _written = write!(line.name("client"), "\"{client}\"");
    }
    line.text("method", short(record.method.as_str()));
    line.text("path", short(&record.path));
    line.known("operation", record.operation.map(Operation::label));
    let caller = record.caller.as_deref();
    line.known("tenant", caller.map(|key| key.tenant.as_str()));
    line.known("key", caller.map(|key| key.id.as_str()));
    line.known("model", record.model.as_ref().map(|model| model.alias().as_str()));
}

fn what(record: &UsageRecord, line: &mut Object<'_>) {
    line.truth("stream", record.stream);
    line.number("status", record.status.into());
    line.known("error", record.error.map(Kind::code));
    line.known("error_detail", record.error_detail.as_deref().map(short));
    let last = record.attempts.last();
    line.known("endpoint", last.map(|attempt| attempt.target.endpoint().id().as_str()));
    line.known("upstream_model", last.map(|attempt| attempt.model.as_str()));
}

fn attempts(attempts: &[AttemptRecord], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, attempt) in attempts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut object = Object::open(out);
        object.text("endpoint", attempt.target.endpoint().id().as_str());
        object.text("model", attempt.model.as_str());
        object.text("outcome", attempt.outcome.label());
        if let Some(reused) = attempt.reused {
            object.truth("reused", reused);
        }
        if let Some(first_byte) = attempt.first_byte {
            object.millis("first_byte_ms", first_byte);
        }
        object.millis("total_ms", attempt.total);
        object.close();
    }
    out.push(b']');
}

fn how_much(record: &UsageRecord, line: &mut Object<'_>) {
    if let Some(first_byte) = record.first_byte {
        line.millis("first_byte_ms", first_byte);
    }
    line.millis("total_ms", record.total);
    line.millis("overhead_ms", record.overhead());
    line.number("request_bytes", record.request_bytes);
    line.number("response_bytes", record.response_bytes);
    if let Some(tokens) = record.tokens {
        let mut object = Object::open(line.name("tokens"));
        object.number("input", tokens.input);
        object.number("cache_read", tokens.cache_read);
        object.number("cache_write", tokens.cache_write);
        object.number("output", tokens.output);
        object.number("reasoning", tokens.reasoning);
        object.close();
    }
}

/// The beginning of a text, in whole characters.
fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

/// A point and three digits.
fn fraction(thousandths: u32, out: &mut Vec<u8>) {
    let digit = |value: u32| b'0' + (value % 10) as u8;
    let (a, b, c) = (thousandths / 100, thousandths / 10, thousandths);
    out.extend_from_slice(&[b'.', digit(a), digit(b), digit(c)]);
}

/// A JSON object under way. By hand, because a line is written for every request and serde's
/// general way costs four times as much.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    /// Begins a member; the value is for the caller to write. A name needs no escapes.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, name: &'static str, text: &str) {
        let out = self.name(name);
        if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
            let _written = serde_json::to_writer(out, text);
            return;
        }
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }

    fn known(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &'static str, number: u64) {
        let mut digits = itoa::Buffer::new();
        self.name(name).extend_from_slice(digits.format(number).as_bytes());
    }

    fn truth(&mut self, name: &'static str, truth: bool) {
        self.name(name).extend_from_slice(if truth { b"true" } else { b"false" });
    }

    /// A duration in milliseconds, to the microsecond.
    fn millis(&mut self, name: &'static str, duration: Duration) {
        let mut digits = itoa::Buffer::new();
        let out = self.name(name);
        out.extend_from_slice(digits.format(duration.as_millis()).as_bytes());
        fraction(duration.subsec_micros() % 1000, out);
    }
}
