//! The request's body, read once, whole, under a limit and a time.
//!
//! A body that comes in one piece is kept as that piece; others are joined in one buffer that
//! grows with what arrives, never with what `content-length` promises.

pub mod coding;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::protocols::http::ServerSession as HttpSession;

use crate::error::{Error, Kind, Result};

/// The largest buffer reserved before the bytes are there.
const RESERVE_BYTES_MAX: usize = 1024 * 1024;

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub bytes_max: usize,
    /// The longest time it may take to arrive.
    pub timeout: Duration,
}

/// Reads the body to its end.
///
/// # Errors
/// `BodyTooLarge` as soon as that is known, `BodyTimeout`, `ClientGone` where the connection
/// breaks off first.
pub async fn read(session: &mut HttpSession, limits: Limits) -> Result<Bytes> {
    let announced = announced_length(session);
    if announced.is_some_and(|length| length > limits.bytes_max) {
        return Err(too_large(limits.bytes_max));
    }
    if expects_continue(session) {
        session.write_continue_response().await.map_err(gone)?;
    }
    match tokio::time::timeout(limits.timeout, read_all(session, announced, limits)).await {
        Ok(body) => body,
        Err(_) => Err(Error::new(
            Kind::BodyTimeout,
            format!("The request's body did not arrive within {} ms.", limits.timeout.as_millis()),
        )),
    }
}

async fn read_all(
    session: &mut HttpSession,
    announced: Option<usize>,
    limits: Limits,
) -> Result<Bytes> {
    let Some(first) = session.read_request_body().await.map_err(gone)? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len()) && session.is_body_done() {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(RESERVE_BYTES_MAX));
    body.extend_from_slice(&first);
    while body.len() <= limits.bytes_max {
        match session.read_request_body().await.map_err(gone)? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(body.freeze()),
        }
    }
    Err(too_large(limits.bytes_max))
}

fn announced_length(session: &HttpSession) -> Option<usize> {
    session.get_header(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Whether the client waits for leave to send its body (RFC 9110, section 10.1.1).
fn expects_continue(session: &HttpSession) -> bool {
    session.get_header(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(
        Kind::BodyTooLarge,
        format!("The request's body is over the limit of {bytes_max} bytes (`body_bytes_max`)."),
    )
}

fn gone(source: Box<pingora::Error>) -> Error {
    Error::new(Kind::ClientGone, "The request's body broke off.").because(source)
}
