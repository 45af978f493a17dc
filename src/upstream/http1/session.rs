//! One request and its answer on a connection.
//!
//! The request's head waits for its body, so that both leave in one write. Reading starts small
//! and grows with what arrives, so that many open streams hold little.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, stream};
use http::HeaderMap;
use nix::sys::socket::{Shutdown, shutdown};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::custom::{BodyWrite, CustomMessageWrite, client};
use pingora::protocols::l4::socket;
use pingora::protocols::{Digest, UniqueIDType};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::body::Body;
use super::head::{self, Answer};

/// Room for the first read of an answer: a whole short one.
const READ_BYTES_MIN: usize = 4 * 1024;

/// Room for a read where the last ones were full.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A connection and the request under way on it.
pub struct Session {
    reader: OwnedReadHalf,
    writer: Arc<Mutex<Writer>>,
    /// Read, and not yet given out.
    buffer: BytesMut,
    /// Room for the next read.
    read_bytes: usize,
    /// Waits for the body to leave with it.
    head: Bytes,
    answer: Option<Answer>,
    write_timeout: Option<Duration>,
}

/// The half that a request's body takes along.
struct Writer {
    half: OwnedWriteHalf,
    /// Whether the request was written to its end.
    done: bool,
}

impl Session {
    /// A session on a new connection.
    pub(super) fn new(stream: TcpStream) -> Self {
        let (reader, half) = stream.into_split();
        Self {
            reader,
            writer: Arc::new(Mutex::new(Writer { half, done: false })),
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            head: Bytes::new(),
            answer: None,
            write_timeout: None,
        }
    }

    /// Makes ready for the next request. False where there can be none: request or answer is
    /// not complete, the server closes, or it sent more than its answer.
    pub(super) fn renew(&mut self) -> bool {
        let answered = self.answer.take().is_some_and(|answer| {
            answer.keep_alive && answer.body == Body::Complete && self.buffer.is_empty()
        });
        // A kept connection holds no memory for what it may read next.
        self.buffer = BytesMut::new();
        self.read_bytes = READ_BYTES_MIN;
        answered && self.writer.lock().is_ok_and(|writer| writer.done)
    }

    /// Whether nothing has come since the last answer: neither bytes nor the connection's end.
    pub(super) fn is_quiet(&self) -> bool {
        let stream: &TcpStream = self.reader.as_ref();
        let mut context = Context::from_waker(Waker::noop());
        match stream.poll_read_ready(&mut context) {
            Poll::Pending => true,
            // The event loop may only remember the last answer: the kernel knows.
            Poll::Ready(_) => {
                let read = stream.try_read(&mut [0]);
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
        }
    }

    /// Reads what has come. Gives false at the connection's end.
    async fn fill(&mut self) -> Result<bool> {
        if self.buffer.capacity() - self.buffer.len() < self.read_bytes / 2 {
            self.buffer.reserve(self.read_bytes);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = self.reader.read_buf(&mut self.buffer).await;
        let read = read.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionReset => ErrorType::ConnectionClosed,
                _ => ErrorType::ReadError,
            };
            Error::because(kind, "reading the answer", error)
        })?;
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Ok(read > 0)
    }
}

#[async_trait]
impl client::Session for Session {
    async fn write_request_header(
        &mut self,
        request: Box<RequestHeader>,
        _end: bool,
    ) -> Result<()> {
        self.head = head::write(&request);
        Ok(())
    }

