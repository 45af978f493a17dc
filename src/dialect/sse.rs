//! Server-sent events as they pass: observed, or one of them cut out, for any split of the bytes.
//!
//! The format is that of the WHATWG HTML standard, section 9.2: lines end by LF, CR or CRLF, an
//! empty line ends an event, a byte order mark may come first. [`Scanner`] only looks on: the
//! bytes are not its own. [`Filter`] hands back the bytes to pass on and keeps back an event that
//! is not complete. Both hold at most one incomplete event; neither judges what the data mean.

use std::borrow::Cow;

use bytes::Bytes;

mod frame;

use frame::Framer;

/// The most bytes an event may have, unless the caller says otherwise.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// One event, borrowed from the bytes just read wherever it lies in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// An event with data.
    Message {
        /// The `event` field; empty where there is none.
        name: &'a [u8],
        /// The `data` fields, joined by LF where there are several.
        data: Cow<'a, [u8]>,
    },
    /// An event over the limit: it was there, its bytes were not kept.
    Oversized,
}

/// Reads events out of bytes that pass by.
pub struct Scanner {
    framer: Framer,
    held: Vec<u8>,
    /// Bytes of the event under way, also those that are not held.
    length: usize,
    event_bytes_max: usize,
    first: bool,
}

/// Cuts events out of bytes that pass through.
pub struct Filter {
    scanner: Scanner,
    /// The last event was cut: a line feed that ends its last line goes with it.
    cut_last: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(EVENT_BYTES_MAX)
    }
}

impl Scanner {
    /// A scanner at the start of a stream, with the most bytes an event may have.
    pub fn new(event_bytes_max: usize) -> Self {
        Self { framer: Framer::new(), held: Vec::new(), length: 0, event_bytes_max, first: true }
    }

