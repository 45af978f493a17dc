//! The texts in a body or an answer, found by the names of their members, in JSON that may be an event's, a
//! frame's, or cut off anywhere.
//!
//! It reads strings and nothing else. What it takes for a text by its member's name may be another thing
//! in a dialect that is none; for an estimate that does no harm.

use super::tokenizer::Vocabulary;
use crate::admission::estimate::MEDIA_TOKENS;

/// Of the texts, as much is counted as this, in bytes; the rest is taken to be alike.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A longer text without a space is an encoded image or file, in bytes.
const MEDIA_BYTES: usize = 1024;

/// Members of requests that hold what a model reads.
const PROMPT_MEMBERS: [&[u8]; 10] = [
    b"content",
    b"text",
    b"input",
    b"prompt",
    b"system",
    b"instructions",
    b"arguments",
    b"output",
    b"name",
    b"description",
];

/// Members of answers that hold what a model wrote.
const ANSWER_MEMBERS: [&[u8]; 10] = [
    b"content",
    b"text",
    b"delta",
    b"reasoning_content",
    b"reasoning",
    b"thinking",
    b"refusal",
    b"arguments",
    b"partial_json",
    b"name",
];

/// The texts of some JSON.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The first of them, up to [`TEXT_BYTES_MAX`].
    text: String,
    /// All of them, in bytes as they stand there.
    bytes: u64,
    /// Of these, what is in `text`.
    taken: u64,
    /// Encoded images and files.
    media: u64,
    /// Members called `role`.
    pub messages: u64,
    /// Where the first text stands.
    pub first: Option<u64>,
}

impl Texts {
    /// The texts of a request, each on a line of its own.
    pub(super) fn of_prompt(json: &[u8]) -> Self {
        Self::of(json, &PROMPT_MEMBERS, "\n")
    }

    /// The texts of an answer, one behind the other, as a stream's pieces are.
    pub(super) fn of_answer(json: &[u8]) -> Self {
        Self::of(json, &ANSWER_MEMBERS, "")
    }

    /// What they come to.
    pub(super) fn tokens(&self, vocabulary: Vocabulary) -> u64 {
        let counted = vocabulary.count(&self.text);
        let all = counted.saturating_mul(self.bytes.max(1)).div_ceil(self.taken.max(1));
        all + self.media * MEDIA_TOKENS
    }

    fn of(json: &[u8], members: &[&[u8]], between: &str) -> Self {
        let (mut found, mut member, mut rest): (Self, &[u8], _) = (Self::default(), b"", json);
        while let Some((string, behind)) = next_string(rest) {
            let place = (json.len() - behind.len()) as u64;
            rest = behind;
            if is_name(behind) {
                member = string;
                found.messages += u64::from(string == b"role");
            } else {
                let is_text = members.contains(&member);
                found.add(string, is_text, place, between);
            }
        }
        found
    }

    fn add(&mut self, string: &[u8], is_text: bool, end: u64, between: &str) {
        if string.get(..MEDIA_BYTES).is_some_and(|head| !head.contains(&b' ')) {
            self.media += 1;
        } else if is_text && !string.is_empty() {
            let bytes = string.len() as u64;
            self.first.get_or_insert(end.saturating_sub(bytes));
            self.bytes += bytes;
            if self.text.len() < TEXT_BYTES_MAX {
                self.taken += bytes.min(TEXT_BYTES_MAX as u64);
                if !self.text.is_empty() {
                    self.text.push_str(between);
                }
                self.text.push_str(&plain(string.get(..TEXT_BYTES_MAX).unwrap_or(string)));
            }
        }
    }
}

/// The next string, without its quotes, and what stands behind it. One that is cut off ends with the bytes.
fn next_string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = memchr::memchr(b'"', json)? + 1;
    let inside = json.get(start..)?;
    let mut from = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', inside.get(from..)?) {
        let place = from + found;
        if inside.get(place) == Some(&b'"') {
            return Some((inside.get(..place)?, inside.get(place + 1..)?));
        }
        from = (place + 2).min(inside.len());
    }
    Some((inside, &[]))
}

/// Whether what stands behind a string makes it a member's name.
fn is_name(behind: &[u8]) -> bool {
    behind.trim_ascii_start().first() == Some(&b':')
}

/// A string's text. Where it is cut off in the midst of an escape, as it stands there.
fn plain(string: &[u8]) -> String {
    let quoted = [b"\"", string, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(string).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, proptest};

    use super::Texts;

    #[test]
    fn texts_are_found_by_their_members() {
        let body = br#"{"model":"m","messages":[{"role":"system","content":"a \"b\""},
            {"role" : "user","content":[{"type":"text","text":"c\u00e9\n"},{"type":"image_url"}]}],
            "input":["d","e"],"stop":["f"],"user":"g"}"#;
        let found = Texts::of_prompt(body);
        assert_eq!((found.text.as_str(), found.messages), ("a \"b\"\nc\u{e9}\n\nd\ne", 2));
        let stream = b"data: {\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"}}\n\n\
            data: {\"delta\":{\"content\":\"lo\"}}\n\ndata: {\"delta\":{\"content\":\" wor";
        assert_eq!(Texts::of_answer(stream).text, "Hello wor");
    }

    #[test]
    fn an_encoded_file_counts_by_the_piece() {
        let body =
            format!(r#"{{"content":"see","url":"data:image/png;base64,{}"}}"#, "A".repeat(9000));
        let found = Texts::of_prompt(body.as_bytes());
        assert_eq!((found.text.as_str(), found.media), ("see", 1));
    }

    #[test]
    fn of_a_long_text_the_beginning_is_taken() {
        let body = format!(r#"{{"content":"{}","text":"b"}}"#, "word ".repeat(40_000));
        let found = Texts::of_prompt(body.as_bytes());
        assert_eq!((found.bytes, found.taken), (200_001, 65_536));
        assert!(found.text.len() <= 65_537);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(json in prop::collection::vec(any::<u8>(), 0..200)) {
            let found = Texts::of_answer(&json);
            prop_assert!(found.bytes <= json.len() as u64);
            prop_assert!(found.first.is_none_or(|first| first < json.len() as u64));
        }
    }
}
