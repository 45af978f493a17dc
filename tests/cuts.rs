//! Streams that end where a budget does: in every dialect, translated or not, well-formed, and no later than that.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::{Value, json};
use support::Method;
use support::answer::{Answer, sse};
use support::client::Client;
use support::conf::{Conf, TENANT, UPSTREAM_MODEL, conf};
use support::events::{Events, Told};
use support::gate::Gate;
use support::gateway::Gateway;
use support::tools::{python, root, run};
use support::upstream::{Upstream, upstream};
use support::wait::eventually;

/// Micro-dollars. A token of an answer costs two.
const BUDGET: u64 = 4000;

/// A prompt is estimated by its bytes while it counts, and by its words in the end.
const NEARLY: u64 = BUDGET - 100;

/// Words of an answer: far more than the budget is good for.
const WORDS: usize = 6000;

/// The dialects of upstreams and of clients, as the configuration names them.
const DIALECTS: [&str; 4] = ["openai", "responses", "anthropic", "gemini"];

const CUT: &str = r#"tollgate_streams_cut_total{scope="key",period="day"}"#;

/// The events of an answer of so many words, without its end.
fn words(dialect: &str, count: usize) -> Vec<Value> {
    let word = |_| match dialect {
        "openai" => chat_chunk(&json!({"content": "word "}), &Value::Null),
        "responses" => json!({
            "type": "response.output_text.delta", "sequence_number": 9, "item_id": "msg_9",
            "output_index": 0, "content_index": 0, "delta": "word ", "logprobs": [],
        }),
        "anthropic" => json!({
            "type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "word "},
        }),
        _ => json!({
            "responseId": "gemini-1", "modelVersion": "upstream-model",
            "candidates": [{"content": {"role": "model", "parts": [{"text": "word "}]}, "index": 0}],
        }),
    };
    beginning(dialect).into_iter().chain((0..count).map(word)).collect()
}

