//! Streams of Anthropic, Gemini and Responses, read while their bytes pass untouched: usage, end, error.
//!
//! Only events whose name or members say that they matter are looked into; text is never parsed. What
//! an unknown event means is the client's to know, so nothing here fails.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;

use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::Dialect;
use crate::dialect::ir::wire::Text;
use crate::dialect::openai::answer::{USAGE_BYTES_MAX, UsageTap};
use crate::dialect::sse::{Event, Scanner};
use crate::dialect::{anthropic, gemini};
use crate::types::TokenUsage;

static FINISH_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finishReason\""));
static BLOCK_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"blockReason\""));
static GEMINI_USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(GEMINI_USAGE_NAME));
/// Without it a record counts nothing: Vertex AI sends such along in mid-stream.
static PROMPT_TOKENS: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"promptTokenCount\""));

const GEMINI_USAGE_NAME: &str = "\"usageMetadata\"";

/// Reads one stream.
pub struct Watch {
    /// None for an array, whose pieces are not told apart.
    scanner: Option<Scanner>,
    seen: Seen,
}

/// What the events so far said.
struct Seen {
    dialect: Dialect,
    usage: UsageTap,
    /// From the last usage of Gemini's events on. Each of them tells it, and only the last counts: so it
    /// is read once, when it is asked for.
    latest: Vec<u8>,
    end: StreamEnd,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Its last event has not come.
    Open,
    /// It is complete.
    Complete,
    /// It told of an error.
    Failed,
}

/// Reads the usage of an answer in a dialect, wherever in the answer it stands.
pub fn usage_tap(dialect: Dialect) -> UsageTap {
    match dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Bedrock => UsageTap::default(),
        Dialect::Anthropic => UsageTap::new("\"usage\"", anthropic::answer::usage),
        Dialect::Gemini => UsageTap::new(GEMINI_USAGE_NAME, gemini::answer::usage),
    }
}

impl Watch {
    /// The start of a stream.
    pub fn new(dialect: Dialect, framing: Framing) -> Self {
        let is_array = dialect == Dialect::Gemini && framing == Framing::Array;
        let scanner = (!is_array).then(Scanner::default);
        let usage = usage_tap(dialect);
        Self { scanner, seen: Seen { dialect, usage, latest: Vec::new(), end: StreamEnd::Open } }
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, chunk: &[u8]) {
        let Self { scanner, seen } = self;
        match scanner {
            Some(scanner) => scanner.feed(chunk, |event| seen.read(&event)),
            None => seen.read_array(chunk),
        }
    }

    /// The upstream has ended: how the stream stands.
    pub fn finish(&mut self) -> StreamEnd {
        let Self { scanner, seen } = self;
        if let Some(scanner) = scanner {
            scanner.finish(|event| seen.read(&event));
        }
        seen.end
    }

    /// The tokens told so far.
    pub fn usage(&self) -> Option<TokenUsage> {
        self.seen.usage()
    }

    /// Whether an event may be put behind what has passed: not into an array that may be cut anywhere.
    pub fn takes_events(&self) -> bool {
        self.scanner.is_some()
    }
}

impl Seen {
    fn read(&mut self, event: &Event<'_>) {
        let Event::Message { name, data } = event else {
            // It may have been the last one (Responses repeats the whole answer in it): nothing speaks
            // against the stream's being complete.
            if self.end == StreamEnd::Open {
                self.end = StreamEnd::Complete;
            }
            return;
        };
        let says = if self.dialect == Dialect::Gemini {
            self.keep_usage(data);
            gemini_end(data)
        } else {
            let (counts, says) = named(name, data);
            if counts {
                self.usage.feed(data);
            }
            says
        };
        if let Some(says) = says.filter(|_| self.end != StreamEnd::Failed) {
            self.end = says;
        }
    }

    fn read_array(&mut self, chunk: &[u8]) {
        self.usage.feed(chunk);
        // An array is complete once it is closed; what is behind an error is not told apart from it.
        match chunk.trim_ascii_end().last() {
            Some(b']') => self.end = StreamEnd::Complete,
            Some(_) => self.end = StreamEnd::Open,
            None => {}
        }
    }

    /// Keeps what a Gemini event says of usage, if it counts tokens.
    fn keep_usage(&mut self, data: &[u8]) {
        let Some(usage) = GEMINI_USAGE.find(data).and_then(|at| data.get(at..)) else { return };
        if PROMPT_TOKENS.find(usage).is_some() {
            let bytes_max = GEMINI_USAGE_NAME.len() + USAGE_BYTES_MAX;
            self.latest.clear();
            self.latest.extend_from_slice(usage.get(..bytes_max).unwrap_or(usage));
        }
    }

    fn usage(&self) -> Option<TokenUsage> {
        if self.latest.is_empty() {
            return self.usage.usage();
        }
        let mut latest = usage_tap(self.dialect);
        latest.feed(&self.latest);
        latest.usage()
    }
}

