//! JSON written straight into a buffer, member by member.
//!
//! A general serializer spends four times as much on a line of the access log: it looks at each
//! byte of each text, members' names included, and it counts in floating point. Here a name is a
//! literal with its punctuation, `,"status":`, so the caller answers for commas and braces. A
//! value that is not there leaves its member out. Nothing here knows what is logged.
//!
//! What a member is written with is always inlined: its name's length is then a constant, and
//! the name is copied by a few moves. That saves an eighth of the instructions.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use wide::u8x16;

/// How many bytes of a text are looked at in one step.
const BLOCK: usize = 16;

/// Appends JSON to a buffer.
pub(super) struct Json<'a>(pub &'a mut Vec<u8>);

impl Json<'_> {
    /// What is JSON already: names, punctuation.
    #[inline(always)]
    pub(super) fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// A text that needs no escapes: a label of the gateway's own, or a token of HTTP.
    #[inline(always)]
    pub(super) fn word<'t>(&mut self, name: &'static str, word: impl Into<Option<&'t str>>) {
        if let Some(word) = word.into() {
            self.raw(name);
            self.quoted(word);
        }
    }

    /// Any text.
    #[inline(always)]
    pub(super) fn text<'t>(&mut self, name: &'static str, text: impl Into<Option<&'t str>>) {
        let Some(text) = text.into() else { return };
        self.raw(name);
        if is_plain(text.as_bytes()) {
            self.quoted(text);
        } else {
            // A buffer in memory takes everything.
            let _cannot_fail = serde_json::to_writer(&mut *self.0, text);
        }
    }

    /// True or false.
    #[inline(always)]
    pub(super) fn flag(&mut self, name: &'static str, flag: impl Into<Option<bool>>) {
        if let Some(flag) = flag.into() {
            self.raw(name);
            // Each branch copies a constant number of bytes.
            if flag { self.raw("true") } else { self.raw("false") }
        }
    }

    /// A whole number.
    #[inline(always)]
    pub(super) fn number(&mut self, name: &'static str, number: impl Into<u64>) {
        self.raw(name);
        self.digits(number.into());
    }

    /// A duration in milliseconds with three decimals.
    #[inline(always)]
    pub(super) fn millis(&mut self, name: &'static str, duration: impl Into<Option<Duration>>) {
        let Some(duration) = duration.into() else { return };
        let seconds_as_millis = duration.as_secs().saturating_mul(1000);
        self.raw(name);
        self.digits(seconds_as_millis.saturating_add(duration.subsec_millis().into()));
        self.fraction(duration.subsec_micros() % 1000);
    }

    /// A network address.
    #[inline(always)]
    pub(super) fn address(&mut self, name: &'static str, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        self.raw(name);
        self.raw("\"");
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                self.digits(a.into());
                for octet in [b, c, d] {
                    self.raw(".");
                    self.digits(octet.into());
                }
            }
            IpAddr::V6(address) => {
                // A buffer in memory takes everything.
                let _cannot_fail = write!(self.0, "{address}");
            }
        }
        self.raw("\"");
    }

    /// A point and three decimals: so many thousandths, fewer than 1,000.
    #[inline(always)]
    pub(super) fn fraction(&mut self, thousandths: u32) {
        let digit = |value: u32| b'0' + (value % 10) as u8;
        let [a, b, c] = [thousandths / 100, thousandths / 10, thousandths].map(digit);
        self.0.extend_from_slice(&[b'.', a, b, c]);
    }

    #[inline(always)]
    fn digits(&mut self, number: u64) {
        // Many numbers are this short, and most of those are zero.
        if number < 10 {
            self.0.push(b'0' + number as u8);
        } else {
            self.raw(itoa::Buffer::new().format(number));
        }
    }

    #[inline(always)]
    fn quoted(&mut self, plain: &str) {
        self.raw("\"");
        self.raw(plain);
        self.raw("\"");
    }
}

/// Whether each byte stands for itself within a JSON string.
#[inline(always)]
fn is_plain(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks();
    // The last block overlaps the one before it; a text shorter than a block is filled up.
    let last = text.last_chunk().copied().unwrap_or_else(|| {
        let mut filled = [b' '; BLOCK];
        filled.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        filled
    });
    is_plain_block(&last) && blocks.iter().all(is_plain_block)
}

/// Whether a block holds neither a quote, nor a backslash, nor a control character.
#[inline(always)]
fn is_plain_block(block: &[u8; BLOCK]) -> bool {
    let block = u8x16::new(*block);
    let control = block.simd_le(u8x16::splat(0x1f));
    let quote = block.simd_eq(u8x16::splat(b'"'));
    let backslash = block.simd_eq(u8x16::splat(b'\\'));
    (control | quote | backslash).to_bitmask() == 0
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn written(write: impl FnOnce(&mut Json<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Json(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn durations_are_milliseconds_cut_to_three_decimals() {
        let cases = [
            (Duration::ZERO, "0.000"),
            (Duration::from_nanos(1_999), "0.001"),
            (Duration::from_micros(1_050), "1.050"),
            (Duration::from_micros(61_000_999), "61000.999"),
            (Duration::MAX, "18446744073709551615.999"),
        ];
        for (duration, expected) in cases {
            assert_eq!(written(|json| json.millis("", duration)), expected);
        }
    }

    #[test]
    fn addresses_are_written_as_everywhere_else() {
        let addresses: [IpAddr; 5] = [
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 7).into(),
            Ipv4Addr::BROADCAST.into(),
            Ipv6Addr::LOCALHOST.into(),
            Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into(),
        ];
        for address in addresses {
            let quoted = format!("\"{address}\"");
            assert_eq!(written(|json| json.address("", Some(address))), quoted);
        }
    }

    #[test]
    fn what_is_not_there_leaves_its_member_out() {
        let nothing = written(|json| {
            json.word("word", None);
            json.text("text", None);
            json.flag("flag", None);
            json.millis("millis", None);
            json.address("address", None);
        });
        assert_eq!(nothing, "");
    }

    #[test]
    fn a_byte_that_needs_an_escape_gets_it_at_any_place() {
        for special in ['"', '\\', '\n', '\0', '\u{1f}', '\u{7f}', 'é'] {
            for (before, after) in (0..40).flat_map(|before| [(before, 0), (before, 40 - before)]) {
                check(&format!("{}{special}{}", "a".repeat(before), "z".repeat(after)));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in proptest::prelude::any::<String>()) {
            check(&text);
        }
    }

    fn check(text: &str) {
        assert_eq!(written(|json| json.text("", text)), serde_json::to_string(text).unwrap());
    }
}
