//! The head of a message: a request's as bytes, an answer's read from them.

use std::mem::MaybeUninit;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

use super::body::Body;

/// The longest head of an answer.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most headers of an answer.
const HEADERS_MAX: usize = 128;

/// Room for the usual head of a request.
const REQUEST_BYTES: usize = 512;

/// The head of an answer and what it says of its body and connection.
pub(super) struct Answer {
    pub(super) header: ResponseHeader,
    pub(super) body: Body,
    pub(super) keep_alive: bool,
}

/// The bytes of a request's head.
pub(super) fn write(request: &RequestHeader) -> Bytes {
    let mut head = BytesMut::with_capacity(REQUEST_BYTES);
    head.put_slice(request.method.as_str().as_bytes());
    head.put_u8(b' ');
    head.put_slice(request.raw_path());
    head.put_slice(b" HTTP/1.1\r\n");
    request.header_to_h1_wire(&mut head);
    head.put_slice(b"\r\n");
    head.freeze()
}

/// Takes the head of an answer from the front of what was read; `None` while it is not whole.
///
/// # Errors
/// Where it is no head (RFC 9112, section 4), is too large, or leaves the body's end unclear
/// (section 6.3).
pub(super) fn read(buffer: &mut BytesMut) -> Result<Option<Answer>> {
    let mut parsed = httparse::Response::new(&mut []);
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, buffer, &mut headers)
        .map_err(|error| invalid(error.to_string()))?;
    let httparse::Status::Complete(length) = status else {
        return if buffer.len() < HEAD_BYTES_MAX {
            Ok(None)
        } else {
            Err(invalid(format!("its head is longer than {HEAD_BYTES_MAX} bytes")))
        };
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| invalid("its status is not one".to_owned()))?;
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    // Where each header lies: the bytes are then taken out of the buffer, and shared, not copied.
    let start = buffer.as_ptr().addr();
    let at = |bytes: &[u8]| {
        let from = bytes.as_ptr().addr() - start;
        from..from + bytes.len()
    };
    let mut places = smallvec::SmallVec::<[_; 24]>::new();
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        places.push((name.map_err(|error| invalid(error.to_string()))?, at(header.value)));
    }
    let head = buffer.split_to(length).freeze();
    let mut headers = HeaderMap::with_capacity(places.len());
    for (name, place) in places {
        let value = HeaderValue::from_maybe_shared(head.slice(place));
        headers.append(name, value.map_err(|error| invalid(error.to_string()))?);
    }
    answer(status, version, headers).map(Some)
}

fn answer(status: StatusCode, version: Version, headers: HeaderMap) -> Result<Answer> {
    let body = Body::of(status, &headers).map_err(invalid)?;
    let both = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    let keep_alive = !both && body != Body::UntilClose && keeps_alive(version, &headers);
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.version = version;
    parts.headers = headers;
    Ok(Answer { header: parts.into(), body, keep_alive })
}

/// RFC 9112, section 9.3.
fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |option: &str| {
        let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let mut options = values.flat_map(|value| value.split(','));
        options.any(|said| said.trim().eq_ignore_ascii_case(option))
    };
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}

pub(super) fn invalid(why: String) -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, format!("the answer is not HTTP/1: {why}"))
}
