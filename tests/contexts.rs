//! Turns of contexts: what goes upstream, what is kept, what a client sees, and who waits for whom.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use support::Method;
use support::answer::{hang, json as whole, ok, sse, status};
use support::client::Client;
use support::conf::serving;
use support::events::Events;
use support::gate::Gate;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};
use tokio::task::JoinHandle;

const CHAT: &str = "/v1/chat/completions";

/// The body of a turn of context `c` that says one thing.
fn turn(text: &str) -> Value {
    turn_with(text, &json!({"id": "c"}))
}

fn turn_with(text: &str, context: &Value) -> Value {
    json!({"model": "demo", "context": context, "messages": [{"role": "user", "content": text}]})
}

async fn say(client: &Client, text: &str) -> Reply {
    client.post(CHAT, &turn(text)).await
}

async fn stream(client: &Client, text: &str) -> Events {
    let messages = json!([{"role": "user", "content": text}]);
    let body =
        json!({"model": "demo", "stream": true, "context": {"id": "c"}, "messages": messages});
    Events::open(client.request(Method::POST, CHAT).json(&body)).await
}

/// Each message of a body as `role: content`.
fn lines(body: &Value) -> Vec<String> {
    let messages = body.get("messages").and_then(Value::as_array).expect("messages");
    let line = |message: &Value| {
        let text = |name| message.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        format!("{}: {}", text("role"), text("content"))
    };
    messages.iter().map(line).collect()
}

async fn kept(client: &Client) -> Value {
    client.get("/v1/contexts/c").await.json()
}

#[tokio::test]
async fn a_turn_sends_what_is_kept_and_keeps_what_is_said() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let reply = say(&client, "one").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let headers = ["x-context-id", "x-context-version", "x-context-messages", "x-context-dropped"];
    assert_eq!(headers.map(|name| reply.header(name)), ["c", "1", "1", "0"]);
    let told = stream(&client, "two").await;
    assert_eq!(told.headers["x-context-version"], "2");
    assert!(told.rest().await.is_whole());
    let reply = say(&client, "three").await;
    assert_eq!(headers.map(|name| reply.header(name)), ["c", "3", "5", "0"]);
    let sent = model.last_request().json();
    assert!(sent.get("context").is_none(), "{sent}");
    let expected = [
        "user: one",
        "assistant: Hello from upstream",
        "user: two",
        "assistant: Hello from upstream",
        "user: three",
    ];
    assert_eq!(lines(&sent), expected);
    let context = kept(&client).await;
    assert_eq!((&context["version"], lines(&context).len()), (&json!(3), 6));
    let first = model.requests()[0].json()["messages"].to_string();
    let second = model.requests()[1].json()["messages"].to_string();
    assert!(second.starts_with(first.trim_end_matches(']')), "the prompt only grows at its end");
}

#[tokio::test]
async fn a_header_is_enough() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    for version in ["1", "2"] {
        let body = json!({"model": "demo", "messages": [{"role": "user", "content": "Hi"}]});
        let request = gateway.client().request(Method::POST, CHAT);
        let request = request.header("x-context-id", "c").header("context-protocol", "1");
        let reply = Reply::from(request.json(&body)).await;
        assert_eq!(reply.header("x-context-version"), version, "{}", reply.text());
    }
    assert_eq!(lines(&model.last_request().json()).len(), 3);
    let made = gateway.client().post(CHAT, &turn_with("Hi", &json!({}))).await;
    assert!(made.header("x-context-id").starts_with("ctx_"), "{:?}", made.headers);
}

