//! The header that goes upstream: what an endpoint wants, and the little of the client's that may pass.

use std::time::SystemTime;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use pingora::http::RequestHeader;
use pingora::{OrErr, Result};
use tokio::time::Instant;

use super::attempt::{Attempt, X_REQUEST_ID};
use super::exchange::Exchange;
use super::reply;
use crate::dialect::ir::Dialect;
use crate::upstream::ToSign;

/// Most requests have no more headers; a map has room for a power of two, less a quarter.
const HEADERS_USUAL: usize = 12;

/// The client's headers that go upstream. Everything else stays here: credentials above all.
const REQUEST_HEADERS: [HeaderName; 8] = [
    ACCEPT,
    USER_AGENT,
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("x-stainless-retry-count"),
];

/// The client's headers that go upstream where both speak Anthropic's dialect.
const ANTHROPIC_HEADERS: [HeaderName; 2] =
    [ANTHROPIC_VERSION, HeaderName::from_static("anthropic-beta")];

/// Anthropic refuses requests without.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The version that translations write, and that stands where the client says none.
const ANTHROPIC_VERSION_WRITTEN: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The client's headers that may go upstream.
pub fn passing(client: &HeaderMap) -> HeaderMap {
    let may_pass =
        |name: &HeaderName| REQUEST_HEADERS.contains(name) || ANTHROPIC_HEADERS.contains(name);
    let passing = client.iter().filter(|(name, _)| may_pass(name));
    passing.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The header that goes upstream: made anew, with what the endpoint wants and the few of the
/// client's headers that are allowed.
///
/// # Errors
/// `InternalError` where it cannot be signed, or the path is no path of a URL.
pub fn request_header(
    exchange: &Exchange,
    attempt: &Attempt,
    request_id: &HeaderValue,
) -> Result<RequestHeader> {
    exchange.deadline.await_first_byte(exchange.pool.model.timeouts.first_byte, Instant::now());
    let target = attempt.pick.target();
    let (endpoint, outgoing) = (&target.endpoint, &attempt.outgoing);
    let path = exchange.request.upstream_path(target, outgoing.dialect);
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    headers.insert(HOST, endpoint.authority.clone());
    let anthropic = outgoing.dialect == Dialect::Anthropic;
    if anthropic {
        headers.insert(ANTHROPIC_VERSION, ANTHROPIC_VERSION_WRITTEN);
    }
    if outgoing.translated {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let knows_own = anthropic && !outgoing.translated;
    for (name, value) in &exchange.passing {
        if knows_own || !ANTHROPIC_HEADERS.contains(name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(CONTENT_TYPE, exchange.request.content_type.clone());
    headers.insert(CONTENT_LENGTH, reply::number(outgoing.body.byte_count() as u64));
    headers.insert(X_REQUEST_ID, request_id.clone());
    for (name, value) in &endpoint.headers {
        headers.insert(name, value.clone());
    }
    if let Some(grant) = &attempt.grant {
        let signed = ToSign { method: "POST", path: &path, body: &outgoing.body.whole() };
        let granted = grant.authorize(endpoint, &signed, SystemTime::now());
        headers.extend(granted.or_err(pingora::ErrorType::InternalError, "signing")?);
    }
    // Whole parts: putting headers in one by one, Pingora parses each name anew.
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = Method::POST;
    parts.uri = Uri::try_from(path).or_err(pingora::ErrorType::InternalError, "making the path")?;
    parts.headers = headers;
    Ok(parts.into())
}
