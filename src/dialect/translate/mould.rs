//! An event that differs from the one before it in its text alone is read without a parser.
//!
//! Most events of a stream are deltas, and most servers repeat everything around a delta's text, letter for
//! letter. So an event that was read as one delta of text leaves a mould: the bytes before its text and those
//! behind it. What fits between them, and holds nothing that would end or escape a JSON string, is the text of the
//! next delta. Readers take no other notice of a delta than of the one before it, so they need not see it.
//!
//! Events that never fit (of servers that number or pad them) cost a comparison and a copy more.

use crate::dialect::ir::stream::{Delta, Event};
use crate::dialect::scan::plain_run;

/// The most bytes around a text that are remembered. Events with more are seldom the same, and their reading is
/// seldom what costs.
const BYTES_MAX: usize = 2048;

/// What the last event looked like, if it was a delta of text.
#[derive(Debug, Default)]
pub(super) struct Mould {
    before: Vec<u8>,
    after: Vec<u8>,
    place: Option<(u32, u32)>,
}

/// What was read of one event, as far as a mould can be made of it.
#[derive(Debug, Default)]
pub(super) struct Cast {
    events: usize,
    /// The delta's choice and block, and where its text lies in the event's data.
    delta: Option<(u32, u32, usize, usize)>,
}

impl Mould {
    /// The delta that these data are, if they are the last event with another text.
    pub fn fits<'a>(&self, data: &'a [u8]) -> Option<Event<'a>> {
        let (choice, block) = self.place?;
        let text = data.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        if text.is_empty() || plain_run(text) < text.len() {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(Event::Delta { choice, block, delta: Delta::Text(text.into()) })
    }

    /// Takes the form of an event that was read, or loses its own.
    pub fn take(&mut self, data: &str, cast: &Cast) {
        self.place = None;
        let Cast { events: 1, delta: Some((choice, block, start, end)) } = *cast else { return };
        let (Some(before), Some(after)) = (data.get(..start), data.get(end..)) else { return };
        if before.len() + after.len() > BYTES_MAX {
            return;
        }
        // A text that fills all of a JSON string: what stands in its place is no other member's.
        if before.ends_with('"') && after.starts_with('"') {
            self.before.clear();
            self.before.extend_from_slice(before.as_bytes());
            self.after.clear();
            self.after.extend_from_slice(after.as_bytes());
            self.place = Some((choice, block));
        }
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

#[cfg(test)]
mod tests {
    use super::{Cast, Mould};
    use crate::dialect::ir::stream::{Delta, Event};
    use crate::dialect::ir::wire::Text;

    fn delta(text: Text<'_>) -> Event<'_> {
        Event::Delta { choice: 2, block: 7, delta: Delta::Text(text) }
    }

    /// A mould of `data`, read as one delta that holds what stands between the brackets.
    fn mould(data: &str, start: usize, end: usize) -> Mould {
        let mut cast = Cast::default();
        cast.note(data, &delta(Text::from(&data[start..end])));
        let mut mould = Mould::default();
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
            (r#"{"t":"a\n","n":1}"#, None),
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
