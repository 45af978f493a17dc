//! The client's session while its request, already read whole, is at an upstream.
//!
//! Pingora forwards a body that was read early only from its retry buffer of 64 KiB, and knows
//! no timeout for a whole request. Both are put right in one place: once the body is read, the
//! real session moves into a [`Held`], which Pingora sees as a session of a custom protocol. It
//! - offers one byte to replay, and another for each further piece of what goes upstream, so that
//!   `request_body_filter` is called once for each piece on every attempt, whatever the body's length was and
//!   over HTTP/1 and HTTP/2; then it says that the body is done;
//! - while it waits for the client to leave, also waits for the [`Deadline`] of the attempt;
//! - shows a header without fields: Pingora copies it for each attempt, whose header is made anew.
//!
//! [`Hold::give_back`] puts the real session back before Pingora decides about keep-alive.
//!
//! The header of an answer that must be read whole before anything of it may go to the client waits
//! here for the body ([`Hold::wait`]): until then the attempt can still fail, and another be made.
//! Everything else is passed on; nothing here reads or changes a request or an answer.

mod late;

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::ServerSession as HttpSession;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::time::sleep_until;

use self::late::Late;
use super::deadline::{Deadline, Timer};
use super::exchange::Exchange;
use crate::context::turn::Turn;

/// What makes Pingora call `request_body_filter`, which puts the real body in its place.
const REPLAY_MARK: &[u8] = b"x";

/// What the two ends of a held session share.
#[derive(Default)]
struct Slot {
    /// Where the real session waits once Pingora lets go of the one that held it.
    session: Mutex<Option<HttpSession>>,
    late: Late,
    /// Pieces of the attempt's body that are still to be asked for.
    pieces: AtomicUsize,
}

/// What a held session waits for.
pub struct Wait {
    deadline: Arc<Deadline>,
    turn: Option<Arc<Turn>>,
}

impl Wait {
    /// What the answer to this request waits for.
    pub fn of(exchange: &Exchange) -> Self {
        Self { deadline: exchange.deadline.clone(), turn: exchange.turn.clone() }
    }
}

/// The way back from a held session.
pub struct Hold(Arc<Slot>);

impl Hold {
    /// Moves the client's session, whose body has been read to its end, into a [`Held`].
    pub fn take(session: &mut HttpSession, wait: Wait) -> Self {
        let slot = Arc::new(Slot::default());
        let placeholder = HttpSession::new_custom(Box::new(()));
        let inner = std::mem::replace(session, placeholder);
        let held = Held {
            shown: without_fields(inner.req_header()),
            inner: Some(inner),
            slot: slot.clone(),
            timer: Timer::new(wait.deadline),
            turn: wait.turn,
            header: None,
            answered: false,
        };
        *session = HttpSession::new_custom(Box::new(held));
        Hold(slot)
    }

    /// The attempt that begins sends its body in so many pieces.
    pub fn sends(&self, pieces: usize) {
        // The first is asked for in any case.
        self.0.pieces.store(pieces.saturating_sub(1), Ordering::Relaxed);
    }

    /// The header of the answer under way waits for its body.
    pub fn wait(&self) {
        self.0.late.wait();
    }

    /// The body is there: the header goes before it, with these headers added.
    pub fn release(&self, headers: Vec<(HeaderName, HeaderValue)>) {
        self.0.late.release(headers);
    }

    /// Puts the real session back in its place.
    pub fn give_back(self, session: &mut HttpSession) {
        let placeholder = HttpSession::new_custom(Box::new(()));
        drop(std::mem::replace(session, placeholder));
        if let Some(inner) = self.0.session.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *session = inner;
        }
    }
}

/// A client's session that has been read and waits for its answer.
struct Held {
    /// What Pingora sees of the request's header.
    shown: RequestHeader,
    /// Present until dropped: `Option` only so that `Drop` can move it out.
    inner: Option<HttpSession>,
    slot: Arc<Slot>,
    timer: Timer,
    /// Kept before the client sees the end of its answer.
    turn: Option<Arc<Turn>>,
    /// A header that waits for its body.
    header: Option<Box<ResponseHeader>>,
    /// Whether the answer was written to its end.
    answered: bool,
}

