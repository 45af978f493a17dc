//! Under llmock, a third party's model server that misbehaves on request and judges its caller:
//! every fault it offers, then its verdict, which must have no complaint.
//!
//! The client at the other end behaves as the official SDKs do, so the gateway must pass on what it
//! needs: that a stream broke, when to come back.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use support::client::{Client, chat_with};
use support::conf::conf;
use support::gateway::Gateway;
use support::tools::Server;

use asking::{End, Kind, ask};
use said::{CLIENTS, request, said};

mod asking;
mod said;

/// The dialects that llmock speaks: each an alias, where it begins there, and the model asked for.
const UPSTREAMS: [(&str, &str, &str); 4] = [
    ("openai", "/v1", "gpt-4o"),
    ("responses", "/v1", "gpt-4o"),
    ("anthropic", "/anthropic", "claude-sonnet-4-5"),
    ("gemini", "/gemini", "gemini-2.5-pro"),
];

/// The faults that a translation could hide; that the others are retried is no matter of dialects.
fn faults_of_translations() -> Vec<(Value, Kind, End)> {
    let statuses = [json!(400), json!(429), json!(503)];
    let chosen = |fault: &Value| fault["type"] != "fail" || statuses.contains(&fault["status"]);
    faults().into_iter().filter(|(fault, ..)| chosen(fault)).collect()
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

/// Puts an alias through faults; llmock must have no complaint about the gateway.
async fn judge(model: &str, faults: Vec<(Value, Kind, End)>) {
    let (llmock, gateway) = start().await;
    let control = Client::new(llmock.url());
    let mut complaints = Vec::new();
    for (fault, kind, expected) in faults {
        control.post("/_llmock/reset", &json!({})).await;
        let queued = control.post("/_llmock/scenario", &json!({"behaviors": [fault]})).await;
        assert_eq!(queued.status, 201, "{}", queued.text());
        let end = ask(&gateway.client(), model, kind).await;
        assert_eq!(end, expected, "{kind:?} of {model} under {fault}");
        let pending = control.get("/_llmock/scenario").await.json();
        assert_eq!(pending["pending"], json!([]), "{fault} was not met");
        let verdict = control.get("/_llmock/verdict").await.json();
        let findings = verdict["findings"].as_array().expect("a list").clone();
        complaints.extend(findings.iter().map(|finding| format!("{kind:?}, {fault}: {finding}")));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_has_no_complaint() {
    judge("openai", faults()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_has_no_complaint_in_responses() {
    judge("responses", faults_of_translations()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_has_no_complaint_in_messages() {
    judge("anthropic", faults_of_translations()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_has_no_complaint_in_gemini() {
    judge("gemini", faults_of_translations()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_model_says_reaches_a_client_of_every_dialect() {
    let (llmock, gateway) = start().await;
    let control = Client::new(llmock.url());
    let reply = json!({"type": "reply", "text": "Scripted \u{1f980}.", "tool_calls": [
        {"name": "weather", "arguments": {"city": "Paris"}}
    ]});
    for (model, ..) in UPSTREAMS {
        for client in CLIENTS {
            for stream in [false, true] {
                control.post("/_llmock/scenario", &json!({"behaviors": [reply]})).await;
                let (path, body) = request(client, model, stream);
                let answer = gateway.client().post(&path, &body).await;
                let told = said(client, answer.text());
                let expected = ("Scripted \u{1f980}.".to_owned(), json!({"city": "Paris"}));
                assert_eq!(told, expected, "{client} at {model}: {}", answer.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_model_says_passes_even_where_it_is_broken() {
    let (llmock, gateway) = start().await;
    let control = Client::new(llmock.url());
    let reply = json!({"type": "reply", "text": "Scripted \u{1f980}.", "tool_calls": [
        {"name": "weather", "arguments": {"city": "Paris"}}
    ]});
    control.post("/_llmock/scenario", &json!({"behaviors": [reply]})).await;
    let answer = gateway.client().chat("openai").await.json();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Scripted \u{1f980}.", "{answer}");
    assert_eq!(message["tool_calls"][0]["function"]["name"], "weather", "{answer}");
    let fault = json!({"type": "tool_fault", "kind": "malformed_arguments"});
    control.post("/_llmock/scenario", &json!({"behaviors": [fault]})).await;
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let body = chat_with("openai", &json!({"tools": tools}));
    let answer = gateway.client().post("/v1/chat/completions", &body).await.json();
    let arguments = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
    let arguments = arguments.as_str().expect("arguments are a text");
    assert!(serde_json::from_str::<Value>(arguments).is_err(), "{arguments}");
}

async fn start() -> (Server, Gateway) {
    // Streams at a model's pace, so that a caller that stops reading does so in the middle.
    let llmock = Server::llmock(&["--tool-mode", "off", "--stream-chunk-delay-ms", "20"]).await;
    let mut gateway =
        conf().set("timeouts", json!({"first_byte_ms": 1500, "between_bytes_ms": 1500}));
    for (dialect, base, model) in UPSTREAMS {
        gateway = gateway
            .provider_at(dialect, &[format!("{}{base}", llmock.url())])
            .set(&format!("providers.{dialect}.dialect"), dialect)
            .set(&format!("providers.{dialect}.credential.value"), "sk-llmock")
            .set(&format!("providers.{dialect}.passive.failures"), 0)
            .model(dialect, &[(dialect, model)]);
    }
    (llmock, gateway.start().await)
}