fn chat_chunk(delta: &Value, finish: &Value) -> Value {
    json!({
        "id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": "upstream-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    })
}

fn beginning(dialect: &str) -> Vec<Value> {
    match dialect {
        "openai" => vec![chat_chunk(&json!({"role": "assistant", "content": ""}), &Value::Null)],
        "responses" => {
            let response = json!({
                "id": "resp_9", "object": "response", "created_at": 1_700_000_000,
                "status": "in_progress", "model": "upstream-model", "output": [],
                "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
            });
            let item = json!({
                "id": "msg_9", "type": "message", "status": "in_progress", "role": "assistant",
                "content": [],
            });
            let part = json!({"type": "output_text", "text": "", "annotations": []});
            vec![
                json!({"type": "response.created", "sequence_number": 0, "response": response}),
                json!({
                    "type": "response.output_item.added", "sequence_number": 1,
                    "output_index": 0, "item": item,
                }),
                json!({
                    "type": "response.content_part.added", "sequence_number": 2, "item_id": "msg_9",
                    "output_index": 0, "content_index": 0, "part": part,
                }),
            ]
        }
        "anthropic" => {
            let message = json!({
                "id": "msg_9", "type": "message", "role": "assistant", "model": "upstream-model",
                "content": [], "stop_reason": null, "stop_sequence": null,
                "usage": {"input_tokens": 9, "output_tokens": 1},
            });
            let block = json!({"type": "text", "text": ""});
            vec![
                json!({"type": "message_start", "message": message}),
                json!({"type": "content_block_start", "index": 0, "content_block": block}),
            ]
        }
        _ => Vec::new(),
    }
}

fn answer(dialect: &str, count: usize) -> Answer {
    let named = matches!(dialect, "responses" | "anthropic");
    let lines = words(dialect, count).into_iter().map(|event| match &event["type"] {
        // `sse` writes the text behind `data: `; the name may as well stand behind it.
        Value::String(name) if named => format!("{event}\nevent: {name}"),
        _ => event.to_string(),
    });
    sse(lines)
}

/// An upstream of each dialect, under an alias of its name, and a key of each client at each alias.
async fn world(at_end: &str) -> (Vec<Upstream>, Gateway) {
    let price = json!([{"input": 1_000_000, "output": 2_000_000}]);
    let mut conf = conf().set("prices.models", json!({UPSTREAM_MODEL: price}));
    let mut models = Vec::new();
    for dialect in DIALECTS {
        let model = upstream().await;
        model.always(answer(dialect, WORDS));
        conf = conf
            .provider(dialect, &[&model])
            .model(dialect, &[(dialect, UPSTREAM_MODEL)])
            .set(&format!("providers.{dialect}.dialect"), dialect);
        models.push(model);
    }
    for client in DIALECTS.into_iter().chain(["sdk"]) {
        conf = DIALECTS.into_iter().fold(conf, |conf, alias| keyed(conf, client, alias, at_end));
    }
    (models, conf.set("server.listeners.0.h2c", true).start().await)
}

fn keyed(conf: Conf, client: &str, alias: &str, at_end: &str) -> Conf {
    let budget = json!({"day_micro_usd": BUDGET, "warn_percent": [100], "at_end": at_end});
    let more = json!({"tenant": TENANT, "budget": budget});
    conf.key(&format!("{client}-{alias}"), &format!("sk-{client}-{alias}"), &more)
}

async fn ask(gateway: &Gateway, client: &str, alias: &str) -> Events {
    let bearer = format!("Bearer sk-{client}-{alias}");
    let http = Client::new(gateway.url()).with_header("authorization", &bearer);
    ask_as(&http, client, alias).await
}

async fn ask_as(http: &Client, client: &str, alias: &str) -> Events {
    let gemini = format!("/v1beta/models/{alias}:streamGenerateContent?alt=sse");
    let message = json!({"role": "user", "content": "Hello"});
    let (path, body) = match client {
        "openai" => {
            let usage = json!({"include_usage": true});
            let body = json!({"model": alias, "messages": [message], "stream": true, "stream_options": usage});
            ("/v1/chat/completions", body)
        }
        "responses" => ("/v1/responses", json!({"model": alias, "input": "Hello", "stream": true})),
        "anthropic" => {
            let body =
                json!({"model": alias, "messages": [message], "max_tokens": 900, "stream": true});
            ("/v1/messages", body)
        }
        _ => (&*gemini, json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]})),
    };
    Events::open(http.request(Method::POST, path).json(&body)).await
}

