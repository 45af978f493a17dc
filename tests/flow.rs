//! What clients ask for and what the model server is asked for then: every path that is served,
//! and every request that is refused before it reaches a model server.

use serde_json::json;
use support::answer::{bytes, natural_events, sse};
use support::client::chat_with;
use support::conf::{Conf, KEY, KEY_ID, TENANT, UPSTREAM_MODEL, conf, serving};
use support::events::Events;
use support::gate::Gate;
use support::reply::Reply;
use support::upstream::upstream;
use support::wire::exchange;
use support::{Method, Version};

/// Every path that takes JSON.
const JSON_PATHS: [&str; 7] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/rerank",
];

#[tokio::test]
async fn a_chat_is_answered_over_each_version_of_http() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("server.listeners.0.h2c", true).start().await;
    let rows = [(gateway.client(), Version::HTTP_11), (gateway.client_h2c(), Version::HTTP_2)];
    for (client, version) in rows {
        let reply = client.chat("demo").await;
        assert_eq!((reply.status, reply.version), (200, version), "{reply:?}");
        assert_eq!(reply.content(), "Hello from upstream");
        let id = reply.header("x-request-id");
        assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "request id `{id}`");
    }
}

#[tokio::test]
async fn each_path_reaches_the_model_server_with_only_the_model_changed() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    for path in JSON_PATHS {
        model.forget();
        let body =
            r#" { "input" : ["demo", "é\u00e9", 1e3 ],"model":"demo" , "x": {"model":"demo"}}"#;
        let request = gateway.client().request(Method::POST, path);
        let request = request.header("content-type", "application/json; charset=utf-8");
        let reply = Reply::from(request.body(body)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let received = model.only_request();
        assert_eq!((&received.method, &*received.path), (&Method::POST, path));
        let expected =
            body.replacen(r#""model":"demo""#, &format!(r#""model":"{UPSTREAM_MODEL}""#), 1);
        assert_eq!(String::from_utf8_lossy(&received.body), expected, "{path}");
        assert_eq!(received.header("content-length"), expected.len().to_string(), "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_passes_as_it_is() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let body = json!({"model": "demo", "input": "Hi", "voice": "alloy"});
    let reply = gateway.client().post("/v1/audio/speech", &body).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "audio/mpeg"));
    assert_eq!(reply.body, &b"ID3 not really music"[..]);
}

#[tokio::test]
async fn a_multipart_form_has_its_model_changed_and_nothing_else() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let form = |name: &str| {
        let file = b"\x00\xff--not-the-boundary\r\nname=\"model\"\r\n\r\ndemo\r\n";
        let mut form = Vec::new();
        form.extend_from_slice(b"--b1\r\nContent-Disposition: form-data; name=\"file\"; ");
        form.extend_from_slice(b"filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n");
        form.extend_from_slice(file);
        form.extend_from_slice(
            b"\r\n--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n",
        );
        form.extend_from_slice(name.as_bytes());
        form.extend_from_slice(b"\r\n--b1\r\nContent-Disposition: form-data; name=\"language\"");
        form.extend_from_slice(b"\r\n\r\nen\r\n--b1--\r\n");
        form
    };
    for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        model.forget();
        let request = gateway.client().request(Method::POST, path);
        let request = request.header("content-type", "multipart/form-data; boundary=b1");
        let reply = Reply::from(request.body(form("demo"))).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.json()["text"], "Hello from upstream");
        let received = model.only_request();
        assert_eq!(received.header("content-type"), "multipart/form-data; boundary=b1");
        assert_eq!(received.body, form(UPSTREAM_MODEL), "{path}");
    }
}

#[tokio::test]
async fn a_stream_is_passed_on_event_by_event() {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = serving(&[&model]).start().await;
    let sent = natural_events(UPSTREAM_MODEL);
    model.then(sse(&sent).held_at(2, &gate));
    let mut events = gateway.client().stream("demo").await;
    assert_eq!(events.status, 200);
    assert_eq!(events.headers["content-type"], "text/event-stream");
    for expected in &sent[..2] {
        let event = events.next().await.expect("an open stream");
        assert_eq!(event.as_ref(), Some(expected), "an event waits for no later one");
    }
    gate.open();
    let told = events.rest().await;
    assert!(told.is_whole(), "{told:?}");
    assert_eq!(told.events, sent[2..]);
}

