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

    #[test]
    fn an_event_like_the_last_one_means_what_its_reader_reads(
        texts in prop::collection::vec(words(), 2..8),
        form in 0..FORMS.len(),
        to in dialect(),
    ) {
        // With a space that comes and goes no event looks like the one before it, so all of them are read.
        prop_assert_eq!(told(&texts, form, to, false), told(&texts, form, to, true));
    }
}

/// A delta of text in each dialect: what comes before its text and behind it, and what begins the stream. `PLACE` is
/// another number in each event.
const FORMS: [(Dialect, &str, &str, &str); 10] = [
    (Dialect::Chat, "{}", r#"{"choices":[{"delta":{"content":"#, "}}]}"),
    (
        Dialect::Chat,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"#,
        "}}]}}]}",
    ),
    (
        Dialect::Anthropic,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"#,
        "}}",
    ),
    (
        Dialect::Anthropic,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","input":{"a":1}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"#,
        "}}",
    ),
    (Dialect::Gemini, "{}", r#"{"candidates":[{"content":{"parts":[{"text":"#, "}]}}]}"),
    (
        Dialect::Responses,
        r#"{"type":"response.created"}"#,
        r#"{"type":"response.output_text.delta","delta":"#,
        "}",
    ),
    (
        Dialect::Bedrock,
        r#"{"messageStart":{"role":"assistant"}}"#,
        r#"{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"#,
        "}}}",
    ),
    (Dialect::Chat, "{}", r#"{"obfuscation":"PLACE","choices":[{"delta":{"content":"#, "}}]}"),
    (
        Dialect::Responses,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call"}}"#,
        r#"{"type":"response.function_call_arguments.delta","sequence_number":PLACE,"delta":"#,
        r#","output_index":0,"obfuscation":"\"PLACE"}"#,
    ),
    (
        Dialect::Bedrock,
        r#"{"messageStart":{"role":"assistant"}}"#,
        r#"{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"#,
        r#"},"p": "aPLACE"}}"#,
    ),
];

/// What a client gets for a stream of these texts, whose events may have a space that comes and goes.
fn told(texts: &[Text<'_>], form: usize, to: Dialect, spaced: bool) -> String {
    let Some((from, start, before, after)) = FORMS.get(form) else { return String::new() };
    let options = StreamOptions { reply: REPLY, include_usage: true, framing: Framing::Sse };
    let mut translator = StreamTranslator::new(*from, to, &options);
    let mut out = Vec::new();
    translator.event(start.as_bytes(), &mut out);
    for (place, text) in texts.iter().enumerate() {
        let space = if spaced && place % 2 == 0 { " " } else { "" };
        let text = serde_json::Value::from(&**text);
        let [before, after] = [before, after].map(|part| part.replace("PLACE", &place.to_string()));
        translator.event(format!("{space}{before}{text}{after}").as_bytes(), &mut out);
    }
    translator.finish(&mut out);
    String::from_utf8(out).expect("UTF-8")
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
