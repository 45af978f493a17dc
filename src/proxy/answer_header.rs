//! The header that reaches the client: what it may see of the upstream's, and the gateway's own.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;

use crate::stream::Meter;

/// The upstream's headers that reach the client. Everything else stays here: cookies, the
/// upstream's own limits, its server's name.
const RESPONSE_HEADERS: [HeaderName; 9] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONTENT_ENCODING,
    http::header::CONTENT_DISPOSITION,
    http::header::CACHE_CONTROL,
    http::header::RETRY_AFTER,
    HeaderName::from_static("openai-version"),
    HeaderName::from_static("openai-processing-ms"),
];

/// The header that reaches the client: the gateway's own ones, and of the upstream's what may pass. A stream's
/// length is not known: events may be cut out; nor is that of what is translated.
pub fn answer_header(upstream: &ResponseHeader, meter: &Meter, own: HeaderMap) -> ResponseHeader {
    let length_is_unknown = meter.is_stream() || meter.waits();
    let media_type = meter.content_type();
    let mut headers = own;
    let mut has_length = false;
    for (name, value) in &upstream.headers {
        let is_length = name == CONTENT_LENGTH;
        let is_replaced = match *name {
            CONTENT_LENGTH => length_is_unknown,
            CONTENT_ENCODING => media_type.is_some(),
            _ => false,
        };
        if RESPONSE_HEADERS.contains(name) && !is_replaced {
            has_length |= is_length;
            headers.insert(name, value.clone());
        }
    }
    // These two have no body, and must not announce one (RFC 9110, section 8.6).
    let bodiless = matches!(upstream.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_length && !bodiless {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = upstream.status;
    parts.version = upstream.version;
    parts.headers = headers;
    parts.into()
}