    async fn write_request_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        let mut body = self.body();
        body.write_all_buf(&mut data.clone()).await?;
        if end { body.finish().await } else { Ok(()) }
    }

    async fn finish_request_body(&mut self) -> Result<()> {
        self.body().finish().await
    }

    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    /// Reads the head of the answer, or of an interim one before it.
    async fn read_response_header(&mut self) -> Result<()> {
        loop {
            if !self.buffer.is_empty()
                && let Some(answer) = head::read(&mut self.buffer)?
            {
                self.answer = Some(answer);
                return Ok(());
            }
            if !self.fill().await? {
                return Err(closed("before the answer's head"));
            }
        }
    }

    async fn read_response_body(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(answer) = &mut self.answer else { return Ok(None) };
            if answer.body == Body::Complete {
                return Ok(None);
            }
            if !self.buffer.is_empty() {
                let data = answer.body.take(&mut self.buffer).map_err(head::invalid)?;
                if !data.is_empty() || answer.body == Body::Complete {
                    return Ok(Some(data));
                }
            }
            if !self.fill().await? {
                let Some(answer) = &mut self.answer else { return Ok(None) };
                if answer.body != Body::UntilClose {
                    return Err(closed("within the answer's body"));
                }
                answer.body = Body::Complete;
                return Ok(Some(Bytes::new()));
            }
        }
    }

    fn response_finished(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.body == Body::Complete)
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {}

    fn response_header(&self) -> Option<&ResponseHeader> {
        self.answer.as_ref().map(|answer| &answer.header)
    }

    fn was_upgraded(&self) -> bool {
        false
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn server_addr(&self) -> Option<&socket::SocketAddr> {
        None
    }

    fn client_addr(&self) -> Option<&socket::SocketAddr> {
        None
    }

    async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        Ok(None)
    }

    fn fd(&self) -> UniqueIDType {
        let stream: &TcpStream = self.reader.as_ref();
        stream.as_raw_fd()
    }

    async fn check_response_end_or_error(&mut self, _headers: bool) -> Result<bool> {
        let header = self.answer.as_ref().map(|answer| answer.header.status);
        let interim = header.is_some_and(|status| status.is_informational());
        Ok(!interim && self.response_finished())
    }

    fn take_request_body_writer(&mut self) -> Option<Box<dyn BodyWrite>> {
        Some(Box::new(self.body()))
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    /// There are no messages beside the answer.
    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        Some(Box::new(stream::empty()))
    }

    async fn drain_custom_messages(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        Some(Box::new(()))
    }
}

impl Session {
    fn body(&mut self) -> RequestBody {
        if let Ok(mut writer) = self.writer.lock() {
            writer.done = false;
        }
        RequestBody {
            writer: self.writer.clone(),
            head: std::mem::take(&mut self.head),
            timeout: self.write_timeout,
        }
    }
}

/// A request on its way out.
struct RequestBody {
    writer: Arc<Mutex<Writer>>,
    head: Bytes,
    timeout: Option<Duration>,
}

impl RequestBody {
    /// Writes the head, if it has not left, and the data, in as few writes as the kernel takes.
    async fn write(&mut self, data: &mut Bytes) -> Result<()> {
        let (writer, head) = (&self.writer, &mut self.head);
        let mut writing = std::pin::pin!(poll_fn(|cx| poll_write_all(writer, head, data, cx)));
        // What the socket takes at once, as nearly all does, needs no timer.
        let written = match poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await {
            Poll::Ready(written) => written,
            Poll::Pending => match self.timeout {
                None => writing.await,
                Some(limit) => match timeout(limit, writing).await {
                    Ok(written) => written,
                    Err(_) => return Err(self.give_up()),
                },
            },
        };
        written.map_err(|error| Error::because(ErrorType::WriteError, "writing the request", error))
    }
}

impl RequestBody {
    /// The request is not taken in time. Whoever waits for its answer sees the connection end: Pingora goes on to
    /// wait for one where a body cannot be sent to its end.
    fn give_up(&self) -> Box<Error> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let stream: &TcpStream = writer.half.as_ref();
        let error = Error::explain(ErrorType::WriteTimedout, "the request is not taken");
        match shutdown(stream.as_raw_fd(), Shutdown::Both) {
            Ok(()) => error,
            Err(why) => error.more_context(format!("and its connection cannot be closed: {why}")),
        }
    }
}

fn poll_write_all(
    writer: &Mutex<Writer>,
    head: &mut Bytes,
    data: &mut Bytes,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    while !head.is_empty() || !data.is_empty() {
        let slices = [IoSlice::new(head), IoSlice::new(data)];
        let written = ready!(Pin::new(&mut writer.half).poll_write_vectored(cx, &slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_head = written.min(head.len());
        head.advance(of_head);
        data.advance(written - of_head);
    }
    Poll::Ready(Ok(()))
}

#[async_trait]
impl BodyWrite for RequestBody {
    async fn write_all_buf(&mut self, data: &mut Bytes) -> Result<()> {
        self.write(data).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.write(&mut Bytes::new()).await?;
        if let Ok(mut writer) = self.writer.lock() {
            writer.done = true;
        }
        Ok(())
    }

    async fn cleanup(&mut self) -> Result<()> {
        Ok(())
    }

    fn upgrade_body_writer(&mut self) {}
}

fn closed(when: &str) -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, format!("the upstream closed {when}"))
}
