//! What a stream's events say, read while they pass: usage, the end, an error.
//!
//! Nearly every event carries a few tokens of text and is only looked at for being none of these;
//! so the members are read only where their names occur.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::dialect::members::Members;
use crate::dialect::openai::answer;
use crate::dialect::openai::error::UpstreamError;
use crate::dialect::sse::{Event, Filter, Scanner};
use crate::types::TokenUsage;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
static NO_FINISH: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"finish_reason\":null}]"));
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\""));

/// How much of an event's end is looked at first, in bytes.
const TAIL_BYTES: usize = 160;

/// A stream's answer on its way to the client.
pub struct AnswerStream {
    path: Path,
    /// What was learned so far.
    pub seen: Seen,
}

/// What a stream has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last usage told.
    pub usage: Option<TokenUsage>,
    /// `[DONE]` came: the answer is complete.
    pub done: bool,
    /// A finish reason came: some servers end there, without `[DONE]`.
    pub finished: bool,
    /// The first error told in mid-stream.
    pub error: Option<UpstreamError>,
    /// An event was too large to be read: usage may have been in it.
    pub oversized: bool,
}

/// How bytes go on.
enum Path {
    /// Untouched, at once.
    Through(Scanner),
    /// Without the event that is there only for its usage.
    HidingUsage(Filter),
}

impl AnswerStream {
    /// The start of a stream. With `hide_usage` the event that tells nothing but the usage is kept
    /// from the client, who did not ask for it.
    pub fn new(hide_usage: bool) -> Self {
        let path = if hide_usage {
            Path::HidingUsage(Filter::default())
        } else {
            Path::Through(Scanner::default())
        };
        Self { path, seen: Seen::default() }
    }

    /// Reads a chunk and gives back what goes to the client. That may be nothing, which must not
    /// be written as a chunk: an empty one ends an HTTP/1 body.
    pub fn feed(&mut self, chunk: Bytes) -> Bytes {
        let seen = &mut self.seen;
        match &mut self.path {
            Path::Through(scanner) => {
                scanner.feed(&chunk, |event| {
                    seen.read(&event);
                });
                chunk
            }
            Path::HidingUsage(filter) => filter.feed(chunk, |event| seen.read(&event)),
        }
    }

    /// The upstream has ended: reads what is left and gives back what was kept back.
    pub fn finish(&mut self) -> Bytes {
        let seen = &mut self.seen;
        match &mut self.path {
            Path::Through(scanner) => {
                scanner.finish(|event| {
                    seen.read(&event);
                });
                Bytes::new()
            }
            Path::HidingUsage(filter) => filter.finish(|event| seen.read(&event)),
        }
    }
}

impl Seen {
    /// Reads one event. True if it tells nothing but the usage: `"choices": []` beside it.
    pub fn read(&mut self, event: &Event<'_>) -> bool {
        let data = match event {
            Event::Message { data, .. } => data.trim_ascii(),
            Event::Oversized => {
                self.oversized = true;
                return false;
            }
        };
        if is_text(data) {
            return false;
        }
        if data == b"[DONE]" {
            self.done = true;
            return false;
        }
        self.finished |= told(data, &FINISH);
        if !told(data, &USAGE) && !told(data, &ERROR) {
            return false;
        }
        Members::parse(data).is_ok_and(|members| self.read_members(&members))
    }

    fn read_members(&mut self, members: &Members<'_>) -> bool {
        let error = members.get("error").filter(|error| !error.is_null());
        if error.is_some() && self.error.is_none() {
            self.error = Some(UpstreamError::parse(members.text().as_bytes()));
        }
        let usage = members.get("usage").and_then(|usage| answer::read(usage.raw.as_bytes()));
        if usage.is_none() {
            return false;
        }
        self.usage = usage;
        let choices = members.get("choices").map(|choices| choices.raw);
        let no_choice = choices.and_then(|raw| raw.strip_prefix('[')?.strip_suffix(']'));
        error.is_none() && no_choice.is_some_and(|inside| inside.trim_ascii().is_empty())
    }
}

/// Whether the data are plainly those of an event in the middle of an answer: the one choice has
/// not finished, and no usage follows it. Nearly every event is, and its end alone shows it.
/// (OpenAI puts `obfuscation` behind the usage; a text may hold none of this, since its quotes are
/// escaped.)
fn is_text(data: &[u8]) -> bool {
    let tail = data.get(data.len().saturating_sub(TAIL_BYTES)..).unwrap_or(data);
    let Some(at) = NO_FINISH.find(tail) else { return false };
    let behind = tail.get(at + NO_FINISH.needle().len()..).unwrap_or_default();
    behind == b"}" || behind.starts_with(b",\"usage\":null")
}

