//! Stored responses and conversations: OpenAI's faces of contexts, in front of providers of each kind.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::Method;
use support::answer::{bytes, status};
use support::client::Client;
use support::conf::{UPSTREAM_MODEL, conf, serving};
use support::events::Events;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};

fn golden(case: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/responses");
    fs::read(path.join(case)).expect(case)
}

/// A gateway in front of a server of Responses, which knows nothing of any state.
async fn native(model: &Upstream) -> Gateway {
    let conf = conf()
        .provider("local", &[model])
        .model("demo", &[("local", UPSTREAM_MODEL)])
        .set("providers.local.dialect", "responses")
        .set("providers.local.credential", json!({"value": "upstream-secret"}));
    conf.start().await
}

async fn respond(client: &Client, text: &str, more: Value) -> Reply {
    let mut body = json!({"model": "demo", "input": text});
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("members"));
    client.post("/v1/responses", &body).await
}

async fn kept(client: &Client, text: &str, more: Value) -> Value {
    let reply = respond(client, text, more).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// What a chat server was sent, each message as `role: content`.
fn lines(model: &Upstream) -> Vec<String> {
    let sent = model.last_request().json();
    let line = |message: &Value| {
        let text = |name| message.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        format!("{}: {}", text("role"), text("content"))
    };
    let messages = sent.get("messages").and_then(Value::as_array).expect("messages");
    messages.iter().map(line).collect()
}

const ANSWER: &str = "assistant: Hello from upstream";

#[tokio::test]
async fn a_response_goes_on_from_any_other() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let first = kept(&client, "one", json!({"store": true})).await;
    assert_eq!(first["store"], true);
    let id = first["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("resp_ctx_") && id.ends_with("_1"), "{id}");
    let second = kept(&client, "two", json!({"previous_response_id": id})).await;
    assert_eq!(second["previous_response_id"], json!(id));
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: two"]);
    // Another one goes on from the first: the second stays as it was.
    let branch = kept(&client, "other", json!({"previous_response_id": id})).await;
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: other"]);
    kept(&client, "three", json!({"previous_response_id": second["id"]})).await;
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: two", ANSWER, "user: three"]);
    kept(&client, "more", json!({"previous_response_id": branch["id"]})).await;
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: other", ANSWER, "user: more"]);
    // Each is there as it was answered.
    for response in [&first, &second, &branch] {
        let path = format!("/v1/responses/{}", response["id"].as_str().expect("an id"));
        assert_eq!(client.get(&path).await.json(), *response);
    }
    // One that is not stored may still go on from another.
    let last = kept(&client, "x", json!({"previous_response_id": id, "store": false})).await;
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: x"]);
    assert_eq!(last["store"], false);
    let path = format!("/v1/responses/{}", last["id"].as_str().expect("an id"));
    client.get(&path).await.assert_error(404, "context_not_found");
}

#[tokio::test]
async fn nothing_is_kept_unasked() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let plain = respond(&client, "one", json!({})).await;
    assert_eq!(plain.headers.get("x-context-id"), None);
    let id = plain.json()["id"].clone();
    let unknown = respond(&client, "two", json!({"previous_response_id": id})).await;
    unknown.assert_error(404, "context_not_found");
    assert!(unknown.error_message().contains("store"), "{}", unknown.text());
    let gateway = serving(&[&model]).set("contexts.store_responses", true).start().await;
    let id = kept(&gateway.client(), "one", json!({})).await["id"].clone();
    kept(&gateway.client(), "two", json!({"previous_response_id": id})).await;
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: two"]);
    let none = respond(&gateway.client(), "x", json!({"store": false})).await;
    assert_eq!(none.headers.get("x-context-id"), None);
}

