//! One request as one line of JSON.
//!
//! Members that are not known are absent, so a line carries what there is to say. Durations
//! are milliseconds with three decimals. There is no secret to leave out: a usage record
//! holds none, and the path comes without its query.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;

use super::json::Json;
use crate::dialect::ir::Dialect;
use crate::error::Kind;
use crate::types::{MicroUsd, Operation, TokenUsage};
use crate::usage::{AttemptRecord, Translation, UsageRecord, UsageSource};

/// The longest text logged of what a client chose, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Formats lines, remembering how the last one began: most lines share their second.
#[derive(Default)]
pub(super) struct LineFormat {
    /// Since 1970.
    seconds: u64,
    /// `{"ts":"2026-01-31T12:00:00`, of `seconds`; empty before the first line.
    beginning: String,
}

impl LineFormat {
    /// Appends a record's line, line break included.
    pub(super) fn append(&mut self, record: &UsageRecord, out: &mut Vec<u8>) {
        let mut line = Json(out);
        self.timestamp(record.started, &mut line);
        request(record, &mut line);
        answer(record, &mut line);
        line.raw("}\n");
    }

    /// When the request began, to the millisecond. A clock before 1970 is taken for 1970.
    fn timestamp(&mut self, started: SystemTime, line: &mut Json<'_>) {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.beginning.is_empty() || self.seconds != started.as_secs() {
            self.seconds = started.as_secs();
            self.beginning = beginning(self.seconds);
        }
        line.raw(&self.beginning);
        line.fraction(started.subsec_millis());
        line.raw("Z\"");
    }
}

fn beginning(seconds: u64) -> String {
    let date = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    date.unwrap_or_default().format(r#"{"ts":"%Y-%m-%dT%H:%M:%S"#).to_string()
}

/// What was asked for, and by whom.
fn request(record: &UsageRecord, line: &mut Json<'_>) {
    let caller = record.caller.as_deref();
    line.text(r#","request_id":"#, &*record.request_id);
    line.address(r#","client":"#, record.client);
    line.word(r#","method":"#, short(record.method.as_str()));
    line.text(r#","path":"#, short(&record.path));
    line.word(r#","operation":"#, record.operation.map(Operation::label));
    if record.dialect != Dialect::Chat {
        line.word(r#","dialect":"#, record.dialect.name());
    }
    line.text(r#","tenant":"#, caller.map(|key| key.tenant.as_str()));
    line.text(r#","key":"#, caller.map(|key| key.id.as_str()));
    line.text(r#","model":"#, record.model.as_ref().map(|model| model.alias().as_str()));
    line.flag(r#","stream":"#, record.stream);
}

/// What became of it, and what it took.
fn answer(record: &UsageRecord, line: &mut Json<'_>) {
    let last = record.attempts.last();
    line.number(r#","status":"#, record.status);
    line.word(r#","error":"#, record.error.map(Kind::code));
    line.text(r#","error_detail":"#, record.error_detail.as_deref().map(short));
    line.text(r#","endpoint":"#, last.map(|last| last.target.endpoint().id().as_str()));
    line.text(r#","upstream_model":"#, last.map(|last| last.model.as_str()));
    line.raw(r#","attempts":["#);
    for (place, tried) in record.attempts.iter().enumerate() {
        if place > 0 {
            line.raw(",");
        }
        attempt(tried, line);
    }
    line.raw("]");
    line.millis(r#","first_byte_ms":"#, record.first_byte);
    line.millis(r#","total_ms":"#, record.total);
    line.millis(r#","overhead_ms":"#, record.overhead());
    line.number(r#","request_bytes":"#, record.request_bytes);
    line.number(r#","response_bytes":"#, record.response_bytes);
    if let Some(used) = &record.tokens {
        tokens(used, line);
    }
    line.word(r#","usage_source":"#, record.charge.source.map(UsageSource::label));
    if let Some(MicroUsd(cost)) = record.charge.cost {
        line.number(r#","cost_micro_usd":"#, cost);
    }
}

fn attempt(attempt: &AttemptRecord, line: &mut Json<'_>) {
    line.text(r#"{"endpoint":"#, attempt.target.endpoint().id().as_str());
    line.text(r#","model":"#, attempt.model.as_str());
    line.word(r#","outcome":"#, attempt.outcome.label());
    line.flag(r#","reused":"#, attempt.reused);
    line.millis(r#","first_byte_ms":"#, attempt.first_byte);
    line.millis(r#","total_ms":"#, attempt.total);
    if let Some(done) = &attempt.translation {
        translation(done, line);
    }
    line.raw("}");
}

/// What an endpoint was asked in, and what was lost by it.
fn translation(done: &Translation, line: &mut Json<'_>) {
    line.word(r#","dialect":"#, done.upstream.name());
    for (place, loss) in done.losses.iter().enumerate() {
        line.text(if place == 0 { r#","losses":["# } else { "," }, short(&loss.field));
    }
    if !done.losses.is_empty() {
        line.raw("]");
    }
}

fn tokens(used: &TokenUsage, line: &mut Json<'_>) {
    line.number(r#","tokens":{"input":"#, used.input);
    line.number(r#","cache_read":"#, used.cache_read);
    line.number(r#","cache_write":"#, used.cache_write);
    line.number(r#","output":"#, used.output);
    line.number(r#","reasoning":"#, used.reasoning);
    line.raw("}");
}

/// The beginning of a text, in whole characters.
fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}
