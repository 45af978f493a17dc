//! The usage that an answer reports, in disjoint classes.
//!
//! OpenAI counts cached tokens within `prompt_tokens` and reasoning within `completion_tokens`;
//! the gateway counts each token once, so the parts are taken out of the whole. Names and habits
//! of other servers are read too. Figures that contradict each other never wrap: a part is at
//! most its whole.

use crate::dialect::scan::{Cursor, Fault};
use crate::dialect::tap::ObjectTap;
use crate::types::TokenUsage;

/// The most bytes of a usage object. Real ones have some hundred.
pub const USAGE_BYTES_MAX: usize = 16 * 1024;

/// Reads the usage of a whole answer while its bytes pass by, wherever in the answer it stands.
/// Of several objects that count tokens, the last is the answer's.
pub struct UsageTap {
    tap: ObjectTap,
    reader: Reader,
    usage: Option<TokenUsage>,
}

/// Reads a usage object of a dialect; `None` if it is none. What the object leaves out may be taken
/// from the one before.
pub type Reader = fn(&[u8], Option<TokenUsage>) -> Option<TokenUsage>;

impl Default for UsageTap {
    fn default() -> Self {
        Self::new("\"usage\"", |object, _| read(object))
    }
}

impl UsageTap {
    /// Reads the objects behind this name, which is given in quotes.
    pub fn new(name: &'static str, reader: Reader) -> Self {
        Self { tap: ObjectTap::new(name, USAGE_BYTES_MAX), reader, usage: None }
    }

    /// Follows the next bytes of the answer.
    pub fn feed(&mut self, chunk: &[u8]) {
        let (usage, reader) = (&mut self.usage, self.reader);
        self.tap.feed(chunk, |object| *usage = reader(object, *usage).or(*usage));
    }

    /// The usage, once it has passed.
    pub fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }
}

/// Reads a usage object; `None` if it is none, or counts no tokens.
pub fn read(object: &[u8]) -> Option<TokenUsage> {
    let mut reported = Reported::default();
    Cursor::new(object, 0).object(|name, value| reported.read(name, value)).ok()?;
    reported.usage()
}

/// A usage object as servers write it. What is no count is not there.
#[derive(Default)]
struct Reported {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    // Images, transcriptions and Responses say `input_tokens` and `output_tokens`.
    input_tokens: Count,
    output_tokens: Count,
    // DeepSeek and Moonshot put it beside the whole.
    prompt_cache_hit_tokens: Count,
    cached_tokens: Count,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
}

impl Reported {
    /// Reads the value of a member.
    fn read(&mut self, name: &[u8], value: &mut Cursor<'_>) -> Result<(), Fault> {
        let details = match name {
            b"prompt_tokens_details" => &mut self.prompt_tokens_details,
            b"input_tokens_details" => &mut self.input_tokens_details,
            b"completion_tokens_details" => &mut self.completion_tokens_details,
            b"output_tokens_details" => &mut self.output_tokens_details,
            _ => return self.read_count(name, value),
        };
        *details = Details::read(value)?;
        Ok(())
    }

    fn read_count(&mut self, name: &[u8], value: &mut Cursor<'_>) -> Result<(), Fault> {
        let value = value.raw_value(1)?;
        let known = match name {
            b"prompt_tokens" => &mut self.prompt_tokens,
            b"completion_tokens" => &mut self.completion_tokens,
            b"total_tokens" => &mut self.total_tokens,
            b"input_tokens" => &mut self.input_tokens,
            b"output_tokens" => &mut self.output_tokens,
            b"prompt_cache_hit_tokens" => &mut self.prompt_cache_hit_tokens,
            b"cached_tokens" => &mut self.cached_tokens,
            _ => return Ok(()),
        };
        *known = count(value);
        Ok(())
    }

    fn usage(&self) -> Option<TokenUsage> {
        let total = self.total_tokens;
        let prompt = self.prompt_tokens.or(self.input_tokens);
        let completion = self.completion_tokens.or(self.output_tokens);
        // Rerankers and some embedders report nothing but the total: all of it was read.
        let prompt = match (prompt, completion) {
            (None, None) => total?,
            (prompt, _) => prompt.unwrap_or(0),
        };
        let completion = completion.unwrap_or(0);

        let (read, written) = (self.of_prompt(), self.of_completion());
        let beside = self.prompt_cache_hit_tokens.or(self.cached_tokens);
        let cache_read = read.cached.or(beside).unwrap_or(0).min(prompt);
        // OpenRouter's name; OpenAI itself reports no writes.
        let cache_write = read.cache_write.unwrap_or(0).min(prompt - cache_read);
        let reasoning = written.reasoning.unwrap_or(0);
        // xAI counts reasoning beside the completion: then only all three make the total.
        let beside = total.is_some_and(|total| {
            reasoning > 0 && total >= prompt.saturating_add(completion).saturating_add(reasoning)
        });
        let reasoning = if beside { reasoning } else { reasoning.min(completion) };
        Some(TokenUsage {
            input: prompt - cache_read - cache_write,
            cache_read,
            cache_write,
            output: if beside { completion } else { completion - reasoning },
            reasoning,
        })
    }

