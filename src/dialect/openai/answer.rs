//! The usage that an answer reports, in disjoint classes.
//!
//! OpenAI counts cached tokens within `prompt_tokens` and reasoning within `completion_tokens`;
//! the gateway counts each token once, so the parts are taken out of the whole. Names and habits
//! of other servers are read too. Figures that contradict each other never wrap: a part is at
//! most its whole.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::dialect::tap::ObjectTap;
use crate::types::TokenUsage;

/// The most bytes of a usage object. Real ones have some hundred.
pub const USAGE_BYTES_MAX: usize = 16 * 1024;

/// The largest count believed: whatever is larger is no count of tokens.
const COUNT_MAX: f64 = 1e15;

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
    serde_json::from_slice::<Reported>(object).ok()?.usage()
}

/// A usage object as servers write it. What is no count is not there.
#[derive(Default, Deserialize)]
#[serde(default)]
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
    prompt_tokens_details: Details,
    input_tokens_details: Details,
    completion_tokens_details: Details,
    output_tokens_details: Details,
}

impl Reported {
    fn usage(&self) -> Option<TokenUsage> {
        let total = self.total_tokens.0;
        let prompt = self.prompt_tokens.0.or(self.input_tokens.0);
        let completion = self.completion_tokens.0.or(self.output_tokens.0);
        // Rerankers and some embedders report nothing but the total: all of it was read.
        let prompt = match (prompt, completion) {
            (None, None) => total?,
            (prompt, _) => prompt.unwrap_or(0),
        };
        let completion = completion.unwrap_or(0);

        let (read, written) = (self.read(), self.written());
        let beside = self.prompt_cache_hit_tokens.0.or(self.cached_tokens.0);
        let cache_read = read.cached.0.or(beside).unwrap_or(0).min(prompt);
        // OpenRouter's name; OpenAI itself reports no writes.
        let cache_write = read.cache_write.0.unwrap_or(0).min(prompt - cache_read);
        let reasoning = written.reasoning.0.unwrap_or(0);
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

    fn read(&self) -> &Details {
        let prompt = &self.prompt_tokens_details;
        if prompt.is_there { prompt } else { &self.input_tokens_details }
    }

    fn written(&self) -> &Details {
        let completion = &self.completion_tokens_details;
        if completion.is_there { completion } else { &self.output_tokens_details }
    }
}

/// The parts of a count.
#[derive(Default)]
struct Details {
    is_there: bool,
    cached: Count,
    cache_write: Count,
    reasoning: Count,
}

/// A whole number, or one written with a fraction, cut; anything else is nothing.
#[derive(Clone, Copy, Default)]
struct Count(Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DetailsVisitor)
    }
}

/// Takes any value for nothing, where the visitor does not say otherwise.
macro_rules! nothing {
    ($($name:ident: $type:ty),*) => {$(
        fn $name<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    )*};
}

/// Takes a list for nothing.
macro_rules! no_list {
    () => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(Some(count)))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        Ok(Count((0.0..COUNT_MAX).contains(&count).then_some(count as u64)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Count, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::default())
    }

    nothing!(visit_i64: i64, visit_bool: bool, visit_str: &str);
    no_list!();
}

struct DetailsVisitor;

impl<'de> Visitor<'de> for DetailsVisitor {
    type Value = Details;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parts of a count")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Details, A::Error> {
        let mut details = Details { is_there: true, ..Details::default() };
        while let Some(name) = object.next_key::<Part>()? {
            let count = object.next_value()?;
            match name {
                Part::CachedTokens => details.cached = count,
                Part::CacheWriteTokens => details.cache_write = count,
                Part::ReasoningTokens => details.reasoning = count,
                Part::Other => {}
            }
        }
        Ok(details)
    }

    nothing!(visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_bool: bool, visit_str: &str);
    no_list!();
}

/// A part's name.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    CachedTokens,
    CacheWriteTokens,
    ReasoningTokens,
    #[serde(other)]
    Other,
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
