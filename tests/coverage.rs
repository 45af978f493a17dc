//! Every request that the router knows asks for a credential, and every one that reaches a model is admitted:
//! a route that is added and bypasses either fails here.

use std::collections::BTreeSet;

use http::Uri;
use serde_json::{Value, json};
use support::client::Client;
use support::conf::serving;
use support::reply::Reply;
use support::upstream::upstream;
use tollgate::dialect::ir::Dialect;
use tollgate::route::{self, Route};
use tollgate::types::Operation;

/// What is answered without a credential: it tells what everybody may know.
const OPEN: [&str; 2] = ["/.well-known/context-protocol", "/.well-known/context-protocol.proto"];

/// The members that any dialect and operation may need: what is unknown to one is left alone there.
fn body() -> Value {
    json!({
        "model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}],
        "input": "Hello", "prompt": "Hello", "voice": "alloy", "query": "Hello", "documents": ["Hello"],
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "content": {"parts": [{"text": "Hello"}]},
        "requests": [{"model": "models/demo", "content": {"parts": [{"text": "Hello"}]}}],
    })
}

#[test]
fn the_list_of_requests_has_every_operation_and_every_dialect_of_clients() {
    let mut operations = BTreeSet::new();
    let mut dialects = BTreeSet::new();
    for (method, path) in route::every() {
        let uri: Uri = path.parse().expect("a path");
        let found =
            route::find(&method, &uri).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        operations.insert(found.operation().label());
        if let Route::Model(call) = found {
            dialects.insert(call.dialect.name());
        }
    }
    assert_eq!(operations, Operation::ALL.map(Operation::label).into_iter().collect());
    // Bedrock's Converse is spoken to model servers alone.
    let clients = Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Bedrock);
    assert_eq!(dialects, clients.map(Dialect::name).collect());
}

#[tokio::test]
async fn nothing_is_served_without_a_credential_and_no_model_is_asked_beyond_a_limit() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .set("providers.local.also", json!(["responses", "anthropic", "gemini"]))
        .set("models.demo.limits.requests_per_day", 0)
        .start()
        .await;
    let (stranger, client) = (Client::new(gateway.url()), gateway.client());
    let mut admitted = 0;
    for (method, path) in route::every() {
        let reply = Reply::from(stranger.request(method.clone(), &path).json(&body())).await;
        let expected = if OPEN.contains(&&*path) { 200 } else { 401 };
        assert_eq!(reply.status, expected, "{method} {path}: {}", reply.text());
        let uri: Uri = path.parse().expect("a path");
        if let Ok(Route::Model(_)) = route::find(&method, &uri) {
            let reply = Reply::from(client.request(method, &path).json(&body())).await;
            assert_eq!(reply.status, 429, "{path}: {}", reply.text());
            admitted += 1;
        }
    }
    assert!(admitted >= 22, "{admitted} requests to models");
    assert_eq!(model.count(), 0, "none reached the model server");
}
