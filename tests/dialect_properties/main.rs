//! What holds of every reader and writer, whatever comes: what is written is read back as it was,
//! and no input makes any of them panic.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod given;

use given::{answered, damaged, dialect, events, requested, target, upstream, words};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::value::RawValue;
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::loss::Losses;
use tollgate::dialect::ir::wire::Text;
use tollgate::dialect::ir::{Dialect, Reply};
use tollgate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use tollgate::dialect::translate::{
    read_answer, read_request, translate_answer, translate_error, translate_request, write_answer,
    write_request,
};

const REPLY: Reply<'static> = Reply { id: "reply-1", created: 1_700_000_000, model: "alias" };

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written((dialect, request) in requested()) {
        let mut losses = Losses::new(dialect);
        let body = write_request(dialect, &request, target(dialect), &mut losses);
        let back = read_request(dialect, &body, request.stream, &mut losses).expect("a request");
        prop_assert_eq!(back, request, "{}", String::from_utf8_lossy(&body));
        prop_assert_eq!(losses.into_list(), vec![]);
    }

    #[test]
    fn an_answer_is_read_as_it_was_written((dialect, answer) in answered()) {
        let mut losses = Losses::new(dialect);
        let body = write_answer(dialect, &answer, &REPLY, &mut losses);
        let back = read_answer(dialect, &body, &REPLY, &mut losses).expect("an answer");
        prop_assert_eq!(back, answer, "{}", String::from_utf8_lossy(&body));
        prop_assert_eq!(losses.into_list(), vec![]);
    }

    #[test]
    fn no_body_makes_a_reader_panic(
        body in prop_oneof![damaged("request.json"), damaged("answer.json")],
        client in dialect(),
        upstream in upstream(),
    ) {
        if let Ok(done) = translate_request(client, upstream, &body, target(upstream), false) {
            prop_assert!(written(&done.body));
        }
        if let Ok(done) = translate_answer(upstream, client, &body, &REPLY) {
            prop_assert!(written(&done.body));
        }
        prop_assert!(written(&translate_error(upstream, client, 500, &body).body));
    }

    #[test]
    fn no_stream_makes_a_translator_panic(events in events(), from in upstream(), to in dialect()) {
        let options = StreamOptions { reply: REPLY, include_usage: true, framing: Framing::Sse };
        let mut translator = StreamTranslator::new(from, to, &options);
        let mut out = Vec::new();
        let mut over = false;
        for data in &events {
            let before = out.len();
            let step = translator.event(data, &mut out);
            prop_assert!(!over || out.len() == before, "written after the end");
            over |= !matches!(step, Step::More);
        }
        translator.finish(&mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            prop_assert!(written(line.as_bytes()) || line == "[DONE]", "{}", line);
        }
    }

    #[test]
    fn a_text_means_the_same_however_it_is_cut(
        texts in prop::collection::vec(words(), 1..8),
        to in select(&[Dialect::Anthropic, Dialect::Gemini, Dialect::Responses]),
    ) {
        let whole: String = texts.iter().map(|text| &**text).collect();
        prop_assert_eq!(streamed(&texts, to), whole);
    }
}

/// Whether this is JSON by its grammar. Escapes of half a character are, and pass through as they came.
fn written(body: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(body).is_ok()
}

/// Sends the texts as chunks of Chat, and joins the texts that come out.
fn streamed(texts: &[Text<'_>], to: Dialect) -> String {
    let options = StreamOptions { reply: REPLY, include_usage: true, framing: Framing::Sse };
    let mut translator = StreamTranslator::new(Dialect::Chat, to, &options);
    let mut out = Vec::new();
    for text in texts {
        let delta = serde_json::json!({ "content": &**text });
        let chunk = serde_json::json!({ "choices": [{ "index": 0, "delta": delta }] });
        translator.event(chunk.to_string().as_bytes(), &mut out);
    }
    let text = String::from_utf8(out).expect("UTF-8");
    let values = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let values = values.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let pointer = match to {
        Dialect::Anthropic => "/delta/text",
        Dialect::Gemini => "/candidates/0/content/parts/0/text",
        Dialect::Responses => "/delta",
        Dialect::Chat | Dialect::Bedrock => "/choices/0/delta/content",
    };
    values.filter_map(|value| value.pointer(pointer)?.as_str().map(str::to_owned)).collect()
}
