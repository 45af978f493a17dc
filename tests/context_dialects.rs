//! Turns of contexts in every dialect: a conversation begun in one goes on in any other, in front of
//! servers of any.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::Method;
use support::answer::bytes;
use support::client::Client;
use support::conf::{UPSTREAM_MODEL, conf, serving};
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};
use tollgate::dialect::ir::Dialect;

/// What the golden answers say.
const ANSWER: &str = "Hi thére ❤";

fn golden(dialect: Dialect, case: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    fs::read(path.join(dialect.name()).join(case)).expect(case)
}

/// A gateway in front of one server of a dialect, which answers whole and in streams by turns.
async fn in_front_of(server: Dialect, model: &Upstream) -> Gateway {
    for _ in 0..4 {
        model.then(bytes("application/json", golden(server, "plain.answer.json")));
        model.then(bytes("text/event-stream", golden(server, "plain.stream.sse")));
    }
    let name = if server == Dialect::Chat { "openai" } else { server.name() };
    let conf = conf()
        .provider("local", &[model])
        .model("demo", &[("local", UPSTREAM_MODEL)])
        .set("providers.local.dialect", name)
        .set("providers.local.credential", json!({"value": "upstream-secret"}));
    conf.start().await
}

/// A client's turn that says one thing.
async fn say(client: &Client, dialect: Dialect, stream: bool, text: &str) -> Reply {
    let (path, body) = match dialect {
        Dialect::Chat | Dialect::Bedrock => (
            "/v1/chat/completions",
            json!({"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}),
        ),
        Dialect::Anthropic => (
            "/v1/messages",
            json!({"model": "demo", "stream": stream, "max_tokens": 99, "messages": [{"role": "user", "content": text}]}),
        ),
        Dialect::Responses => {
            ("/v1/responses", json!({"model": "demo", "stream": stream, "input": text}))
        }
        Dialect::Gemini => (
            if stream {
                "/v1beta/models/demo:streamGenerateContent?alt=sse"
            } else {
                "/v1beta/models/demo:generateContent"
            },
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        ),
    };
    let request = client.request(Method::POST, path).header("x-context-id", "c").json(&body);
    Reply::from(request).await
}

async fn kept(client: &Client) -> Vec<Value> {
    let context = client.get("/v1/contexts/c").await.json();
    context.get("messages").and_then(Value::as_array).expect("messages").clone()
}

#[tokio::test]
async fn a_conversation_goes_on_in_every_dialect_at_every_server() {
    for server in Dialect::ALL {
        let model = upstream().await;
        let gateway = in_front_of(server, &model).await;
        let client = gateway.client();
        let mut expected = Vec::new();
        for dialect in Dialect::ALL {
            for stream in [false, true] {
                let text = format!("{dialect:?} {stream}");
                let reply = say(&client, dialect, stream, &text).await;
                assert_eq!(reply.status, 200, "{text} at {server:?}: {}", reply.text());
                let version = expected.len() / 2 + 1;
                assert_eq!(reply.header("x-context-version"), version.to_string());
                expected.push(json!({"role": "user", "content": text}));
                let sent = model.last_request().json().to_string();
                let is_said =
                    |said: &Value| sent.contains(said["content"].as_str().expect("a text"));
                assert!(expected.iter().all(is_said), "{text}: {server:?} got {sent}");
                expected.push(json!({"role": "assistant", "content": ANSWER}));
                assert_eq!(kept(&client).await, expected, "{text} at {server:?}");
            }
        }
    }
}

#[tokio::test]
async fn instructions_beside_the_messages_are_the_requests_own() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let ask = async |system: &str| {
        let body = json!({
            "model": "demo", "max_tokens": 9, "system": system, "context": {"id": "c"},
            "messages": [{"role": "user", "content": "Hi"}],
        });
        assert_eq!(client.post("/v1/messages", &body).await.status, 200);
        model.last_request().json()["messages"].as_array().expect("messages").clone()
    };
    assert_eq!(ask("One.").await.len(), 2);
    let sent = ask("Two.").await;
    let roles: Vec<_> = sent.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(sent[0]["content"], "Two.");
}

#[tokio::test]
async fn a_tool_is_called_in_one_dialect_and_answered_in_another() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    model.then(bytes("application/json", golden(Dialect::Chat, "tools.answer.json")));
    say(&client, Dialect::Anthropic, false, "Oslo?").await;
    let body = json!({"context": {"id": "c"}, "contents": [{"role": "user", "parts": [
        {"functionResponse": {"name": "get_weather", "response": {"output": "4 degrees"}}},
    ]}]});
    let reply = client.post("/v1beta/models/demo:generateContent", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent = model.last_request().json();
    assert_eq!(sent["messages"][1]["tool_calls"][0]["id"], "call_1", "{sent}");
    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "4 degrees"});
    assert_eq!(sent["messages"][2], result);
}

#[tokio::test]
async fn what_cannot_be_kept_is_told() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let body = json!({"model": "demo", "max_tokens": 9, "context": {"id": "c"}, "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "Hi"},
            {"type": "container_upload", "file_id": "file_1"},
        ]},
    ]});
    let reply = client.post("/v1/messages", &body).await;
    assert!(reply.header("x-tollgate-dropped").contains("container_upload"), "{:?}", reply.headers);
    let none = json!({"model": "demo", "max_tokens": 9, "context": {"id": "c"}});
    let refused = client.post("/v1/messages", &none).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("`messages`"), "{}", refused.text());
    let embedding = json!({"model": "demo", "input": "x"});
    let request = client.request(Method::POST, "/v1/embeddings").header("x-context-id", "c");
    assert_eq!(Reply::from(request.json(&embedding)).await.status, 400);
}
