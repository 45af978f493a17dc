//! Ending a stream before its upstream does, as if it had reached its limit of tokens.
//!
//! A stream that is translated has a writer that knows how it stands. One that passes untouched has one beside
//! it, which writes what nobody reads until the last events are wanted. It is only there where a stream may be
//! ended so.

use bytes::Bytes;
use memchr::memmem::rfind;

use super::Passage;
use super::translated::EVENT_BYTES_MAX;
use crate::dialect::sse::{Event, Scanner};
use crate::dialect::translate::stream::{StreamOptions, StreamTranslator};
use crate::types::TokenUsage;

/// A writer beside a stream that passes.
pub struct Beside {
    scanner: Scanner,
    writer: StreamTranslator,
    unread: Vec<u8>,
}

impl Beside {
    /// The start of a stream of server-sent events.
    pub fn new(passage: &Passage<'_>) -> Self {
        let request = passage.request;
        let options = StreamOptions {
            reply: passage.reply,
            include_usage: request.include_usage,
            framing: request.framing,
        };
        Self {
            scanner: Scanner::new(EVENT_BYTES_MAX),
            writer: StreamTranslator::new(request.dialect, request.dialect, &options),
            unread: Vec::new(),
        }
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { scanner, writer, unread } = self;
        scanner.feed(bytes, |event| {
            if let Event::Message { data, .. } = event {
                unread.clear();
                writer.event(&data, unread);
            }
        });
    }

    /// Cuts off, of the bytes that were read last, the beginning of an event that is not complete. False where the
    /// stream cannot be ended behind them.
    pub fn stop(&self, body: &mut Option<Bytes>) -> bool {
        let end = body.as_ref().and_then(|bytes| last_event_end(bytes));
        let (Some(bytes), Some(end)) = (body, end.filter(|_| self.writer.is_under_way())) else {
            return false;
        };
        bytes.truncate(end);
        true
    }

    /// The last events.
    pub fn last_events(&mut self, used: TokenUsage) -> Bytes {
        let mut out = Vec::new();
        self.writer.stop(used, &mut out);
        Bytes::from(out)
    }
}

fn last_event_end(bytes: &[u8]) -> Option<usize> {
    let behind = |mark: &[u8]| rfind(bytes, mark).map(|at| at + mark.len());
    behind(b"\n\n").max(behind(b"\r\n\r\n"))
}