impl Held {
    #[expect(clippy::expect_used, reason = "only Drop takes the session out")]
    fn inner(&self) -> &HttpSession {
        self.inner.as_ref().expect("held until dropped")
    }

    #[expect(clippy::expect_used, reason = "only Drop takes the session out")]
    fn inner_mut(&mut self) -> &mut HttpSession {
        self.inner.as_mut().expect("held until dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.slot.session.lock().unwrap_or_else(PoisonError::into_inner) = self.inner.take();
    }
}

fn without_fields(header: &RequestHeader) -> RequestHeader {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = header.method.clone();
    parts.uri = header.uri.clone();
    parts.version = header.version;
    parts.into()
}

type MessageReader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

#[async_trait]
impl CustomSession for Held {
    fn req_header(&self) -> &RequestHeader {
        &self.shown
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.shown
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, _end: bool) -> Result<()> {
        self.inner_mut().write_response_header(resp).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, _end: bool) -> Result<()> {
        self.inner_mut().write_response_header_ref(resp).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner_mut().write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner_mut().write_response_trailers(trailers).await
    }

    /// Writes what has come. While the client does not take it, nobody looks at the deadline in
    /// [`Self::read_body_or_idle`]; so the end of the whole request is waited for here.
    async fn response_duplex_vec(&mut self, mut tasks: Vec<HttpTask>) -> Result<bool> {
        if let Some(turn) = &self.turn {
            let kept = turn.settle().await;
            kept.or_err(ErrorType::InternalError, "the turn's answer could not be kept")?;
        }
        if self.slot.late.is_used() {
            tasks = late::in_order(tasks, &mut self.header, &self.slot.late)?;
            if tasks.is_empty() {
                return Ok(false);
            }
        }
        let end = self.timer.end();
        let written = tokio::select! {
            biased;
            written = self.inner_mut().response_duplex_vec(tasks) => written,
            () = sleep_until(end) => {
                let detail = "the client does not take its answer";
                Err(Error::explain(ErrorType::WriteTimedout, detail).into_down())
            }
        };
        self.answered |= matches!(written, Ok(true));
        written
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner().request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner().response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.inner_mut().shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.slot.pieces.load(Ordering::Relaxed) == 0
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner_mut().finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        false
    }

    /// Has the next piece asked for. Behind the last, waits until the client leaves or the attempt's
    /// deadline has passed; both are errors. Once the client has its answer, what comes next is its next
    /// request: Pingora may still ask here while it ends its talk with the upstream, and reading then
    /// would cost the connection.
    async fn read_body_or_idle(&mut self, _no_body_expected: bool) -> Result<Option<Bytes>> {
        let Held { inner: Some(inner), timer, answered, slot, .. } = self else { return Ok(None) };
        let left = slot.pieces.load(Ordering::Relaxed);
        if left > 0 {
            slot.pieces.store(left - 1, Ordering::Relaxed);
            // The upstream may have taken its time with the last one.
            return match poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await {
                Poll::Ready(phase) => Error::e_explain(ErrorType::ReadTimedout, phase.as_str()),
                Poll::Pending => Ok(Some(Bytes::from_static(REPLAY_MARK))),
            };
        }
        tokio::select! {
            biased;
            left = inner.read_body_or_idle(true), if !*answered => left,
            phase = poll_fn(|cx| timer.poll_expired(cx)) => {
                Error::e_explain(ErrorType::ReadTimedout, phase.as_str())
            }
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner().to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        Some(Bytes::from_static(REPLAY_MARK))
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    /// There are no messages beside request and answer; Pingora wants their ends all the same.
    fn take_custom_message_reader(&mut self) -> Option<MessageReader> {
        Some(Box::new(stream::empty()))
    }

    fn restore_custom_message_reader(&mut self, _reader: MessageReader) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        Some(Box::new(()))
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
