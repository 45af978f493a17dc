//! How many tokens a text has, as an estimate that needs no vocabulary.
//!
//! A tokenizer knows one family of models, costs 24 MB or more of memory and a tenth of a second
//! to load; the gateway serves models of all families. So the window works with an estimate that
//! is meant to err on the high side: words of up to six letters are one token, longer ones more,
//! digits go in threes, each other sign counts, and the JSON around a text counts as well, which
//! stands for the few tokens that a chat template adds to each message.

/// A run of this many bytes without a space is no text but an image or a file in base64 …
const BLOB_BYTES_MIN: usize = 2048;

/// … and counts for so much, as images do with most models, whatever their size in bytes.
const BLOB_TOKENS: u32 = 1024;

/// Letters that one token holds.
const WORD_LETTERS: usize = 6;

/// Digits that one token holds.
const NUMBER_DIGITS: usize = 3;

/// Tokens of a text, roughly.
pub fn estimate(text: &str) -> u32 {
    let mut tokens = 0_u32;
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.bytes().take_while(|byte| is_base64(*byte)).count();
        let end = match word {
            0 => rest.bytes().position(is_base64).unwrap_or(rest.len()),
            word => word,
        };
        let piece = rest.get(..end).unwrap_or_default();
        let counted = if word >= BLOB_BYTES_MIN { BLOB_TOKENS } else { of_runs(piece) };
        tokens = tokens.saturating_add(counted);
        rest = rest.get(end..).unwrap_or_default();
    }
    tokens
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Tokens of a text, run by run of characters of one kind.
fn of_runs(text: &str) -> u32 {
    let mut tokens = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = Kind::of(first);
        let length = rest.find(|c| Kind::of(c) != kind).unwrap_or(rest.len());
        tokens += kind.tokens(rest.get(..length).unwrap_or_default());
        rest = rest.get(length..).unwrap_or_default();
    }
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of the Latin alphabet.
    Letter,
    Digit,
    Space,
    /// ASCII that is none of these.
    Sign,
    /// Other alphabets.
    Alphabet,
    /// Scripts of which a character is a token or more, and emoji.
    Ideograph,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Kind::Letter,
            '0'..='9' => Kind::Digit,
            ' ' | '\n' | '\r' | '\t' => Kind::Space,
            '\0'..='\x7f' => Kind::Sign,
            '\u{80}'..='\u{7ff}' => Kind::Alphabet,
            _ => Kind::Ideograph,
        }
    }

    fn tokens(self, run: &str) -> usize {
        match self {
            Kind::Letter => run.len().div_ceil(WORD_LETTERS),
            Kind::Digit => run.len().div_ceil(NUMBER_DIGITS),
            // A space belongs to the word behind it; only long runs count.
            Kind::Space => run.len() / 4,
            Kind::Sign => run.len().div_ceil(2),
            Kind::Alphabet => run.chars().count().div_ceil(2),
            Kind::Ideograph => run.chars().count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOB_TOKENS, estimate};
    use proptest::{prop_assert, proptest};

    #[test]
    fn ordinary_texts_are_not_counted_too_low() {
        // The second number is what OpenAI's o200k vocabulary makes of the text.
        for (text, real) in [
            ("The quick brown fox jumps over the lazy dog.", 10),
            ("What's my order status? It's number 1234567.", 13),
            ("Привет, как дела?", 6),
            ("你好,世界!今天天气怎么样?", 11),
            ("fn main() { println!(\"{}\", x); }", 11),
        ] {
            let guess = estimate(text);
            assert!(guess >= real && guess <= real * 2, "{text}: {guess} for {real}");
        }
    }

    #[test]
    fn an_image_does_not_count_by_its_bytes() {
        let image = "iVBORw0KGgo/+7".repeat(20_000);
        assert_eq!(estimate(&image), BLOB_TOKENS);
        let url = format!("data:image/png;base64,{image}=");
        assert!(estimate(&url) < BLOB_TOKENS + 20);
    }

    proptest! {
        #[test]
        fn more_text_has_no_fewer_tokens(a in ".{0,60}", b in ".{0,60}") {
            let both = format!("{a} {b}");
            prop_assert!(estimate(&both) >= estimate(&a));
        }
    }
}
