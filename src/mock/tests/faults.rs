//! Each fault, as a client meets it, and what the counters say of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::{Answer, Mock, PATIENCE, headers, mock, request};
use crate::mock::behaviour::SETTINGS;

const CHAT: &str = "/v1/chat/completions";

fn chat() -> Value {
    json!({ "model": "mock", "messages": [{ "role": "user", "content": "Hi" }] })
}

fn streamed() -> Value {
    json!({ "model": "mock", "messages": [], "stream": true, "max_tokens": 3 })
}

async fn whole(settings: &str) -> Answer {
    mock("").await.post_with(settings, CHAT, &chat()).await
}

async fn stream(settings: &str) -> Answer {
    mock("").await.post_with(settings, CHAT, &streamed()).await
}

#[tokio::test]
async fn any_status_comes_with_any_header() {
    for (status, kind) in [
        (401, "invalid_request_error"),
        (429, "requests"),
        (500, "server_error"),
        (599, "server_error"),
    ] {
        let answer = whole(&format!("status={status};header=retry-after=3")).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("retry-after"), Some("3"));
        assert_eq!(answer.json()["error"]["type"], kind);
    }
    let answer = whole("status=201;header=content-type=text/html").await;
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("text/html")));
    assert_eq!(answer.json()["object"], "chat.completion");
    let answer = whole("status=204").await;
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
}

#[tokio::test]
async fn a_whole_answer_can_be_cut() {
    for (settings, bytes, reset) in [("cut-after=7", 7, false), ("cut-after=0", 0, false)] {
        let answer = whole(settings).await;
        assert_eq!((answer.text().len(), answer.complete, answer.reset), (bytes, false, reset));
    }
    let answer = whole("cut-after=7;reset").await;
    assert!(answer.reset && !answer.complete);
}

#[tokio::test]
async fn a_stream_can_be_cut() {
    for (settings, events, reset) in
        [("cut-after=2", 2, false), ("cut-after=0", 0, false), ("cut-after=2;reset", 2, true)]
    {
        let answer = stream(settings).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.chunks.len(), events, "{settings}");
        assert_eq!((answer.complete, answer.reset), (false, reset), "{settings}");
    }
}

#[tokio::test]
async fn a_stream_can_be_malformed() {
    let events = stream("malformed-at=2").await.events();
    assert_eq!(events.len(), 7);
    for (number, event) in events.iter().enumerate() {
        let is_json = serde_json::from_str::<Value>(event).is_ok();
        assert_eq!(is_json, number != 2 && event != "[DONE]", "{event}");
    }
}

#[tokio::test]
async fn a_stream_can_end_in_an_error() {
    let answer = stream("error-at=2").await;
    let events = answer.events();
    assert_eq!(events.len(), 3);
    assert!(answer.complete);
    let last: Value = serde_json::from_str(&events[2]).unwrap();
    assert_eq!(last["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_stream_can_lack_its_end() {
    let answer = stream("no-done").await;
    assert!(answer.complete);
    let events = answer.events();
    assert!(events.iter().all(|event| event != "[DONE]"));
    assert_eq!(events.len(), 5);
}

#[tokio::test]
async fn token_counts_can_be_missing() {
    assert!(whole("no-usage").await.json().get("usage").is_none());
    let mut body = streamed();
    body["stream_options"] = json!({ "include_usage": true });
    let events = mock("").await.post_with("no-usage", CHAT, &body).await.event_values();
    assert!(events.iter().all(|event| event.get("usage").is_none()));
}

#[tokio::test]
async fn a_stream_can_come_in_any_pieces() {
    let expected = stream("").await.text();
    for size in [1, 7, 1000, 100_000] {
        let answer = stream(&format!("piece-bytes={size}")).await;
        assert!(answer.complete);
        assert_eq!(answer.text().len(), expected.len());
        assert_eq!(answer.chunks.len(), expected.len().div_ceil(size));
    }
    let events = stream("chunks=2").await.event_values();
    let contents: Vec<&Value> =
        events.iter().map(|event| &event["choices"][0]["delta"]["content"]).collect();
    assert_eq!(contents, [&json!(""), &json!("The"), &json!(" toll is"), &Value::Null]);
}

#[tokio::test]
async fn an_answer_takes_its_time() {
    for (settings, body, least_ms) in [
        ("delay-ms=20", chat(), 20),
        ("first-token-ms=20", chat(), 20),
        ("tokens=11;tokens-per-second=500", chat(), 20),
        ("delay-ms=10;first-token-ms=10", streamed(), 20),
        ("first-token-ms=10;chunk-ms=5", streamed(), 20),
        ("tokens-per-second=100", streamed(), 20),
    ] {
        let mock = mock("").await;
        let start = Instant::now();
        let answer = mock.post_with(settings, CHAT, &body).await;
        assert!(answer.complete, "{settings}");
        assert!(start.elapsed() >= Duration::from_millis(least_ms), "{settings}");
    }
}

#[tokio::test]
async fn faults_can_be_asked_for_in_the_body() {
    let mock = mock("").await;
    let mut body = chat();
    body["metadata"] = json!({ "other": "x", "mock": "status=503;header=retry-after=2" });
    let answer = mock.post(CHAT, &body).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    body["metadata"] = json!({ "mock": "stauts=503" });
    let answer = mock.post(CHAT, &body).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("metadata")));
    let answer = mock.post_with("stauts=503", CHAT, &chat()).await;
    assert!(answer.text().contains("`stauts` is no setting: there are tokens, chunks"));
}

