//! What an endpoint answers, before any fault and before it is put into HTTP.

use std::ops::Range;

use serde_json::Value;

use super::dialect::Dialect;
use super::refusal::Refusal;

/// When everything that the mock answers was made: answers are the same on every day.
pub(crate) const CREATED: u32 = 1_767_225_600;
/// The same in words.
pub(crate) const CREATED_TEXT: &str = "2026-01-01T00:00:00Z";

/// An answer in full.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) content: Content,
    /// The model's tokens in it: what a pace is reckoned by.
    pub(crate) tokens: usize,
    /// A header that only this answer has.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

/// The body of an answer.
pub(crate) enum Content {
    Whole(Vec<u8>),
    Events(Events),
}

impl Answer {
    /// A whole answer in JSON.
    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::bytes("application/json", body.into())
    }

    /// A whole answer in JSON, from a value.
    pub(crate) fn value(value: &Value) -> Self {
        Self::json(value.to_string())
    }

    /// A whole answer of another type.
    pub(crate) fn bytes(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content_type, content: Content::Whole(body), tokens: 0, header: None }
    }

    /// A stream.
    pub(crate) fn stream(dialect: Dialect, events: Events, tokens: usize) -> Self {
        let content = Content::Events(events);
        Self { status: 200, content_type: dialect.stream_type(), content, tokens, header: None }
    }

    /// No answer: the reason, as the dialect says it.
    pub(crate) fn refusal(dialect: Dialect, refusal: &Refusal) -> Self {
        let header = dialect.error_kind(refusal.status);
        Self { status: refusal.status, header, ..Self::value(&dialect.error(refusal)) }
    }

    /// The same with the model's tokens in it.
    pub(crate) fn tokens(self, tokens: usize) -> Self {
        Self { tokens, ..self }
    }
}

/// The events of a stream, one behind the other.
#[derive(Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The events that come at a pace; those before come with the first of them, those behind
    /// with the last.
    paced: Range<usize>,
}

impl Events {
    /// No events yet, with room for this many in so many bytes.
    pub(crate) fn with_capacity(events: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(events), paced: 0..0 }
    }

    /// One event more, as `render` writes it.
    pub(crate) fn push(&mut self, render: impl FnOnce(&mut Vec<u8>)) {
        render(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// From the next event on, events come at a pace …
    pub(crate) fn begin_pace(&mut self) {
        self.paced.start = self.ends.len();
    }

    /// … up to here.
    pub(crate) fn end_pace(&mut self) {
        self.paced.end = self.ends.len();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many events come at a pace.
    pub(crate) fn paced(&self) -> usize {
        self.paced.len()
    }

    /// The bytes of one event.
    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        self.bytes.get(self.start(number)..*self.ends.get(number)?)
    }

    /// How many steps of the pace lie before an event.
    pub(crate) fn step(&self, number: usize) -> u32 {
        let step = number.min(self.paced.end.saturating_sub(1)).saturating_sub(self.paced.start);
        u32::try_from(step).unwrap_or(u32::MAX)
    }

    /// Only the first events, this many.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Puts an event before the one with this number, or at the end.
    pub(crate) fn insert(&mut self, number: usize, event: &[u8]) {
        let number = number.min(self.ends.len());
        let start = self.start(number);
        self.bytes.splice(start..start, event.iter().copied());
        self.ends.iter_mut().skip(number).for_each(|end| *end += event.len());
        self.ends.insert(number, start + event.len());
    }

    /// Puts a text behind the last event, as a part of it.
    pub(crate) fn lengthen(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        match self.ends.last_mut() {
            Some(end) => *end = self.bytes.len(),
            None => self.ends.push(self.bytes.len()),
        }
    }

    /// Forgets where events end: pieces of this many bytes take their place, all at a pace.
    pub(crate) fn recut(&mut self, piece_bytes: usize) {
        let total = self.bytes.len();
        let cuts = (piece_bytes.max(1)..total).step_by(piece_bytes.max(1));
        self.ends = cuts.chain((total > 0).then_some(total)).collect();
        self.paced = 0..self.ends.len();
    }

    fn start(&self, number: usize) -> usize {
        number.checked_sub(1).and_then(|before| self.ends.get(before).copied()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    fn events() -> Events {
        let mut events = Events::default();
        for (number, text) in ["role ", "a ", "b ", "end "].iter().enumerate() {
            if number == 1 {
                events.begin_pace();
            }
            if number == 3 {
                events.end_pace();
            }
            events.push(|out| out.extend_from_slice(text.as_bytes()));
        }
        events
    }

    fn shown(events: &Events) -> String {
        let texts = (0..events.len()).map(|n| std::str::from_utf8(events.get(n).unwrap()).unwrap());
        texts.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn events_can_be_changed() {
        let mut changed = events();
        assert_eq!(shown(&changed), "role |a |b |end ");
        changed.insert(1, b"X ");
        assert_eq!(shown(&changed), "role |X |a |b |end ");
        changed.insert(99, b"Y ");
        assert_eq!(shown(&changed), "role |X |a |b |end |Y ");
        changed.truncate(2);
        assert_eq!(shown(&changed), "role |X ");
        changed.truncate(0);
        assert_eq!(shown(&changed), "");
        changed.lengthen("Z ");
        changed.lengthen("Z ");
        assert_eq!(shown(&changed), "Z Z ");
        let mut pieces = events();
        pieces.recut(5);
        assert_eq!(shown(&pieces), "role |a b e|nd ");
    }

    #[test]
    fn the_pace_is_that_of_the_content() {
        let events = events();
        let steps: Vec<u32> = (0..events.len()).map(|number| events.step(number)).collect();
        assert_eq!(steps, [0, 0, 1, 1]);
        assert_eq!(events.paced(), 2);
        assert_eq!(Events::default().step(3), 0);
    }
}
