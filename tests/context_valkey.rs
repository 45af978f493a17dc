//! Two gateways on one Valkey: each sees the other's last turn, and no turn is lost.

use serde_json::{Value, json};
use support::answer::ok;
use support::conf::serving;
use support::gate::Gate;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};
use support::valkey::Valkey;
use support::wait::eventually;

const CHAT: &str = "/v1/chat/completions";

/// Turns that are asked for at the same time, at each gateway.
const TURNS: usize = 20;

async fn gateway(model: &Upstream, valkey: &Valkey) -> Gateway {
    serving(&[model])
        .set("contexts.store.url", json!({"value": valkey.url()}))
        .set("contexts.store.lease_ms", 300)
        .set("contexts.turn_wait_ms", 20_000)
        .start()
        .await
}

async fn say(gateway: &Gateway, text: &str) -> Reply {
    gateway.client().post(CHAT, &turn(text)).await
}

fn turn(text: &str) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    json!({"model": "demo", "context": {"id": "c"}, "messages": messages})
}

#[tokio::test]
async fn each_gateway_sees_the_others_last_turn() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let gateways = [gateway(&model, &valkey).await, gateway(&model, &valkey).await];
    for version in 1..=20_usize {
        let reply = say(&gateways[version % 2], "Hello").await;
        assert_eq!(reply.header("x-context-version"), version.to_string(), "{}", reply.text());
        assert_eq!(reply.header("x-context-messages"), (2 * version - 1).to_string());
    }
    let context = gateways[0].client().get("/v1/contexts/c?version=7").await.json();
    assert_eq!(context["message_count"], 14);
}

#[tokio::test]
async fn turns_at_two_gateways_neither_interleave_nor_get_lost() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let gateways = [gateway(&model, &valkey).await, gateway(&model, &valkey).await];
    let asking: Vec<_> = (0..2 * TURNS)
        .map(|number| {
            let client = gateways[number % 2].client();
            tokio::spawn(async move { client.post(CHAT, &turn(&format!("turn {number}"))).await })
        })
        .collect();
    let mut versions = Vec::new();
    for asking in asking {
        let reply = asking.await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
        versions.push(reply.header("x-context-version").parse::<usize>().expect("a number"));
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=2 * TURNS).collect::<Vec<_>>());
    let context = gateways[0].client().get("/v1/contexts/c").await.json();
    let messages = context["messages"].as_array().expect("messages");
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str()).collect();
    let expected = [Some("user"), Some("assistant")].repeat(2 * TURNS);
    assert_eq!(roles, expected);
    let mut said: Vec<_> = messages.iter().step_by(2).map(|m| m["content"].to_string()).collect();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), 2 * TURNS);
}

#[tokio::test]
async fn a_gateway_that_is_killed_in_mid_turn_frees_the_context() {
    let (model, valkey, gate) = (upstream().await, Valkey::start().await, Gate::new());
    let (mut first, second) = (gateway(&model, &valkey).await, gateway(&model, &valkey).await);
    model.then(ok().held_by(&gate));
    let client = first.client();
    let lost = tokio::spawn(async move {
        let request = client.request(support::Method::POST, CHAT).json(&turn("lost"));
        Reply::attempt(request).await.is_err()
    });
    gate.reached_by(1).await;
    first.crash().await;
    assert!(lost.await.expect("no answer"));
    let reply = say(&second, "Hello").await;
    assert_eq!(reply.header("x-context-version"), "1", "{}", reply.text());
    assert_eq!(say(&first, "Hello").await.header("x-context-version"), "2");
}

#[tokio::test]
async fn a_server_that_is_down_is_no_matter_of_other_requests() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let gateway = gateway(&model, &valkey).await;
    assert_eq!(say(&gateway, "Hello").await.status, 200);
    valkey.kill();
    say(&gateway, "Hello").await.assert_error(503, "context_store_unavailable");
    gateway.client().get("/v1/contexts/c").await.assert_error(503, "context_store_unavailable");
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    valkey.revive().await;
    eventually("turns to go on", async || {
        (say(&gateway, "Hello").await.status == 200).then_some(())
    })
    .await;
    // The server forgot everything: the client that says what it believes is told.
    let mut stale = turn("Hello");
    stale["context"] = json!({"id": "c", "version": 7});
    gateway.client().post(CHAT, &stale).await.assert_error(409, "context_conflict");
}

#[tokio::test]
async fn a_server_that_goes_in_mid_turn_takes_no_answer_for_kept() {
    let (model, valkey, gate) = (upstream().await, Valkey::start().await, Gate::new());
    let gateway = gateway(&model, &valkey).await;
    model.then(ok().held_at(4, &gate));
    let mut body = turn("Hello");
    body["stream"] = true.into();
    let request = gateway.client().request(support::Method::POST, CHAT).json(&body);
    let events = support::events::Events::open(request).await;
    gate.reached_by(1).await;
    valkey.kill();
    gate.open();
    let told = events.rest().await;
    assert!(!told.is_whole() && told.failed(), "{told:?}");
    let last = told.events.last().expect("an event");
    assert!(last.contains("context_store_unavailable"), "{last}");
}
