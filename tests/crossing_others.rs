//! What clients of several dialects ask beside chats, over real sockets: embeddings, counts of tokens,
//! lists of models, capabilities, credentials, errors of the gateway's own.

use serde_json::{Value, json};
use support::Method;
use support::answer::{Answer, json as answer, status};
use support::client::Client;
use support::conf::{Conf, KEY, UPSTREAM_MODEL, conf, serving};
use support::reply::Reply;
use support::upstream::{Upstream, upstream};

fn speaking(dialect: &str, model: &Upstream) -> Conf {
    serving(&[model]).set("providers.local.dialect", dialect)
}

/// One question: the client's path and body, the provider's dialect, what the provider is asked and
/// says, what the client is told.
struct Row {
    path: &'static str,
    body: Value,
    dialect: &'static str,
    asked: (&'static str, Value),
    says: Value,
    told: Value,
}

fn embeddings() -> Vec<Row> {
    let values = |numbers: Value| json!({"values": numbers});
    let usage = json!({"prompt_tokens": 0, "total_tokens": 0});
    let request = |text: &str| json!({"model": format!("models/{UPSTREAM_MODEL}"), "content": {"parts": [{"text": text}]}});
    vec![
        Row {
            path: "/v1/embeddings",
            body: json!({"model": "demo", "input": ["a", "b"]}),
            dialect: "gemini",
            asked: (
                "/v1/models/upstream-model:batchEmbedContents",
                json!({"requests": [request("a"), request("b")]}),
            ),
            says: json!({"embeddings": [values(json!([0.5])), values(json!([1]))]}),
            told: json!({"object": "list", "model": "demo", "usage": usage, "data": [
                {"object": "embedding", "index": 0, "embedding": [0.5]},
                {"object": "embedding", "index": 1, "embedding": [1]},
            ]}),
        },
        Row {
            path: "/v1beta/models/demo:batchEmbedContents",
            body: json!({"requests": [{"model": "models/demo", "content": {"parts": [{"text": "a"}]}}]}),
            dialect: "gemini",
            asked: (
                "/v1/models/upstream-model:batchEmbedContents",
                json!({"requests": [request("a")]}),
            ),
            says: json!({"embeddings": [values(json!([0.5]))]}),
            told: json!({"embeddings": [values(json!([0.5]))]}),
        },
        Row {
            path: "/v1beta/models/demo:embedContent",
            body: json!({"content": {"parts": [{"text": "a"}]}}),
            dialect: "openai",
            asked: ("/v1/embeddings", json!({"model": UPSTREAM_MODEL, "input": ["a"]})),
            says: json!({"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3}}),
            told: json!({"embedding": values(json!([0.5]))}),
        },
        Row {
            path: "/v1beta/models/demo:batchEmbedContents",
            body: json!({"requests": [{"content": {"parts": [{"text": "a"}]}}]}),
            dialect: "responses",
            asked: ("/v1/embeddings", json!({"model": UPSTREAM_MODEL, "input": ["a"]})),
            says: json!({"data": [{"index": 0, "embedding": [0.5]}]}),
            told: json!({"embeddings": [values(json!([0.5]))]}),
        },
    ]
}

fn counts() -> Vec<Row> {
    let contents = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
    let messages = json!([{"role": "user", "content": "Hi"}]);
    vec![
        Row {
            path: "/v1/messages/count_tokens",
            body: json!({"model": "demo", "messages": messages}),
            dialect: "anthropic",
            asked: (
                "/v1/messages/count_tokens",
                json!({"model": UPSTREAM_MODEL, "messages": messages}),
            ),
            says: json!({"input_tokens": 7}),
            told: json!({"input_tokens": 7}),
        },
        Row {
            path: "/v1/messages/count_tokens",
            body: json!({"model": "demo", "messages": messages}),
            dialect: "gemini",
            asked: (
                "/v1/models/upstream-model:countTokens",
                json!({"generateContentRequest": {
                    "model": format!("models/{UPSTREAM_MODEL}"), "contents": contents,
                }}),
            ),
            says: json!({"totalTokens": 7}),
            told: json!({"input_tokens": 7}),
        },
        Row {
            path: "/v1beta/models/demo:countTokens",
            body: json!({"contents": contents}),
            dialect: "anthropic",
            asked: (
                "/v1/messages/count_tokens",
                json!({"model": UPSTREAM_MODEL, "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                ]}),
            ),
            says: json!({"input_tokens": 7}),
            told: json!({"totalTokens": 7}),
        },
    ]
}

#[tokio::test]
async fn embeddings_and_counts_cross() {
    for row in embeddings().into_iter().chain(counts()) {
        let model = upstream().await;
        let gateway = speaking(row.dialect, &model).start().await;
        model.always(answer(&row.says));
        let reply = gateway.client().post(row.path, &row.body).await;
        let name = format!("{} at {}: {}", row.path, row.dialect, reply.text());
        assert_eq!((reply.status, reply.json()), (200, row.told), "{name}");
        let received = model.only_request();
        assert_eq!((&*received.path, received.json()), (row.asked.0, row.asked.1), "{name}");
        assert_eq!(reply.header("x-tollgate-estimated"), "", "{name}");
    }
}

#[tokio::test]
async fn a_count_that_no_provider_gives_is_estimated_and_said_to_be() {
    for dialect in ["openai", "responses"] {
        let model = upstream().await;
        let gateway = speaking(dialect, &model).start().await;
        for (path, body, told) in [
            (
                "/v1/messages/count_tokens",
                json!({"model": "demo", "messages": [{"role": "user", "content": "12345678"}]}),
                json!({"input_tokens": 6}),
            ),
            (
                "/v1beta/models/demo:countTokens",
                json!({"contents": [{"parts": [{"text": "12345678"}]}]}),
                json!({"totalTokens": 6}),
            ),
        ] {
            let reply = gateway.client().post(path, &body).await;
            assert_eq!((reply.status, reply.json()), (200, told));
            assert_eq!(reply.header("x-tollgate-estimated"), "true");
        }
        assert_eq!(model.count(), 0, "nobody is asked");
    }
}

#[tokio::test]
async fn what_no_provider_of_a_model_serves_is_refused_and_others_are_passed_over() {
    let (anthropic, openai) = (upstream().await, upstream().await);
    let conf = conf()
        .provider("anthropic", &[&anthropic])
        .provider("openai", &[&openai])
        .set("providers.anthropic.dialect", "anthropic")
        .model("claude", &[("anthropic", "claude-x")])
        .model("both", &[("anthropic", "claude-x"), ("openai", "embed-x")])
        .set("models.both.candidates.1.priority", 1);
    let gateway = conf.start().await;
    let body = |model: &str| json!({"model": model, "input": "Hi"});
    for path in ["/v1/embeddings", "/v1/moderations"] {
        let reply = gateway.client().post(path, &body("claude")).await;
        reply.assert_error(400, "unsupported_operation");
        let reply = gateway.client().post(path, &body("both")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!((anthropic.count(), openai.count()), (0, 2));
}

#[tokio::test]
async fn models_are_listed_in_the_callers_dialect() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let get = async |path: &str, header: (&str, &str)| {
        let request = gateway.client().request(Method::GET, path).header(header.0, header.1);
        Reply::from(request).await.json()
    };
    let none = ("x-none", "");
    let anthropic = ("anthropic-version", "2023-06-01");
    assert_eq!(get("/v1/models", none).await["data"][0]["object"], "model");
    assert_eq!(get("/v1/models", anthropic).await["data"][0]["type"], "model");
    assert_eq!(get("/v1/models/demo", anthropic).await["display_name"], "demo");
    assert_eq!(get("/v1beta/models", none).await["models"][0]["name"], "models/demo");
    assert_eq!(get("/v1beta/models/demo", none).await["name"], "models/demo");
    let table = get("/v1/capabilities", none).await;
    assert_eq!(table["models"], json!([{"id": "demo", "dialects": ["chat"]}]));
    assert_eq!(table["translations"].as_array().map(Vec::len), Some(16));
}

/// How a dialect says an error: its status, and where its class and its words stand.
fn assert_said(reply: &Reply, status: u16, class: (&str, &str)) {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(body.pointer(class.0), Some(&json!(class.1)), "{body}");
    assert!(body.pointer("/error/message").is_some_and(Value::is_string), "{body}");
}

#[tokio::test]
async fn the_gateways_own_errors_are_said_in_the_clients_dialect() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("server.body_bytes_max", 2000).start().await;
    let long = "x".repeat(3000);
    let anthropic = |text: &str| json!({"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": text}]});
    let gemini = |text: &str| json!({"contents": [{"parts": [{"text": text}]}]});
    let responses = |text: &str| json!({"model": "demo", "input": text});
    let nobody = json!({"model": "nobody"});
    let google = "/v1beta/models/demo:generateContent";
    let rows = [
        ("/v1/messages", nobody.clone(), 404, ("/error/type", "not_found_error")),
        ("/v1/messages", anthropic(&long), 413, ("/error/type", "request_too_large")),
        ("/v1/messages", json!({}), 400, ("/error/type", "invalid_request_error")),
        ("/v1/messages/nothing", json!({}), 404, ("/error/type", "not_found_error")),
        ("/v1/responses", nobody, 404, ("/error/code", "model_not_found")),
        ("/v1/responses", responses(&long), 413, ("/error/code", "request_too_large")),
        ("/v1beta/models/no:generateContent", gemini("x"), 404, ("/error/status", "NOT_FOUND")),
        (google, gemini(&long), 413, ("/error/status", "INVALID_ARGUMENT")),
        (google, json!([]), 400, ("/error/status", "INVALID_ARGUMENT")),
        ("/v1beta/nothing", json!({}), 404, ("/error/status", "NOT_FOUND")),
    ];
    for (path, body, status, class) in rows {
        assert_said(&gateway.client().post(path, &body).await, status, class);
    }
    let stranger = Client::new(gateway.url()).with_header("x-api-key", "sk-nobody");
    for (path, body, class) in [
        ("/v1/messages", anthropic("x"), ("/error/type", "authentication_error")),
        ("/v1/responses", responses("x"), ("/error/code", "invalid_api_key")),
        (google, gemini("x"), ("/error/status", "UNAUTHENTICATED")),
    ] {
        assert_said(&stranger.post(path, &body).await, 401, class);
    }
    model.always(status(429));
    for (path, body, class) in [
        ("/v1/messages", anthropic("x"), ("/error/type", "rate_limit_error")),
        ("/v1/responses", responses("x"), ("/error/code", "rate_limit_exceeded")),
        (google, gemini("x"), ("/error/status", "RESOURCE_EXHAUSTED")),
    ] {
        assert_said(&gateway.client().post(path, &body).await, 429, class);
    }
}

#[tokio::test]
async fn what_needs_state_is_refused() {
    let model = upstream().await;
    let gateway = speaking("responses", &model).set("contexts.enabled", false).start().await;
    for (name, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!({"id": "conv_1"})),
        ("background", json!(true)),
    ] {
        let body = json!({"model": "demo", "input": "Hi", name: value});
        let reply = gateway.client().post("/v1/responses", &body).await;
        reply.assert_error(400, "parameter_refused");
        assert_eq!(reply.json()["error"]["param"], name);
    }
    let said = answer(&json!({"object": "response", "output": []}));
    model.always(said);
    let body = json!({
        "model": "demo", "input": "Hi", "store": true, "previous_response_id": null,
        "background": false,
    });
    assert_eq!(gateway.client().post("/v1/responses", &body).await.status, 200);
}

#[tokio::test]
async fn each_dialects_credential_is_taken_and_each_providers_is_sent() {
    for (dialect, header, value) in [
        ("openai", "authorization", "Bearer upstream-secret"),
        ("responses", "authorization", "Bearer upstream-secret"),
        ("anthropic", "x-api-key", "upstream-secret"),
        ("gemini", "x-goog-api-key", "upstream-secret"),
    ] {
        let model = upstream().await;
        let gateway = speaking(dialect, &model)
            .set("providers.local.credential", json!({"value": "upstream-secret"}))
            .start()
            .await;
        let body = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
        let path = format!("/v1beta/models/demo:generateContent?key={KEY}");
        Client::new(gateway.url()).post(&path, &body).await;
        let received = model.last_request();
        assert_eq!(received.header(header), value, "{dialect}");
        let version = if dialect == "anthropic" { "2023-06-01" } else { "" };
        assert_eq!(received.header("anthropic-version"), version, "{dialect}");
        let all = format!("{} {:?}", received.path, received.headers);
        assert!(!all.contains(KEY), "the client's key stays here: {all}");
        let logs = format!("{:?}{}", gateway.access_log(1).await, gateway.stderr());
        assert!(!logs.contains(KEY), "{logs}");
    }
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let path = format!("/v1/chat/completions?key={KEY}");
    let reply = Client::new(gateway.url()).post(&path, &json!({})).await;
    reply.assert_error(401, "missing_api_key");
}

#[tokio::test]
async fn a_native_request_keeps_its_own_headers_and_a_translated_one_does_not() {
    let model = upstream().await;
    let body = json!({"model": "demo", "max_tokens": 9, "messages": []});
    for (dialect, version, beta) in
        [("anthropic", "2099-01-01", "some-beta"), ("openai", "", ""), ("gemini", "", "")]
    {
        let gateway = speaking(dialect, &model).start().await;
        let request = gateway.client().request(Method::POST, "/v1/messages").json(&body);
        let request = request.header("anthropic-version", "2099-01-01");
        Reply::from(request.header("anthropic-beta", "some-beta")).await;
        let received = model.last_request();
        assert_eq!(received.header("anthropic-version"), version, "{dialect}");
        assert_eq!(received.header("anthropic-beta"), beta, "{dialect}");
    }
}

#[tokio::test]
async fn a_provider_may_take_further_dialects_untranslated() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .set("providers.local.also", json!(["responses", "anthropic"]))
        .start()
        .await;
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
        let body = json!({"model": "demo", "own": {"x": 1}});
        gateway.client().post(path, &body).await;
        let received = model.last_request();
        let expected = json!({"model": UPSTREAM_MODEL, "own": {"x": 1}});
        assert_eq!((&*received.path, received.json()), (path, expected));
    }
}

