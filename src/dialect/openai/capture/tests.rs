//! Answers in, messages out, for any split of the bytes.

use proptest::prelude::prop;
use proptest::{prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{Capture, Gathered};

const MAX: usize = 10_000;

fn events(events: &[Value], done: bool) -> String {
    let mut text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    if done {
        text.push_str("data: [DONE]\n\n");
    }
    text
}

fn delta(delta: &Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn gather(mut capture: Capture, text: &str, size: usize) -> Gathered {
    for chunk in text.as_bytes().chunks(size) {
        match capture.feed(chunk, false) {
            Gathered::Underway => {}
            over => return over,
        }
    }
    capture.feed(b"", true)
}

fn message(gathered: Gathered) -> Value {
    match gathered {
        Gathered::Complete(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_answer_is_kept_without_what_a_request_may_not_hold() {
    let answer = json!({"id": "x", "choices": [
        {"index": 0, "finish_reason": "stop", "logprobs": null, "message": {
            "role": "assistant", "content": "Hi \"there\"", "refusal": null, "annotations": [],
            "audio": null, "reasoning_content": "hm", "tool_calls": [],
        }},
        {"index": 1, "message": {"role": "assistant", "content": "other"}},
    ]});
    let got = message(gather(Capture::whole(None, MAX), &answer.to_string(), 7));
    assert_eq!(got, json!({"role": "assistant", "content": "Hi \"there\""}));
    let calls =
        json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let answer = json!({"choices": [{"message": {"content": null, "tool_calls": calls}}]});
    let got = message(gather(Capture::whole(None, MAX), &answer.to_string(), 900));
    assert_eq!(got, json!({"role": "assistant", "content": null, "tool_calls": calls}));
}

#[test]
fn an_announced_length_ends_a_whole_answer() {
    let text = json!({"choices": [{"message": {"content": "a"}}]}).to_string();
    let mut capture = Capture::whole(Some(text.len()), MAX);
    let (most, last) = text.as_bytes().split_at(text.len() - 1);
    assert_eq!(capture.feed(most, false), Gathered::Underway);
    assert!(matches!(capture.feed(last, false), Gathered::Complete(_)));
    assert_eq!(capture.feed(b"", true), Gathered::Underway, "it is told once");
}

#[test]
fn a_stream_is_put_together() {
    for (parts, expected) in [
        (
            vec![
                json!({"role": "assistant", "content": ""}),
                json!({"content": "Hel"}),
                json!({"content": "lo"}),
            ],
            json!({"role": "assistant", "content": "Hello"}),
        ),
        (vec![json!({"content": ""})], json!({"role": "assistant", "content": ""})),
        (
            vec![json!({"refusal": "No"}), json!({"refusal": "."})],
            json!({"role": "assistant", "content": null, "refusal": "No."}),
        ),
        (
            vec![
                json!({"content": "", "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
                json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\""}}]}),
                json!({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
                json!({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": ":1}"}}]}),
            ],
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ]}),
        ),
    ] {
        let mut parts: Vec<Value> = parts.iter().map(delta).collect();
        parts.push(finish("stop"));
        for done in [true, false] {
            let got = message(gather(Capture::stream(MAX), &events(&parts, done), 11));
            assert_eq!(got, expected, "{done}");
        }
    }
}

#[test]
fn what_is_no_whole_message_is_none() {
    let word = delta(&json!({"content": "word"}));
    let error = json!({"error": {"message": "m"}});
    let long = delta(&json!({"content": "x".repeat(MAX + 1)}));
    for (text, expected) in [
        (events(std::slice::from_ref(&word), false), Gathered::Broken),
        (events(&[word.clone(), error], true), Gathered::Broken),
        (events(&[long], true), Gathered::TooLong),
        (String::new(), Gathered::Broken),
    ] {
        assert_eq!(gather(Capture::stream(MAX), &text, 100), expected);
    }
    for text in [r#"{"choices":[]}"#, r#"{"error":{}}"#, "x", ""] {
        let got = gather(Capture::whole(None, MAX), text, 100);
        assert_eq!(got, Gathered::Unreadable, "{text}");
    }
    let long = gather(Capture::whole(None, 10), &"x".repeat(11), 3);
    assert_eq!(long, Gathered::TooLong);
}

proptest! {
    #[test]
    fn any_split_gathers_the_same(words in prop::collection::vec("\\PC{0,8}", 0..10), size in 1_usize..60) {
        let mut parts: Vec<Value> = words.iter().map(|word| delta(&json!({"content": word}))).collect();
        parts.push(finish("length"));
        let text = events(&parts, true);
        let whole = gather(Capture::stream(MAX), &text, usize::MAX);
        prop_assert_eq!(gather(Capture::stream(MAX), &text, size), whole.clone());
        if !words.is_empty() {
            prop_assert_eq!(&message(whole)["content"], &json!(words.concat()));
        }
    }

    #[test]
    fn garbage_never_panics(text in r#"(data: |\n\n|[\{\}\[\]:,]|"choices"|"delta"|"index"|[0-9]|"|é){0,60}"#, size in 1_usize..9) {
        gather(Capture::stream(50), &text, size);
        gather(Capture::whole(Some(9), 50), &text, size);
    }
}