#[tokio::test]
async fn an_instance_can_fail_and_recover() {
    let mock = mock("status=500;fail-first=2").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        assert_eq!(mock.get("/health").await.status, 200);
        seen.push(mock.post(CHAT, &chat()).await.status);
    }
    assert_eq!(seen, [500, 500, 200, 200]);

    let settings = request("POST", "/mock/behaviour", "", b"status=429;fail-first=1000000");
    assert_eq!(mock.exchange(settings.as_bytes()).await.status, 200);
    assert_eq!(mock.post(CHAT, &chat()).await.status, 429);
    let wrong = request("POST", "/mock/behaviour", "", b"status=1");
    assert_eq!(mock.exchange(wrong.as_bytes()).await.status, 400);
    assert_eq!(mock.post(CHAT, &chat()).await.status, 429);

    assert_eq!(mock.post("/mock/reset", &json!({})).await.json()["requests"], 0);
    assert_eq!(mock.post(CHAT, &chat()).await.status, 500);
}

#[tokio::test]
async fn a_lasting_fault_shows_in_health_checks() {
    let mock = mock("status=503").await;
    assert_eq!(mock.get("/health").await.status, 503);
    assert_eq!(mock.get("/v1/models").await.status, 503);
    assert_eq!(mock.get("/mock/stats").await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_path() {
    let mock = mock("").await;
    mock.post(CHAT, &chat()).await;
    mock.post(CHAT, &streamed()).await;
    mock.get("/v1/models").await;
    mock.get("/health").await;
    mock.get("/nowhere").await;
    assert_eq!(
        mock.stats().await,
        json!({ "requests": 3, "open": 0, "open_streams": 0, "aborted_waits": 0,
            "aborted_streams": 0, "by_path": { "/v1/chat/completions": 2, "/v1/models": 1,
                "/health": 1, "unknown": 1 } })
    );
}

/// Sends a request, waits until the counters are as expected, and leaves.
async fn leave(mock: &Mock, settings: &str, body: &Value, seen: impl Fn(&Value) -> bool) -> Value {
    let mut stream = mock.connect().await;
    let request = request("POST", CHAT, &headers(settings), body.to_string().as_bytes());
    stream.write_all(request.as_bytes()).await.unwrap();
    mock.until(seen).await;
    drop(stream);
    mock.until(|stats| stats["open"] == 0).await
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_it_waits() {
    for settings in ["hang", "delay-ms=4000000", "first-token-ms=4000000"] {
        let mock = mock("").await;
        let stats = leave(&mock, settings, &chat(), |stats| stats["open"] == 1).await;
        assert_eq!((&stats["aborted_waits"], &stats["aborted_streams"]), (&json!(1), &json!(0)));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_in_mid_stream() {
    for settings in ["first-token-ms=4000000", "chunk-ms=4000000"] {
        let mock = mock("").await;
        let stats = leave(&mock, settings, &streamed(), |stats| stats["open_streams"] == 1).await;
        assert_eq!((&stats["aborted_waits"], &stats["aborted_streams"]), (&json!(0), &json!(1)));
    }
}

#[tokio::test]
async fn the_header_of_a_stream_does_not_wait_for_the_first_token() {
    let mock = mock("first-token-ms=4000000").await;
    let mut stream = mock.connect().await;
    let request = request("POST", CHAT, "", streamed().to_string().as_bytes());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 15];
    timeout(PATIENCE, stream.read_exact(&mut start)).await.unwrap().unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn the_echo_tells_what_was_received() {
    let mock = mock("").await;
    let headers = "X-Mock-Echo: 1\r\nauthorization: Bearer k\r\n";
    let body = chat().to_string();
    let request = request("POST", "/v1/chat/completions?a=b", headers, body.as_bytes());
    let answer = mock.exchange(request.as_bytes()).await.json();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let echo: Value = serde_json::from_str(content).unwrap();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["path"], "/v1/chat/completions?a=b");
    let headers = echo["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["authorization", "Bearer k"])));
    assert_eq!(echo["body_bytes"], body.len());
    assert_eq!(echo["body"], body);
    assert_eq!(echo["body_sha256"].as_str().unwrap().len(), 64);

    let body = json!({ "model": "mock", "input": "a", "metadata": { "mock": "echo" } });
    assert_eq!(mock.post("/v1/embeddings", &body).await.json()["body"], body.to_string());
}

#[test]
fn every_setting_is_documented() {
    let docs = include_str!("../../../docs/mock.md");
    for name in SETTINGS.iter().chain(&["fail-first", "fail-rate"]) {
        assert!(docs.contains(&format!("| `{name}` |")), "docs/mock.md lacks `{name}`");
    }
}
