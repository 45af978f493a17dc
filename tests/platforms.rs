//! Platforms over real sockets: the paths, the headers and the bodies that each wants.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use support::Method;
use support::answer::{Answer, bytes, json as answer, ok};
use support::client::chat_with;
use support::conf::{Conf, conf};
use support::gateway::Gateway;
use support::reply::Reply;
use support::tools::Server;
use support::upstream::{Received, Upstream, upstream};

/// A gateway whose alias `demo` is `model-1` of a provider, of which this is said.
fn serving(model: &Upstream, provider: Value) -> Conf {
    served_at(&format!("http://{}", model.address()), provider)
}

fn served_at(url: &str, provider: Value) -> Conf {
    let Value::Object(members) = provider else { return conf() };
    let base =
        conf().provider_at("local", &[url.to_owned()]).model("demo", &[("local", "model-1")]);
    members
        .into_iter()
        .fold(base, |conf, (key, value)| conf.set(&format!("providers.local.{key}"), value))
        .set("providers.local.credential", json!({"value": "secret-1"}))
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    let reply = Reply::from(gateway.client().request(Method::POST, path).json(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

/// What one request to a provider makes of it upstream.
async fn sent(provider: Value, path: &str, body: &Value, answered: Answer) -> Received {
    let model = upstream().await;
    model.always(answered);
    let gateway = serving(&model, provider).start().await;
    ask(&gateway, path, body).await;
    model.only_request()
}

fn golden(name: &str) -> Answer {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    bytes("application/json", std::fs::read(path).expect(name))
}

const CHATS: &str = "/v1/chat/completions";

#[tokio::test]
async fn azure_is_asked_by_deployment_and_key() {
    let body = chat_with("demo", &json!({}));
    let dated = json!({"platform": "azure", "api_version": "2024-10-21"});
    let request = sent(dated, CHATS, &body, ok()).await;
    let path = "/openai/deployments/model-1/chat/completions?api-version=2024-10-21";
    assert_eq!(request.path, path);
    assert_eq!(request.header("api-key"), "secret-1");
    assert_eq!(request.header("authorization"), "");
    let request = sent(json!({"platform": "azure"}), CHATS, &body, ok()).await;
    assert_eq!((&*request.path, &*request.model()), ("/openai/v1/chat/completions", "model-1"));
}

#[tokio::test]
async fn vertex_is_asked_by_publisher() {
    let place = "/v1/projects/p-1/locations/eu/publishers";
    let vertex = |dialect: &str| json!({"platform": "vertex", "dialect": dialect, "project": "p-1", "location": "eu"});
    let body = chat_with("demo", &json!({"max_tokens": 9}));
    let request = sent(vertex("gemini"), CHATS, &body, golden("gemini/plain.answer.json")).await;
    assert_eq!(request.path, format!("{place}/google/models/model-1:generateContent"));
    assert_eq!(request.header("authorization"), "Bearer secret-1");
    // Translated or not, the model is in the path and the version in the body.
    for path in [CHATS, "/v1/messages"] {
        let answer = golden("anthropic/plain.answer.json");
        let request = sent(vertex("anthropic"), path, &body, answer).await;
        assert_eq!(request.path, format!("{place}/anthropic/models/model-1:rawPredict"));
        let body = request.json();
        assert_eq!(body["anthropic_version"], "vertex-2023-10-16", "{path}: {body}");
        assert_eq!(body.get("model"), None, "{path}: {body}");
        assert_eq!(request.header("authorization"), "Bearer secret-1");
        assert_eq!(request.header("x-api-key"), "");
    }
}

#[tokio::test]
async fn mistral_is_spared_what_it_refuses() {
    let call = json!({"id": "call_0123456789", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let body = json!({
        "model": "demo",
        "seed": 7,
        "user": "u",
        "stream": true,
        "messages": [
            {"role": "developer", "content": "s"},
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_0123456789", "content": "1"},
        ],
    });
    let model = upstream().await;
    let gateway = serving(&model, json!({"platform": "mistral"})).start().await;
    let reply = ask(&gateway, CHATS, &body).await;
    assert_eq!(reply.header("x-tollgate-dropped"), "user");
    let sent = model.only_request().json();
    assert_eq!((&sent["random_seed"], sent.get("seed")), (&json!(7), None));
    assert_eq!((sent.get("user"), sent.get("stream_options")), (None, None));
    assert_eq!(sent["messages"][0]["role"], "system");
    let id = sent["messages"][2]["tool_calls"][0]["id"].as_str().expect("an id");
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!(sent["messages"][3]["tool_call_id"], id);
}

#[tokio::test]
async fn cohere_is_asked_by_its_compatible_api_and_reranks_by_its_own() {
    let cohere = || json!({"platform": "cohere"});
    let body = chat_with("demo", &json!({"n": 1, "max_completion_tokens": 5}));
    let request = sent(cohere(), CHATS, &body, ok()).await;
    assert_eq!(request.path, "/compatibility/v1/chat/completions");
    let sent_body = request.json();
    assert_eq!((sent_body.get("n"), &sent_body["max_tokens"]), (None, &json!(5)));
    let rerank = json!({"model": "demo", "query": "q", "documents": ["a", "b"], "top_n": 1});
    let ranked = answer(&json!({"results": [{"index": 1, "relevance_score": 0.9}]}));
    let request = sent(cohere(), "/v1/rerank", &rerank, ranked).await;
    assert_eq!((&*request.path, &*request.model()), ("/v2/rerank", "model-1"));
}

#[tokio::test]
async fn what_a_platform_does_not_serve_is_said() {
    let model = upstream().await;
    let vertex =
        json!({"platform": "vertex", "dialect": "gemini", "project": "p", "location": "eu"});
    let gateway = serving(&model, vertex).start().await;
    let body = json!({"model": "demo", "input": "a"});
    let reply =
        Reply::from(gateway.client().request(Method::POST, "/v1/embeddings").json(&body)).await;
    assert_eq!((reply.status, model.count()), (400, 0), "{}", reply.text());
}

/// The paths and bodies of platforms are right for a server that serves them, not only as this file writes them.
#[tokio::test]
async fn the_simulated_model_server_serves_platforms_at_their_own_paths() {
    let mock = Server::mock().await;
    let vertex = |dialect: &str| json!({"platform": "vertex", "project": "p", "location": "l", "dialect": dialect});
    for provider in [
        json!({"platform": "azure"}),
        json!({"platform": "azure", "api_version": "2024-10-21"}),
        json!({"platform": "azure", "api_version": "2024-10-21", "dialect": "responses"}),
        vertex("openai"),
        vertex("gemini"),
        vertex("anthropic"),
    ] {
        let row = provider.to_string();
        let gateway = served_at(&mock.url(), provider).start().await;
        let reply = gateway.client().chat("demo").await;
        assert_eq!(reply.status, 200, "{row}: {}", reply.text());
        assert!(!reply.content().is_empty(), "{row}");
        let told = gateway.client().stream("demo").await.rest().await;
        assert!(told.is_whole(), "{row}: {told:?}");
    }
}
