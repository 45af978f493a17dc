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
}

impl Framer {
    pub fn new() -> Self {
        Self { line_start: true, after_cr: false }
    }

    /// At the start of a chunk, with no event under way: 1 if its first byte is the LF of the line
    /// end that completed the last event by its CR.
    pub fn line_feed_of_last(&mut self, chunk: &[u8]) -> usize {
        let belongs = self.after_cr && chunk.first() == Some(&b'\n');
        self.after_cr &= chunk.is_empty();
        usize::from(belongs)
    }

    /// Behind the empty line that ends the event under way, if it is in the chunk. `from` is
    /// where the event begins, or 0 for one that began earlier.
    pub fn next_end(&mut self, chunk: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let rest = chunk.get(at..).unwrap_or_default();
            let first = *rest.first()?;
            if self.after_cr && first == b'\n' {
                self.after_cr = false;
                at += 1;
                continue;
            }
            self.after_cr = false;
            let Some(line) = memchr2(b'\n', b'\r', rest) else {
                self.line_start = false;
                return None;
            };
            let empty = self.line_start && line == 0;
            self.line_start = true;
            at += line + 1;
            if rest.get(line) == Some(&b'\r') {
                match chunk.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if empty {
                return Some(at);
            }
        }
    }
}

/// Reads one block of lines, from behind the last empty line to behind the next one.
pub(super) fn event(block: &[u8], first_of_stream: bool) -> Option<Event<'_>> {
    let mark = if first_of_stream { b"\xef\xbb\xbf".as_slice() } else { b"" };
    let mut rest = block.strip_prefix(mark).unwrap_or(block);
    let mut name: &[u8] = b"";
    let mut data: Option<Cow<'_, [u8]>> = None;
    while !rest.is_empty() {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
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
