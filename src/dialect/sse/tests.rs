//! Tests of reading and cutting events: a table, and the property that splits do not matter.

use bytes::Bytes;
use proptest::prelude::{any, prop};
use proptest::{prop_assert_eq, proptest};

use super::frame::{self, Framer};
use super::{Event, Filter, Scanner};

/// Events as text: name, data.
type Seen = Vec<(String, String)>;

fn note(seen: &mut Seen, event: &Event<'_>) {
    seen.push(match event {
        Event::Message { name, data } => {
            (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(data).into_owned())
        }
        Event::Oversized => ("!".to_owned(), String::new()),
    });
}

/// Splits a text at the given places, counted modulo its length.
fn pieces<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn scan(max: usize, chunks: &[&[u8]]) -> Seen {
    let mut scanner = Scanner::new(max);
    let mut seen = Seen::new();
    for chunk in chunks {
        scanner.feed(chunk, |event| note(&mut seen, &event));
    }
    scanner.finish(|event| note(&mut seen, &event));
    seen
}

/// Passes the chunks through a filter that cuts every event whose data begin with `cut`.
fn filter(max: usize, chunks: &[&[u8]]) -> (Vec<u8>, Seen) {
    let mut filter = Filter::new(max);
    let mut seen = Seen::new();
    let mut out = Vec::new();
    let mut cut = |event: Event<'_>| {
        note(&mut seen, &event);
        matches!(&event, Event::Message { data, .. } if data.starts_with(b"cut"))
    };
    for chunk in chunks {
        out.extend_from_slice(&filter.feed(Bytes::copy_from_slice(chunk), &mut cut));
    }
    out.extend_from_slice(&filter.finish(&mut cut));
    (out, seen)
}

#[test]
fn events_are_read_as_the_standard_says() {
    for (text, expected) in [
        ("data: a\n\n", &[("", "a")][..]),
        ("data:a\r\n\r\ndata:  b\r\rdata\n\n", &[("", "a"), ("", " b"), ("", "")]),
        ("event: delta\ndata: {\ndata: }\nid: 7\nretry: 3\n\n", &[("delta", "{\n}")]),
        (": ping\n\n\n\n:\ndata: a\n:x\n\n", &[("", "a")]),
        ("\u{feff}data: a\n\ndata: \u{feff}\n\n", &[("", "a"), ("", "\u{feff}")]),
        ("\u{feff}\ndata: a\n\n\u{feff}data: b\n\n", &[("", "a")]),
        ("event: x\n\ndata: a\n\n", &[("", "a")]),
        ("datax: a\ndata : b\n\n", &[]),
        ("data: [DONE]", &[("", "[DONE]")]),
        ("data: a\n\ndata: [DONE]\n", &[("", "a"), ("", "[DONE]")]),
        ("", &[]),
    ] {
        let expected: Seen = expected.iter().map(|(n, d)| ((*n).into(), (*d).into())).collect();
        assert_eq!(scan(100, &[text.as_bytes()]), expected, "{text:?}");
        let bytewise: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(scan(100, &bytewise), expected, "{text:?}, byte by byte");
    }
}

#[test]
fn a_whole_event_is_not_copied() {
    let chunk = b"data: abc\n\n";
    Scanner::default().feed(chunk, |event| match event {
        Event::Message { data, .. } => assert_eq!(data.as_ptr(), chunk[6..].as_ptr()),
        Event::Oversized => unreachable!("11 bytes"),
    });
}

#[test]
fn an_event_over_the_limit_is_flagged_and_the_next_is_read() {
    let text = b"data: 0123456789\n\ndata: a\n\n";
    let expected = [("!".to_owned(), String::new()), (String::new(), "a".to_owned())];
    for size in 1..=text.len() {
        let chunks: Vec<_> = text.chunks(size).collect();
        assert_eq!(scan(17, &chunks), expected, "chunks of {size}");
        let (out, seen) = filter(17, &chunks);
        assert_eq!((out.as_slice(), seen.as_slice()), (&text[..], &expected[..]));
    }
    assert_eq!(scan(18, &[text])[0].1, "0123456789");
}

