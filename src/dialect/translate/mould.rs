//! An event that differs from the one before it in its text alone is read without a parser.
//!
//! Most events of a stream are deltas, and most servers repeat everything around a delta's text, letter for
//! letter, but for a member that numbers or pads the event. So an event that was read as one delta of text leaves a
//! mould: its bytes, with gaps where its text stands and where such members have their values. What fits around a
//! string and other values in those gaps is the next delta. Readers take no other notice of a delta than of the one
//! before it, so they need not see it.
//!
//! Events that never fit cost a comparison and a copy more.

use std::ops::Range;

use memchr::memmem;
use smallvec::SmallVec;

use crate::dialect::ir::Dialect;
use crate::dialect::ir::stream::{Delta, Event};
use crate::dialect::ir::wire::Text;
use crate::dialect::scan::Cursor;

/// The most bytes around a text that are remembered. Events with more are seldom the same, and their reading is
/// seldom what costs.
const BYTES_MAX: usize = 2048;

/// What the last event looked like, if it was a delta of text.
#[derive(Debug)]
pub(super) struct Mould {
    /// The names, in their quotes, of members that may hold anything: no reader reads them.
    passed_over: &'static [&'static str],
    /// The event without its text and the values that may differ.
    fixed: Vec<u8>,
    /// Where in it they stood, in order.
    gaps: Vec<Gap>,
    /// The delta's choice and block.
    place: Option<(u32, u32)>,
}

/// A value that may differ.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// Where it belongs in what is fixed.
    at: usize,
    is_text: bool,
}

/// What was read of one event, as far as a mould can be made of it.
#[derive(Debug, Default)]
pub(super) struct Cast {
    events: usize,
    /// The delta's choice and block, and where its text lies in the event's data.
    delta: Option<(u32, u32, usize, usize)>,
}

impl Mould {
    /// The mould of a stream of which nothing has come.
    pub fn new(from: Dialect) -> Self {
        let passed_over: &[_] = match from {
            Dialect::Chat => &["\"obfuscation\""],
            Dialect::Responses => &["\"sequence_number\"", "\"obfuscation\""],
            Dialect::Bedrock => &["\"p\""],
            Dialect::Anthropic | Dialect::Gemini => &[],
        };
        Self { passed_over, fixed: Vec::new(), gaps: Vec::new(), place: None }
    }

    /// The delta that these data are, if they are the last event with another text.
    pub fn fits<'a>(&self, data: &'a [u8]) -> Option<Event<'a>> {
        let (choice, block) = self.place?;
        let (mut rest, mut from, mut text) = (data, 0, None);
        for gap in &self.gaps {
            rest = rest.strip_prefix(self.fixed.get(from..gap.at)?)?;
            from = gap.at;
            let mut cursor = Cursor::new(rest, 0);
            let escaped = pass(&mut cursor)?;
            let value;
            (value, rest) = rest.split_at_checked(cursor.at())?;
            if gap.is_text {
                text = Some(decoded(value, escaped)?);
            } else if !value.is_ascii() {
                return None;
            }
        }
        let delta = Delta::Text(text?);
        (rest == self.fixed.get(from..)?).then_some(Event::Delta { choice, block, delta })
    }

    /// Takes the form of an event that was read, or loses its own.
    pub fn take(&mut self, data: &str, cast: &Cast) {
        self.place = None;
        let Cast { events: 1, delta: Some((choice, block, start, end)) } = *cast else { return };
        // A text that fills all of a JSON string: what stands in its place is no other member's.
        let text = start.saturating_sub(1)..end + 1;
        let quoted = data.get(text.clone()).is_some_and(|text| {
            text.len() == end - start + 2 && text.starts_with('"') && text.ends_with('"')
        });
        if data.len() - (end - start) > BYTES_MAX || !quoted {
            return;
        }
        let others = self.passed_over.iter().filter_map(|name| value_of(data, name));
        let mut values: SmallVec<[_; 3]> = others.map(|value| (value, false)).collect();
        values.push((text, true));
        values.sort_unstable_by_key(|(value, _)| value.start);
        self.fixed.clear();
        self.gaps.clear();
        let (bytes, mut from) = (data.as_bytes(), 0);
        for (value, is_text) in values {
            self.fixed.extend_from_slice(bytes.get(from..value.start).unwrap_or_default());
            self.gaps.push(Gap { at: self.fixed.len(), is_text });
            from = value.end;
        }
        self.fixed.extend_from_slice(bytes.get(from..).unwrap_or_default());
        self.place = Some((choice, block));
    }
}

impl Cast {
    /// Notes what a reader made of the data.
    pub fn note(&mut self, data: &str, event: &Event<'_>) {
        self.events += 1;
        if let Event::Delta { choice, block, delta: Delta::Text(text) } = event {
            // Of a text that was borrowed from elsewhere, or made, this is no place within the data.
            let start = (text.as_ptr() as usize).wrapping_sub(data.as_ptr() as usize);
            let end = start.saturating_add(text.len());
            self.delta = Some((*choice, *block, start, end)).filter(|_| end <= data.len());
        }
    }
}