/// Whether the data hold this member, at whatever depth, with a value other than `null`.
/// (A quote within a string is escaped, so the name in quotes is no part of a longer text.)
fn told(data: &[u8], name: &Finder<'_>) -> bool {
    name.find_iter(data).any(|at| {
        let behind = data.get(at + name.needle().len()..).unwrap_or_default();
        let value = behind.trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}

#[cfg(test)]
mod tests {
    use super::{AnswerStream, Seen};
    use crate::types::TokenUsage;
    use bytes::Bytes;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    const DELTA: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null}\n\n";
    const USAGE: &str = "data: {\"id\":\"x\",\"choices\": [ ],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn run(hide: bool, chunks: &[&[u8]]) -> (String, Seen) {
        let mut stream = AnswerStream::new(hide);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&stream.feed(Bytes::copy_from_slice(chunk)));
        }
        out.extend_from_slice(&stream.finish());
        (String::from_utf8(out).unwrap(), stream.seen)
    }

    fn usage() -> Option<TokenUsage> {
        Some(TokenUsage { input: 2, output: 3, ..TokenUsage::default() })
    }

    #[test]
    fn usage_is_read_and_hidden_only_where_asked() {
        let text = [DELTA, USAGE, DONE].concat();
        let expected = Seen { usage: usage(), done: true, ..Seen::default() };
        assert_eq!(run(false, &[text.as_bytes()]), (text.clone(), expected.clone()));
        assert_eq!(run(true, &[text.as_bytes()]), ([DELTA, DONE].concat(), expected));
    }

    #[test]
    fn events_that_say_more_than_usage_stay() {
        for event in [
            // Azure's first event; usage with each choice (vLLM); an error beside it.
            r#"{"choices":[],"prompt_filter_results":[{"index":0}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":2,"completion_tokens":3}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":2},"error":{"message":"m"}}"#,
            r#"{"usage":{"prompt_tokens":2}}"#,
            r#"{"choices":[],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":2}"#,
            r#"{"choices":[],"x":{"usage":{"prompt_tokens":2}}}"#,
            r#"{"choices":[{"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        ] {
            let text = format!("data: {event}\n\n");
            assert_eq!(run(true, &[text.as_bytes()]).0, text);
        }
    }

    #[test]
    fn what_follows_an_open_choice_is_not_missed() {
        for (event, expected) in [
            (r#"{"choices":[{"finish_reason":null}],"usage":{"total_tokens":7}}"#, Some(7)),
            (r#"{"choices":[{"finish_reason":null}],"x":1,"usage":{"total_tokens":7}}"#, Some(7)),
            (r#"{"choices":[{"finish_reason":null}],"usage":null}"#, None),
            (r#"{"choices":[{"finish_reason":null}]}"#, None),
        ] {
            let (_, seen) = run(false, &[format!("data: {event}\n\n").as_bytes()]);
            assert_eq!(seen.usage.map(|usage| usage.input), expected, "{event}");
            assert!(!seen.finished);
        }
        let stop = br#"data: {"choices":[{"finish_reason":"stop"}],"usage":null}"#;
        assert!(run(false, &[stop]).1.finished);
    }

    #[test]
    fn errors_in_mid_stream_are_seen() {
        for (event, message) in [
            (r#"{"error":{"message":"boom","code":500}}"#, Some("boom")),
            (
                r#"{"id":"x","error":{"message":"late"},"choices":[{"finish_reason":"error"}]}"#,
                Some("late"),
            ),
            (r#"{"error":"text"}"#, Some("text")),
            (r#"{"error":null,"choices":[]}"#, None),
            (r#"{"choices":[{"delta":{"content":"\"error\":1"}}]}"#, None),
            (r#"{"choices":[{"error":{"message":"inner"}}]}"#, None),
        ] {
            let text = format!("event: error\ndata: {event}\n\n{DONE}");
            let (out, seen) = run(true, &[text.as_bytes()]);
            assert_eq!(out, text);
            assert_eq!(seen.error.as_ref().map(|error| error.message.as_str()), message, "{event}");
            assert!(seen.done);
        }
    }

    proptest! {
        #[test]
        fn any_split_says_and_passes_the_same(
            picks in prop::collection::vec(0_usize..5, 0..8),
            size in 1_usize..90,
            hide in any::<bool>(),
        ) {
            let parts = [DELTA, USAGE, DONE, ": ping\r\n\r\n", "data: {\"error\":{\"message\":\"m\"}}\r\n\r\n"];
            let text: String = picks.iter().map(|pick| parts[*pick]).collect();
            let kept: String = picks.iter().filter(|p| !hide || **p != 1).map(|p| parts[*p]).collect();
            let whole = run(hide, &[text.as_bytes()]);
            prop_assert_eq!(&whole.0, &kept);
            let split: Vec<_> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(run(hide, &split), whole);
        }
    }
}