#[tokio::test]
async fn nothing_is_changed_by_a_turn_that_fails() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("retry.attempts_max", 1).start().await;
    // A stream that breaks off ends its connection.
    let client = Client::unpooled(gateway.url()).with_test_key();
    say(&client, "one").await;
    let before = kept(&client).await;
    let finish = json!({"choices": [{"index": 0, "delta": {"content": "half"}}]}).to_string();
    for answer in [status(500), status(400), sse([finish.clone()]), ok().cut_after(2)] {
        model.then(answer);
        let told = stream(&client, "lost").await;
        assert!(told.headers.get("x-context-version").is_none_or(|version| version == "2"));
        assert!(!told.rest().await.is_whole());
        assert_eq!(kept(&client).await, before);
    }
    // A client that leaves has no turn either.
    model.then(hang());
    let leaving = client.clone();
    let asking = tokio::spawn(async move { say(&leaving, "lost").await });
    model.received(6).await;
    asking.abort();
    let reply = client.post(CHAT, &turn_with("two", &json!({"id": "c", "version": 1}))).await;
    assert_eq!(reply.header("x-context-version"), "2", "{}", reply.text());
    let expected = ["user: one", "assistant: Hello from upstream", "user: two"];
    assert_eq!(lines(&model.last_request().json()), expected);
}

#[tokio::test]
async fn a_client_that_believes_another_version_is_told() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let with = |version: u64| turn_with("x", &json!({"id": "c", "version": version}));
    client.post(CHAT, &with(3)).await.assert_error(404, "context_not_found");
    assert_eq!(client.post(CHAT, &with(0)).await.header("x-context-version"), "1");
    let count = model.count();
    let conflict = client.post(CHAT, &with(0)).await;
    conflict.assert_error(409, "context_conflict");
    let conflict = client.post(CHAT, &with(7)).await;
    conflict.assert_error(409, "context_conflict");
    assert!(conflict.error_message().contains("version 1, not 7"), "{}", conflict.text());
    assert_eq!(model.count(), count, "nothing went upstream");
    assert_eq!(client.post(CHAT, &with(1)).await.header("x-context-version"), "2");
}

/// A turn whose answer a gate holds.
struct Held {
    gateway: Gateway,
    gate: Gate,
    first: JoinHandle<Reply>,
    _model: Upstream,
}

async fn held_turn(turn_wait_ms: u64) -> Held {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = serving(&[&model]).set("contexts.turn_wait_ms", turn_wait_ms).start().await;
    let client = gateway.client();
    model.then(ok().held_by(&gate));
    let first = tokio::spawn(async move { say(&client, "one").await });
    gate.reached_by(1).await;
    Held { gateway, gate, first, _model: model }
}

#[tokio::test]
async fn one_turn_at_a_time() {
    let Held { gateway, gate, first, _model } = held_turn(60_000).await;
    let client = gateway.client();
    let others: Vec<_> = ["two", "three"]
        .map(|text| {
            let client = client.clone();
            tokio::spawn(async move { say(&client, text).await })
        })
        .into();
    // Another context does not wait.
    let other = client.post(CHAT, &turn_with("x", &json!({"id": "other"}))).await;
    assert_eq!(other.header("x-context-version"), "1");
    gate.open();
    assert_eq!(first.await.expect("an answer").header("x-context-version"), "1");
    let mut versions = Vec::new();
    for other in others {
        versions.push(other.await.expect("an answer").header("x-context-version").to_owned());
    }
    versions.sort();
    assert_eq!(versions, ["2", "3"]);
    assert_eq!(lines(&kept(&client).await).len(), 6);
}

#[tokio::test]
async fn a_turn_that_waits_too_long_is_told_when_to_come_back() {
    let Held { gateway, gate, first, _model } = held_turn(1).await;
    let client = gateway.client();
    let busy = say(&client, "two").await;
    busy.assert_error(409, "context_busy");
    assert_eq!((busy.header("retry-after"), busy.header("x-should-retry")), ("1", "true"));
    gate.open();
    assert_eq!(first.await.expect("an answer").status, 200);
}