/// Where the value of the member of this name stands, if it is a string or a number. What follows a whole string
/// and its colon is a member's value: within a string, quotes are escaped.
fn value_of(data: &str, name: &str) -> Option<Range<usize>> {
    let at = memmem::find(data.as_bytes(), name.as_bytes())?;
    if data.get(..at)?.ends_with('\\') {
        return None;
    }
    let mut cursor = Cursor::new(data.as_bytes(), at + name.len());
    cursor.colon().ok()?;
    cursor.space();
    let start = cursor.at();
    pass(&mut cursor)?;
    Some(start..cursor.at())
}

/// Passes over a string or a number, and says whether it holds escapes.
fn pass(cursor: &mut Cursor<'_>) -> Option<bool> {
    match cursor.peek()? {
        b'"' => cursor.string().ok(),
        _ => cursor.number().ok().map(|()| false),
    }
}

/// What a JSON string says, if it says anything.
fn decoded(json: &[u8], escaped: bool) -> Option<Text<'_>> {
    if escaped {
        return serde_json::from_slice(json).ok();
    }
    let inside = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(inside).ok().filter(|text| !text.is_empty()).map(Text::from)
}

#[cfg(test)]
mod tests {
    use super::{Cast, Dialect, Mould};
    use crate::dialect::ir::stream::{Delta, Event};
    use crate::dialect::ir::wire::Text;

    fn delta(text: Text<'_>) -> Event<'_> {
        Event::Delta { choice: 2, block: 7, delta: Delta::Text(text) }
    }

    /// A mould of `data`, read as one delta that holds what stands between the brackets.
    fn mould(data: &str, start: usize, end: usize) -> Mould {
        let mut cast = Cast::default();
        cast.note(data, &delta(Text::from(&data[start..end])));
        let mut mould = Mould::new(Dialect::Responses);
        mould.take(data, &cast);
        mould
    }

    #[test]
    fn what_differs_in_its_text_alone_fits() {
        let mould = mould(r#"{"t":"one","n":1}"#, 6, 9);
        for (data, text) in [
            (r#"{"t":"one","n":1}"#, Some("one")),
            (r#"{"t":"🙂, zwei","n":1}"#, Some("🙂, zwei")),
            (r#"{"t":"","n":1}"#, None),
            (r#"{"t":"a\n","n":1}"#, Some("a\n")),
            (r#"{"t":"\ud83d","n":1}"#, None),
            (r#"{"t":"a","m":"b","n":1}"#, None),
            ("{\"t\":\"a\nb\",\"n\":1}", None),
            (r#"{"t":"one","n":2}"#, None),
            (r#"{"u":"one","n":1}"#, None),
            (r#"{"t":"#, None),
        ] {
            let expected = text.map(|text| delta(Text::from(text)));
            assert_eq!(mould.fits(data.as_bytes()), expected, "{data}");
        }
        assert_eq!(mould.fits(b"{\"t\":\"\xff\",\"n\":1}"), None);
    }

    #[test]
    fn what_numbers_or_pads_an_event_may_differ() {
        let data = r#"{"sequence_number":9,"t":"one","obfuscation":"ab"}"#;
        let mould = mould(data, 26, 29);
        for (data, text) in [
            (data, Some("one")),
            (r#"{"sequence_number":10,"t":"two","obfuscation":""}"#, Some("two")),
            (r#"{"sequence_number":10,"t":"two","obfuscation":"\"\n"}"#, Some("two")),
            (r#"{"sequence_number":,"t":"two","obfuscation":""}"#, None),
            (r#"{"sequence_number":01,"t":"two","obfuscation":""}"#, None),
            (r#"{"sequence_number":1,"x":1,"t":"two","obfuscation":""}"#, None),
            (r#"{"sequence_number":10,"t":"two","obfuscation":"","x":1}"#, None),
            (r#"{"sequence_number":10,"t":"two"}"#, None),
        ] {
            let expected = text.map(|text| delta(Text::from(text)));
            assert_eq!(mould.fits(data.as_bytes()), expected, "{data}");
        }
    }

    #[test]
    fn only_members_are_passed_over() {
        for data in [
            r#"{"t":"one","n":"obfuscation","m":1}"#,
            r#"{"t":"one","n\"obfuscation":1}"#,
            r#"{"t":"one","obfuscation":{"a":1}}"#,
        ] {
            let mould = mould(data, 6, 9);
            assert!(mould.fits(data.as_bytes()).is_some(), "{data}");
            assert_eq!(mould.fits(data.replace('1', "2").as_bytes()), None, "{data}");
        }
    }

    #[test]
    fn only_a_whole_string_is_a_text_to_exchange() {
        let data = r#"{"t":"one","n":{}}"#;
        for (start, end) in [(7, 9), (6, 8), (15, 17)] {
            assert_eq!(mould(data, start, end).fits(data.as_bytes()), None, "{start}");
        }
    }

    #[test]
    fn what_is_not_one_borrowed_delta_leaves_no_mould() {
        let data = r#"{"t":"one","u":"two"}"#;
        for events in [
            vec![delta(Text::from("one"))],
            vec![delta(Text::from(&data[6..9])), delta(Text::from(&data[16..19]))],
            vec![Event::Close { choice: 2, block: 7 }],
            vec![],
        ] {
            let mut mould = mould(data, 6, 9);
            assert!(mould.fits(data.as_bytes()).is_some());
            let mut cast = Cast::default();
            events.iter().for_each(|event| cast.note(data, event));
            mould.take(data, &cast);
            assert_eq!(mould.fits(data.as_bytes()), None, "{events:?}");
        }
    }
}