/// Asserts that a stream ended as one whose limit of tokens was reached.
fn assert_ended_by_length(row: &str, client: &str, told: &Told) {
    assert!(told.broken.is_none(), "{row}: {:?}", told.broken);
    let mut events = told.events.clone();
    if client == "openai" {
        assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{row}");
    }
    let events: Vec<Value> =
        events.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    assert!(events.len() > 20, "{row}: {events:?}");
    let last = &events[events.len() - 1];
    match client {
        "openai" => {
            let finish = &events[events.len() - 2]["choices"][0]["finish_reason"];
            assert_eq!(finish, "length", "{row}");
            assert!(last["usage"]["completion_tokens"].as_u64() > Some(100), "{row}: {last}");
        }
        "responses" => {
            assert_eq!(last["type"], "response.incomplete", "{row}");
            let response = &last["response"];
            assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens", "{row}");
            let text = response["output"][0]["content"][0]["text"].as_str().expect("a text");
            assert!(text.starts_with("word word "), "{row}");
        }
        "anthropic" => {
            let types: Vec<_> = events.iter().rev().take(3).map(|event| &event["type"]).collect();
            assert_eq!(types, ["message_stop", "message_delta", "content_block_stop"], "{row}");
            let delta = &events[events.len() - 2]["delta"];
            assert_eq!(delta["stop_reason"], "max_tokens", "{row}");
        }
        _ => assert_eq!(last["candidates"][0]["finishReason"], "MAX_TOKENS", "{row}: {last}"),
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_budget_in_every_dialect() {
    let (_models, gateway) = world("cut").await;
    let mut cuts = 0.0;
    for client in ["openai", "responses", "gemini"] {
        for alias in DIALECTS {
            let row = format!("{client} at {alias}");
            let told = ask(&gateway, client, alias).await.rest().await;
            assert_ended_by_length(&row, client, &told);
            cuts += 1.0;
            gateway.until_metric(CUT, |count| count == cuts).await;
            let refused = ask(&gateway, client, alias).await;
            assert_eq!(refused.status, 429, "{row}: the budget is spent");
        }
    }
    let lines = gateway.access_log(24).await;
    let cut = lines.iter().filter(|line| line["status"] == 200);
    for line in cut {
        assert_eq!(line["usage_source"], "estimated", "{line}");
        assert_eq!(line["error"], "insufficient_quota", "{line}");
        let cost = line["cost_micro_usd"].as_u64().expect("a cost");
        assert!((NEARLY..2 * BUDGET).contains(&cost), "{line}");
    }
}

#[tokio::test]
async fn a_stream_that_said_how_long_it_may_be_ends_where_others_have_spent_the_budget() {
    let (models, gateway) = world("cut").await;
    for (alias, model) in DIALECTS.into_iter().zip(&models) {
        let gate = Gate::new();
        model.then(answer(alias, WORDS).held_at(40, &gate));
        let http = Client::new(gateway.url())
            .with_header("authorization", &format!("Bearer sk-anthropic-{alias}"));
        let stream = ask_as(&http, "anthropic", alias).await;
        let other = ask_as(&http, "openai", "openai").await.rest().await;
        assert_ended_by_length(alias, "openai", &other);
        gateway.until_metric("tollgate_in_flight", |count| count == 1.0).await;
        gate.open();
        assert_ended_by_length(alias, "anthropic", &stream.rest().await);
    }
}

#[tokio::test]
async fn a_slow_stream_ends_at_the_budget_and_not_far_behind_it() {
    let (models, gateway) = world("cut").await;
    let pause = std::time::Duration::from_millis(1);
    models[0].always(answer("openai", WORDS).paced(pause));
    let clients = [Client::new(gateway.url()), Client::h2c(gateway.url())];
    for (cuts, (key, http)) in (1..).zip(["openai", "sdk"].into_iter().zip(clients)) {
        let http = http.with_header("authorization", &format!("Bearer sk-{key}-openai"));
        let stream = ask_as(&http, "openai", "openai").await;
        assert_ended_by_length(key, "openai", &stream.rest().await);
        let line = gateway.access_log(cuts).await.remove(cuts - 1);
        let cost = line["cost_micro_usd"].as_u64().expect("a cost");
        assert!((NEARLY..BUDGET + 200).contains(&cost), "{line}");
        let cancelled = async || (models[0].cancellations() == cuts).then_some(());
        eventually("the upstream to be told to stop", cancelled).await;
    }
}

#[tokio::test]
async fn without_a_word_of_it_a_stream_goes_on_to_its_end() {
    let (models, gateway) = world("finish").await;
    let end = ["{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}", "[DONE]"];
    let whole = words("openai", WORDS).into_iter().map(|event| event.to_string());
    models[0].then(sse(whole.chain(end.map(str::to_owned))));
    let told = ask(&gateway, "openai", "openai").await.rest().await;
    assert_eq!(told.events.len(), WORDS + 3);
    assert_eq!(gateway.metric(CUT).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_take_it_for_an_answer_of_full_length() {
    let (models, gateway) = world("cut").await;
    let gate = Gate::new();
    models[2].then(answer("anthropic", WORDS).held_at(40, &gate));
    let url = gateway.url();
    let script = std::thread::spawn(move || {
        let mut command = Command::new(python("python"));
        command.arg(root().join("tests/sdk/cut.py")).env("TOLLGATE_URL", url);
        run(&mut command, "")
    });
    eventually("the script's last stream", async || (models[2].count() == 1).then_some(())).await;
    let http = Client::new(gateway.url()).with_header("authorization", "Bearer sk-sdk-anthropic");
    ask_as(&http, "openai", "openai").await.rest().await;
    gateway.until_metric("tollgate_in_flight", |count| count == 1.0).await;
    gate.open();
    let said = script.join().expect("the script");
    assert!(said.contains("every check passed"), "{said}");
}
