//! The same faults in each dialect's own shape.

use serde_json::{Value, json};

use super::{Answer, mock};

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const GEMINI: &str = "/v1beta/models/mock:streamGenerateContent?alt=sse";
const ARRAY: &str = "/v1beta/models/mock:streamGenerateContent";

/// A request for a stream of three tokens, with settings where the dialect has a place for them.
fn streamed(path: &str, settings: &str) -> Value {
    let user = json!([{ "role": "user", "content": "Hi" }]);
    let metadata = json!({ "mock": settings });
    match path {
        RESPONSES => json!({ "model": "mock", "input": user, "stream": true,
            "max_output_tokens": 3, "metadata": metadata }),
        MESSAGES => json!({ "model": "mock", "messages": user, "stream": true,
            "max_tokens": 3, "metadata": metadata }),
        _ => json!({ "contents": [{ "parts": [{ "text": "Hi" }] }],
            "generationConfig": { "maxOutputTokens": 3 }, "labels": metadata }),
    }
}

async fn stream(path: &str, settings: &str) -> Answer {
    mock("").await.post(path, &streamed(path, settings)).await
}

/// The data of one HTTP chunk, which is an event, whatever the framing.
fn data(chunk: &[u8]) -> Value {
    let text = std::str::from_utf8(chunk).unwrap();
    let text = text.split_once("data: ").map_or(text, |(_, data)| data);
    let text = text.trim_start_matches(['[', ',', '\r', '\n']).trim_end_matches(['\n', ']']);
    serde_json::from_str(text).unwrap_or_default()
}

#[tokio::test]
async fn a_status_comes_with_an_error_of_the_dialect() {
    for (path, place, kinds) in [
        (RESPONSES, "/error/type", ["invalid_request_error", "requests", "server_error"]),
        (MESSAGES, "/error/type", ["authentication_error", "rate_limit_error", "overloaded_error"]),
        (GEMINI, "/error/status", ["UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "INTERNAL"]),
        (ARRAY, "/0/error/status", ["UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "INTERNAL"]),
    ] {
        for (status, kind) in [401, 429, 529].into_iter().zip(kinds) {
            let answer = stream(path, &format!("status={status};header=retry-after=3")).await;
            assert_eq!((answer.status, answer.header("retry-after")), (status, Some("3")));
            assert_eq!(answer.json().pointer(place), Some(&json!(kind)), "{path}");
        }
    }
}

#[tokio::test]
async fn a_stream_can_be_cut() {
    for path in [RESPONSES, MESSAGES, GEMINI, ARRAY] {
        let answer = stream(path, "cut-after=2").await;
        assert_eq!((answer.status, answer.chunks.len(), answer.complete), (200, 2, false));
    }
}

#[tokio::test]
async fn a_stream_can_end_in_an_error() {
    for (path, place, kind) in [
        (RESPONSES, "/error/type", "server_error"),
        (MESSAGES, "/error/type", "api_error"),
        (GEMINI, "/error/status", "INTERNAL"),
        (ARRAY, "/error/status", "INTERNAL"),
    ] {
        for number in [0, 2] {
            let answer = stream(path, &format!("error-at={number}")).await;
            assert_eq!((answer.chunks.len(), answer.complete), (number + 1, true), "{path}");
            let last = data(&answer.chunks[number]);
            assert_eq!(last.pointer(place), Some(&json!(kind)), "{path}: {last}");
        }
    }
    let named = stream(MESSAGES, "error-at=2").await.named_events();
    assert_eq!(named[2].0, "error");
    let named = stream(RESPONSES, "error-at=2").await.named_events();
    assert_eq!((named[2].0.as_str(), &named[2].1["sequence_number"]), ("error", &json!(2)));
    assert_eq!(stream(ARRAY, "error-at=2").await.json().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_stream_can_be_malformed() {
    for path in [RESPONSES, MESSAGES, GEMINI, ARRAY] {
        let good = stream(path, "").await;
        let answer = stream(path, "malformed-at=1").await;
        assert_eq!(answer.chunks.len(), good.chunks.len() + 1);
        for (number, chunk) in answer.chunks.iter().enumerate() {
            assert_eq!(data(chunk).is_null(), number == 1, "{path}");
        }
    }
}

#[tokio::test]
async fn a_stream_can_lack_its_last_event() {
    for path in [RESPONSES, MESSAGES, GEMINI, ARRAY] {
        let good = stream(path, "").await;
        let answer = stream(path, "no-done").await;
        assert!(answer.complete);
        assert_eq!(answer.chunks.len(), good.chunks.len() - 1, "{path}");
    }
    assert_eq!(stream(ARRAY, "no-done").await.json().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn token_counts_can_be_missing() {
    for path in [RESPONSES, MESSAGES, GEMINI, ARRAY] {
        let counts = |answer: &Answer| {
            answer.text().matches("_tokens\":").count()
                + answer.text().matches("TokenCount\":").count()
        };
        assert!(counts(&stream(path, "").await) > 1, "{path}");
        // The one that is left is the limit that a response repeats.
        let left = if path == RESPONSES { 3 } else { 0 };
        assert_eq!(counts(&stream(path, "no-usage").await), left, "{path}");
    }
}

#[tokio::test]
async fn a_stream_can_come_in_any_pieces() {
    for path in [RESPONSES, MESSAGES, GEMINI, ARRAY] {
        let expected = stream(path, "chunks=1").await.text();
        let answer = stream(path, "chunks=1;piece-bytes=7").await;
        assert!(answer.complete);
        assert_eq!(answer.chunks.len(), answer.text().len().div_ceil(7));
        assert_eq!(
            answer.text().matches("The toll is").count(),
            expected.matches("The toll is").count()
        );
    }
}