#[tokio::test]
async fn a_streams_bytes_are_not_touched() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let sent = ": a comment\r\n\r\nid: 7\r\ndata: {\"choices\":\r\ndata: []}\r\n\r\nretry: 1\n\n\
                data: {\"choices\":[{\"delta\":{\"content\":\"\u{fc}\"}}]}\n\ndata: [DONE]\n\n";
    model.always(bytes("text/event-stream", sent));
    let body =
        chat_with("demo", &json!({"stream": true, "stream_options": {"include_usage": true}}));
    let request = gateway.client().request(Method::POST, "/v1/chat/completions").json(&body);
    let got = Events::open(request).await.raw().await.expect("a whole stream");
    assert_eq!(String::from_utf8_lossy(&got), sent);
}

#[tokio::test]
async fn usage_in_a_stream_is_shown_to_who_asked_for_it() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let told = gateway.client().stream("demo").await.rest().await;
    assert_eq!(told.events, natural_events(UPSTREAM_MODEL), "no usage was asked for");
    let body =
        chat_with("demo", &json!({"stream": true, "stream_options": {"include_usage": true}}));
    let request = gateway.client().request(Method::POST, "/v1/chat/completions").json(&body);
    let told = Events::open(request).await.rest().await;
    assert!(told.is_whole(), "{told:?}");
    assert!(told.events.iter().any(|event| event.contains("\"prompt_tokens\":9")), "{told:?}");
}

#[tokio::test]
async fn models_are_those_that_the_caller_may_use() {
    let model = upstream().await;
    let gateway = three_models(&[&model]).start().await;
    let client = gateway.client();
    let list = client.get("/v1/models").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.json()["object"], "list");
    let names = |list: &Reply| -> Vec<String> {
        let list = list.json();
        let data = list["data"].as_array().expect("a list");
        let mut names: Vec<String> =
            data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&list), ["demo", "large", "small"]);
    let narrow = client.clone().with_header("x-api-key", "sk-narrow");
    assert_eq!(names(&narrow.get("/v1/models").await), ["small"]);
    let one = narrow.get("/v1/models/small").await.json();
    assert_eq!((&one["id"], &one["object"]), (&json!("small"), &json!("model")));
    narrow.get("/v1/models/large").await.assert_error(404, "model_not_found");
    assert_eq!(model.count(), 0, "the list is the gateway's own");
}

#[tokio::test]
async fn a_model_that_is_not_allowed_looks_like_one_that_is_not_there() {
    let model = upstream().await;
    let gateway = three_models(&[&model]).start().await;
    let client = gateway.client().with_header("x-api-key", "sk-narrow");
    assert_eq!(client.chat("small").await.status, 200);
    let (hidden, unknown) = (client.chat("large").await, client.chat("gpt-9").await);
    for reply in [&hidden, &unknown] {
        reply.assert_error(404, "model_not_found");
        assert!(reply.error_message().contains("small"), "it names what is available: {reply:?}");
    }
    let without = |reply: &Reply, name: &str| reply.error_message().replace(name, "");
    assert_eq!(without(&hidden, "large"), without(&unknown, "gpt-9"));
    assert_eq!(model.count(), 1);
}

#[tokio::test]
async fn a_tenants_models_bound_its_keys() {
    let model = upstream().await;
    let conf = three_models(&[&model]).set(&format!("tenants.{TENANT}.models"), json!(["demo"]));
    let gateway = conf.start().await;
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    gateway.client().chat("small").await.assert_error(404, "model_not_found");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_and_reaches_no_model_server() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let json_type = "application/json";
    let rows = [
        ("GET", "/v1/chat/completions", json_type, "", 405, "method_not_allowed"),
        ("POST", "/v1/models", json_type, "{}", 405, "method_not_allowed"),
        ("POST", "/v1/nothing", json_type, "{}", 404, "not_found"),
        ("GET", "/", json_type, "", 404, "not_found"),
        ("POST", "/v1/chat/completions/", json_type, "{}", 404, "not_found"),
        ("POST", "/v1/chat/completions", "text/plain", "{}", 415, "unsupported_media_type"),
        ("POST", "/v1/chat/completions", "application/jsonx", "{}", 415, "unsupported_media_type"),
        ("POST", "/v1/chat/completions", json_type, "{\"model\":\"demo\"", 400, "invalid_body"),
        ("POST", "/v1/chat/completions", json_type, "{\"model\":\"demo\"} x", 400, "invalid_body"),
        ("POST", "/v1/chat/completions", json_type, "[]", 400, "invalid_body"),
        ("POST", "/v1/chat/completions", json_type, "{\"messages\":[]}", 400, "missing_model"),
        (
            "POST",
            "/v1/chat/completions",
            json_type,
            "{\"model\":\"gpt-9\"}",
            404,
            "model_not_found",
        ),
        ("POST", "/v1/audio/transcriptions", "multipart/form-data", "", 400, "invalid_body"),
    ];
    for (method, path, content_type, body, status, code) in rows {
        let request = gateway.client().request(method.parse().expect("a method"), path);
        let reply = Reply::from(request.header("content-type", content_type).body(body)).await;
        println!("{method} {path} {content_type} {body}");
        reply.assert_error(status, code);
        let allow = reply.header("allow");
        assert_eq!(status == 405, !allow.is_empty(), "405 says what is allowed: `{allow}`");
    }
    assert_eq!(model.count(), 0);
}

