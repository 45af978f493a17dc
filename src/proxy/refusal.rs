//! A provider's refusal that tells in its body when to ask again, as Google's does in place of
//! `Retry-After`: the attempt ends once that is read, and nothing of it goes to the client.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use pingora::http::ResponseHeader;

use crate::dialect::gemini;
use crate::dialect::ir::Dialect;

/// How much of a refusal is read, in bytes: what it says is said by then, or not waited for.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A refusal whose body is being read.
pub struct Refusal {
    /// Its status.
    pub status: u16,
    held: Vec<u8>,
}

impl Refusal {
    /// What a provider of this dialect answered, if its body may tell when to ask again.
    pub fn that_tells(response: &ResponseHeader, dialect: Dialect) -> Option<Self> {
        let status = response.status.as_u16();
        let header = |name| response.headers.get(name).map(|value| value.as_bytes());
        let is_json = header(CONTENT_TYPE).is_some_and(|is| is.starts_with(b"application/json"));
        let has_body = header(CONTENT_LENGTH) != Some(b"0");
        let tells = dialect == Dialect::Gemini && matches!(status, 429 | 503);
        (tells && is_json && has_body).then(|| Self { status, held: Vec::new() })
    }

    /// Takes the next bytes; true once nothing more is to be read.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> bool {
        if let Some(bytes) = body.take() {
            let room = READ_BYTES_MAX.saturating_sub(self.held.len()).min(bytes.len());
            self.held.extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
        end || self.held.len() >= READ_BYTES_MAX
    }

    /// When to ask again, as far as it said.
    pub fn retry_after(&self) -> Option<Duration> {
        gemini::error::read(self.status, &self.held).retry_after
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Dialect, READ_BYTES_MAX, Refusal, ResponseHeader};
    use std::time::Duration;

    fn response(status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            response.insert_header(*name, *value).unwrap();
        }
        response
    }

    #[test]
    fn only_a_refusal_that_may_tell_is_waited_for() {
        let json = ("content-type", "application/json; charset=UTF-8");
        let html = ("content-type", "text/html");
        for (status, headers, dialect, expected) in [
            (429, &[json][..], Dialect::Gemini, true),
            (503, &[json], Dialect::Gemini, true),
            (429, &[json, ("content-length", "0")], Dialect::Gemini, false),
            (429, &[html], Dialect::Gemini, false),
            (429, &[], Dialect::Gemini, false),
            (500, &[json], Dialect::Gemini, false),
            (401, &[json], Dialect::Gemini, false),
            (429, &[json], Dialect::Chat, false),
        ] {
            let found = Refusal::that_tells(&response(status, headers), dialect).is_some();
            assert_eq!(found, expected, "{status} {headers:?} {dialect:?}");
        }
    }

    #[test]
    fn what_it_says_is_read_from_any_pieces_and_no_more_than_that() {
        let body = br#"{"error":{"code":429,"details":[{"@type":"x"},{"retryDelay":"1.5s"}]}}"#;
        let json = response(429, &[("content-type", "application/json")]);
        let mut refusal = Refusal::that_tells(&json, Dialect::Gemini).unwrap();
        for piece in body.chunks(7) {
            let mut piece = Some(Bytes::copy_from_slice(piece));
            assert!(!refusal.read(&mut piece, false));
            assert_eq!(piece, None, "the client gets nothing of it");
        }
        assert!(refusal.read(&mut None, true));
        assert_eq!(refusal.retry_after(), Some(Duration::from_millis(1500)));

        let mut endless = Refusal::that_tells(&json, Dialect::Gemini).unwrap();
        let mut much = Some(Bytes::from(vec![b' '; READ_BYTES_MAX + 1]));
        assert!(endless.read(&mut much, false));
        assert_eq!((endless.held.len(), endless.retry_after()), (READ_BYTES_MAX, None));
    }
}
