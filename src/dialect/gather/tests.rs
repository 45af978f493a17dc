//! One answer in each dialect is one message, for any split of its bytes.

use std::fs;

use serde_json::{Value, json};

use super::{Dialect, Form, Framing, Gathered, Gatherer, Reply};

const REPLY: Reply<'static> = Reply { id: "reply-1", created: 0, model: "m" };

const MAX: usize = 100_000;

fn golden(dialect: Dialect, case: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    fs::read(format!("{root}/tests/data/{}/{case}", dialect.name())).unwrap()
}

fn gather(dialect: Dialect, form: Form, text: &[u8], size: usize) -> Gathered {
    let mut gatherer = Gatherer::new(dialect, form, REPLY, MAX);
    for chunk in text.chunks(size) {
        match gatherer.feed(chunk, false) {
            Gathered::Underway => {}
            over => {
                assert_eq!(gatherer.feed(b"x", true), Gathered::Underway, "it is told once");
                return over;
            }
        }
    }
    gatherer.feed(b"", true)
}

fn message(gathered: Gathered) -> Value {
    match gathered {
        Gathered::Complete(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The events of a stream as Gemini's JSON array.
fn array(sse: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(sse).unwrap();
    let pieces: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    format!("[{}]\n", pieces.join("\n,\r\n")).into_bytes()
}

/// Content, and each call's name and arguments.
fn told(message: &Value) -> (Value, Vec<(Value, Value)>) {
    let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
    let call = |call: &Value| {
        let arguments = call["function"]["arguments"].as_str().unwrap();
        (call["function"]["name"].clone(), serde_json::from_str(arguments).unwrap())
    };
    (message["content"].clone(), calls.iter().map(call).collect())
}

#[test]
fn every_dialect_says_the_same() {
    let oslo = (json!("get_weather"), json!({"city": "Oslo"}));
    for (case, expected) in [
        ("plain", (json!("Hi thére ❤"), Vec::new())),
        ("tools", (json!("Let me see."), vec![oslo])),
    ] {
        for dialect in Dialect::ALL {
            let answer = golden(dialect, &format!("{case}.answer.json"));
            let stream = golden(dialect, &format!("{case}.stream.sse"));
            for size in [1, 13, 4000] {
                let whole = message(gather(dialect, Form::Whole(None), &answer, size));
                assert_eq!(told(&whole), expected, "{dialect:?} {case} {size}");
                let form = Form::Stream(Framing::Sse);
                let streamed = message(gather(dialect, form, &stream, size));
                assert_eq!(told(&streamed), expected, "{dialect:?} {case} {size}");
            }
        }
        let stream = array(&golden(Dialect::Gemini, &format!("{case}.stream.sse")));
        let form = Form::Stream(Framing::Array);
        for size in [1, 13, 4000] {
            let streamed = message(gather(Dialect::Gemini, form, &stream, size));
            assert_eq!(told(&streamed), expected, "{case} {size}");
        }
        let cut = stream.split_at(stream.len() - 20).0;
        assert_eq!(gather(Dialect::Gemini, form, cut, 13), Gathered::Broken);
    }
}

#[test]
fn an_announced_length_is_an_end() {
    for dialect in Dialect::ALL {
        let answer = golden(dialect, "plain.answer.json");
        let form = Form::Whole(Some(answer.len()));
        let mut gatherer = Gatherer::new(dialect, form, REPLY, MAX);
        assert!(matches!(gatherer.feed(&answer, false), Gathered::Complete(_)), "{dialect:?}");
    }
}

#[test]
fn what_is_no_whole_answer_is_none() {
    for dialect in Dialect::ALL {
        for case in ["cut.stream.sse", "error.stream.sse"] {
            let text = golden(dialect, case);
            let told = gather(dialect, Form::Stream(Framing::Sse), &text, 50);
            assert_eq!(told, Gathered::Broken, "{dialect:?} {case}");
        }
        let told = gather(dialect, Form::Whole(None), b"{}", 50);
        assert_eq!(told, Gathered::Unreadable, "{dialect:?}");
        let answer = golden(dialect, "plain.answer.json");
        let mut gatherer = Gatherer::new(dialect, Form::Whole(None), REPLY, 10);
        assert_eq!(gatherer.feed(&answer, true), Gathered::TooLong, "{dialect:?}");
    }
}

#[test]
fn a_signature_goes_with_its_call() {
    let piece = json!({"candidates": [{"index": 0, "finishReason": "STOP", "content": {"parts": [
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"},
    ]}}]});
    let stream = format!("data: {piece}\n\n");
    for (form, text) in
        [(Form::Stream(Framing::Sse), stream), (Form::Whole(None), piece.to_string())]
    {
        let kept = message(gather(Dialect::Gemini, form, text.as_bytes(), 9));
        let signature = &kept["tool_calls"][0]["extra_content"]["google"]["thought_signature"];
        assert_eq!(signature, "c2ln", "{kept}");
        assert!(kept["tool_calls"][0]["id"].as_str().unwrap().contains("reply-1"), "{kept}");
    }
}
