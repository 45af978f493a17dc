//! Errors as Google says them (`google.rpc.Status`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::ir::fault::{Class, Fault};
use crate::dialect::ir::wire::{self, Text, to_json};

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    error: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<Text<'a>>,
    #[serde(default)]
    status: Option<Text<'a>>,
    #[serde(default, deserialize_with = "wire::list")]
    details: Vec<StatusDetail<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct StatusDetail<'a> {
    #[serde(default)]
    retry_delay: Option<Text<'a>>,
}

/// Reads the body of an error answer; a stream that never began answers with a list of one.
pub fn read(status: u16, body: &[u8]) -> Fault {
    let body = body.trim_ascii();
    let one = body.strip_prefix(b"[").and_then(|body| body.strip_suffix(b"]")).unwrap_or(body);
    match serde_json::from_slice::<Body<'_>>(one) {
        Ok(body) => read_status(status, body.error),
        Err(_) => Fault::unreadable(status),
    }
}

/// Reads an `error` member. Its code stands for the status where the HTTP status says nothing.
pub fn read_status(status: u16, error: &RawValue) -> Fault {
    let failed = if status < 400 { 502 } else { status };
    let Ok(told) = serde_json::from_str::<Status<'_>>(error.get()) else {
        return Fault::unreadable(failed);
    };
    let status = match told.code {
        Some(code @ 400..=599) if status < 400 => code,
        _ => failed,
    };
    let mut fault = match &told.message {
        Some(message) => Fault::new(status, &**message),
        None => Fault::unreadable(status),
    };
    if let Some(class) = told.status.as_deref().and_then(class_of) {
        fault.class = class;
    }
    fault.retry_after =
        told.details.iter().find_map(|detail| delay(detail.retry_delay.as_deref()?));
    fault
}

/// A duration as protobuf writes it in JSON: seconds with a fraction, and `s`.
fn delay(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn class_of(status: &str) -> Option<Class> {
    Some(match status {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => Class::InvalidRequest,
        "UNAUTHENTICATED" => Class::Authentication,
        "PERMISSION_DENIED" => Class::Permission,
        "NOT_FOUND" => Class::NotFound,
        "RESOURCE_EXHAUSTED" => Class::RateLimit,
        "UNAVAILABLE" => Class::Overloaded,
        "DEADLINE_EXCEEDED" => Class::Timeout,
        "INTERNAL" | "UNKNOWN" => Class::Server,
        _ => return None,
    })
}

/// Writes an error's body.
pub fn write(fault: &Fault) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        error: Written<'a>,
    }
    #[derive(Serialize)]
    struct Written<'a> {
        code: u16,
        message: &'a str,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<[RetryInfo; 1]>,
    }
    #[derive(Serialize)]
    struct RetryInfo {
        #[serde(rename = "@type")]
        kind: &'static str,
        #[serde(rename = "retryDelay")]
        delay: String,
    }
    let retry = |after: Duration| {
        let delay = format!("{}s", after.as_secs_f64());
        [RetryInfo { kind: "type.googleapis.com/google.rpc.RetryInfo", delay }]
    };
    let error = Written {
        // Anthropic's own status is nobody else's.
        code: if fault.status == 529 { 503 } else { fault.status },
        message: &fault.message,
        status: status(fault.class),
        details: fault.retry_after.map(retry),
    };
    to_json(&Envelope { error })
}

const fn status(class: Class) -> &'static str {
    match class {
        Class::InvalidRequest | Class::TooLarge => "INVALID_ARGUMENT",
        Class::Authentication => "UNAUTHENTICATED",
        Class::Permission => "PERMISSION_DENIED",
        Class::NotFound => "NOT_FOUND",
        Class::Billing | Class::RateLimit => "RESOURCE_EXHAUSTED",
        Class::Overloaded => "UNAVAILABLE",
        Class::Timeout => "DEADLINE_EXCEEDED",
        Class::Server => "INTERNAL",
    }
}
