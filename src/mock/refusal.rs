//! A request that gets no answer; how the reason is said is the business of `dialect`.

use std::borrow::Cow;

/// A request that gets no answer but a status and a reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: Cow<'static, str>,
    /// The request member at fault.
    pub(crate) param: Option<&'static str>,
    /// The fault for programs, in OpenAI's words.
    pub(crate) code: Option<&'static str>,
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
}
