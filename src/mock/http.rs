//! Bytes of a connection into requests: HTTP/1.1 without input or output.
//!
//! One buffer a connection holds whatever was read; a request is a few offsets into it, and a
//! chunked body is unwrapped where it lies. How the bytes were split over reads makes no
//! difference (a property test says so). This module reads no socket and knows no endpoint.

use std::ops::Range;

use httparse::{Header, Status};

use super::refusal::Refusal;
use super::route::Route;
use chunks::Chunks;

mod chunks;

/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;
/// The longest request body, in bytes, chunk sizes included.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What is read at once, in bytes: most requests fit.
const READ_BYTES: usize = 16 * 1024;
/// A buffer that grew beyond this many bytes is given back once its request is answered.
const KEEP_BYTES: usize = 1024 * 1024;

/// What matters of a request's head. It is plain offsets and flags: nothing is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// What is asked for.
    pub(crate) route: Route,
    /// Whether the connection may be used again.
    pub(crate) keep_alive: bool,
    /// HTTP/1.1: the answer may be chunked.
    pub(crate) chunked: bool,
    /// `HEAD`: the answer has no body.
    pub(crate) bodiless: bool,
    /// Whether there are `x-mock-…` headers.
    pub(crate) settings: bool,
    expects: bool,
    len: usize,
    length: Length,
}

impl Head {
    /// Where a request of known length ends; of a chunked one, where its body begins.
    fn end(self) -> usize {
        match self.length {
            Length::Known(bytes) => self.len + bytes,
            Length::Chunked => self.len,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// A complete request in the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: Head,
    body: Range<usize>,
    end: usize,
}

enum Progress {
    Head,
    Body(Head),
    Chunks(Head, Chunks),
}

/// What one connection has received and not yet answered.
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    progress: Progress,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::with_capacity(READ_BYTES), progress: Progress::Head }
    }

    /// Where the next read goes: it has room for what is expected.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        let missing = match self.progress {
            Progress::Head => READ_BYTES / 4,
            Progress::Body(head) => head.end().saturating_sub(self.buffer.len()),
            Progress::Chunks(..) => 4 * READ_BYTES,
        };
        self.buffer.reserve(missing.max(1));
        &mut self.buffer
    }

    /// Whether so much lies here unanswered that reading on would be unwise.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() > KEEP_BYTES
    }

    /// The first request in the buffer, once it is complete.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, Refusal> {
        if matches!(self.progress, Progress::Head) {
            match read_head(&self.buffer)? {
                None => return Ok(None),
                Some(head) => self.progress = first_progress(head),
            }
        }
        let buffered = self.buffer.len();
        match &mut self.progress {
            Progress::Head => Ok(None),
            Progress::Body(head) => {
                let head = *head;
                let end = head.end();
                let message = Message { head, body: head.len..end, end };
                Ok((buffered >= end).then_some(message))
            }
            Progress::Chunks(_, _) if buffered > HEAD_BYTES_MAX + BODY_BYTES_MAX => {
                Err(too_large())
            }
            Progress::Chunks(head, chunks) => {
                let (head, done) = (*head, chunks.unwrap(&mut self.buffer)?);
                Ok(done.map(|(body_end, end)| Message { head, body: head.len..body_end, end }))
            }
        }
    }

    /// Whether the client waits for `100 Continue`; true once a request.
    pub(crate) fn wants_continue(&mut self) -> bool {
        match &mut self.progress {
            Progress::Body(head) | Progress::Chunks(head, _) => std::mem::take(&mut head.expects),
            Progress::Head => false,
        }
    }

    /// The request's head, from request line to empty line.
    pub(crate) fn head(&self, message: &Message) -> &[u8] {
        self.buffer.get(..message.head.len).unwrap_or_default()
    }

    /// The request's body, without any chunking.
    pub(crate) fn body(&self, message: &Message) -> &[u8] {
        self.buffer.get(message.body.clone()).unwrap_or_default()
    }

    /// The request is answered; what lies behind it is the next one's.
    pub(crate) fn consume(&mut self, message: &Message) {
        if message.end >= self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..message.end);
        }
        if self.buffer.capacity() > KEEP_BYTES {
            self.buffer.shrink_to(READ_BYTES);
        }
        self.progress = Progress::Head;
    }
}

