//! A named object within JSON text, captured while the text's bytes pass by in pieces.
//!
//! A whole answer may be megabytes (embeddings) and arrives in chunks, while the gateway wants
//! only its `usage`, wherever that stands. Following depth and strings through all of it would
//! cost more than everything else that is done with an answer. It is not needed: in JSON text a
//! quote within a string is escaped, so the quoted name followed by a colon can only be a
//! member's name. The tap searches for that, at whatever depth, and captures the object behind
//! it. It does not validate; whoever reads the capture parses it, and decides whether it is the
//! one wanted.

use memchr::memchr2;
use memchr::memmem::Finder;

/// Captures the objects that are the value of a member of one name, one after the other.
pub struct ObjectTap {
    /// The name in its quotes, as servers write it: they escape no letters in names.
    name: Finder<'static>,
    bytes_max: usize,
    state: State,
    /// While searching, the end of the last chunk, which may begin the name; else the object.
    held: Vec<u8>,
}

/// What the next byte is looked at for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Searching,
    /// The name was found; nothing but white space and at most one colon stood behind it.
    BehindName {
        colon: bool,
    },
    Capturing {
        /// Open objects and arrays.
        depth: u32,
        in_string: bool,
        escaped: bool,
    },
}

impl ObjectTap {
    /// Waits for objects of at most `bytes_max` bytes behind `name`, which is given in quotes.
    pub fn new(name: &'static str, bytes_max: usize) -> Self {
        let name = Finder::new(name.as_bytes());
        Self { name, bytes_max, state: State::Searching, held: Vec::new() }
    }

