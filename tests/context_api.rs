//! The contexts themselves: made, read, changed, rolled back, forked, deleted.

use serde_json::{Value, json};
use support::Method;
use support::client::Client;
use support::conf::serving;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};

const LIST: &str = "/v1/contexts";
const ONE: &str = "/v1/contexts/c";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A gateway with the context `c`, which has one message and `{"n": 1}`.
async fn with_context() -> (Upstream, Gateway) {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let context = json!({
        "id": "c", "messages": [{"role": "user", "content": "Hi"}], "data": {"n": 1},
    });
    let made = gateway.client().post(LIST, &context).await;
    assert_eq!(made.status, 201, "{}", made.text());
    (model, gateway)
}

async fn patch(client: &Client, kind: &str, body: &Value, if_match: Option<&str>) -> Reply {
    let request = client.request(Method::PATCH, ONE).header("content-type", kind);
    let request =
        if_match.into_iter().fold(request, |request, etag| request.header("if-match", etag));
    Reply::from(request.body(body.to_string())).await
}

#[tokio::test]
async fn a_context_is_made_and_read() {
    let (_model, gateway) = with_context().await;
    let client = gateway.client();
    let read = client.get(ONE).await;
    let context = read.json();
    assert_eq!((read.status, read.header("etag")), (200, "\"1\""));
    assert_eq!(read.header("context-protocol"), "1");
    assert_eq!(context["object"], "context");
    assert_eq!((&context["id"], &context["version"]), (&json!("c"), &json!(1)));
    assert_eq!(context["messages"], json!([{"role": "user", "content": "Hi"}]));
    assert_eq!(context["data"], json!({"n": 1}));
    assert_eq!(context["message_count"], 1);
    for name in ["created_at", "updated_at", "expires_at"] {
        let date = context[name].as_str().expect("a date");
        assert!(date.ends_with('Z') && date.contains('T'), "{date}");
    }
    assert!(context["expires_at"].as_str() > context["created_at"].as_str());
    let request = client.request(Method::GET, ONE).header("if-none-match", "\"1\"");
    assert_eq!(Reply::from(request).await.status, 304);
    let made = Reply::from(client.request(Method::POST, LIST)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(made.header("location"), format!("/v1/contexts/{id}"));
    assert_eq!(client.get(made.header("location")).await.json()["messages"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_made_is_refused() {
    let (_model, gateway) = with_context().await;
    let client = gateway.client();
    for (body, status, code) in [
        (json!({"id": "c"}), 409, "context_conflict"),
        (json!({"id": "a b"}), 400, "invalid_body"),
        (json!({"ID": "a"}), 400, "invalid_body"),
        (json!({"messages": [{"content": "x"}]}), 400, "invalid_body"),
        (json!({"data": []}), 422, "context_delta_refused"),
    ] {
        client.post(LIST, &body).await.assert_error(status, code);
    }
    let request = client.request(Method::POST, LIST).header("content-type", "text/plain");
    Reply::from(request.body("{}")).await.assert_error(415, "unsupported_media_type");
    let request = client.request(Method::POST, LIST).header("context-protocol", "9");
    Reply::from(request).await.assert_error(400, "context_protocol_unsupported");
    let request = client.request(Method::PUT, ONE);
    let wrong = Reply::from(request).await;
    wrong.assert_error(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "GET, PATCH, DELETE");
    client.get("/v1/contexts/c/unknown").await.assert_error(404, "not_found");
    client.get("/v1/contexts/none").await.assert_error(404, "context_not_found");
    client.get("/v1/contexts/c?version=7").await.assert_error(404, "context_not_found");
    client.get("/v1/contexts/c?version=x").await.assert_error(400, "invalid_body");
    let nobody = Client::new(gateway.url());
    nobody.get(ONE).await.assert_error(401, "missing_api_key");
}

#[tokio::test]
async fn a_context_is_patched_where_it_is_what_the_client_believes() {
    let (_model, gateway) = with_context().await;
    let client = gateway.client();
    let add = json!([{"op": "add", "path": "/data/list", "value": [1]}]);
    let changed = patch(&client, JSON_PATCH, &add, Some("\"1\"")).await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""), "{}", changed.text());
    let stale = patch(&client, JSON_PATCH, &add, Some("\"1\"")).await;
    stale.assert_error(412, "context_precondition_failed");
    let merge = json!({"n": null, "name": "Ada"});
    assert_eq!(patch(&client, MERGE_PATCH, &merge, Some("*")).await.header("etag"), "\"3\"");
    assert_eq!(client.get(ONE).await.json()["data"], json!({"list": [1], "name": "Ada"}));
    let messages = json!([
        {"op": "test", "path": "/messages/0/content", "value": "Hi"},
        {"op": "replace", "path": "/messages/0/content", "value": "Ho"},
    ]);
    assert_eq!(patch(&client, JSON_PATCH, &messages, None).await.header("etag"), "\"4\"");
    assert_eq!(
        patch(&client, JSON_PATCH, &messages, None).await.error_code(),
        "context_delta_refused"
    );
    assert_eq!(client.get(ONE).await.json()["messages"][0]["content"], "Ho");
    patch(&client, "application/json", &add, None)
        .await
        .assert_error(415, "unsupported_media_type");
    patch(&client, JSON_PATCH, &add, Some("x")).await.assert_error(400, "invalid_body");
    assert_eq!(client.get(ONE).await.json()["version"], 4);
}

#[tokio::test]
async fn a_patch_bomb_changes_nothing() {
    let (_model, gateway) = with_context().await;
    let client = gateway.client();
    let start = vec!["0123456789"; 100];
    let mut bomb = vec![json!({"op": "add", "path": "/data/a", "value": start})];
    bomb.extend((0..40).map(|_| json!({"op": "copy", "from": "/data/a", "path": "/data/a/-"})));
    let refused = patch(&client, JSON_PATCH, &Value::Array(bomb), None).await;
    refused.assert_error(422, "context_delta_refused");
    let long = json!([{"op": "add", "path": "/messages/-", "value": {"role": "user", "content": "x".repeat(10 << 20)}}]);
    patch(&client, JSON_PATCH, &long, None).await.assert_error(422, "context_delta_refused");
    assert_eq!(client.get(ONE).await.json()["version"], 1);
}

#[tokio::test]
async fn versions_are_listed_rolled_back_to_and_forked() {
    let (_model, gateway) = with_context().await;
    let client = gateway.client();
    for n in [2, 3] {
        assert_eq!(patch(&client, MERGE_PATCH, &json!({ "n": n }), None).await.status, 200);
    }
    let list = client.get("/v1/contexts/c/versions").await.json();
    let numbers: Vec<_> =
        list["data"].as_array().expect("a list").iter().map(|v| &v["version"]).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(client.get("/v1/contexts/c?version=2").await.json()["data"], json!({"n": 2}));
    let back = client.post("/v1/contexts/c/rollback", &json!({"version": 1})).await;
    assert_eq!((back.status, back.header("etag")), (200, "\"4\""), "{}", back.text());
    assert_eq!(client.get(ONE).await.json()["data"], json!({"n": 1}));
    assert_eq!(client.get("/v1/contexts/c?version=3").await.json()["data"], json!({"n": 3}));
    client.post("/v1/contexts/c/rollback", &json!({})).await.assert_error(400, "invalid_body");
    client
        .post("/v1/contexts/c/rollback", &json!({"version": 9}))
        .await
        .assert_error(404, "context_not_found");
    let fork = client.post("/v1/contexts/c/fork", &json!({"version": 2, "id": "d"})).await;
    assert_eq!((fork.status, fork.header("location")), (201, "/v1/contexts/d"));
    let fork = client.get("/v1/contexts/d").await.json();
    assert_eq!((&fork["version"], &fork["data"]), (&json!(1), &json!({"n": 2})));
    client
        .post("/v1/contexts/c/fork", &json!({"id": "d"}))
        .await
        .assert_error(409, "context_conflict");
    let deleted = Reply::from(client.request(Method::DELETE, ONE)).await;
    assert_eq!(deleted.json(), json!({"id": "c", "object": "context.deleted", "deleted": true}));
    client.get(ONE).await.assert_error(404, "context_not_found");
    Reply::from(client.request(Method::DELETE, ONE)).await.assert_error(404, "context_not_found");
}

#[tokio::test]
async fn the_protocol_is_told_to_everybody() {
    let (_model, gateway) = with_context().await;
    let told = Client::new(gateway.url()).get("/.well-known/context-protocol").await;
    assert_eq!(told.status, 200);
    let told = told.json();
    assert_eq!(told["versions"], json!(["1"]));
    assert_eq!(told["delta_formats"], json!([JSON_PATCH, MERGE_PATCH]));
    assert_eq!(told["limits"]["delta_operations_max"], 256);
}
