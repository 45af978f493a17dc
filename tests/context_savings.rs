//! What a long conversation costs with contexts, beside one that is sent anew with each turn, by OpenAI's client for
//! Python: bytes of the client, bytes and tokens upstream are counted, and the gateway's CPU time is told.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::json;
use support::answer;
use support::conf::{KEY, serving};
use support::gateway::Gateway;
use support::tools::{python, root, run};
use support::upstream::upstream;
use tollgate::context::tokens::estimate;

const TURNS: usize = 200;

/// The conversation comes to three times as much and more.
const WINDOW_TOKENS: u64 = 8000;

/// A conversation as its client and its model server see it.
struct Seen {
    client_bytes: u64,
    upstream_bytes: u64,
    /// As the gateway estimates them.
    upstream_tokens: u64,
    /// The gateway's time on a processor, in nanoseconds.
    cpu_ns: u64,
    /// Turns whose prompt began with the whole prompt of the turn before.
    stable: usize,
}

async fn converse(way: &str) -> Seen {
    let model = upstream().await;
    model.always(answer::json(&json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": "It is on its way and will be with you soon. ".repeat(4),
        }}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })));
    let gateway = serving(&[&model]).set("models.demo.window_tokens", WINDOW_TOKENS).start().await;
    let begun = cpu_ns(&gateway);
    let mut command = Command::new(python("python"));
    command.arg(root().join("tests/sdk/openai_turns.py"));
    command.env("TOLLGATE_URL", gateway.url()).env("TOLLGATE_KEY", KEY);
    command.env("TOLLGATE_WAY", way).env("TOLLGATE_TURNS", TURNS.to_string());
    let said = tokio::task::spawn_blocking(move || run(&mut command, "")).await.expect("it ends");
    let bytes = said.lines().find_map(|line| line.strip_prefix("client bytes: "));
    let prompts: Vec<String> =
        model.requests().iter().map(|request| prompt(&request.body)).collect();
    assert_eq!(prompts.len(), TURNS);
    Seen {
        client_bytes: bytes.and_then(|bytes| bytes.parse().ok()).expect("a count"),
        upstream_bytes: model.requests().iter().map(|request| request.body.len() as u64).sum(),
        upstream_tokens: prompts.iter().map(|prompt| u64::from(estimate(prompt))).sum(),
        cpu_ns: cpu_ns(&gateway).saturating_sub(begun),
        stable: prompts
            .iter()
            .zip(prompts.iter().skip(1))
            .filter(|(a, b)| b.starts_with(*a))
            .count(),
    }
}

/// What all threads of the gateway have had of a processor so far, where the system tells it (Linux).
fn cpu_ns(gateway: &Gateway) -> u64 {
    let pid = std::fs::read_to_string(gateway.directory().join("tollgate.pid")).expect("its id");
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.trim())).into_iter().flatten();
    let text = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("schedstat"));
    let texts = threads.flatten().filter_map(|thread| text(thread).ok());
    texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// The text of the messages, as it stands, without the bracket that ends it.
fn prompt(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).expect("JSON");
    let (_, from) = text.split_once("\"messages\":").expect("messages");
    let mut values =
        serde_json::Deserializer::from_str(from).into_iter::<&serde_json::value::RawValue>();
    let messages = values.next().expect("an array").expect("JSON").get();
    messages.trim().trim_end_matches(']').to_owned()
}

#[tokio::test]
async fn a_long_conversation_costs_its_client_what_is_new_and_its_upstream_a_stable_window() {
    let (kept, resent) = (converse("contexts").await, converse("resend").await);
    for (way, seen) in [("contexts", &kept), ("everything again", &resent)] {
        let Seen { client_bytes, upstream_bytes, upstream_tokens, cpu_ns, stable } = seen;
        println!(
            "{TURNS} turns, {way}: client {client_bytes} bytes; upstream {upstream_bytes} bytes, \
             {upstream_tokens} tokens; {} us of CPU a turn; {stable} prompts stable",
            cpu_ns / 1000 / TURNS as u64
        );
    }
    assert!(kept.client_bytes * 100 < resent.client_bytes * 3, "{}", kept.client_bytes);
    assert!(kept.upstream_bytes < resent.upstream_bytes / 2, "{}", kept.upstream_bytes);
    assert!(kept.upstream_tokens < resent.upstream_tokens / 2, "{}", kept.upstream_tokens);
    // All but the first can be; where the window is cut, one is not.
    assert!(kept.stable * 100 >= (TURNS - 1) * 95, "{} of {TURNS}", kept.stable);
}

#[tokio::test]
async fn what_a_window_leaves_out_and_what_clients_do_not_send_is_counted() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .set("models.demo.window_tokens", 300)
        .set("contexts.window.answer_tokens", 0)
        .start()
        .await;
    let (mut dropped, mut sent) = (0, 0.0);
    while dropped == 0 {
        let messages = json!([{"role": "user", "content": "word ".repeat(40)}]);
        let body = json!({"model": "demo", "context": {"id": "c"}, "messages": messages});
        let reply = gateway.client().post("/v1/chat/completions", &body).await;
        dropped = reply.header("x-context-dropped").parse().expect("a number");
        let conversation = model.last_request().json();
        let messages = conversation.get("messages").and_then(serde_json::Value::as_array);
        let kept = messages.expect("messages").iter().rev().skip(1);
        sent += kept.map(|message| message.to_string().len() as f64).sum::<f64>();
    }
    let [bytes, tokens] =
        ["bytes", "tokens"].map(|unit| format!("tollgate_context_dropped_{unit}_total"));
    let (bytes, tokens) = (gateway.metric(&bytes).await, gateway.metric(&tokens).await);
    assert!(bytes > 200.0 && tokens > 40.0 && tokens < bytes, "{bytes} bytes, {tokens} tokens");
    assert_eq!(gateway.metric("tollgate_context_history_bytes_total").await, sent);
    let body = json!({"model": "demo", "context": {"id": "c", "version": 99}, "messages": []});
    let refused = gateway.client().post("/v1/chat/completions", &body).await;
    refused.assert_error(409, "context_conflict");
    let conflicts = r#"tollgate_errors_total{code="context_conflict"}"#;
    gateway.until_metric(conflicts, |count| count == 1.0).await;
}