#[test]
fn exactly_the_cut_events_are_missing() {
    for (text, expected) in [
        ("data: a\n\ndata: cut\n\ndata: b\n\n", "data: a\n\ndata: b\n\n"),
        ("data: cut\r\n\r\ndata: b\r\n\r\n", "data: b\r\n\r\n"),
        ("data: cut\r\rdata: b\r\r", "data: b\r\r"),
        (": x\n\nevent: e\ndata: cut\ndata: y\n\n: z\n\n", ": x\n\n: z\n\n"),
        ("data: cut\n\n", ""),
        ("data: a\n\ndata: cut\n", "data: a\n\n"),
        ("data: a\n\ndata: b", "data: a\n\ndata: b"),
        ("data: a\r\n\r\ndata: cut\r\n\r\ndata: cut\r\n\r\n", "data: a\r\n\r\n"),
    ] {
        for size in 1..=text.len() {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            let out = filter(100, &chunks).0;
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?} by {size}");
        }
    }
}

#[test]
fn what_passes_in_one_piece_is_not_copied() {
    let mut filter = Filter::default();
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\ndata: cut\n\ndata: c");
    let out = filter.feed(
        chunk.clone(),
        |event| matches!(event, Event::Message { data, .. } if *data == *b"cut"),
    );
    assert_eq!(out, &chunk[..18]);
    assert_eq!(out.as_ptr(), chunk.as_ptr());
    assert_eq!(filter.finish(|_| false), "data: c");
}

/// A text made of the things that matter to the format.
const TEXT: &str =
    "(data: ?|event: ?|:|a|cut|é|\u{feff}|\n|\r|\r\n|\n\n|\r\n\r\n|data: cut\n\n){0,40}";

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        text in TEXT,
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        max in 1_usize..60,
    ) {
        let whole = scan(max, &[text.as_bytes()]);
        prop_assert_eq!(&scan(max, &pieces(text.as_bytes(), &cuts)), &whole);
        prop_assert_eq!(&scan(max, &text.as_bytes().chunks(1).collect::<Vec<_>>()), &whole);
    }

    #[test]
    fn an_event_is_the_same_where_its_lines_are_counted(text in TEXT) {
        let (mut framer, bytes, mut from) = (Framer::new(), text.as_bytes(), 0);
        while let Some((end, lines)) = framer.next_end(bytes, from) {
            let (block, first) = (&bytes[from..end], from == 0);
            prop_assert_eq!(frame::event(block, lines, first), frame::event(block, 0, first));
            from = end;
        }
    }

    #[test]
    fn any_split_passes_the_same_bytes(
        text in TEXT,
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        max in 1_usize..60,
    ) {
        let whole = filter(max, &[text.as_bytes()]);
        prop_assert_eq!(&filter(max, &pieces(text.as_bytes(), &cuts)), &whole);
        prop_assert_eq!(&filter(max, &text.as_bytes().chunks(1).collect::<Vec<_>>()), &whole);
        // The client sees what the scanner sees, less what is cut.
        let all = scan(max, &[text.as_bytes()]);
        prop_assert_eq!(&whole.1, &all);
        let left: Vec<_> = all.into_iter().filter(|(_, data)| !data.starts_with("cut")).collect();
        let oversized = left.iter().any(|(name, _)| name == "!");
        if !oversized && !text.contains('\u{feff}') {
            prop_assert_eq!(scan(usize::MAX, &[&whole.0]), left);
        }
    }

    #[test]
    fn without_cuts_all_bytes_pass(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        max in 1_usize..60,
    ) {
        let mut filter = Filter::new(max);
        let mut out = Vec::new();
        for chunk in pieces(&bytes, &cuts) {
            out.extend_from_slice(&filter.feed(Bytes::copy_from_slice(chunk), |_| false));
        }
        out.extend_from_slice(&filter.finish(|_| false));
        prop_assert_eq!(out, bytes);
    }
}