#[tokio::test]
async fn streams_are_kept_and_named_in_every_event() {
    for is_native in [false, true] {
        let model = upstream().await;
        let gateway = match is_native {
            true => native(&model).await,
            false => serving(&[&model]).start().await,
        };
        if is_native {
            model.then(bytes("text/event-stream", golden("plain.stream.sse")));
            model.then(bytes("application/json", golden("plain.answer.json")));
        }
        let client = gateway.client();
        let body = json!({"model": "demo", "input": "one", "store": true, "stream": true});
        let request = client.request(Method::POST, "/v1/responses").json(&body);
        let told = Events::open(request).await.rest().await;
        let events: Vec<Value> =
            told.events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
        let ids: Vec<_> = events.iter().filter_map(|event| event.get("response")).collect();
        let id = ids.last().expect("an end")["id"].as_str().expect("an id").to_owned();
        assert!(id.starts_with("resp_ctx_"), "{id}");
        assert!(ids.len() > 1 && ids.iter().all(|response| response["id"] == json!(id)));
        let shown = client.get(&format!("/v1/responses/{id}")).await.json();
        assert_eq!(shown["status"], "completed", "{shown}");
        assert!(shown["output"][0]["content"][0]["text"].is_string(), "{shown}");
        let second = kept(&client, "two", json!({"previous_response_id": id})).await;
        assert!(second["id"].as_str().expect("an id").ends_with("_2"), "{second}");
        let sent = model.last_request().json().to_string();
        assert!(sent.contains("one") && sent.contains("two"), "{sent}");
        assert!(!sent.contains("previous_response_id"), "{sent}");
        assert_eq!(is_native, model.last_request().json()["store"] == json!(false));
    }
}

#[tokio::test]
async fn a_response_that_fails_is_none() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("retry.attempts_max", 1).start().await;
    let client = gateway.client();
    let id = kept(&client, "one", json!({"store": true})).await["id"].clone();
    model.then(status(500));
    let failed = respond(&client, "lost", json!({"previous_response_id": id})).await;
    assert_eq!(failed.status, 502, "{}", failed.text());
    kept(&client, "two", json!({"previous_response_id": id})).await;
    assert_eq!(lines(&model), ["user: one", ANSWER, "user: two"]);
    let both = json!({"previous_response_id": id, "conversation": "c"});
    assert_eq!(respond(&client, "x", both).await.status, 400);
    let other = gateway.client().with_header("authorization", "Bearer nobody");
    assert_eq!(respond(&other, "x", json!({"previous_response_id": id})).await.status, 401);
}

#[tokio::test]
async fn the_last_response_of_a_chain_goes_with_its_context() {
    let model = upstream().await;
    let other = json!({"tenant": "other"});
    let gateway = serving(&[&model]).key("other", "sk-other", &other).start().await;
    let client = gateway.client();
    let id = kept(&client, "one", json!({"store": true})).await["id"].clone();
    let path = format!("/v1/responses/{}", id.as_str().expect("an id"));
    let yours = Client::new(gateway.url()).with_header("authorization", "Bearer sk-other");
    yours.get(&path).await.assert_error(404, "context_not_found");
    let delete = |client: &Client| Reply::from(client.request(Method::DELETE, &path));
    delete(&yours).await.assert_error(404, "context_not_found");
    let gone = json!({"id": id, "object": "response", "deleted": true});
    assert_eq!(delete(&client).await.json(), gone);
    client.get(&path).await.assert_error(404, "context_not_found");
    let context = id.as_str().and_then(|id| id.strip_prefix("resp_")?.strip_suffix("_1"));
    let context = format!("/v1/contexts/{}", context.expect("a context"));
    client.get(&context).await.assert_error(404, "context_not_found");
    client.get("/v1/responses").await.assert_error(405, "method_not_allowed");
}

#[tokio::test]
async fn a_response_is_deleted_alone() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let id = |response: &Value| response["id"].as_str().expect("an id").to_owned();
    let first = id(&kept(&client, "one", json!({"store": true})).await);
    let second = id(&kept(&client, "two", json!({"previous_response_id": first})).await);
    let third = id(&kept(&client, "three", json!({"previous_response_id": second})).await);
    let delete = async |response: &str| {
        let path = format!("/v1/responses/{response}");
        Reply::from(client.request(Method::DELETE, &path)).await
    };
    let show = async |response: &str| client.get(&format!("/v1/responses/{response}")).await.status;
    assert_eq!(delete(&second).await.status, 200);
    delete(&second).await.assert_error(404, "context_not_found");
    assert_eq!((show(&first).await, show(&second).await, show(&third).await), (200, 404, 200));
    let lost = respond(&client, "x", json!({"previous_response_id": second})).await;
    lost.assert_error(404, "context_not_found");
    // What went on from it says all that was said.
    let fourth = kept(&client, "four", json!({"previous_response_id": third})).await;
    assert_eq!(model.last_request().json()["messages"].as_array().map(Vec::len), Some(7));
    assert_eq!(show(&id(&fourth)).await, 200);
    for response in [&first, &third, &id(&fourth)] {
        assert_eq!(delete(response).await.status, 200, "{response}");
        assert_eq!(show(response).await, 404, "{response}");
    }
}

