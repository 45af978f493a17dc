//! A chunked body, unwrapped where it lies.
//!
//! The chunks' data moves down over their size lines, so that the body ends up in one piece
//! behind the head without a second buffer (RFC 9112, section 7.1). Extensions and trailers
//! are read over.

use super::super::refusal::Refusal;

/// How far the unwrapping has come, as offsets into the connection's buffer.
#[derive(Debug)]
pub(super) struct Chunks {
    /// The next byte to look at.
    read: usize,
    /// Where the next data goes.
    write: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Size,
    Data(usize),
    DataEnd,
    Trailer,
    Done,
}

impl Chunks {
    /// A chunked body that begins at an offset.
    pub(super) fn at(start: usize) -> Self {
        Self { read: start, write: start, phase: Phase::Size }
    }

    /// Unwraps what is there. Once the body is complete: where it ends now, and where the
    /// request ends.
    pub(super) fn unwrap(&mut self, buffer: &mut [u8]) -> Result<Option<(usize, usize)>, Refusal> {
        loop {
            let moved = match self.phase {
                Phase::Size => self.size(buffer)?,
                Phase::Data(left) => self.data(buffer, left),
                Phase::DataEnd => self.data_end(buffer)?,
                Phase::Trailer => self.trailer(buffer),
                Phase::Done => return Ok(Some((self.write, self.read))),
            };
            if !moved {
                return Ok(None);
            }
        }
    }

    fn size(&mut self, buffer: &[u8]) -> Result<bool, Refusal> {
        let rest = buffer.get(self.read..).unwrap_or_default();
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((line, size))) => {
                self.read += line;
                let size = usize::try_from(size).map_err(|_| bad())?;
                self.phase = if size == 0 { Phase::Trailer } else { Phase::Data(size) };
                Ok(true)
            }
            Ok(httparse::Status::Partial) => Ok(false),
            Err(_) => Err(bad()),
        }
    }

    fn data(&mut self, buffer: &mut [u8], left: usize) -> bool {
        let here = left.min(buffer.len() - self.read);
        buffer.copy_within(self.read..self.read + here, self.write);
        self.read += here;
        self.write += here;
        self.phase = if here == left { Phase::DataEnd } else { Phase::Data(left - here) };
        here == left
    }

    fn data_end(&mut self, buffer: &[u8]) -> Result<bool, Refusal> {
        match buffer.get(self.read..self.read + 2) {
            None => Ok(false),
            Some(b"\r\n") => {
                self.read += 2;
                self.phase = Phase::Size;
                Ok(true)
            }
            Some(_) => Err(bad()),
        }
    }

    fn trailer(&mut self, buffer: &[u8]) -> bool {
        let rest = buffer.get(self.read..).unwrap_or_default();
        let Some(line) = memchr::memchr(b'\n', rest) else { return false };
        let empty = rest.get(..line).is_some_and(|line| line.trim_ascii().is_empty());
        self.read += line + 1;
        self.phase = if empty { Phase::Done } else { Phase::Trailer };
        true
    }
}

fn bad() -> Refusal {
    Refusal::bad("The chunked body is broken: a size line or the end of a chunk is wrong.")
}
