//! Rows of the table of faults (docs/failures.md) that take a model server or a client of their own;
//! the others are in `retry.rs`, `tls.rs` and `credentials.rs`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use support::Method;
use support::answer::{self, close, ok, pieces};
use support::client::Client;
use support::conf::{conf, serving};
use support::reply::Reply;
use support::upstream::upstream;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// More connections than the shortest queue of a listener holds.
const CONNECTIONS_MAX: usize = 16;

/// How long a connection may take that is made at all.
const MOMENT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn no_connection_in_time_is_no_connection() {
    let (listener, queued) = deaf().await;
    let address = listener.local_addr().expect("an address");
    let gateway = conf()
        .provider_at("local", &[format!("http://{address}/v1")])
        .model("demo", &[("local", "m")])
        .set("timeouts.connect_ms", 200)
        .set("retry.attempts_max", 1)
        .start()
        .await;
    gateway.client().chat("demo").await.assert_error(502, "upstream_unreachable");
    drop(queued);
}

/// A listener that accepts nobody and whose queue is full, with those who stand in it.
async fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(connected) = timeout(MOMENT, TcpStream::connect(address)).await {
        queued.push(connected.expect("a place in the queue"));
        assert!(queued.len() < CONNECTIONS_MAX, "the queue has no end");
    }
    (listener, queued)
}

#[tokio::test]
async fn a_kept_connection_that_has_gone_stale_costs_no_attempt() {
    let model = upstream().await;
    // Kept connections are a thread's own.
    let gateway = serving(&[&model])
        .set("server.threads", 1)
        .set("retry.attempts_max", 1)
        .set("providers.local.passive.failures", 0)
        .start()
        .await;
    model.then(ok()).then(close()).then(ok());
    let client = gateway.client();
    assert_eq!(client.chat("demo").await.status, 200);
    assert_eq!(model.connections(), 1);
    assert_eq!(client.chat("demo").await.status, 200, "asked again on another connection");
    assert_eq!((model.count(), model.connections()), (3, 2));
    model.then(close()).then(close());
    client.chat("demo").await.assert_error(502, "upstream_broken");
    assert_eq!((model.count(), model.connections()), (5, 3), "once is free");
}

async fn ask_gemini(client: &Client) -> reqwest::Result<Reply> {
    let body = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
    let path = "/v1beta/models/demo:streamGenerateContent";
    Reply::attempt(client.request(Method::POST, path).json(&body)).await
}

#[tokio::test]
async fn a_gemini_array_that_breaks_off_breaks_off_for_the_client() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("providers.local.dialect", "gemini").start().await;
    let part = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}).to_string();
    let array = pieces("application/json", [format!("[{part}").into(), format!(",{part}]").into()]);
    model.then(array.clone()).then(array.cut_after(1));
    let whole = ask_gemini(&gateway.client()).await.expect("an answer");
    assert_eq!(whole.json().as_array().map(Vec::len), Some(2), "{}", whole.text());
    let broken = ask_gemini(&gateway.client()).await;
    assert!(broken.is_err(), "{broken:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_translated_is_broken() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("retry.attempts_max", 1).start().await;
    let says = |length: usize| {
        answer::json(&json!({
            "id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": "x".repeat(length)}}],
        }))
    };
    let question = json!({
        "model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
    });
    model.then(says(20 << 20)).then(says(32 << 20));
    let client = gateway.client();
    let whole = client.post("/v1/messages", &question).await;
    let text = whole.json().pointer("/content/0/text").and_then(Value::as_str).map(str::len);
    assert_eq!((whole.status, text), (200, Some(20 << 20)));
    let broken = client.post("/v1/messages", &question).await;
    assert_eq!((broken.status, &broken.json()["type"]), (502, &json!("error")));
}
