//! An error as a model server of OpenAI's kind says it.

use std::borrow::Cow;

use serde_json::json;

/// A request that gets no answer but a status and a reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: Cow<'static, str>,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    /// A refusal with its status and reason.
    pub(crate) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        let code = match status {
            401 => Some("invalid_api_key"),
            429 => Some("rate_limit_exceeded"),
            _ => None,
        };
        Self { status, message: message.into(), param: None, code }
    }

    /// A 400 with its reason.
    pub(crate) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, message)
    }

    /// A 400 for a member that the request lacks.
    pub(crate) fn missing(param: &'static str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        Self { param: Some(param), code: Some("missing_required_parameter"), ..Self::bad(message) }
    }

    /// Names the request member at fault.
    pub(crate) fn param(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    /// Names the fault for programs.
    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// OpenAI's error object (API reference, "Error codes").
    pub(crate) fn body(&self) -> Vec<u8> {
        let kind = match self.status {
            429 => "requests",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        });
        json!({ "error": error }).to_string().into_bytes()
    }
}
