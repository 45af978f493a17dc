//! Counts against those of the whole text, for answers of every shape that break off or tell no usage.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Head, Tokenizer, Unreported, Vocabulary};

/// Prose, code, digits and other scripts, as answers mix them.
const TEXT: &str = "Sure! Here is how the gateway counts: each chunk is read once, and what it says is \
    carried on. let total = counts.iter().map(|c| c.tokens).sum::<u64>(); The result for 2026-01-31 was \
    1,048,576 tokens, or 3.75 dollars. Привет, это короткий ответ. 今天天气很好。 Finally, remember that \
    \"quotes\" and back\\slashes are escaped, and that lines\nbreak. ";

/// An answer that goes on as it begins.
const PROSE: &str = "Sure! Here is how the gateway counts the tokens of an answer that breaks off in the midst of \
    it: the first events are kept as they pass, and what their words come to is carried on over the rest. \
    Finally, remember that \"quotes\" are escaped, and that lines\nbreak. ";

/// Turns of [`TEXT`].
const TURNS: usize = 12;

type Event = fn(&str) -> Value;

const EVENTS: [(&str, Event); 5] = [
    ("chat", |text| {
        json!({"id": "chatcmpl-9f8e7d6c5b4a", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "gpt-4o-2024-08-06", "system_fingerprint": "fp_0123456789",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
    }),
    ("anthropic", |text| {
        json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text}})
    }),
    ("responses", |text| {
        json!({"type": "response.output_text.delta", "item_id": "msg_0123456789abcdef",
            "output_index": 0, "content_index": 0, "sequence_number": 12, "delta": text})
    }),
    ("gemini", |text| {
        json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
            "modelVersion": "gemini-2.5-flash", "responseId": "abcdefghijkl"})
    }),
    ("reasoning", |text| json!({"choices": [{"index": 0, "delta": {"reasoning_content": text}}]})),
];

/// A text in pieces of so many characters.
fn pieces(text: &str, characters: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(characters).map(|piece| piece.iter().collect()).collect()
}

/// What is known of an answer that came in these chunks.
fn unreported(sent: &str, chunks: &[Bytes]) -> Unreported {
    let mut head = Head::default();
    chunks.iter().for_each(|chunk| head.see(chunk));
    let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    Unreported { model: "gpt-4o".into(), sent: Bytes::from(sent.to_owned()).into(), head, bytes }
}

#[test]
fn a_stream_that_is_cut_is_counted_within_a_tenth_where_it_goes_on_as_it_began() {
    // Of one that changes its script at every sentence, a few events say less.
    check_streams(PROSE, 10);
    check_streams(TEXT, 25);
}

fn check_streams(turn: &str, most: u64) {
    let text = turn.repeat(TURNS);
    let real = Vocabulary::O200k.count(&text);
    for (name, event) in EVENTS {
        for size in [3, 4, 20, 80] {
            let events = pieces(&text, size);
            let events = events.iter().map(|piece| format!("data: {}\n\n", event(piece)));
            let chunks: Vec<Bytes> = events.map(Bytes::from).collect();
            let counted = unreported("", &chunks).measure(Tokenizer::Auto).output;
            let off = counted.abs_diff(real) * 100 / real;
            println!("{name} by {size}: {counted} of {real}, {off} % off");
            assert!(off <= most, "{name} by {size} characters: {counted} of {real}");
        }
    }
}

#[test]
fn what_is_kept_of_a_stream_is_bounded() {
    let chunks = vec![Bytes::from_static(&[b'x'; 1000]); 100];
    let mut head = Head::default();
    chunks.iter().for_each(|chunk| head.see(chunk));
    let Head::Copied(kept) = &head else { panic!("{head:?}") };
    assert_eq!((kept.len(), kept.capacity()), (super::HEAD_BYTES, super::HEAD_BYTES));
}

#[test]
fn a_whole_answer_is_counted_to_the_token() {
    let text = TEXT.repeat(TURNS);
    let answer = json!({"id": "chatcmpl-1", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": text}}]});
    let answer = unreported("", &[Bytes::from(answer.to_string())]);
    assert_eq!(answer.measure(Tokenizer::Auto).output, Vocabulary::O200k.count(&text));
    assert_eq!(answer.measure(Tokenizer::Cl100k).output, Vocabulary::Cl100k.count(&text));
}

#[test]
fn an_answer_without_text_has_no_tokens_but_for_what_was_not_seen() {
    let nothing = unreported("", &[]);
    assert_eq!(nothing.measure(Tokenizer::Auto).output, 0);
    let role = Bytes::from(
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    );
    assert_eq!(unreported("", &[role]).measure(Tokenizer::Auto).output, 0);
    let opaque = vec![Bytes::from_static(&[b'.'; 1024]); 5];
    assert_eq!(unreported("", &opaque).measure(Tokenizer::Auto).output, 1024_u64.div_ceil(200));
}

#[test]
fn prompts_are_counted_as_openai_says() {
    // The example of OpenAI's cookbook on counting tokens, whose API answered 129 and 124.
    let messages = json!([
        {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
        {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
        {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
        {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
        {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
    ]);
    let sent = json!({"model": "gpt-4o", "messages": messages}).to_string();
    let asked = unreported(&sent, &[]);
    for (tokenizer, real) in [(Tokenizer::Cl100k, 129), (Tokenizer::O200k, 124)] {
        let counted = asked.prompt(tokenizer);
        assert!(counted.abs_diff(real) <= real / 10, "{tokenizer:?}: {counted} of {real}");
    }
    let long = json!({"messages": [{"role": "user", "content": TEXT.repeat(1000)}]}).to_string();
    let real = Vocabulary::O200k.count(&TEXT.repeat(1000));
    let counted = unreported(&long, &[]).prompt(Tokenizer::Auto);
    assert!(counted.abs_diff(real) * 100 <= real * 2, "{counted} of {real}");
}