    /// Reads on; `on_event` is called for each event that ends in this chunk.
    pub fn feed(&mut self, chunk: &[u8], mut on_event: impl FnMut(Event<'_>)) {
        let mut from = self.line_feed_of_last(chunk);
        while let Some(end) = self.framer.next_end(chunk, from) {
            let piece = chunk.get(from..end).unwrap_or_default();
            if let Some(event) = self.complete(piece) {
                on_event(event);
            }
            self.begin_next();
            from = end;
        }
        self.hold(chunk.get(from..).unwrap_or_default());
    }

    /// The stream has ended: reads an event that lacks its empty line. (A browser drops it; here a
    /// last `[DONE]` or usage without it is still worth knowing.)
    pub fn finish(&mut self, on_event: impl FnOnce(Event<'_>)) {
        if let Some(event) = self.complete(b"") {
            on_event(event);
        }
        self.begin_next();
    }

    /// The number of leading bytes that belong to the event before.
    fn line_feed_of_last(&mut self, chunk: &[u8]) -> usize {
        if self.length == 0 { self.framer.line_feed_of_last(chunk) } else { 0 }
    }

    /// The event that this piece completes; `None` for comments and empty blocks.
    fn complete<'a>(&'a mut self, piece: &'a [u8]) -> Option<Event<'a>> {
        // The LF of a last CRLF does not count: it may as well come when the event is over.
        let piece_bytes = piece.len() - usize::from(piece.ends_with(b"\r\n"));
        if self.length + piece_bytes > self.event_bytes_max {
            return Some(Event::Oversized);
        }
        let block = if self.length == 0 {
            piece
        } else {
            self.held.extend_from_slice(piece);
            &self.held
        };
        frame::event(block, self.first)
    }

    fn begin_next(&mut self) {
        self.held.clear();
        self.length = 0;
        self.first = false;
    }

    /// Keeps the start of an event whose end has not come.
    fn hold(&mut self, piece: &[u8]) {
        self.length += piece.len();
        if self.length > self.event_bytes_max {
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(piece);
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new(EVENT_BYTES_MAX)
    }
}

impl Filter {
    /// A filter at the start of a stream, with the most bytes an event may have. One that grows
    /// over it is passed on without being looked at.
    pub fn new(event_bytes_max: usize) -> Self {
        Self { scanner: Scanner::new(event_bytes_max), cut_last: false }
    }

    /// The bytes to pass on: all but the events that `cut` wants away and the start of an event
    /// whose end has not come. They are the chunk itself, or a part of it, wherever they lie in
    /// one piece. They may be none.
    pub fn feed(&mut self, chunk: Bytes, mut cut: impl FnMut(Event<'_>) -> bool) -> Bytes {
        let scanner = &mut self.scanner;
        let mut from = scanner.line_feed_of_last(&chunk);
        let mut passed = Passed::new(chunk);
        if from > 0 && !self.cut_last {
            passed.piece(0, from);
        }
        while let Some(end) = scanner.framer.next_end(&passed.chunk, from) {
            let held = scanner.held.len();
            let piece = passed.chunk.get(from..end).unwrap_or_default();
            let is_cut = scanner.complete(piece).is_some_and(|event| wanted_away(event, &mut cut));
            if !is_cut {
                // `complete` put the piece behind the held start; only that start is taken here.
                passed.held(scanner.held.get(..held).unwrap_or_default());
                passed.piece(from, end);
            }
            self.cut_last = is_cut;
            scanner.begin_next();
            from = end;
        }
        self.keep_back(from, &mut passed);
        passed.take()
    }

    /// The stream has ended: the bytes of an event that lacks its empty line, unless it is cut.
    pub fn finish(&mut self, cut: impl FnOnce(Event<'_>) -> bool) -> Bytes {
        let is_cut = self.scanner.complete(b"").is_some_and(|event| wanted_away(event, cut));
        let rest = std::mem::take(&mut self.scanner.held);
        self.scanner.begin_next();
        if is_cut { Bytes::new() } else { Bytes::from(rest) }
    }

    /// Holds the start of an event back, or gives it up once it has grown over the limit.
    fn keep_back(&mut self, from: usize, passed: &mut Passed) {
        let rest = passed.chunk.get(from..).unwrap_or_default();
        let length = self.scanner.length + rest.len();
        if length > self.scanner.event_bytes_max {
            passed.held(&std::mem::take(&mut self.scanner.held));
            self.scanner.length = length;
            let end = passed.chunk.len();
            passed.piece(from, end);
        } else {
            self.scanner.hold(rest);
        }
    }
}

/// Asks whether to cut. An oversized event is shown but stays: its start may be gone already.
fn wanted_away(event: Event<'_>, cut: impl FnOnce(Event<'_>) -> bool) -> bool {
    let oversized = event == Event::Oversized;
    cut(event) && !oversized
}

/// The bytes of one call that are passed on: a run of the chunk, and a copy once that is not enough.
struct Passed {
    chunk: Bytes,
    copied: Vec<u8>,
    run: std::ops::Range<usize>,
}

impl Passed {
    fn new(chunk: Bytes) -> Self {
        Self { chunk, copied: Vec::new(), run: 0..0 }
    }

    /// Passes on bytes that an earlier chunk brought.
    fn held(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.settle();
            self.copied.extend_from_slice(bytes);
        }
    }

    /// Passes on a part of the chunk.
    fn piece(&mut self, start: usize, end: usize) {
        if self.run.end != start {
            self.settle();
        }
        if self.run.is_empty() {
            self.run.start = start;
        }
        self.run.end = end;
    }

    fn settle(&mut self) {
        self.copied.extend_from_slice(self.chunk.get(self.run.clone()).unwrap_or_default());
        self.run = 0..0;
    }

    fn take(mut self) -> Bytes {
        if self.copied.is_empty() {
            return self.chunk.slice(self.run);
        }
        self.settle();
        Bytes::from(self.copied)
    }
}

#[cfg(test)]
mod tests;