#[tokio::test]
async fn errors_name_the_member_at_fault() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    for body in [json!({"messages": []}), json!({"model": "gpt-9"})] {
        let reply = gateway.client().post("/v1/chat/completions", &body).await;
        assert_eq!(reply.json()["error"]["param"], "model", "{}", reply.text());
    }
}

#[tokio::test]
async fn a_model_named_twice_is_refused() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let request = gateway.client().request(Method::POST, "/v1/chat/completions");
    let body = r#"{"model":"demo","mod\u0065l":"other","messages":[]}"#;
    let request = request.header("content-type", "application/json").body(body);
    Reply::from(request).await.assert_error(400, "invalid_body");
    assert_eq!(model.count(), 0);
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_gateway_lives() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let smuggled = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\
         content-length: 4\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\
         connection: close\r\n\r\n0\r\n\r\nPOST /v1/chat/completions HTTP/1.1\r\n\r\n"
    );
    for bytes in ["\x16\x03\x01\x02\x00", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &smuggled] {
        let answer = exchange(gateway.address(), bytes.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
    }
    assert_eq!(model.count(), 0);
    assert_eq!(gateway.client().chat("demo").await.status, 200);
}

#[tokio::test]
async fn each_request_is_one_line_in_the_access_log() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let (reply, refused) =
        (gateway.client().chat("demo").await, gateway.client().chat("gpt-9").await);
    let (good, bad) = (gateway.logged(&reply).await, gateway.logged(&refused).await);
    assert_eq!(gateway.access_log(2).await.len(), 2);
    let expected = json!({
        "method": "POST", "path": "/v1/chat/completions", "status": 200, "stream": false,
        "model": "demo", "key": KEY_ID, "tenant": TENANT, "endpoint": "local-1",
        "upstream_model": UPSTREAM_MODEL,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&good[name], value, "{name} of {good}");
    }
    assert_eq!(good["attempts"].as_array().map(Vec::len), Some(1), "{good}");
    assert_eq!((&bad["status"], &bad["error"]), (&json!(404), &json!("model_not_found")), "{bad}");
}

/// Aliases `demo`, `large` and `small`, and a key `sk-narrow` that may only use `small`.
fn three_models(upstreams: &[&support::upstream::Upstream]) -> Conf {
    let candidates = [("local", UPSTREAM_MODEL)];
    conf()
        .provider("local", upstreams)
        .model("demo", &candidates)
        .model("large", &candidates)
        .model("small", &candidates)
        .key("narrow", "sk-narrow", &json!({"models": ["small"]}))
}

#[tokio::test]
async fn a_model_that_openai_assumes_is_an_alias_like_any_other() {
    let model = upstream().await;
    let gateway =
        serving(&[&model]).model("omni-moderation-latest", &[("local", "moderator")]).start().await;
    let reply = gateway.client().post("/v1/moderations", &json!({"input": "Hi"})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(model.last_request().json(), json!({"input": "Hi", "model": "moderator"}));
    let reply = gateway.client().post("/v1/images/generations", &json!({"prompt": "A cat"})).await;
    reply.assert_error(404, "model_not_found");
    assert!(reply.error_message().contains("names no `model`"), "{}", reply.text());
    assert!(reply.error_message().contains("`dall-e-2`"), "{}", reply.text());
}
