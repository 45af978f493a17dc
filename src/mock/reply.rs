//! How an answer is given: its times, and its faults.
//!
//! Nothing here waits or cuts; it decides what `connection` carries out.

use std::time::Duration;

use super::answer::{Answer, Content};
use super::behaviour::{Behaviour, Header};
use super::dialect::Dialect;
use super::refusal::Refusal;

/// An answer and how it is given.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) dialect: Dialect,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<Header>,
    /// A header of the answer itself.
    pub(crate) header: Option<(&'static str, &'static str)>,
    /// A number that no other answer has.
    pub(crate) number: u64,
    /// No answer at all: wait for the client to leave.
    pub(crate) hang: bool,
    /// The wait before the header.
    pub(crate) before_header: Duration,
    /// The wait before a stream's first event.
    pub(crate) before_first: Duration,
    /// The wait between two steps of a stream's pace.
    pub(crate) step: Duration,
    /// The length that a whole answer's header promises.
    pub(crate) length: usize,
    pub(crate) content: Content,
    pub(crate) ending: Ending,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    /// The connection is closed too early.
    Cut,
    /// The connection is reset too early.
    Reset,
}

impl Reply {
    pub(crate) fn new(answer: Answer, dialect: Dialect, behaviour: Behaviour, number: u64) -> Self {
        let first = Duration::from_millis(behaviour.first_token_ms.into());
        let mut reply = Self {
            status: if answer.status == 200 {
                behaviour.status.unwrap_or(200)
            } else {
                answer.status
            },
            dialect,
            content_type: answer.content_type,
            number,
            hang: behaviour.hang,
            before_header: Duration::from_millis(behaviour.delay_ms.into()),
            before_first: first,
            step: Duration::from_millis(behaviour.chunk_ms.into()),
            length: 0,
            content: answer.content,
            header: answer.header,
            ending: Ending::Complete,
            headers: Vec::new(),
        };
        let generation = match behaviour.tokens_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs(answer.tokens.saturating_sub(1) as u64) / rate,
        };
        match &mut reply.content {
            // A whole answer takes as long as a stream of the same length.
            Content::Whole(bytes) => {
                reply.before_header += first + generation;
                reply.length = bytes.len();
            }
            Content::Events(events) => {
                let steps = u32::try_from(events.paced().saturating_sub(1)).unwrap_or(u32::MAX);
                reply.step = reply.step.max(generation.checked_div(steps).unwrap_or_default());
            }
        }
        reply.fail(&behaviour);
        reply.headers = behaviour.headers;
        reply
    }

    /// Puts the faults into the answer.
    fn fail(&mut self, behaviour: &Behaviour) {
        let dialect = self.dialect;
        if let Content::Events(events) = &mut self.content {
            if behaviour.no_done {
                events.truncate(events.len().saturating_sub(dialect.last_events()));
            }
            if let Some(number) = behaviour.error_at {
                let error = Refusal::new(500, "A simulated failure in mid-stream.");
                events.truncate(number);
                let event = dialect.error_event(&error, events.len());
                events.insert(number, &event);
            }
            if let Some(number) = behaviour.malformed_at {
                events.insert(number, &dialect.malformed_event(number));
            }
            if behaviour.cut_after.is_none() && !dialect.stream_end().is_empty() {
                events.lengthen(dialect.stream_end());
            }
        }
        if let Some(rest) = behaviour.cut_after {
            self.ending = if behaviour.reset { Ending::Reset } else { Ending::Cut };
            match &mut self.content {
                Content::Whole(bytes) => bytes.truncate(rest),
                Content::Events(events) => events.truncate(rest),
            }
        }
        if let (Content::Events(events), Some(bytes)) = (&mut self.content, behaviour.piece_bytes) {
            events.recut(bytes);
        }
    }
}
