//! Where an answer's body ends, and its bytes without their framing (RFC 9112, sections 6 and 7).
//!
//! Chunks that were read together are given out as one piece: framing is cut out in place.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

/// The longest line of a chunk's size, extensions included.
const SIZE_LINE_BYTES_MAX: usize = 1024;

/// The longest trailer section.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    Complete,
    /// So many bytes.
    Length(u64),
    /// Chunks, and what is expected next.
    Chunked(Chunk),
    /// All that comes until the connection is closed.
    UntilClose,
}

/// What a chunked body goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of the chunk.
    Data(u64),
    /// The line break behind a chunk.
    Break,
    /// The trailer section, of which so many bytes were read.
    Trailer(usize),
}

impl Body {
    /// The body that the head of an answer announces; HEAD is never asked (section 6.3).
    ///
    /// # Errors
    /// Says what of the framing cannot be.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> Result<Self, String> {
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || status.is_informational() {
            return Ok(Body::Complete);
        }
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        if let Some(coding) = codings.next() {
            let known = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            return if known && codings.next().is_none() {
                Ok(Body::Chunked(Chunk::Size))
            } else {
                Err("its transfer-encoding is not `chunked`".to_owned())
            };
        }
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        let Some(length) = lengths.next() else { return Ok(Body::UntilClose) };
        if lengths.any(|other| other != length) {
            return Err("its content-lengths differ".to_owned());
        }
        match decimal(length.as_bytes()) {
            Some(0) => Ok(Body::Complete),
            Some(length) => Ok(Body::Length(length)),
            None => Err("its content-length is no number".to_owned()),
        }
    }

    /// Takes from the front of what was read all that belongs to the body; empty where more must
    /// be read first.
    ///
    /// # Errors
    /// Says what of the framing is wrong.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Bytes, String> {
        match *self {
            Body::Complete => Ok(Bytes::new()),
            Body::UntilClose => Ok(buffer.split().freeze()),
            Body::Length(left) => {
                let size = within(left, buffer.len());
                let left = left - size as u64;
                *self = if left == 0 { Body::Complete } else { Body::Length(left) };
                Ok(buffer.split_to(size).freeze())
            }
            Body::Chunked(next) => self.take_chunks(next, buffer),
        }
    }

    fn take_chunks(&mut self, next: Chunk, buffer: &mut BytesMut) -> Result<Bytes, String> {
        let mut pieces = Pieces::default();
        let mut next = next;
        *self = loop {
            let rest = buffer.get(pieces.read..).unwrap_or_default();
            match step(next, rest)? {
                Step::More => break Body::Chunked(next),
                Step::Done(skip) => {
                    pieces.read += skip;
                    break Body::Complete;
                }
                Step::Skip(skip, then) => {
                    pieces.read += skip;
                    next = then;
                }
                Step::Data(size, then) => {
                    pieces.keep(buffer, size);
                    next = then;
                }
            }
        };
        Ok(pieces.cut_from(buffer))
    }
}

/// Where data lies in a buffer from which framing is cut out.
#[derive(Default)]
struct Pieces {
    /// The data kept so far, moved together.
    from: usize,
    to: usize,
    /// How far the buffer was read.
    read: usize,
}

impl Pieces {
    /// The next bytes are data: they are moved behind the data before.
    fn keep(&mut self, buffer: &mut BytesMut, size: usize) {
        if self.to == self.from {
            (self.from, self.to) = (self.read, self.read);
        }
        if self.to < self.read {
            buffer.copy_within(self.read..self.read + size, self.to);
        }
        self.to += size;
        self.read += size;
    }

    fn cut_from(self, buffer: &mut BytesMut) -> Bytes {
        buffer.advance(self.from);
        let data = buffer.split_to(self.to - self.from).freeze();
        buffer.advance(self.read - self.to);
        data
    }
}

/// One step through a chunked body.
enum Step {
    /// More must be read.
    More,
    /// So many bytes are framing.
    Skip(usize, Chunk),
    /// So many bytes are data.
    Data(usize, Chunk),
    /// The body ends behind so many bytes.
    Done(usize),
}

fn step(next: Chunk, rest: &[u8]) -> Result<Step, String> {
    Ok(match next {
        Chunk::Size => match line(rest, SIZE_LINE_BYTES_MAX)? {
            None => Step::More,
            Some((text, end)) => match size(text) {
                Some(0) => Step::Skip(end, Chunk::Trailer(0)),
                Some(size) => Step::Skip(end, Chunk::Data(size)),
                None => return Err("a chunk's size is no number".to_owned()),
            },
        },
        Chunk::Data(_) if rest.is_empty() => Step::More,
        Chunk::Data(left) => {
            let size = within(left, rest.len());
            let left = left - size as u64;
            Step::Data(size, if left == 0 { Chunk::Break } else { Chunk::Data(left) })
        }
        Chunk::Break => match rest {
            [b'\r', b'\n', ..] => Step::Skip(2, Chunk::Size),
            [] | [b'\r'] => Step::More,
            _ => return Err("a chunk is longer than its size".to_owned()),
        },
        Chunk::Trailer(read) => match line(rest, TRAILER_BYTES_MAX - read)? {
            None => Step::More,
            Some(([], end)) => Step::Done(end),
            Some((_, end)) => Step::Skip(end, Chunk::Trailer(read + end)),
        },
    })
}

/// The line at the front and where the next one begins. Ended by CRLF; a bare LF is a framing
/// that others may read differently.
fn line(bytes: &[u8], max: usize) -> Result<Option<(&[u8], usize)>, String> {
    match memchr::memchr(b'\n', bytes) {
        Some(at) if at < max => match bytes.get(..at) {
            Some([text @ .., b'\r']) => Ok(Some((text, at + 1))),
            _ => Err("a line does not end with CRLF".to_owned()),
        },
        None if bytes.len() < max => Ok(None),
        _ => Err("a line of its chunked framing is too long".to_owned()),
    }
}

/// The size in a chunk's first line, whose extensions are ignored (section 7.1.1).
fn size(line: &[u8]) -> Option<u64> {
    let end = memchr::memchr(b';', line).unwrap_or(line.len());
    let digits = line.get(..end)?.trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size * 16 + u64::from(digit))
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// As much of `left` as is there.
fn within(left: u64, there: usize) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}
