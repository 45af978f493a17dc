//! Prices over real sockets: each class of tokens, what is charged by the piece, and from which day on.

use serde_json::{Value, json};
use support::answer::{Answer, json as answer, ok, status};
use support::client::chat;
use support::conf::{Conf, UPSTREAM_MODEL, serving};
use support::gateway::Gateway;
use support::upstream::upstream;

/// Each class in whole micro-dollars a token, and none like another.
fn prices() -> Value {
    json!({
        "input": 1_000_000, "cache_read": 2_000_000, "cache_write": 3_000_000, "output": 5_000_000,
        "reasoning": 7_000_000, "image": 1000, "request": 100,
    })
}

fn priced(conf: Conf, name: &str, price: Value) -> Conf {
    conf.set("prices.models", json!({name: price}))
}

async fn cost(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let reply = gateway.client().post(path, body).await;
    gateway.logged(&reply).await.get("cost_micro_usd").cloned().unwrap_or_default()
}

#[tokio::test]
async fn each_class_of_tokens_and_each_piece_has_its_price() {
    let model = upstream().await;
    let conf = serving(&[&model]).set("providers.local.also", json!(["anthropic"]));
    let gateway = priced(conf, UPSTREAM_MODEL, json!([prices()])).start().await;
    let chat_answer = json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}],
        "usage": {
            "prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    });
    let message = json!({
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": null, "content": [{"type": "text", "text": "a"}],
        "usage": {
            "input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3,
            "output_tokens": 2,
        },
    });
    let asked = json!({"model": "demo", "max_tokens": 5, "prompt": "a", "n": 2, "input": "a",
        "voice": "alloy", "messages": [{"role": "user", "content": "a"}]});
    let chat_cost = 6 + 4 * 2 + 4 * 5 + 5 * 7 + 100;
    let message_cost = 10 + 4 * 2 + 3 * 3 + 2 * 5 + 100;
    let rows: [(&str, Answer, Value); 6] = [
        ("/v1/chat/completions", answer(&chat_answer), json!(chat_cost)),
        ("/v1/messages", answer(&message), json!(message_cost)),
        ("/v1/embeddings", ok(), json!(9 + 100)),
        ("/v1/images/generations", ok(), json!(2 * 1000 + 100)),
        ("/v1/audio/speech", ok(), json!(100)),
        ("/v1/chat/completions", status(400), Value::Null),
    ];
    for (path, answer, expected) in rows {
        model.then(answer);
        assert_eq!(cost(&gateway, path, &asked).await, expected, "{path}");
    }
}

#[tokio::test]
async fn the_price_of_the_day_and_of_the_provider_holds() {
    let model = upstream().await;
    let by_day = json!([
        {"input": 1_000_000},
        {"from": "2020-01-01", "input": 2_000_000},
        {"from": "2999-01-01", "input": 9_000_000},
    ]);
    let mut gateway = priced(serving(&[&model]), UPSTREAM_MODEL, by_day).start().await;
    let asked = chat("demo");
    let path = "/v1/chat/completions";
    assert_eq!(
        cost(&gateway, path, &asked).await,
        2 * 9,
        "what began in 2020, and not what is to come"
    );
    let own = json!({UPSTREAM_MODEL: [{"input": 1_000_000}], "local/upstream-model": [{"input": 4_000_000}]});
    gateway.reconfigure(|conf| conf.set("prices.models", own)).await;
    assert_eq!(cost(&gateway, path, &asked).await, 4 * 9, "the provider's own price");
    let later = json!({UPSTREAM_MODEL: [{"from": "2999-01-01", "input": 1_000_000}]});
    gateway.reconfigure(|conf| conf.set("prices.models", later)).await;
    assert_eq!(cost(&gateway, path, &asked).await, Value::Null, "unpriced before its first day");
}

#[tokio::test]
async fn what_is_set_aside_for_an_answer_is_learned_from_answers() {
    let model = upstream().await;
    let conf = serving(&[&model]).set("keys.0.limits", json!({"tokens_per_day": 100_000}));
    let gateway = conf.start().await;
    let left = async || -> u64 {
        let reply = gateway.client().chat("demo").await;
        reply.header("x-ratelimit-remaining-tokens").parse().unwrap_or_default()
    };
    let first = left().await;
    assert!((98_900..98_976).contains(&first), "1024 for the answer, and the prompt: {first}");
    gateway.until_metric("tollgate_requests_total", |ended| ended == 1.0).await;
    let second = left().await;
    assert!(
        second > first - 12,
        "12 tokens were used, and less is set aside than before: {second}"
    );
}