#[tokio::test]
async fn usage_is_not_asked_of_servers_that_do_not_know_how() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("providers.local.usage_in_streams", false).start().await;
    let chat = json!({"model": "demo", "stream": true, "messages": [],
        "stream_options": {"include_usage": true}});
    let messages = json!({"model": "demo", "stream": true, "max_tokens": 9, "messages": []});
    for (path, body) in [("/v1/chat/completions", chat), ("/v1/messages", messages)] {
        gateway.client().post(path, &body).await;
        let sent = model.last_request().json();
        assert_eq!((sent.get("stream_options"), &sent["stream"]), (None, &json!(true)), "{path}");
    }
}

/// A Gemini client that wants no events gets one array, also where it is translated.
#[tokio::test]
async fn a_stream_without_events_is_one_array() {
    let array = json!([{"candidates": [{"finishReason": "STOP"}]}]);
    for (dialect, says) in [("gemini", answer(&array)), ("openai", support::answer::ok())] {
        let model = upstream().await;
        let gateway = speaking(dialect, &model).start().await;
        model.always(Answer::clone(&says));
        let body = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
        let path = "/v1beta/models/demo:streamGenerateContent";
        let reply = gateway.client().post(path, &body).await;
        assert_eq!(reply.header("content-type"), "application/json", "{dialect}");
        assert!(reply.json().is_array(), "{dialect}: {}", reply.text());
        assert!(reply.text().contains("STOP"), "{dialect}: {}", reply.text());
        let path = model.last_request().path;
        assert!(!path.contains("alt="), "{path}");
    }
}
