//! Under llmock, a third party's model server that misbehaves on request and judges its caller:
//! every fault it offers, then its verdict, which must have no complaint.
//!
//! The client at the other end behaves as the official SDKs do: it asks again on a connection
//! that breaks, on 408, 409, 429 and 5xx, unless `x-should-retry` says otherwise, and waits for
//! `retry-after`. So the gateway must pass on what it needs: that a stream broke, when to come back.

use std::time::Duration;

use serde_json::{Value, json};
use support::Method;
use support::client::{Client, chat_with};
use support::conf::conf;
use support::events::Events;
use support::gateway::Gateway;
use support::reply::Reply;
use support::tools::Server;

/// How often the client asks again, as the SDKs do by default.
const RETRIES: usize = 2;

/// What the client has in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A whole answer.
    Whole,
    /// An error with this status.
    Status(u16),
}

/// A whole answer is asked for, or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chat,
    Stream,
}

/// Each fault: what llmock is told, what is asked for, what the client has in the end.
fn faults() -> Vec<(Value, Kind, End)> {
    let fail = |status: u16| json!({"type": "fail", "status": status});
    let stream = |kind: &str| json!({"type": "stream_fault", "kind": kind, "stall_seconds": 4});
    let mut faults = Vec::new();
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        faults.push((fail(status), Kind::Chat, End::Whole));
        faults.push((fail(status), Kind::Stream, End::Whole));
    }
    for status in [400, 404, 422] {
        faults.push((fail(status), Kind::Chat, End::Status(status)));
    }
    // The caller cannot mend the gateway's own credential: it is a fault behind the gateway.
    faults.extend([401, 403].map(|status| (fail(status), Kind::Chat, End::Status(502))));
    for status in [429, 503] {
        let wait = json!({"type": "fail", "status": status, "retry_after": 1});
        faults.push((wait, Kind::Chat, End::Whole));
    }
    for kind in ["disconnect", "truncate", "stall", "malformed"] {
        faults.push((stream(kind), Kind::Stream, End::Whole));
    }
    let at_once = json!({"type": "stream_fault", "kind": "disconnect", "after_chunks": 0});
    faults.push((at_once, Kind::Stream, End::Whole));
    faults.push((json!({"type": "delay", "seconds": 3}), Kind::Chat, End::Whole));
    faults.push((json!({"type": "slow_first_token", "seconds": 0.5}), Kind::Stream, End::Whole));
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_has_no_complaint() {
    let (llmock, gateway) = start().await;
    let control = Client::new(llmock.url());
    let mut complaints = Vec::new();
    for (fault, kind, expected) in faults() {
        control.post("/_llmock/reset", &json!({})).await;
        let queued = control.post("/_llmock/scenario", &json!({"behaviors": [fault]})).await;
        assert_eq!(queued.status, 201, "{}", queued.text());
        let end = ask(&gateway.client(), kind).await;
        assert_eq!(end, expected, "{kind:?} under {fault}");
        let pending = control.get("/_llmock/scenario").await.json();
        assert_eq!(pending["pending"], json!([]), "{fault} was not met");
        let verdict = control.get("/_llmock/verdict").await.json();
        let findings = verdict["findings"].as_array().expect("a list").clone();
        complaints.extend(findings.iter().map(|finding| format!("{kind:?}, {fault}: {finding}")));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_model_says_passes_even_where_it_is_broken() {
    let (llmock, gateway) = start().await;
    let control = Client::new(llmock.url());
    let reply = json!({"type": "reply", "text": "Scripted \u{1f980}.", "tool_calls": [
        {"name": "weather", "arguments": {"city": "Paris"}}
    ]});
    control.post("/_llmock/scenario", &json!({"behaviors": [reply]})).await;
    let answer = gateway.client().chat("demo").await.json();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Scripted \u{1f980}.", "{answer}");
    assert_eq!(message["tool_calls"][0]["function"]["name"], "weather", "{answer}");
    let fault = json!({"type": "tool_fault", "kind": "malformed_arguments"});
    control.post("/_llmock/scenario", &json!({"behaviors": [fault]})).await;
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let body = chat_with("demo", &json!({"tools": tools}));
    let answer = gateway.client().post("/v1/chat/completions", &body).await.json();
    let arguments = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
    let arguments = arguments.as_str().expect("arguments are a text");
    assert!(serde_json::from_str::<Value>(arguments).is_err(), "{arguments}");
}

async fn start() -> (Server, Gateway) {
    let llmock = Server::llmock().await;
    let gateway = conf()
        .provider_at("llmock", &[format!("{}/v1", llmock.url())])
        .set("providers.llmock.credential.value", "sk-llmock")
        .set("providers.llmock.passive.failures", 0)
        .set("timeouts", json!({"first_byte_ms": 1500, "between_bytes_ms": 1500}))
        .model("demo", &[("llmock", "gpt-4o")])
        .start()
        .await;
    (llmock, gateway)
}

async fn ask(client: &Client, kind: Kind) -> End {
    let body = chat_with("demo", &json!({"stream": kind == Kind::Stream}));
    for retry in 0.. {
        let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
        let (end, wait) = match kind {
            Kind::Chat => whole(Reply::attempt(request).await),
            Kind::Stream => stream(Events::attempt(request).await).await,
        };
        match wait {
            Some(wait) if retry < RETRIES => tokio::time::sleep(wait).await,
            _ => return end,
        }
    }
    unreachable!("the loop ends with its last retry")
}

/// How it ended, and how long to wait before asking again, where that may help.
fn whole(reply: support::Attempted<Reply>) -> (End, Option<Duration>) {
    let Ok(reply) = reply else { return (End::Status(0), Some(PAUSE)) };
    if reply.status == 200 {
        return (End::Whole, None);
    }
    (End::Status(reply.status), wait(reply.status, |name| reply.header(name).to_owned()))
}

async fn stream(events: support::Attempted<Events>) -> (End, Option<Duration>) {
    let Ok(events) = events else { return (End::Status(0), Some(PAUSE)) };
    let (status, headers) = (events.status, events.headers.clone());
    if status != 200 {
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        return (End::Status(status), wait(status, header));
    }
    if read_as_sdks_do(events).await { (End::Whole, None) } else { (End::Status(0), Some(PAUSE)) }
}

/// Whether a stream is good to its end. An SDK reads each event as JSON, stops at the first that
/// is none or that says `error`, and takes a clean end for the end: it does not miss `[DONE]`.
async fn read_as_sdks_do(mut events: Events) -> bool {
    loop {
        match events.next().await {
            Ok(None) => return true,
            Ok(Some(event)) if event == "[DONE]" => {}
            Ok(Some(event)) => match serde_json::from_str::<Value>(&event) {
                Ok(event) if event.get("error").is_none() => {}
                _ => return false,
            },
            Err(_) => return false,
        }
    }
}

/// An SDK's shortest pause before it asks again.
const PAUSE: Duration = Duration::from_millis(500);

fn wait(status: u16, header: impl Fn(&str) -> String) -> Option<Duration> {
    let retryable = matches!(status, 408 | 409 | 429 | 500..);
    if !retryable || header("x-should-retry") == "false" {
        return None;
    }
    Some(header("retry-after").parse().map_or(PAUSE, Duration::from_secs))
}