/// Whether an event tells usage, and what end it is. The name stands in the event, or in its data.
fn named(name: &[u8], data: &[u8]) -> (bool, Option<StreamEnd>) {
    #[derive(Deserialize)]
    #[serde(bound(deserialize = "'de: 'a"))]
    struct Typed<'a> {
        r#type: Text<'a>,
    }
    let typed: Option<Typed<'_>> =
        if name.is_empty() { serde_json::from_slice(data).ok() } else { None };
    match typed.as_ref().map_or(name, |typed| typed.r#type.as_bytes()) {
        b"message_start" | b"message_delta" => (true, None),
        b"message_stop" => (false, Some(StreamEnd::Complete)),
        b"response.completed" | b"response.incomplete" => (true, Some(StreamEnd::Complete)),
        b"response.failed" => (true, Some(StreamEnd::Failed)),
        b"error" => (false, Some(StreamEnd::Failed)),
        _ => (false, None),
    }
}

/// What end a piece of a Gemini answer is: the dialect has no last event.
fn gemini_end(data: &[u8]) -> Option<StreamEnd> {
    let first = data.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    if first.is_some_and(|first| first.starts_with(b"\"error\"")) {
        return Some(StreamEnd::Failed);
    }
    let ends = FINISH_REASON.find(data).is_some() || BLOCK_REASON.find(data).is_some();
    ends.then_some(StreamEnd::Complete)
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Framing, StreamEnd, TokenUsage, Watch};
    use crate::dialect::sse::EVENT_BYTES_MAX;

    const ANTHROPIC: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":2,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\\"usage\\\":{}\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const RESPONSES: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":7,\"input_tokens_details\":{\"cached_tokens\":2},\"output_tokens\":7}}}\n\n";
    const GEMINI: &str = "data: {\"candidates\":[{\"content\":{}}],\"usageMetadata\":{\"promptTokenCount\":7}}\r\n\r\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":7,\"cachedContentTokenCount\":2,\"candidatesTokenCount\":7}}\r\n\r\ndata: {\"usageMetadata\":{\"trafficType\":\"ON_DEMAND\"}}\r\n\r\n";
    const ARRAY: &str = "[{\"candidates\":[{\"content\":{}}]}\n,\n{\"usageMetadata\":{\"promptTokenCount\":7,\"cachedContentTokenCount\":2,\"candidatesTokenCount\":7}}]\n";

    fn watch(dialect: Dialect, framing: Framing, text: &str, size: usize) -> (StreamEnd, Watch) {
        let mut watch = Watch::new(dialect, framing);
        text.as_bytes().chunks(size).for_each(|chunk| watch.feed(chunk));
        (watch.finish(), watch)
    }

    #[test]
    fn usage_and_end_are_read_for_any_split() {
        let usage = TokenUsage { input: 5, cache_read: 2, output: 7, ..TokenUsage::default() };
        let unnamed = ANTHROPIC.replace("event: message", "id: 1\nx: message");
        for (dialect, framing, text) in [
            (Dialect::Anthropic, Framing::Sse, ANTHROPIC),
            (Dialect::Anthropic, Framing::Sse, &unnamed),
            (Dialect::Responses, Framing::Sse, RESPONSES),
            (Dialect::Gemini, Framing::Sse, GEMINI),
            (Dialect::Gemini, Framing::Array, ARRAY),
        ] {
            for size in [1, 7, 64, text.len()] {
                let (end, watch) = watch(dialect, framing, text, size);
                assert_eq!((end, watch.usage()), (StreamEnd::Complete, Some(usage)), "{text}");
            }
        }
    }

    #[test]
    fn an_event_that_is_too_large_to_be_read_may_have_been_the_last() {
        let event = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(EVENT_BYTES_MAX));
        assert_eq!(watch(Dialect::Responses, Framing::Sse, &event, 9999).0, StreamEnd::Complete);
    }

    #[test]
    fn a_stream_that_stops_short_or_fails_is_not_complete() {
        for (dialect, framing, text, expected) in [
            (Dialect::Anthropic, Framing::Sse, ANTHROPIC.split_at(200).0, StreamEnd::Open),
            (
                Dialect::Anthropic,
                Framing::Sse,
                "event: error\ndata: {\"type\":\"error\"}\n\n",
                StreamEnd::Failed,
            ),
            (Dialect::Responses, Framing::Sse, "", StreamEnd::Open),
            (
                Dialect::Responses,
                Framing::Sse,
                "event: error\ndata: {}\n\nevent: response.failed\ndata: {}\n\n",
                StreamEnd::Failed,
            ),
            (Dialect::Gemini, Framing::Sse, "data: {\"error\":{}}\n\n", StreamEnd::Failed),
            (
                Dialect::Gemini,
                Framing::Sse,
                "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n",
                StreamEnd::Complete,
            ),
            (Dialect::Gemini, Framing::Array, ARRAY.split_at(40).0, StreamEnd::Open),
        ] {
            assert_eq!(watch(dialect, framing, text, 9).0, expected, "{text}");
        }
    }
}