    /// Follows the next bytes; `on_object` is called with each object that ends among them.
    pub fn feed(&mut self, chunk: &[u8], mut on_object: impl FnMut(&[u8])) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let step = match self.state {
                State::Searching => self.search(rest),
                State::BehindName { colon } => self.behind_name(rest, colon),
                State::Capturing { .. } => self.capture(rest, &mut on_object),
            };
            rest = rest.get(step..).unwrap_or_default();
        }
    }

    /// Goes behind the next name, or to the end, where the start of a name is held.
    fn search(&mut self, bytes: &[u8]) -> usize {
        let length = self.name.needle().len();
        if !self.held.is_empty() {
            let border = bytes.get(..bytes.len().min(length - 1)).unwrap_or_default();
            let before = self.held.len();
            self.held.extend_from_slice(border);
            if let Some(at) = self.name.find(&self.held) {
                self.found();
                return at + length - before;
            }
            if bytes.len() < length - 1 {
                let surplus = self.held.len().saturating_sub(length - 1);
                self.held.drain(..surplus);
                return bytes.len();
            }
            self.held.clear();
        }
        if let Some(at) = self.name.find(bytes) {
            self.found();
            return at + length;
        }
        let tail = bytes.len().saturating_sub(length - 1);
        self.held.extend_from_slice(bytes.get(tail..).unwrap_or_default());
        bytes.len()
    }

    fn found(&mut self) {
        self.held.clear();
        self.state = State::BehindName { colon: false };
    }

    /// Looks at the first byte behind the name: whatever begins no object ends the matter.
    fn behind_name(&mut self, bytes: &[u8], colon: bool) -> usize {
        match bytes.first() {
            Some(byte) if byte.is_ascii_whitespace() => 1,
            Some(b':') if !colon => {
                self.state = State::BehindName { colon: true };
                1
            }
            Some(b'{') if colon => {
                self.state = State::Capturing { depth: 0, in_string: false, escaped: false };
                0
            }
            _ => {
                self.state = State::Searching;
                0
            }
        }
    }

    /// Takes bytes up to the object's end.
    fn capture(&mut self, bytes: &[u8], on_object: &mut impl FnMut(&[u8])) -> usize {
        let State::Capturing { mut depth, mut in_string, mut escaped } = self.state else {
            return 0;
        };
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            if in_string {
                (in_string, escaped) = match byte {
                    _ if escaped => (true, false),
                    b'\\' => (true, true),
                    b'"' => (false, false),
                    _ => {
                        at += plain_string(bytes.get(at..).unwrap_or_default());
                        (true, false)
                    }
                };
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        self.keep(bytes.get(..at).unwrap_or_default());
        self.state = State::Capturing { depth, in_string, escaped };
        if depth == 0 && !in_string {
            self.end(on_object);
        }
        at
    }

    fn keep(&mut self, bytes: &[u8]) {
        // One byte over the limit is kept to tell an object of that size from a longer one.
        let room = (self.bytes_max + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }

    fn end(&mut self, on_object: &mut impl FnMut(&[u8])) {
        if self.held.len() <= self.bytes_max {
            on_object(&self.held);
        }
        self.held.clear();
        self.state = State::Searching;
    }
}

/// How many bytes of a string come before the next that means something.
fn plain_string(bytes: &[u8]) -> usize {
    memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::ObjectTap;
    use crate::dialect::members::tests::json;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    fn capture<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, max: usize) -> Vec<String> {
        let mut tap = ObjectTap::new("\"usage\"", max);
        let mut found = Vec::new();
        for chunk in chunks {
            tap.feed(chunk, |object| found.push(String::from_utf8_lossy(object).into_owned()));
        }
        found
    }

    #[test]
    fn the_object_is_found_wherever_it_stands() {
        for (text, expected) in [
            (r#"{"usage":{"a":[1,{}]},"x":1}"#, &[r#"{"a":[1,{}]}"#][..]),
            (
                r#"{"x":[{"usage":1},"usage"], "usage" : { "b" : "}\\\"{" } }"#,
                &[r#"{ "b" : "}\\\"{" }"#],
            ),
            (r#"{"x":"usage","usage":12}"#, &[]),
            (r#"{"usage":null}"#, &[]),
            (r#"{"usage":{"a":1},"usage":{"b":2}}"#, &[r#"{"a":1}"#, r#"{"b":2}"#]),
            (r#"{"x":"\"usage\":{\"a\":1}","usage":{}}"#, &["{}"]),
            (r#"{"x":"usage\":{"}"#, &[]),
            (r#"{"usages":{},"x":{"usage":{"a":1}}}"#, &[r#"{"a":1}"#]),
            (r#"["usage","usage",{"usage":{}}]"#, &["{}"]),
            (r#"{"usage":{"a":1"#, &[]),
            (r#"{"usage"::{}}"#, &[]),
            ("usage", &[]),
            ("", &[]),
        ] {
            assert_eq!(capture([text.as_bytes()], 99), expected, "{text}");
            assert_eq!(capture(text.as_bytes().chunks(1), 99), expected, "{text}");
        }
    }

    #[test]
    fn an_object_over_the_limit_is_not_given() {
        let text = br#"{"usage":{"a":1},"usage":{}}"#;
        assert_eq!(capture([&text[..]], 7), [r#"{"a":1}"#, "{}"]);
        assert_eq!(capture([&text[..]], 6), ["{}"]);
    }

    proptest! {
        #[test]
        fn any_split_captures_what_serde_reads(
            before in prop::collection::btree_map("[a-t]{1,6}", json(), 0..4),
            usage in prop::collection::btree_map("[a-z]{1,6}", json(), 0..4),
            after in prop::collection::btree_map("[v-z]{1,6}", json(), 0..4),
            pretty in any::<bool>(),
            size in 1_usize..40,
        ) {
            let usage = serde_json::Value::Object(usage.into_iter().collect());
            let mut map: serde_json::Map<_, _> = before.into_iter().collect();
            map.insert("usage".to_owned(), usage.clone());
            map.extend(after);
            let value = serde_json::Value::Object(map);
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let captured = capture(text.as_bytes().chunks(size), usize::MAX - 1);
            let read = |text: &String| serde_json::from_str::<serde_json::Value>(text).unwrap();
            prop_assert_eq!(captured.iter().map(read).collect::<Vec<_>>(), vec![usage]);
        }

        #[test]
        fn garbage_never_panics_and_splits_do_not_matter(
            text in r#"([\{\}\[\]:, \\]|"|"usage":|"usage"|1|é){0,60}"#,
            size in 1_usize..20,
        ) {
            let whole = capture([text.as_bytes()], 30);
            prop_assert_eq!(capture(text.as_bytes().chunks(size), 30), whole);
        }
    }
}
