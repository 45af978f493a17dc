//! Errors as OpenAI says them (API reference, "Error codes"), and as compatible servers do.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::ir::fault::{Class, Fault};
use crate::dialect::ir::wire::{Text, to_json};

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    #[serde(default)]
    error: Option<&'a RawValue>,
    /// Some servers put the error's members at the top.
    #[serde(default)]
    message: Option<Text<'a>>,
    #[serde(default)]
    detail: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Detail<'a> {
    #[serde(default)]
    message: Option<Text<'a>>,
    #[serde(default)]
    r#type: Option<Text<'a>>,
    #[serde(default)]
    param: Option<Text<'a>>,
    #[serde(default)]
    code: Option<&'a RawValue>,
}

/// Reads the body of an error answer. A body that is none still gives an error, by its status.
pub fn read(status: u16, body: &[u8]) -> Fault {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else {
        return Fault::unreadable(status);
    };
    match (body.error, body.message, body.detail) {
        (Some(error), ..) => read_detail(status, error),
        (None, Some(message), _) => Fault::new(status, &*message),
        (None, None, Some(detail)) => Fault::new(status, detail.get()),
        (None, None, None) => Fault::unreadable(status),
    }
}

/// Reads an `error` member: an object, or a bare text.
pub fn read_detail(status: u16, error: &RawValue) -> Fault {
    if let Ok(text) = serde_json::from_str::<Text<'_>>(error.get()) {
        return Fault::new(status, &*text);
    }
    let Ok(detail) = serde_json::from_str::<Detail<'_>>(error.get()) else {
        return Fault::unreadable(status);
    };
    let mut fault = Fault::unreadable(status);
    if let Some(message) = detail.message {
        fault = Fault::new(status, &*message);
    }
    let code = detail.code.map(|code| code.get().trim_matches('"').to_owned());
    let words = [detail.r#type.as_deref(), code.as_deref()];
    if let Some(class) = words.into_iter().flatten().find_map(class_of) {
        fault.class = class;
    }
    fault.code = code.filter(|code| code != "null");
    fault.param = detail.param.map(Text::into_string);
    fault
}

fn class_of(word: &str) -> Option<Class> {
    Some(match word {
        "insufficient_quota" | "billing_not_active" => Class::Billing,
        "rate_limit_exceeded" | "rate_limit_error" | "rate_limit" => Class::RateLimit,
        "invalid_api_key" | "authentication_error" => Class::Authentication,
        "permission_error" => Class::Permission,
        "model_not_found" | "not_found_error" => Class::NotFound,
        "overloaded_error" | "engine_overloaded" => Class::Overloaded,
        "timeout" => Class::Timeout,
        _ => return None,
    })
}

/// Writes an error's body.
pub fn write(fault: &Fault) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        error: Written<'a>,
    }
    to_json(&Envelope { error: written(fault) })
}

/// An error object.
#[derive(Serialize)]
pub struct Written<'a> {
    /// For people.
    pub message: &'a str,
    /// The class.
    pub r#type: &'static str,
    /// The request member at fault.
    pub param: Option<&'a str>,
    /// For programs, more exact than the class.
    pub code: Option<&'a str>,
}

/// An error as this dialect's object.
pub fn written(fault: &Fault) -> Written<'_> {
    Written {
        message: &fault.message,
        r#type: kind(fault.class),
        param: fault.param.as_deref(),
        code: fault.code.as_deref().or(code(fault.class)),
    }
}

const fn kind(class: Class) -> &'static str {
    match class {
        Class::InvalidRequest | Class::NotFound | Class::TooLarge => "invalid_request_error",
        Class::Authentication => "authentication_error",
        Class::Permission => "permission_error",
        Class::Billing => "insufficient_quota",
        Class::RateLimit => "rate_limit_error",
        Class::Overloaded | Class::Timeout | Class::Server => "server_error",
    }
}

const fn code(class: Class) -> Option<&'static str> {
    match class {
        Class::Billing => Some("insufficient_quota"),
        Class::RateLimit => Some("rate_limit_exceeded"),
        Class::Overloaded => Some("overloaded"),
        Class::Timeout => Some("timeout"),
        Class::InvalidRequest
        | Class::Authentication
        | Class::Permission
        | Class::NotFound
        | Class::TooLarge
        | Class::Server => None,
    }
}
