//! Where events end in a byte stream, and what one complete event says.

use std::borrow::Cow;

use memchr::memchr2;

use crate::dialect::sse::Event;

/// Finds the ends of events; keeps nothing but where it stands in a line.
pub(super) struct Framer {
    /// The next byte is the first of a line.
    line_start: bool,
    /// The last byte was a CR: an LF that follows belongs to the same line end.
    after_cr: bool,
    /// Lines of the event under way that have ended, the empty one not counted.
    lines: usize,
}

impl Framer {
    pub fn new() -> Self {
        Self { line_start: true, after_cr: false, lines: 0 }
    }

    /// At the start of a chunk, with no event under way: 1 if its first byte is the LF of the line
    /// end that completed the last event by its CR.
    pub fn line_feed_of_last(&mut self, chunk: &[u8]) -> usize {
        let belongs = self.after_cr && chunk.first() == Some(&b'\n');
        self.after_cr &= chunk.is_empty();
        usize::from(belongs)
    }

    /// Finds the empty line that ends the event under way, if it is in the chunk: the place behind
    /// it, and the number of lines before it. `from` is where the event begins, or 0 for one that
    /// began in an earlier chunk.
    pub fn next_end(&mut self, chunk: &[u8], from: usize) -> Option<(usize, usize)> {
        let mut at = from;
        if let Some(first) = chunk.get(at) {
            at += usize::from(self.after_cr && *first == b'\n');
            self.after_cr = false;
        }
        loop {
            let rest = chunk.get(at..).unwrap_or_default();
            let empty = self.line_start && matches!(rest.first(), Some(b'\n' | b'\r'));
            let line = if empty { Some(0) } else { memchr2(b'\n', b'\r', rest) };
            let Some(line) = line else {
                self.line_start &= rest.is_empty();
                return None;
            };
            self.line_start = true;
            at += line + 1;
            if rest.get(line) == Some(&b'\r') {
                self.after_cr = at == chunk.len();
                at += usize::from(chunk.get(at) == Some(&b'\n'));
            }
            if empty {
                return Some((at, std::mem::take(&mut self.lines)));
            }
            self.lines += 1;
        }
    }
}

/// Reads one block of lines, from behind the last empty line to behind the next one.
pub(super) fn event(block: &[u8], lines: usize, first_of_stream: bool) -> Option<Event<'_>> {
    let mark = if first_of_stream { b"\xef\xbb\xbf".as_slice() } else { b"" };
    let mut rest = block.strip_prefix(mark).unwrap_or(block);
    if lines == 1 && rest.starts_with(b"data:") {
        // The usual event.
        let data = Cow::Borrowed(field(last_line(rest))?.1);
        return Some(Event::Message { name: b"", data });
    }
    let mut name: &[u8] = b"";
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut ahead = lines;
    while !rest.is_empty() {
        let line;
        (line, rest) =
            if ahead == 1 { (last_line(rest), b"".as_slice()) } else { first_line(rest) };
        ahead = ahead.saturating_sub(1);
        match field(line) {
            Some((b"data", value)) => match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            Some((b"event", value)) => name = value,
            _ => {}
        }
    }
    data.map(|data| Event::Message { name, data })
}

/// The first line, and what comes behind its end.
fn first_line(block: &[u8]) -> (&[u8], &[u8]) {
    let (line, behind) = block.split_at(memchr2(b'\n', b'\r', block).unwrap_or(block.len()));
    let end = if behind.starts_with(b"\r\n") { 2 } else { 1 };
    (line, behind.get(end..).unwrap_or_default())
}

/// The only line of a block, with nothing but line ends behind it.
fn last_line(block: &[u8]) -> &[u8] {
    let ends = block.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    block.split_at(block.len() - ends).0
}

/// A line's field and value; `None` for a comment or an empty line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(value) = line.strip_prefix(b"data:") {
        return Some((b"data", value.strip_prefix(b" ").unwrap_or(value)));
    }
    match memchr::memchr(b':', line) {
        Some(0) => None,
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            Some((name, value.strip_prefix(b" ").unwrap_or(value)))
        }
        None if line.is_empty() => None,
        None => Some((line, b"")),
    }
}
