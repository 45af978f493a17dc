//! What a request will use, before it is asked: an estimate that is cheap and stated.
//!
//! A prompt is taken for one token in every three bytes of its body, which is more than English
//! text (four to five bytes a token), and about what code and other scripts need. A text of over
//! [`MEDIA_BYTES`] without a space is an encoded image or file: it is taken for [`MEDIA_TOKENS`].
//! An answer is taken for the most that the client allows, or else for what nine of ten answers of
//! the model stayed under, learned as they come.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a body for one token.
const BYTES_PER_TOKEN: u64 = 3;

/// A longer text without a space is no language, in bytes.
const MEDIA_BYTES: usize = 1024;

/// Tokens of an image or a file.
pub const MEDIA_TOKENS: u64 = 1000;

/// Tokens of an answer before any was seen.
const ANSWER_TOKENS: u64 = 1024;

/// How far the learned length moves with each answer: a thirty-second.
const STEP: u64 = 32;

/// What a request will use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer.
    pub answer: u64,
    /// Whether the answer's length was guessed: then it alone refuses no request.
    pub guessed: bool,
}

/// The length under which nine of ten answers of a model stay, in parts of a token.
pub struct Learned(AtomicU64);

/// Parts of a token: short lengths move by less than one.
const PARTS: u64 = 256;

impl Default for Learned {
    fn default() -> Self {
        Self(AtomicU64::new(ANSWER_TOKENS * PARTS))
    }
}

impl Learned {
    /// The length so far, in tokens.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed).div_ceil(PARTS)
    }

    /// Moves towards an answer's length: nine times as far up as down, so that it comes to rest
    /// where nine of ten answers are shorter. Two that come at once may leave one out.
    pub fn see(&self, tokens: u64) {
        let (now, seen) = (self.0.load(Ordering::Relaxed), tokens.saturating_mul(PARTS));
        let step = now.max(PARTS) / STEP;
        let next = if seen > now {
            now.saturating_add(step).min(seen)
        } else {
            now.saturating_sub(step.div_ceil(9)).max(seen)
        };
        self.0.store(next, Ordering::Relaxed);
    }
}

/// Tokens of a prompt, by its body.
pub fn prompt(body: &[u8]) -> u64 {
    // A text without a space that is long enough covers one of these blocks. Prose shows a space within a
    // few bytes of each, so nearly every body is done with here.
    let is_encoded = |block| memchr::memchr(b' ', block).is_none();
    match body.chunks_exact(MEDIA_BYTES / 2).any(is_encoded) {
        true => piece_by_piece(body),
        false => (body.len() as u64 + 1).div_ceil(BYTES_PER_TOKEN),
    }
}

/// The same, looking at each text.
fn piece_by_piece(body: &[u8]) -> u64 {
    let (mut bytes, mut media) = (0, 0);
    let mut start = 0;
    for quote in memchr::memchr_iter(b'"', body).chain([body.len()]) {
        let text = body.get(start..quote).unwrap_or_default();
        start = quote + 1;
        let encoded = text.get(..MEDIA_BYTES).is_some_and(|head| !head.contains(&b' '));
        if encoded {
            media += MEDIA_TOKENS;
        } else {
            bytes += text.len() as u64 + 1;
        }
    }
    bytes.div_ceil(BYTES_PER_TOKEN) + media
}

#[cfg(test)]
mod tests {
    use super::{ANSWER_TOKENS, Learned, MEDIA_TOKENS, piece_by_piece, prompt};
    use proptest::prelude::prop;
    use proptest::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn blocks_hide_no_media(texts in prop::collection::vec(("[ \"]", 0_usize..3000), 0..8)) {
            let text = |(end, length): &(String, usize)| "x".repeat(*length) + end;
            let body: String = texts.iter().map(text).collect();
            prop_assert_eq!(prompt(body.as_bytes()), piece_by_piece(body.as_bytes()));
        }
    }

    #[test]
    fn a_prompt_is_counted_by_its_bytes_and_media_by_the_piece() {
        assert_eq!(prompt(b""), 1);
        assert_eq!(prompt(&[b'x'; 29]), 10);
        let words = "word ".repeat(2000);
        assert_eq!(prompt(words.as_bytes()), 10_001_u64.div_ceil(3));
        let image = format!(r#"{{"url":"data:image/png;base64,{}"}}"#, "A".repeat(1 << 20));
        assert!((MEDIA_TOKENS..MEDIA_TOKENS + 10).contains(&prompt(image.as_bytes())));
    }

    #[test]
    fn the_learned_length_comes_to_rest_above_nine_of_ten() {
        let learned = Learned::default();
        assert_eq!(learned.get(), ANSWER_TOKENS);
        // 1, 2, … 100 in an order that repeats.
        (0..100_000u64).for_each(|turn| learned.see(turn * 37 % 100 + 1));
        assert!((80..=100).contains(&learned.get()), "{}", learned.get());
        (0..1000).for_each(|_| learned.see(5000));
        assert_eq!(learned.get(), 5000);
    }
}
