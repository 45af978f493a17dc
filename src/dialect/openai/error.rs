//! OpenAI's error object: written for a client, read from an upstream.
//!
//! `{"error": {"message", "type", "param", "code"}}` (OpenAI API reference, "Error codes"). Other
//! servers send other shapes; what can be made out of them is read, and never more of it than is
//! fit to be logged.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// The most bytes of an upstream's error body that are looked at.
pub const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes that are kept of an upstream's message, type or code.
pub const ERROR_TEXT_BYTES_MAX: usize = 2048;

/// An error to tell a client.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// What a person reads.
    pub message: &'a str,
    /// The class of the error.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The request member at fault.
    pub param: Option<&'a str>,
    /// What a program reads.
    pub code: Option<&'a str>,
}

/// An error that an upstream told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// What a person reads; empty where the body says nothing readable.
    pub message: String,
    /// The class of the error.
    pub kind: Option<String>,
    /// What a program reads.
    pub code: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorBody<'a>,
}

impl ErrorBody<'_> {
    /// The body of an error answer.
    pub fn to_json(&self) -> Bytes {
        self.render("", "")
    }

    /// The event that tells of an error in mid-stream, when the status has long been sent. Behind
    /// it the stream ends without `[DONE]`.
    pub fn to_event(&self) -> Bytes {
        self.render("data: ", "\n\n")
    }

    fn render(&self, before: &str, behind: &str) -> Bytes {
        let mut out = Vec::with_capacity(192 + self.message.len());
        out.extend_from_slice(before.as_bytes());
        let written = serde_json::to_writer(&mut out, &Envelope { error: *self });
        debug_assert!(written.is_ok(), "strings written to memory");
        out.extend_from_slice(behind.as_bytes());
        Bytes::from(out)
    }
}

impl UpstreamError {
    /// Reads an error body of whatever shape: OpenAI's, a bare `message` or `detail` (FastAPI), a
    /// list of such (Gemini's OpenAI endpoint), a text. An HTML page says nothing.
    pub fn parse(body: &[u8]) -> Self {
        let body = body.get(..body.len().min(ERROR_BODY_BYTES_MAX)).unwrap_or(body);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let text = text.trim();
                let markup = text.starts_with(['<', '{', '[']);
                let message = if markup { String::new() } else { short(text) };
                Self { message, ..Self::default() }
            }
        }
    }

    fn from_value(value: &Value) -> Self {
        let value = match value {
            Value::Array(list) => list.first().unwrap_or(value),
            other => other,
        };
        let inner = ["error", "errors", "detail"].iter().find_map(|name| value.get(name));
        let object = match inner {
            Some(Value::Array(list)) => list.first().unwrap_or(value),
            Some(inner @ Value::Object(_)) => inner,
            _ => value,
        };
        let text = |names: &[&str]| names.iter().find_map(|name| scalar(object.get(name)?));
        let message = text(&["message", "msg"])
            .or_else(|| scalar(inner?))
            .or_else(|| scalar(object))
            .unwrap_or_default();
        let kind = text(&["type", "status"]).filter(|kind| kind != "error");
        Self { message, kind, code: text(&["code"]) }
    }
}

/// A text or a number, as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(short(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn short(text: &str) -> String {
    let end = text.floor_char_boundary(ERROR_TEXT_BYTES_MAX);
    text.get(..end).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{ERROR_TEXT_BYTES_MAX, ErrorBody, UpstreamError};
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, proptest};

    #[test]
    fn errors_are_written_in_openais_shape() {
        let error = ErrorBody {
            message: "no `\"model\"`\n",
            kind: "invalid_request_error",
            param: Some("model"),
            code: None,
        };
        let body = r#"{"error":{"message":"no `\"model\"`\n","type":"invalid_request_error","param":"model","code":null}}"#;
        assert_eq!(error.to_json(), body);
        assert_eq!(error.to_event(), format!("data: {body}\n\n"));
    }

    #[test]
    fn errors_are_read_in_any_shape() {
        for (body, message, kind, code) in [
            (
                r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#,
                "m",
                Some("t"),
                Some("c"),
            ),
            (r#"{"error":{"message":"m","type":null,"code":400}}"#, "m", None, Some("400")),
            (
                r#"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#,
                "m",
                Some("NOT_FOUND"),
                Some("404"),
            ),
            (
                r#"[{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}]"#,
                "m",
                Some("NOT_FOUND"),
                Some("404"),
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
                "m",
                Some("overloaded_error"),
                None,
            ),
            (
                r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
                "m",
                Some("BadRequestError"),
                Some("400"),
            ),
            (r#"{"error":"m"}"#, "m", None, None),
            (r#"{"error":"m","type":"t"}"#, "m", Some("t"), None),
            (r#"{"message":"m"}"#, "m", None, None),
            (r#"{"detail":"m"}"#, "m", None, None),
            (
                r#"{"detail":[{"loc":["body"],"msg":"m","type":"missing"}]}"#,
                "m",
                Some("missing"),
                None,
            ),
            (r#"{"errors":[{"message":"m","code":7}]}"#, "m", None, Some("7")),
            (r#""m""#, "m", None, None),
            ("  m\n", "m", None, None),
            ("<html>m</html>", "", None, None),
            (r#"{"error":{"message":"cut"#, "", None, None),
            ("{}", "", None, None),
            ("[]", "", None, None),
            ("", "", None, None),
        ] {
            let expected = UpstreamError {
                message: message.to_owned(),
                kind: kind.map(str::to_owned),
                code: code.map(str::to_owned),
            };
            assert_eq!(UpstreamError::parse(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let body = format!("{{\"message\":\"x{}\"}}", "é".repeat(5000));
        assert_eq!(UpstreamError::parse(body.as_bytes()).message.len(), ERROR_TEXT_BYTES_MAX - 1);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(UpstreamError::parse(&bytes).message.len() <= ERROR_TEXT_BYTES_MAX);
        }

        #[test]
        fn what_is_written_is_read_back(message in any::<String>(), code in "[a-z_]{1,20}") {
            let error = ErrorBody { message: &message, kind: "k", param: None, code: Some(&code) };
            let read = UpstreamError::parse(&error.to_json());
            prop_assert!(message.starts_with(&read.message) && read.code == Some(code));
        }
    }
}