/// Hands method, target and headers of a head to `read`; `None` while the head is incomplete.
pub(crate) fn parse<'b, T>(
    bytes: &'b [u8],
    read: impl FnOnce(&httparse::Request<'_, 'b>, usize) -> T,
) -> Result<Option<T>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(len)) if len <= HEAD_BYTES_MAX => Ok(Some(read(&request, len))),
        Ok(Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => Ok(None),
        Ok(_) => Err(head_too_large()),
        Err(httparse::Error::TooManyHeaders) => Err(head_too_large()),
        Err(error) => Err(Refusal::bad(format!("This is no HTTP/1.1 request: {error}."))),
    }
}

fn first_progress(head: Head) -> Progress {
    match head.length {
        Length::Known(_) => Progress::Body(head),
        Length::Chunked => Progress::Chunks(head, Chunks::at(head.len)),
    }
}

fn read_head(buffer: &[u8]) -> Result<Option<Head>, Refusal> {
    parse(buffer, |request, len| {
        let method = request.method.unwrap_or_default();
        let chunked = request.version == Some(1);
        let mut head = Head {
            route: Route::of(method, request.path.unwrap_or_default()),
            keep_alive: chunked,
            chunked,
            bodiless: method == "HEAD",
            settings: false,
            expects: false,
            len,
            length: Length::Known(0),
        };
        let mut content_length = None;
        for header in &*request.headers {
            read_header(&mut head, &mut content_length, header)?;
        }
        match (head.length, content_length) {
            (Length::Chunked, Some(_)) => {
                Err(Refusal::bad("Content-Length and Transfer-Encoding exclude each other."))
            }
            (Length::Known(_), Some(bytes)) if bytes > BODY_BYTES_MAX => Err(too_large()),
            (Length::Known(_), Some(bytes)) => Ok(Head { length: Length::Known(bytes), ..head }),
            (_, None) => Ok(head),
        }
    })?
    .transpose()
}

fn read_header(
    head: &mut Head,
    content_length: &mut Option<usize>,
    header: &Header<'_>,
) -> Result<(), Refusal> {
    let is = |name: &str| header.name.eq_ignore_ascii_case(name);
    let holds = |token: &str| holds_token(header.value, token);
    match header.name.len() {
        14 if is("content-length") => {
            let length = number(header.value);
            match (length, *content_length) {
                (Some(length), None) => *content_length = Some(length),
                (Some(length), Some(before)) if length == before => {}
                _ => return Err(Refusal::bad("Content-Length must be one number.")),
            }
        }
        17 if is("transfer-encoding") => {
            if !holds("chunked") {
                return Err(Refusal::new(501, "Transfer-Encoding can only be chunked here."));
            }
            head.length = Length::Chunked;
        }
        17 if is("anthropic-version") => head.route = head.route.for_anthropic(),
        10 if is("connection") => head.keep_alive &= !holds("close"),
        6 if is("expect") => head.expects = holds("100-continue"),
        7.. if header.name.get(..7).is_some_and(|p| p.eq_ignore_ascii_case("x-mock-")) => {
            head.settings = true;
        }
        _ => {}
    }
    Ok(())
}

/// A number in digits and nothing else.
fn number(value: &[u8]) -> Option<usize> {
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn holds_token(value: &[u8], token: &str) -> bool {
    value.split(|byte| *byte == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn too_large() -> Refusal {
    Refusal::new(413, format!("A request body has at most {BODY_BYTES_MAX} bytes here."))
}

fn head_too_large() -> Refusal {
    let message = format!(
        "A request head has at most {HEADERS_MAX} headers and {HEAD_BYTES_MAX} bytes here."
    );
    Refusal::new(431, message)
}

#[cfg(test)]
mod tests;