#[tokio::test]
async fn the_next_turn_sees_the_last_one_at_once() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    for round in 0..20 {
        // Alternately whole and streamed, on connections that nothing orders.
        let client = Client::unpooled(gateway.url()).with_test_key();
        if round % 2 == 0 {
            assert_eq!(say(&client, "x").await.status, 200);
        } else {
            let mut events = stream(&client, "x").await;
            while events.next().await.expect("an event").is_some_and(|event| event != "[DONE]") {}
        }
        let version =
            kept(&Client::unpooled(gateway.url()).with_test_key()).await["version"].clone();
        assert_eq!(version, round + 1);
    }
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let model = upstream().await;
    let other = json!({"tenant": "other"});
    let gateway = serving(&[&model]).key("other", "sk-other", &other).start().await;
    let mine = gateway.client();
    let yours = Client::new(gateway.url()).with_header("authorization", "Bearer sk-other");
    say(&mine, "secret").await;
    let unknown = yours.get("/v1/contexts/c").await;
    unknown.assert_error(404, "context_not_found");
    let absent = yours.get("/v1/contexts/d").await;
    assert_eq!(unknown.text().replace("`c`", "`d`"), absent.text(), "no difference shows");
    assert_eq!(say(&yours, "hello").await.header("x-context-version"), "1");
    assert_eq!(lines(&model.last_request().json()), ["user: hello"]);
}

#[tokio::test]
async fn deltas_are_part_of_the_turn() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    say(&client, "one").await;
    let delta = json!([
        {"op": "add", "path": "/data/user_id", "value": "user123"},
        {"op": "add", "path": "/messages/0", "value": {"role": "system", "content": "Be kind."}},
    ]);
    let context = json!({"id": "c", "version": 1, "delta": delta, "merge": {"plan": "gold"}});
    let reply = client.post(CHAT, &turn_with("two", &context)).await;
    assert_eq!(reply.header("x-context-version"), "2", "{}", reply.text());
    let expected = ["system: Be kind.", "user: one", "assistant: Hello from upstream", "user: two"];
    assert_eq!(lines(&model.last_request().json()), expected);
    assert_eq!(kept(&client).await["data"], json!({"user_id": "user123", "plan": "gold"}));
    let bad = json!({"id": "c", "delta": [{"op": "remove", "path": "/data/none"}]});
    client.post(CHAT, &turn_with("x", &bad)).await.assert_error(422, "context_delta_refused");
    // A turn that is not kept sees its delta, and leaves no trace.
    let read =
        json!({"id": "c", "store": false, "delta": [{"op": "remove", "path": "/messages/0"}]});
    let reply = client.post(CHAT, &turn_with("three", &read)).await;
    assert_eq!(reply.header("x-context-version"), "2");
    let expected =
        expected[1..].iter().copied().chain(["assistant: Hello from upstream", "user: three"]);
    assert_eq!(lines(&model.last_request().json()), expected.collect::<Vec<_>>());
    assert_eq!(kept(&client).await["version"], 2);
}

#[tokio::test]
async fn the_window_leaves_out_the_oldest_turns_and_holds_its_cut() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .set("models.demo.window_tokens", 700)
        .set("contexts.window.answer_tokens", 100)
        .start()
        .await;
    let client = gateway.client();
    let system = json!({"id": "c", "messages": [
        {"role": "system", "content": "Rules."},
        {"role": "user", "content": "Remember this.", "pinned": true},
    ]});
    assert_eq!(client.post("/v1/contexts", &system).await.status, 201);
    let mut prompts: Vec<String> = Vec::new();
    let mut dropped = Vec::new();
    for _ in 0..40 {
        let reply = say(&client, &"word ".repeat(20)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.header("x-context-tokens").parse::<u32>().expect("a number") <= 600);
        dropped.push(reply.header("x-context-dropped").parse::<u32>().expect("a number"));
        let sent = model.last_request().json();
        assert!(!sent.to_string().contains("pinned"), "the gateway's own member stays here");
        assert_eq!(lines(&sent)[..2], ["system: Rules.", "user: Remember this."]);
        prompts.push(sent["messages"].to_string().trim_end_matches(']').to_owned());
    }
    assert!(dropped.is_sorted() && dropped.last() > Some(&40), "{dropped:?}");
    let grown = prompts.windows(2).filter(|pair| pair[1].starts_with(&pair[0])).count();
    assert!(grown >= 32, "{grown} of 39 prompts only grew");
    let strict = json!({"id": "c", "window": {"strategy": "none"}});
    client.post(CHAT, &turn_with("x", &strict)).await.assert_error(400, "context_too_long");
    let tiny = json!({"id": "c", "window": {"max_tokens": 20}});
    client.post(CHAT, &turn_with("x", &tiny)).await.assert_error(400, "context_too_long");
}

