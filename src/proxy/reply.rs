//! Answers that the gateway writes itself: model lists and errors.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::proxy::{FailToProxy, Session};
use pingora::{ErrorSource, Result};

use super::attempt::X_REQUEST_ID;
use super::exchange::Context;
use super::quota;
use crate::dialect::ir::fault::Fault;
use crate::dialect::translate::write_error as error_body;
use crate::error::{Error, Kind};
use crate::route;

/// Tells OpenAI's SDKs whether to ask again.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Tells that an answer is the gateway's own guess.
const X_TOLLGATE_ESTIMATED: HeaderName = HeaderName::from_static("x-tollgate-estimated");

/// An answer made here.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers beside those of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Bytes,
    /// Whether it is a guess of the gateway's own: the client is told.
    pub is_estimated: bool,
}

impl Reply {
    /// A JSON answer that went well.
    pub fn ok(body: Bytes) -> Self {
        Self { status: 200, headers: Vec::new(), body, is_estimated: false }
    }

    /// The gateway's own guess.
    pub fn estimate(body: Bytes) -> Self {
        Self { is_estimated: true, ..Self::ok(body) }
    }

    /// Writes the answer.
    pub async fn send(self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let mut header = header(self.status, self.body.len(), ctx)?;
        for (name, value) in self.headers {
            header.insert_header(name, value)?;
        }
        if self.is_estimated {
            header.insert_header(X_TOLLGATE_ESTIMATED, "true")?;
        }
        write(session, ctx, header, self.body).await
    }
}

/// Answers a request that is refused before it went anywhere.
pub async fn refuse(session: &mut Session, ctx: &mut Context, error: Error) -> Result<()> {
    let written = write_error(session, ctx, &error).await;
    ctx.failure = Some(error);
    written
}

/// Answers a request that failed at its upstreams: with an error body, or, where an answer has
/// begun as a stream, with an error event that ends it. What else has begun is broken off, so
/// that nobody takes it for whole.
pub async fn fail(session: &mut Session, ctx: &mut Context, cause: &pingora::Error) -> FailToProxy {
    let error = ctx.failure.take().unwrap_or_else(|| unforeseen(cause));
    let begun = session.response_written().is_some_and(|header| !header.status.is_informational());
    let written = if error.kind == Kind::ClientGone {
        Err(pingora::Error::new_down(pingora::ErrorType::ConnectionClosed))
    } else if begun {
        end_stream(session, ctx, &error).await
    } else {
        // Pingora closes the connection behind a request that failed upstream, whatever is said
        // of it here: a client that is not told loses its next request.
        ctx.give_back(session);
        session.set_keepalive(None);
        write_error(session, ctx, &error).await
    };
    let status = error.kind.status();
    ctx.failure = Some(error);
    FailToProxy { error_code: status, can_reuse_downstream: written.is_ok() && !begun }
}

async fn write_error(session: &mut Session, ctx: &mut Context, error: &Error) -> Result<()> {
    if error.kind == Kind::ClientGone {
        session.set_keepalive(None);
        return Ok(());
    }
    let body = Bytes::from(error_body(ctx.dialect, &Fault::from(error)));
    let mut header = header(error.kind.status(), body.len(), ctx)?;
    match error.kind {
        Kind::Unauthenticated
        | Kind::InvalidKey
        | Kind::KeyExpired
        | Kind::KeyDisabled
        | Kind::InvalidCertificate
        | Kind::InvalidToken
        | Kind::TokenExpired => {
            header.insert_header(WWW_AUTHENTICATE, "Bearer")?;
        }
        Kind::MethodNotAllowed => {
            if let Some(allowed) = route::allowed(session.req_header().uri.path()) {
                header.insert_header(ALLOW, allowed)?;
            }
        }
        Kind::BodyTooLarge | Kind::BodyTimeout => session.set_keepalive(None),
        _ => {}
    }
    header.insert_header(
        X_SHOULD_RETRY,
        if error.kind.may_pass_later() { "true" } else { "false" },
    )?;
    if let Some(after) = error.retry_after {
        header.insert_header(RETRY_AFTER, retry_after(after))?;
    }
    if let Some(quota) = &error.quota {
        for (name, value) in &quota::headers(quota) {
            header.insert_header(name, value)?;
        }
    }
    write(session, ctx, header, body).await
}

/// A time to wait as `Retry-After` says it, in whole seconds.
pub fn retry_after(after: Duration) -> HeaderValue {
    number(after.as_secs() + u64::from(after.subsec_nanos() > 0))
}

/// A number as the value of a header: allocated once, where the conversion of `http` does it twice.
pub fn number(number: u64) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number))
        .unwrap_or_else(|_| HeaderValue::from(number))
}

/// Ends a stream that has begun with an error event.
async fn end_stream(session: &mut Session, ctx: &mut Context, error: &Error) -> Result<()> {
    let Some(event) = ctx.meter.as_mut().and_then(|meter| meter.fail(error)) else {
        session.shutdown().await;
        return Ok(());
    };
    ctx.response_bytes += event.len() as u64;
    session.write_response_body(Some(event), true).await
}

fn header(status: u16, length: usize, ctx: &Context) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(status, Some(6))?;
    header.insert_header(CONTENT_TYPE, "application/json")?;
    header.insert_header(CONTENT_LENGTH, length)?;
    header.insert_header(X_REQUEST_ID, ctx.request_id.clone())?;
    Ok(header)
}

async fn write(
    session: &mut Session,
    ctx: &mut Context,
    header: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    ctx.status = Some(header.status.as_u16());
    ctx.response_bytes = body.len() as u64;
    session.write_response_header(Box::new(header), false).await?;
    ctx.first_byte = Some(ctx.started.elapsed());
    session.write_response_body(Some(body), true).await
}

/// The error for a failure that no hook has named.
fn unforeseen(cause: &pingora::Error) -> Error {
    let kind = match cause.esource() {
        ErrorSource::Downstream => Kind::ClientGone,
        _ => Kind::Internal,
    };
    Error::new(kind, "The gateway failed; the request id names the case in its log.")
        .because(cause.to_string())
}
