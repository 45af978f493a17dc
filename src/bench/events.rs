//! When the events of a stream arrived. Only what a clock needs is read: where an event ends,
//! which one is the first to carry text, and how the stream ended.

use std::time::{Duration, Instant};

use memchr::memmem;

/// Members that hold text of an answer, in the APIs there are; an empty text does not count.
const TEXTS: [&[u8]; 4] = [b"\"content\":\"", b"\"text\":\"", b"\"delta\":\"", b"\"arguments\":\""];

/// How much of a stream's end, and of its last event's beginning, is kept to look for what ends it, in bytes.
const KEPT_BYTES: usize = 1024;

/// The arrivals of one stream.
pub(super) struct Arrivals {
    first: Option<Instant>,
    last: Instant,
    gaps: Vec<Gap>,
    line: Line,
    /// The event with the first text has not ended yet.
    in_first: bool,
    tail: Vec<u8>,
    /// How the event under way begins, or the last one where none is.
    head: Vec<u8>,
    /// No event is under way.
    between: bool,
}

/// Events that arrived together, and the time since those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) waited: Duration,
    pub(super) events: u64,
}

/// The line being read: an event ends with an empty one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    /// A carriage return, which belongs to a line's end.
    Return,
    Full,
}

impl Arrivals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            first: None,
            last: now,
            gaps: Vec::new(),
            line: Line::Empty,
            in_first: true,
            tail: Vec::new(),
            head: Vec::new(),
            between: true,
        }
    }

    /// A piece of the stream, at the moment when it is read.
    pub(super) fn see(&mut self, piece: &[u8], now: Instant) {
        let before = self.tail.len();
        self.tail.extend_from_slice(piece);
        let mut counted = piece;
        if self.first.is_none() {
            // What decides is the text's first byte, so it lies in this piece.
            let text = first_text(&self.tail).map_or(piece.len(), |at| at.saturating_sub(before));
            let (ahead, behind) = piece.split_at_checked(text).unwrap_or((piece, &[]));
            self.ends(ahead);
            counted = behind;
            if !behind.is_empty() {
                (self.first, self.last) = (Some(now), now);
            }
        }
        let mut events = self.ends(counted);
        if events > 0 && self.in_first {
            (self.in_first, events) = (false, events - 1);
        }
        if events > 0 {
            self.gaps.push(Gap { waited: now - self.last, events });
            self.last = now;
        }
        self.tail.drain(..self.tail.len().saturating_sub(KEPT_BYTES));
    }

    /// When the first text arrived; `None` where there was none.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// The times between events behind the first with text.
    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Whether the stream's end, or the beginning of its last event, holds this text: an event that repeats the
    /// whole answer says first what it is.
    pub(super) fn ended_with(&self, mark: &str) -> bool {
        [&self.tail, &self.head].iter().any(|kept| memmem::find(kept, mark.as_bytes()).is_some())
    }

    /// How many events end in these bytes.
    fn ends(&mut self, bytes: &[u8]) -> u64 {
        let (mut events, mut start) = (0, 0);
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.read(bytes.get(start..end).unwrap_or_default());
            self.between = self.line != Line::Full;
            events += u64::from(self.between);
            (self.line, start) = (Line::Empty, end + 1);
        }
        self.read(bytes.get(start..).unwrap_or_default());
        events
    }

    /// A piece of a line.
    fn read(&mut self, piece: &[u8]) {
        self.line = self.line.with(piece);
        if self.line != Line::Full {
            return;
        }
        if std::mem::take(&mut self.between) {
            self.head.clear();
        }
        let room = KEPT_BYTES - self.head.len();
        self.head.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
}

impl Line {
    fn with(self, more: &[u8]) -> Self {
        match (self, more) {
            (line, []) => line,
            (Self::Empty, b"\r") => Self::Return,
            _ => Self::Full,
        }
    }
}

/// Where the first text begins that is not empty.
fn first_text(bytes: &[u8]) -> Option<usize> {
    let starts = TEXTS.iter().flat_map(|name| {
        memmem::find_iter(bytes, *name)
            .map(|at| at + name.len())
            .filter(|at| bytes.get(*at).is_some_and(|byte| *byte != b'"'))
    });
    starts.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str) -> String {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    }

    /// Pieces, each a millisecond behind the one before, the first at 1 ms.
    fn arrivals(pieces: &[&str]) -> (Arrivals, Instant) {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        for (ms, piece) in (1..).zip(pieces) {
            arrivals.see(piece.as_bytes(), start + Duration::from_millis(ms));
        }
        (arrivals, start)
    }

    fn check(pieces: &[&str], first_ms: Option<u64>, gaps: &[(u64, u64)]) {
        let (arrivals, start) = arrivals(pieces);
        let first = arrivals.first().map(|first| first - start);
        assert_eq!(first, first_ms.map(Duration::from_millis), "{pieces:?}");
        let gap =
            |(ms, events): &(u64, u64)| Gap { waited: Duration::from_millis(*ms), events: *events };
        assert_eq!(arrivals.gaps(), gaps.iter().map(gap).collect::<Vec<_>>(), "{pieces:?}");
    }

    #[test]
    fn the_first_text_starts_the_count_and_each_event_behind_it_is_one() {
        let (role, a) = (delta(""), delta("a"));
        check(&[], None, &[]);
        check(&[&role], None, &[]);
        check(&[&role, &a, &a, &a], Some(2), &[(1, 1), (1, 1)]);
        check(&[&role, &(a.clone() + &a + &a), &a], Some(2), &[(0, 2), (1, 1)]);
        check(&[&a, ": comment", "\n\n"], Some(1), &[(2, 1)]);
        check(&[&a.replace('\n', "\r\n"), &a.replace('\n', "\r\n")], Some(1), &[(1, 1)]);
    }

    #[test]
    fn an_event_may_be_split_anywhere() {
        let a = delta("a");
        for split in 1..a.len() {
            let (left, right) = a.split_at(split);
            let (arrivals, _) = arrivals(&[&a, left, right, "data: [DONE]\n\n"]);
            let events: u64 = arrivals.gaps().iter().map(|gap| gap.events).sum();
            assert_eq!(events, 2, "split at {split}");
            assert!(arrivals.ended_with("[DONE]"));
        }
    }

    #[test]
    fn the_end_is_found_behind_a_long_stream_only_where_it_is() {
        let long = delta(&"x".repeat(5000));
        assert!(!arrivals(&[&long, "data: [DO"]).0.ended_with("[DONE]"));
        assert!(arrivals(&[&long, "data: [DO", "NE]\n\n"]).0.ended_with("[DONE]"));
    }

    #[test]
    fn a_last_event_of_any_length_is_known_by_its_beginning() {
        let long = "x".repeat(5000);
        let last = |name: &str| format!("event: {name}\r\ndata: {{\"text\":\"{long}\"}}\r\n\r\n");
        let (done, answer) = (last("part.done"), last("answer.done"));
        for split in [1, 8, 20, 30, 3000] {
            let (left, right) = answer.split_at(split);
            let (arrivals, _) = arrivals(&[&done, left, right]);
            assert!(arrivals.ended_with("answer.done"), "split at {split}");
            assert!(!arrivals.ended_with("part.done"), "split at {split}");
        }
    }
}