#[tokio::test]
async fn a_conversation_is_a_context_with_items() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let items = json!([{"role": "user", "content": "zero"}]);
    let made = client.post("/v1/conversations", &json!({"items": items})).await.json();
    assert_eq!((&made["object"], &made["metadata"]), (&json!("conversation"), &json!({})));
    let id = made["id"].as_str().expect("an id").to_owned();
    let at = |below: &str| format!("/v1/conversations/{id}{below}");
    let response = kept(&client, "one", json!({"conversation": id})).await;
    assert_eq!(response["conversation"], json!({"id": id}));
    assert_eq!(lines(&model), ["user: zero", "user: one"]);
    // The same conversation, as a context and in another dialect.
    let chat = json!({"model": "demo", "context": {"id": id}, "messages": [{"role": "user", "content": "two"}]});
    assert_eq!(client.post("/v1/chat/completions", &chat).await.status, 200);
    assert_eq!(lines(&model), ["user: zero", "user: one", ANSWER, "user: two"]);
    let updated = client.post(&at(""), &json!({"metadata": {"topic": "demo"}})).await.json();
    assert_eq!(updated["metadata"], json!({"topic": "demo"}));
    assert_eq!(client.get(&at("")).await.json(), updated);
    let page = client.get(&at("/items?limit=2&order=asc")).await.json();
    assert_eq!((page["data"].as_array().map(Vec::len), &page["has_more"]), (Some(2), &json!(true)));
    let after = page["last_id"].as_str().expect("an id");
    let rest = client.get(&at(&format!("/items?order=asc&after={after}"))).await.json();
    assert_eq!(
        (rest["data"].as_array().map(Vec::len), &rest["has_more"]),
        (Some(3), &json!(false))
    );
    assert_eq!(rest["data"][0]["content"][0]["text"], "Hello from upstream");
    let newest = client.get(&at("/items?limit=1")).await.json();
    assert_eq!(newest["first_id"], rest["last_id"]);
    let zero = json!({"items": [{"role": "user", "content": "zero"}]});
    let added = client.post(&at("/items"), &zero).await.json();
    let (item, first) = (&added["data"][0], &page["data"][0]);
    assert_ne!(item["id"], first["id"], "the same words, another item");
    let path = at(&format!("/items/{}", item["id"].as_str().expect("an id")));
    assert_eq!(client.get(&path).await.json(), *item);
    let left = Reply::from(client.request(Method::DELETE, &path)).await.json();
    assert_eq!(left, updated);
    client.get(&path).await.assert_error(404, "context_not_found");
    // Its responses may go; what it says stays.
    let path = format!("/v1/responses/{}", response["id"].as_str().expect("an id"));
    assert_eq!(Reply::from(client.request(Method::DELETE, &path)).await.status, 200);
    client.get(&path).await.assert_error(404, "context_not_found");
    assert_eq!(client.get(&at("")).await.json(), updated);
    let gone = Reply::from(client.request(Method::DELETE, &at(""))).await.json();
    assert_eq!((&gone["deleted"], &gone["object"]), (&json!(true), &json!("conversation.deleted")));
    client.get(&at("/items")).await.assert_error(404, "context_not_found");
    respond(&client, "x", json!({"conversation": id})).await.assert_error(404, "context_not_found");
}

#[tokio::test]
async fn what_is_no_conversation_is_refused() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let many = vec![json!({"role": "user", "content": "x"}); 21];
    for body in [
        json!({"items": 7}),
        json!({"items": many}),
        json!({"items": [{"role": "nobody", "content": "x"}]}),
        json!({"metadata": {"x": 7}}),
        json!({"metadata": {"x": "y".repeat(513)}}),
    ] {
        let reply = client.post("/v1/conversations", &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
    }
    let id = client.post("/v1/conversations", &json!({})).await.json()["id"].clone();
    let items = format!("/v1/conversations/{}/items", id.as_str().expect("an id"));
    for query in ["limit=0", "limit=101", "limit=x", "order=up"] {
        assert_eq!(client.get(&format!("{items}?{query}")).await.status, 400, "{query}");
    }
    client.get(&format!("{items}?after=msg_x")).await.assert_error(404, "context_not_found");
    let gateway = serving(&[&model]).set("contexts.enabled", false).start().await;
    gateway.client().post("/v1/conversations", &json!({})).await.assert_error(404, "not_found");
}
