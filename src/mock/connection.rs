//! One connection: requests in, replies out, each at its time.
//!
//! A reply without a pace is one write. While a reply waits, the socket is watched, so that a
//! client that leaves is noticed at once; a client that closes only its sending side counts as
//! gone too. What is answered is decided in `respond`.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{Answer, Content, Events};
use super::dialect::Dialect;
use super::http::{Head, Incoming, Message};
use super::json::{put, put_number};
use super::reply::{Ending, Reply};
use super::respond::{Request, Server, respond};
use super::stats::Open;

/// What is gathered before a write, in bytes, where nothing asks for an earlier one.
const WRITE_BYTES: usize = 256 * 1024;
/// How long a refused client may go on sending before the connection is dropped.
const LINGER: Duration = Duration::from_secs(2);

/// A client's connection.
pub(crate) struct Connection<'s> {
    server: &'s Server,
    stream: TcpStream,
    incoming: Incoming,
    out: Vec<u8>,
}

impl<'s> Connection<'s> {
    pub(crate) fn new(server: &'s Server, stream: TcpStream) -> Self {
        Self { server, stream, incoming: Incoming::new(), out: Vec::new() }
    }

    /// Answers requests until either side closes. An error means that the client did.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(message) = self.receive().await? {
            let head = message.head;
            let reply = respond(
                self.server,
                &Request {
                    head,
                    head_bytes: self.incoming.head(&message),
                    body: self.incoming.body(&message),
                },
            );
            self.incoming.consume(&message);
            let ending = reply.ending;
            self.send(reply, head).await?;
            match ending {
                Ending::Complete if head.keep_alive => {}
                Ending::Complete | Ending::Cut => return self.stream.shutdown().await,
                Ending::Reset => return self.stream.set_zero_linger(),
            }
        }
        Ok(())
    }

    /// The next request; `None` where there will be none.
    async fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            match self.incoming.next() {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(refusal) => {
                    let answer = Answer::refusal(Dialect::OpenAi, &refusal);
                    return self.refuse(answer).await.map(|()| None);
                }
            }
            if self.incoming.wants_continue() {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            if self.stream.read_buf(self.incoming.space()).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers what is no request and closes. What the client still sends is read away, lest the
    /// kernel reset the connection before the answer is read.
    async fn refuse(&mut self, answer: Answer) -> io::Result<()> {
        let Content::Whole(body) = answer.content else { return Ok(()) };
        self.out.clear();
        put_status(&mut self.out, answer.status);
        put(&mut self.out, &["content-type: application/json\r\nconnection: close\r\n"]);
        put_length(&mut self.out, body.len());
        self.out.extend_from_slice(&body);
        self.stream.write_all(&self.out).await?;
        self.stream.shutdown().await?;
        let mut nowhere = tokio::io::sink();
        let away = tokio::io::copy(&mut self.stream, &mut nowhere);
        timeout(LINGER, away).await.map_or(Ok(()), |read| read.map(|_| ()))
    }

    async fn send(&mut self, reply: Reply, head: Head) -> io::Result<()> {
        let server = self.server;
        let mut open = (!head.route.is_control()).then(|| server.stats.open());
        if reply.hang {
            return self.watch(pending()).await;
        }
        if !reply.before_header.is_zero() {
            self.wait_until(Instant::now() + reply.before_header).await?;
        }
        self.out.clear();
        put_head(&mut self.out, &reply, head);
        match &reply.content {
            Content::Whole(bytes) if has_body(&reply, head) => self.out.extend_from_slice(bytes),
            Content::Events(events) if has_body(&reply, head) => {
                open.iter_mut().for_each(Open::stream);
                self.send_events(events, &reply, head.chunked).await?;
            }
            _ => {}
        }
        self.stream.write_all(&self.out).await?;
        open.into_iter().for_each(Open::finish);
        Ok(())
    }

    /// Gathers events and writes them when the next one is not due yet, or when enough are
    /// gathered; the last ones are left to be written.
    async fn send_events(
        &mut self,
        events: &Events,
        reply: &Reply,
        chunked: bool,
    ) -> io::Result<()> {
        let paced = !(reply.before_first + reply.step).is_zero();
        let start = paced.then(Instant::now);
        for number in 0..events.len() {
            if let Some(start) = start {
                let due = start + reply.before_first + reply.step * events.step(number);
                self.flush_until(due).await?;
            }
            put_event(&mut self.out, events.get(number).unwrap_or_default(), chunked);
            if self.out.len() > WRITE_BYTES {
                self.flush().await?;
            }
        }
        if chunked && reply.ending == Ending::Complete {
            put(&mut self.out, &["0\r\n\r\n"]);
        }
        Ok(())
    }

    async fn flush_until(&mut self, due: Instant) -> io::Result<()> {
        if due <= Instant::now() {
            return Ok(());
        }
        self.flush().await?;
        self.wait_until(due).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        self.watch(sleep_until(due)).await
    }

    /// Waits, and fails as soon as the client leaves. What it sends meanwhile is kept.
    async fn watch(&mut self, wait: impl Future<Output = ()>) -> io::Result<()> {
        let mut wait = pin!(wait);
        loop {
            let full = self.incoming.is_full();
            tokio::select! {
                () = &mut wait => return Ok(()),
                read = self.stream.read_buf(self.incoming.space()), if !full => {
                    if read? == 0 {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
            }
        }
    }
}

fn has_body(reply: &Reply, head: Head) -> bool {
    !head.bodiless && !matches!(reply.status, 204 | 304)
}

fn put_status(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return put(out, &["HTTP/1.1 200 OK\r\n"]);
    }
    let code = http::StatusCode::from_u16(status).ok();
    let reason = code.and_then(|code| code.canonical_reason()).unwrap_or("Unknown");
    put(out, &["HTTP/1.1 "]);
    put_number(out, status.into());
    put(out, &[" ", reason, "\r\n"]);
}

fn put_head(out: &mut Vec<u8>, reply: &Reply, head: Head) {
    put_status(out, reply.status);
    if !reply.headers.iter().any(|header| header.name == http::header::CONTENT_TYPE) {
        put(out, &["content-type: ", reply.content_type, "\r\n"]);
    }
    let number = format!("{:016x}", reply.number);
    put(out, &[reply.dialect.id_header(), ": req_mock", &number, "\r\n"]);
    if let Some((name, value)) = reply.header {
        put(out, &[name, ": ", value, "\r\n"]);
    }
    for header in &reply.headers {
        put(out, &[header.name.as_str(), ": "]);
        out.extend_from_slice(header.value.as_bytes());
        put(out, &["\r\n"]);
    }
    if !head.keep_alive {
        put(out, &["connection: close\r\n"]);
    }
    match &reply.content {
        _ if matches!(reply.status, 204 | 304) => put(out, &["\r\n"]),
        Content::Whole(_) => put_length(out, reply.length),
        Content::Events(_) if head.chunked => put(out, &["transfer-encoding: chunked\r\n\r\n"]),
        Content::Events(_) => put(out, &["\r\n"]),
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put(out, &["content-length: "]);
    put_number(out, length);
    put(out, &["\r\n\r\n"]);
}

fn put_event(out: &mut Vec<u8>, event: &[u8], chunked: bool) {
    if chunked {
        let size = format!("{:x}", event.len());
        put(out, &[&size, "\r\n"]);
    }
    out.extend_from_slice(event);
    if chunked {
        put(out, &["\r\n"]);
    }
}
