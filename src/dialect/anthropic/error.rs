//! Errors as Anthropic says them (API reference, "Errors").

use serde::{Deserialize, Serialize};

use crate::dialect::ir::fault::{Class, Fault};
use crate::dialect::ir::wire::{Text, append_json, to_json};

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    error: Detail<'a>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Detail<'a> {
    #[serde(default)]
    r#type: Option<Text<'a>>,
    #[serde(default)]
    message: Option<Text<'a>>,
}

/// Reads the body of an error answer, or the data of an `error` event.
///
/// A status of 200 is that of a stream in which the error came: the error's own type gives another.
pub fn read(status: u16, body: &[u8]) -> Fault {
    let failed = if status < 400 { 502 } else { status };
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else {
        return Fault::unreadable(failed);
    };
    let mut fault = Fault::unreadable(failed);
    if let Some(message) = body.error.message {
        fault = Fault::new(failed, &*message);
    }
    if let Some((class, of_class)) = body.error.r#type.as_deref().and_then(class_of) {
        fault.class = class;
        fault.status = if status < 400 { of_class } else { status };
    }
    fault
}

fn class_of(kind: &str) -> Option<(Class, u16)> {
    Some(match kind {
        "invalid_request_error" => (Class::InvalidRequest, 400),
        "authentication_error" => (Class::Authentication, 401),
        "billing_error" => (Class::Billing, 402),
        "permission_error" => (Class::Permission, 403),
        "not_found_error" => (Class::NotFound, 404),
        "request_too_large" => (Class::TooLarge, 413),
        "rate_limit_error" => (Class::RateLimit, 429),
        "api_error" => (Class::Server, 500),
        "timeout_error" => (Class::Timeout, 504),
        "overloaded_error" => (Class::Overloaded, 529),
        _ => return None,
    })
}

#[derive(Serialize)]
struct Written<'a> {
    r#type: &'static str,
    error: WrittenDetail<'a>,
}

#[derive(Serialize)]
struct WrittenDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

fn written(fault: &Fault) -> Written<'_> {
    let r#type = match fault.class {
        Class::InvalidRequest => "invalid_request_error",
        Class::Authentication => "authentication_error",
        Class::Billing => "billing_error",
        Class::Permission => "permission_error",
        Class::NotFound => "not_found_error",
        Class::TooLarge => "request_too_large",
        Class::RateLimit => "rate_limit_error",
        Class::Server => "api_error",
        Class::Timeout => "timeout_error",
        Class::Overloaded => "overloaded_error",
    };
    Written { r#type: "error", error: WrittenDetail { r#type, message: &fault.message } }
}

/// Writes an error's body.
pub fn write(fault: &Fault) -> Vec<u8> {
    to_json(&written(fault))
}

/// Appends an error in mid-stream.
pub fn append_event(fault: &Fault, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: error\ndata: ");
    append_json(out, &written(fault));
    out.extend_from_slice(b"\n\n");
}
