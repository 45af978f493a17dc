//! Answers of the admin service, in the shapes that it has: text, JSON, and errors as JSON.

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

/// A page of text.
pub(super) fn text(content_type: &'static str, body: impl Into<String>) -> Response<Vec<u8>> {
    answer(StatusCode::OK, content_type, body.into())
}

/// A JSON value, with a line break for whoever reads it in a terminal.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    answer(status, "application/json", format!("{body}\n"))
}

/// An error: a code for programs and a sentence for people.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Vec<u8>> {
    json(status, &json!({ "error": { "code": code, "message": message } }))
}

/// 405, naming what is allowed.
pub(super) fn method_not_allowed(allowed: &[Method]) -> Response<Vec<u8>> {
    let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let message = format!("this page takes {allowed}");
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

/// 401, asking for a bearer token.
pub(super) fn unauthorized() -> Response<Vec<u8>> {
    let message = "this page asks for the admin token: `Authorization: Bearer TOKEN`";
    let mut answer = error(StatusCode::UNAUTHORIZED, "unauthorized", message);
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(body.into_bytes());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
