//! In what the dialects differ beside the content of their answers: how an error is said, and how
//! a stream goes wrong.
//!
//! Sources: OpenAI API reference, "Error codes" and "Streaming events"; Anthropic API reference,
//! "Errors" and "Streaming messages"; `google.rpc.Code` for Gemini; Amazon Bedrock API reference, "Converse" and
//! "ConverseStream", "Errors".

use serde_json::{Value, json};

use super::bedrock::frames;
use super::refusal::Refusal;

/// Whose words an answer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenAI's chat, and everything else of OpenAI's but responses.
    OpenAi,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini, whole or with events.
    Gemini,
    /// Gemini's stream as one JSON array, which is what it gives without `alt=sse`.
    GeminiArray,
    /// Bedrock's Converse, whole or in frames.
    Bedrock,
}

impl Dialect {
    /// The header that names an answer.
    pub(crate) fn id_header(self) -> &'static str {
        match self {
            Dialect::Anthropic => "request-id",
            Dialect::Bedrock => "x-amzn-requestid",
            _ => "x-request-id",
        }
    }

    /// The content type of a stream.
    pub(crate) fn stream_type(self) -> &'static str {
        match self {
            Dialect::GeminiArray => "application/json",
            Dialect::Bedrock => "application/vnd.amazon.eventstream",
            _ => "text/event-stream",
        }
    }

    /// The header that says what kind of error an answer is, where errors have one beside their body.
    pub(crate) fn error_kind(self, status: u16) -> Option<(&'static str, &'static str)> {
        (self == Dialect::Bedrock).then(|| ("x-amzn-errortype", aws_exception(status)))
    }

    /// The body of an error.
    pub(crate) fn error(self, refusal: &Refusal) -> Value {
        match self {
            Dialect::OpenAi | Dialect::Responses => json!({ "error": openai_error(refusal) }),
            Dialect::Anthropic => json!({ "type": "error", "error": {
                "type": anthropic_type(refusal.status),
                "message": refusal.message,
            } }),
            Dialect::Gemini => json!({ "error": {
                "code": refusal.status,
                "message": refusal.message,
                "status": google_status(refusal.status),
            } }),
            Dialect::GeminiArray => json!([Dialect::Gemini.error(refusal)]),
            Dialect::Bedrock => json!({ "message": refusal.message }),
        }
    }

    /// The event with this number, as an error that ends a stream.
    pub(crate) fn error_event(self, refusal: &Refusal, number: usize) -> Vec<u8> {
        let text = match self {
            Dialect::Bedrock => {
                return frames::exception(aws_exception(refusal.status), &self.error(refusal));
            }
            Dialect::OpenAi | Dialect::Gemini => format!("data: {}\n\n", self.error(refusal)),
            Dialect::Responses => {
                let event = json!({
                    "type": "error",
                    "sequence_number": number,
                    "error": openai_error(refusal),
                });
                format!("event: error\ndata: {event}\n\n")
            }
            Dialect::Anthropic => format!("event: error\ndata: {}\n\n", self.error(refusal)),
            Dialect::GeminiArray => element(number, &Dialect::Gemini.error(refusal).to_string()),
        };
        text.into_bytes()
    }

    /// The event with this number, as no reader takes it: JSON that breaks off, or a frame whose checksum is wrong.
    pub(crate) fn malformed_event(self, number: usize) -> Vec<u8> {
        const GEMINI: &str = r#"{"candidates":[{"index":0,"content":"#;
        let text = match self {
            Dialect::Bedrock => return frames::damaged(),
            Dialect::OpenAi => {
                let data = r#"{"id":"chatcmpl-mock","choices":[{"index":0,"delta":"#;
                format!("data: {data}\n\n")
            }
            Dialect::Responses => {
                let name = "response.output_text.delta";
                format!("event: {name}\ndata: {{\"type\":\"{name}\",\"delta\":\n\n")
            }
            Dialect::Anthropic => {
                let name = "content_block_delta";
                format!("event: {name}\ndata: {{\"type\":\"{name}\",\"delta\":\n\n")
            }
            Dialect::Gemini => format!("data: {GEMINI}\n\n"),
            Dialect::GeminiArray => element(number, GEMINI),
        };
        text.into_bytes()
    }

    /// With how many events a stream ends that is complete.
    pub(crate) fn last_events(self) -> usize {
        match self {
            // The end, and what was used.
            Dialect::Bedrock => 2,
            _ => 1,
        }
    }

    /// What stands behind the last event of a stream that ends properly.
    pub(crate) fn stream_end(self) -> &'static str {
        match self {
            Dialect::GeminiArray => "]",
            _ => "",
        }
    }
}

/// An element of a JSON array that is sent piece by piece.
fn element(number: usize, value: &str) -> String {
    format!("{}{value}", element_start(number))
}

/// What stands before the element with this number.
pub(crate) fn element_start(number: usize) -> &'static str {
    if number == 0 { "[" } else { ",\r\n" }
}

fn openai_error(refusal: &Refusal) -> Value {
    let kind = match refusal.status {
        429 => "requests",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    json!({
        "message": refusal.message,
        "type": kind,
        "param": refusal.param,
        "code": refusal.code,
    })
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn google_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn aws_exception(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}
