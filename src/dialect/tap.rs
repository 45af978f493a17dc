//! One top-level member of a JSON object, captured while the object's bytes pass by in pieces.
//!
//! A whole answer may be megabytes (embeddings) and arrives in chunks, while the gateway wants
//! only its `usage`, wherever that stands. So this follows depth and strings and keeps the
//! member's bytes, nothing else. It does not validate: for a text that is no JSON object it may
//! capture anything or nothing, and whoever reads the capture parses it.

use memchr::memchr2;
use wide::u8x32;

const BLOCK: usize = 32;

/// Captures the value of one top-level member.
pub struct MemberTap {
    name: &'static str,
    bytes_max: usize,
    place: Place,
    /// Open objects and arrays.
    depth: u32,
    /// At the top level: the next string is a member's name.
    name_next: bool,
    /// The name just read is the one wanted.
    name_hit: bool,
    captured: Vec<u8>,
    state: State,
}

/// Where the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside of strings.
    Structure,
    /// In a string.
    String,
    /// In a string, behind a backslash.
    Escape,
    /// In a name at the top level that has so far been the wanted one for so many bytes.
    Name(usize),
    /// Behind the object, or in no object at all.
    Outside,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Capturing,
    /// The value grew over the limit.
    Overflowed,
    Complete,
}

impl MemberTap {
    /// Waits for the member `name`, whose value may have at most `bytes_max` bytes. The name is
    /// compared as it is written: servers escape no letters in names.
    pub fn new(name: &'static str, bytes_max: usize) -> Self {
        Self {
            name,
            bytes_max,
            place: Place::Structure,
            depth: 0,
            name_next: false,
            name_hit: false,
            captured: Vec::new(),
            state: State::Waiting,
        }
    }

    /// Follows the next bytes.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() && self.place != Place::Outside {
            let was_capturing = self.state == State::Capturing;
            let step = match self.place {
                Place::String => self.string(rest),
                Place::Name(matched) => self.name(rest, matched),
                Place::Escape => {
                    self.place = Place::String;
                    1
                }
                Place::Structure | Place::Outside => self.structure(rest),
            };
            let (seen, behind) = rest.split_at(step.min(rest.len()));
            // The colon before the value begins the capture and what follows the value ends it:
            // neither is part of it.
            if was_capturing && self.state == State::Capturing {
                self.keep(seen);
            }
            rest = behind;
        }
    }

    /// The member's value as JSON text, once it is complete; of several the last.
    pub fn value(&self) -> Option<&[u8]> {
        (self.state == State::Complete).then(|| self.captured.trim_ascii())
    }

    /// Acts on the next byte that may change something; says how many bytes that took. At the top
    /// level every byte is a step of its own.
    fn structure(&mut self, bytes: &[u8]) -> usize {
        let plain = if self.depth > 1 { plain_run(bytes) } else { 0 };
        let Some(&byte) = bytes.get(plain) else { return plain };
        match byte {
            b'"' if self.depth == 1 && self.name_next => {
                self.name_hit = false;
                self.place = Place::Name(0);
            }
            b'"' => self.place = Place::String,
            b'{' if self.depth == 0 => {
                self.depth = 1;
                self.name_next = true;
            }
            _ if self.depth == 0 && !byte.is_ascii_whitespace() => self.place = Place::Outside,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.close(),
            b',' if self.depth == 1 => {
                self.end_capture();
                self.name_next = true;
            }
            b':' if self.depth == 1 => self.value_next(),
            _ => {}
        }
        plain + 1
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            self.end_capture();
            self.place = Place::Outside;
        }
    }

    fn value_next(&mut self) {
        self.name_next = false;
        if std::mem::take(&mut self.name_hit) {
            self.captured.clear();
            self.state = State::Capturing;
        }
    }

    fn end_capture(&mut self) {
        self.state = match self.state {
            State::Capturing => State::Complete,
            State::Overflowed => State::Waiting,
            other => other,
        };
    }

    fn string(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = memchr2(b'"', b'\\', bytes) else { return bytes.len() };
        let escape = bytes.get(end) == Some(&b'\\');
        self.place = if escape { Place::Escape } else { Place::Structure };
        end + 1
    }

    fn name(&mut self, bytes: &[u8], matched: usize) -> usize {
        let wanted = self.name.as_bytes().get(matched..).unwrap_or_default();
        let same = bytes.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        match bytes.get(same) {
            None => self.place = Place::Name(matched + same),
            Some(b'"') if same == wanted.len() => {
                self.name_hit = true;
                self.place = Place::Structure;
                return same + 1;
            }
            Some(_) => self.place = Place::String,
        }
        same
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.captured.len() + bytes.len() > self.bytes_max {
            self.captured = Vec::new();
            self.state = State::Overflowed;
        } else {
            self.captured.extend_from_slice(bytes);
        }
    }
}

