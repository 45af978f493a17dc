//! Streams of each dialect: translated into every other, and read along as they pass.

use bytes::Bytes;
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::Dialect;
use tollgate::dialect::openai::stream::AnswerStream;
use tollgate::dialect::sse::{Event, Scanner};
use tollgate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use tollgate::dialect::watch::Watch;

use crate::bodies::{REPLY, is_json};
use crate::cuts::same;

/// How much longer a stream may become: a letter may be an event of its own, Responses repeats the
/// answer, and a letter may become six.
const GROWTH_MAX: usize = 64;

/// A translated stream: the same bytes for any split, each event JSON, bounded, and nothing behind its end.
///
/// # Panics
/// Where that does not hold.
pub fn translated(from: Dialect, data: &[u8]) {
    for to in Dialect::ALL {
        let framings: &[Framing] = match to {
            Dialect::Gemini => &[Framing::Sse, Framing::Array],
            _ => &[Framing::Sse],
        };
        for framing in framings {
            let options = StreamOptions { reply: REPLY, include_usage: true, framing: *framing };
            let out = same(data, |pieces| translate(from, to, &options, pieces));
            let most = 16_384 + GROWTH_MAX * data.len();
            assert!(out.len() <= most, "{to:?}: {} bytes of {}", out.len(), data.len());
            match framing {
                Framing::Sse => check_events(&out),
                Framing::Array => assert!(out.is_empty() || is_json(&out), "{}", text(&out)),
            }
        }
    }
}

fn translate(from: Dialect, to: Dialect, options: &StreamOptions<'_>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut scanner = Scanner::default();
    let mut translator = StreamTranslator::new(from, to, options);
    let mut out = Vec::new();
    let mut over = false;
    let mut take = |event: &Event<'_>, out: &mut Vec<u8>| {
        let Event::Message { data, .. } = event else { return };
        let before = out.len();
        let step = translator.event(data, out);
        assert!(!over || out.len() == before, "written behind the end");
        over |= !matches!(step, Step::More);
    };
    for piece in pieces {
        scanner.feed(piece, |event| take(&event, &mut out));
    }
    scanner.finish(|event| take(&event, &mut out));
    translator.finish(&mut out);
    out
}

fn check_events(out: &[u8]) {
    let text = text(out);
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        assert!(is_json(line.as_bytes()) || line == "[DONE]", "{line}");
    }
}

/// A stream of Chat that passes: the same bytes for any split, and the same learned from it.
///
/// # Panics
/// Where that does not hold.
pub fn passed(data: &[u8]) {
    for hide_usage in [false, true] {
        let (out, _) = same(data, |pieces| {
            let mut stream = AnswerStream::new(hide_usage);
            let mut out = Vec::new();
            for piece in pieces {
                out.extend_from_slice(&stream.feed(Bytes::copy_from_slice(piece)));
            }
            out.extend_from_slice(&stream.finish());
            (out, stream.seen)
        });
        assert!(hide_usage && out.len() <= data.len() || out == data);
    }
}

/// A stream of another dialect that passes: the same learned from it for any split.
///
/// # Panics
/// Where that does not hold.
pub fn watched(dialect: Dialect, data: &[u8]) {
    for framing in [Framing::Sse, Framing::Array] {
        same(data, |pieces| {
            let mut watch = Watch::new(dialect, framing);
            pieces.iter().for_each(|piece| watch.feed(piece));
            (watch.finish(), watch.usage())
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