    fn of_prompt(&self) -> Details {
        self.prompt_tokens_details.or(self.input_tokens_details).unwrap_or_default()
    }

    fn of_completion(&self) -> Details {
        self.completion_tokens_details.or(self.output_tokens_details).unwrap_or_default()
    }
}

/// The parts of a count.
#[derive(Clone, Copy, Default)]
struct Details {
    cached: Count,
    cache_write: Count,
    reasoning: Count,
}

impl Details {
    /// `None` where it is no object.
    fn read(value: &mut Cursor<'_>) -> Result<Option<Self>, Fault> {
        if value.peek() != Some(b'{') {
            return value.value(1).map(|()| None);
        }
        let mut details = Self::default();
        value.object(|name, value| {
            let value = value.raw_value(2)?;
            match name {
                b"cached_tokens" => details.cached = count(value),
                b"cache_write_tokens" => details.cache_write = count(value),
                b"reasoning_tokens" => details.reasoning = count(value),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Some(details))
    }
}

/// What is no count is nothing.
type Count = Option<u64>;

/// A whole number; or one with a fraction, which is cut off.
fn count(value: &[u8]) -> Count {
    let whole = value.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(whole).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::UsageTap;
    use crate::types::TokenUsage;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn read(body: &str) -> Option<TokenUsage> {
        let mut tap = UsageTap::default();
        tap.feed(body.as_bytes());
        tap.usage()
    }

    fn tokens(input: u64, cache_read: u64, output: u64, reasoning: u64) -> Option<TokenUsage> {
        Some(TokenUsage { input, cache_read, cache_write: 0, output, reasoning })
    }

    #[test]
    fn tokens_are_counted_once() {
        for (usage, expected) in [
            // A chat.
            (
                r#"{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":4}}"#,
                tokens(12, 8, 6, 4),
            ),
            (
                r#"{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30,"prompt_tokens_details":null}"#,
                tokens(20, 0, 10, 0),
            ),
            // Embeddings; a reranker.
            (r#"{"prompt_tokens":5,"total_tokens":5}"#, tokens(5, 0, 0, 0)),
            (r#"{"total_tokens":7}"#, tokens(7, 0, 0, 0)),
            // An image.
            (
                r#"{"input_tokens":9,"output_tokens":3,"total_tokens":12,"input_tokens_details":{"text_tokens":9}}"#,
                tokens(9, 0, 3, 0),
            ),
            // xAI, as recorded; DeepSeek.
            (
                r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354,"prompt_tokens_details":{"cached_tokens":11},"completion_tokens_details":{"reasoning_tokens":340}}"#,
                tokens(1, 11, 2, 340),
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14,"prompt_cache_hit_tokens":10}"#,
                tokens(2, 10, 2, 0),
            ),
            // Nonsense stays within bounds.
            (
                r#"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":9}}"#,
                tokens(0, 5, 0, 2),
            ),
            (
                r#"{"prompt_tokens":"x","completion_tokens":-2,"total_tokens":3.0,"prompt_tokens_details":7}"#,
                tokens(3, 0, 0, 0),
            ),
            ("{}", None),
            ("null", None),
            ("[1]", None),
            (r#"{"type":"duration","seconds":3}"#, None),
        ] {
            let body = format!("{{\"choices\":[{{\"usage\":1}}],\"usage\":{usage},\"id\":\"x\"}}");
            assert_eq!(read(&body), expected, "{usage}");
        }
        assert_eq!(read("{\"usage\":{\"prompt_tokens\":1"), None, "cut short");
        assert_eq!(read("upstream connect error"), None);
    }

    #[test]
    fn cache_writes_are_a_class_of_their_own() {
        let usage = read(
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":4}}}"#,
        );
        let expected =
            TokenUsage { input: 3, cache_read: 3, cache_write: 4, output: 1, reasoning: 0 };
        assert_eq!(usage, Some(expected));
    }

    proptest! {
        #[test]
        fn classes_add_up(
            prompt in any::<u64>(), completion in any::<u64>(),
            cached in any::<u64>(), reasoning in any::<u64>(), size in 1_usize..50,
        ) {
            let body = serde_json::json!({ "usage": {
                "prompt_tokens": prompt, "completion_tokens": completion,
                "prompt_tokens_details": { "cached_tokens": cached },
                "completion_tokens_details": { "reasoning_tokens": reasoning },
            }}).to_string();
            let mut tap = UsageTap::default();
            body.as_bytes().chunks(size).for_each(|chunk| tap.feed(chunk));
            let usage = tap.usage().unwrap();
            prop_assert_eq!(usage.input + usage.cache_read + usage.cache_write, prompt);
            prop_assert_eq!(usage.output + usage.reasoning, completion);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let body = [b"{\"usage\":{", bytes.as_slice(), b"}}"].concat();
            let mut tap = UsageTap::default();
            tap.feed(&body);
            prop_assert!(tap.usage().is_none());
        }
    }
}