#[tokio::test]
async fn tool_calls_are_kept_with_their_results() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let calls =
        json!([{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
    model.then(whole(
        &json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}),
    ));
    say(&client, "call it").await;
    let result = json!({"model": "demo", "context": {"id": "c"}, "messages": [
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]});
    client.post(CHAT, &result).await;
    let sent = model.last_request().json();
    assert_eq!(sent["messages"][1], message);
    assert_eq!(sent["messages"][2]["tool_call_id"], "call_1");
}

#[tokio::test]
async fn limits_are_told_before_anything_is_paid_for() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .set("contexts.messages_max", 3)
        .set("contexts.tenant_contexts_max", 2)
        .set("contexts.answer_bytes_max", 1000)
        .start()
        .await;
    // A stream that ends in an error ends its connection.
    let client = Client::unpooled(gateway.url()).with_test_key();
    assert_eq!(say(&client, "one").await.status, 200);
    let full = say(&client, "two").await;
    full.assert_error(413, "context_limit_exceeded");
    let at = |id: &str| turn_with("x", &json!({ "id": id }));
    let long = json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(1001)}, "finish_reason": "stop"}]});
    // The header has gone before it is known that the answer cannot be kept.
    let gate = Gate::new();
    model.then(sse([long.to_string(), "[DONE]".to_owned()]).held_at(0, &gate));
    let mut body = at("d");
    body["stream"] = true.into();
    let events = Events::open(client.request(Method::POST, CHAT).json(&body)).await;
    gate.open();
    let told = events.rest().await;
    let last = told.events.last().expect("an event");
    assert!(last.contains("context_limit_exceeded"), "{last}");
    assert_eq!(client.post(CHAT, &at("d")).await.status, 200);
    let count = model.count();
    client.post(CHAT, &at("e")).await.assert_error(413, "context_limit_exceeded");
    assert_eq!(model.count(), count);
}

#[tokio::test]
async fn requests_that_name_no_context_are_untouched() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let reply = gateway.client().chat("demo").await;
    assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("x-context")));
    let off = serving(&[&model]).set("contexts.enabled", false).start().await;
    let reply = off.client().post(CHAT, &turn("x")).await;
    assert_eq!(reply.header("x-context-version"), "");
    assert_eq!(model.last_request().json()["context"], json!({"id": "c"}));
    off.client().get("/v1/contexts/c").await.assert_error(404, "not_found");
}

#[tokio::test]
async fn turns_are_counted() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("retry.attempts_max", 1).start().await;
    let client = gateway.client();
    say(&client, "one").await;
    say(&client, "two").await;
    model.then(status(500));
    say(&client, "lost").await;
    client.post(CHAT, &turn_with("x", &json!({"id": "c", "store": false}))).await;
    for (selector, expected) in [
        (r#"tollgate_context_turns_total{outcome="committed"}"#, 2.0),
        (r#"tollgate_context_turns_total{outcome="abandoned"}"#, 1.0),
        (r#"tollgate_context_turns_total{outcome="read_only"}"#, 1.0),
        ("tollgate_context_versions_total", 2.0),
        ("tollgate_contexts", 1.0),
        ("tollgate_context_wait_seconds_count", 3.0),
        (r#"tollgate_context_store_seconds_count{operation="append"}"#, 2.0),
    ] {
        gateway.until_metric(selector, |count| count == expected).await;
    }
    assert!(gateway.metric("tollgate_context_history_bytes_total").await > 100.0);
    assert!(gateway.metric("tollgate_context_bytes").await > 100.0);
}