/// The number of leading bytes, outside of strings, that neither open nor close anything.
fn plain_run(bytes: &[u8]) -> usize {
    let (blocks, tail) = bytes.as_chunks::<BLOCK>();
    let mut run = 0;
    for block in blocks {
        let block = u8x32::new(*block);
        // Brackets and braces differ in one bit only.
        let folded = block | u8x32::splat(0x20);
        let opens = folded.simd_eq(u8x32::splat(b'{'));
        let closes = folded.simd_eq(u8x32::splat(b'}'));
        let hits = (opens | closes | block.simd_eq(u8x32::splat(b'"'))).to_bitmask();
        if hits != 0 {
            return run + hits.trailing_zeros() as usize;
        }
        run += BLOCK;
    }
    run + tail.iter().take_while(|b| !matches!(b, b'"' | b'{' | b'}' | b'[' | b']')).count()
}

#[cfg(test)]
mod tests {
    use super::{MemberTap, plain_run};
    use crate::dialect::members::tests::json;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    fn capture<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, max: usize) -> Option<String> {
        let mut tap = MemberTap::new("usage", max);
        chunks.into_iter().for_each(|chunk| tap.feed(chunk));
        tap.value().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn the_member_is_found_wherever_it_stands() {
        for (text, expected) in [
            (r#"{"usage":{"a":[1,{}]},"x":1}"#, Some(r#"{"a":[1,{}]}"#)),
            (
                r#"{"x":[{"usage":1},"usage"], "usage" : { "b" : "}\\\"{" } }"#,
                Some(r#"{ "b" : "}\\\"{" }"#),
            ),
            (r#"{"x":"usage","usage":12}"#, Some("12")),
            (r#"{"usage":null}"#, Some("null")),
            (r#"{"usage":1,"usage":2}"#, Some("2")),
            (r#"{"usag":1,"usages":2,"usage":3}"#, Some("3")),
            (r#"{"usages":2,"x\"usage":4}"#, None),
            (r#"{"x":{"usage":1}}"#, None),
            (r#"{"usage":{"a":1"#, None),
            (r#"["usage",{"usage":1}]"#, None),
            ("usage", None),
            ("", None),
            (r#" {"a":1} {"usage":1}"#, None),
        ] {
            assert_eq!(capture([text.as_bytes()], 99).as_deref(), expected, "{text}");
            assert_eq!(capture(text.as_bytes().chunks(1), 99).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_value_over_the_limit_is_not_kept() {
        let text = br#"{"usage":[1,2,3],"x":1}"#;
        assert_eq!(capture([&text[..]], 7).as_deref(), Some("[1,2,3]"));
        assert_eq!(capture([&text[..]], 6), None);
    }

    proptest! {
        #[test]
        fn any_split_captures_what_serde_reads(
            before in prop::collection::btree_map("[a-t]{1,6}", json(), 0..4),
            usage in prop::option::of(json()),
            after in prop::collection::btree_map("[v-z]{1,6}", json(), 0..4),
            pretty in any::<bool>(),
            size in 1_usize..40,
        ) {
            let mut map: serde_json::Map<_, _> = before.into_iter().collect();
            if let Some(usage) = &usage {
                map.insert("usage".to_owned(), usage.clone());
            }
            map.extend(after);
            let value = serde_json::Value::Object(map);
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let captured = capture(text.as_bytes().chunks(size), usize::MAX);
            let read = captured.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
            prop_assert_eq!(read, usage);
        }

        #[test]
        fn garbage_never_panics_and_splits_do_not_matter(
            text in r#"([\{\}\[\]:, \\]|"|"usage":|1|é){0,60}"#,
            size in 1_usize..20,
        ) {
            let whole = capture([text.as_bytes()], 30);
            prop_assert_eq!(capture(text.as_bytes().chunks(size), 30), whole);
        }

        #[test]
        fn a_run_ends_at_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let slow = bytes.iter().take_while(|b| !b"\"{}[]".contains(b)).count();
            prop_assert_eq!(plain_run(&bytes), slow);
        }
    }
}
