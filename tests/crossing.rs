//! Every client dialect at every upstream dialect, over real sockets: whole answers, streams, tools,
//! errors, streams cut short. What a translation must say is the golden matrix's to judge
//! (`tests/dialects.rs`); here the gateway must do what the translation does, and nothing where the
//! dialects are the same.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::Method;
use support::answer::{Answer, bytes};
use support::conf::{Conf, UPSTREAM_MODEL, conf};
use support::gateway::Gateway;
use support::reply::Reply as Answered;
use support::upstream::{Received, Upstream, upstream};
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::{Dialect, Reply, Target};
use tollgate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use tollgate::dialect::translate::{translate_answer, translate_error, translate_request};

/// A golden case of a dialect.
fn data(dialect: Dialect, case: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    fs::read(path.join(dialect.name()).join(case)).expect(case)
}

/// The dialect's name in the configuration.
fn configured(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Chat { "openai" } else { dialect.name() }
}

/// A gateway whose alias `demo` is served by one upstream of a dialect.
fn serving(dialect: Dialect, model: &Upstream) -> Conf {
    conf()
        .provider("local", &[model])
        .model("demo", &[("local", UPSTREAM_MODEL)])
        .set("providers.local.dialect", configured(dialect))
        .set("providers.local.credential", json!({"value": "upstream-secret"}))
}

/// The path at which a dialect's clients ask.
fn path(dialect: Dialect, stream: bool) -> &'static str {
    match (dialect, stream) {
        (Dialect::Chat, _) => "/v1/chat/completions",
        (Dialect::Responses, _) => "/v1/responses",
        (Dialect::Anthropic, _) => "/v1/messages",
        (Dialect::Gemini, false) => "/v1beta/models/demo:generateContent",
        (Dialect::Gemini, true) => "/v1beta/models/demo:streamGenerateContent?alt=sse",
        (Dialect::Bedrock, false) => "/model/demo/converse",
        (Dialect::Bedrock, true) => "/model/demo/converse-stream",
    }
}

/// The path at which a dialect's servers are asked, under a base URL that ends in `/v1`.
fn upstream_path(dialect: Dialect, stream: bool) -> String {
    path(dialect, stream).replace("/v1beta", "/v1").replace("demo", UPSTREAM_MODEL)
}

/// A golden request as a client of the gateway sends it.
fn request(dialect: Dialect, case: &str, stream: bool) -> Value {
    let body = data(dialect, &format!("{case}.request.json"));
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    if dialect != Dialect::Gemini {
        set(&mut body, "model", json!("demo"));
        set(&mut body, "stream", json!(stream));
    }
    body
}

fn set(body: &mut Value, name: &str, value: Value) {
    body.as_object_mut().expect("an object").insert(name.to_owned(), value);
}

/// What the server was sent: the translation, or the client's body with the model changed.
fn assert_sent(client: Dialect, server: Dialect, mut body: Value, received: &Received) {
    if client != server {
        let sent = serde_json::to_vec(&body).expect("JSON");
        let expected = translate_request(client, server, &sent, target(), false);
        let expected = expected.expect("a request").body;
        assert_eq!(received.body, expected, "{client:?} at {server:?}");
        return;
    }
    if client != Dialect::Gemini {
        set(&mut body, "model", json!(UPSTREAM_MODEL));
    }
    assert_eq!(received.json(), body, "{client:?} at {server:?}");
}

/// What the client was told: the translation, or the server's bytes.
fn assert_told(client: Dialect, server: Dialect, answer: &[u8], answered: &Answered) {
    if client == server {
        assert_eq!(answered.body, answer, "{client:?} at {server:?}");
        return;
    }
    let expected = translate_answer(server, client, answer, &reply(answered)).expect("an answer");
    let expected = String::from_utf8(expected.body).expect("UTF-8");
    assert_eq!(timeless(answered.text()), timeless(&expected), "{client:?} at {server:?}");
}

/// What the client was told of a stream: the translation, or the server's bytes, and behind them that
/// they were not all.
fn assert_streamed(client: Dialect, server: Dialect, sse: &[u8], answered: &Answered) {
    let text = answered.text();
    if client != server {
        let expected = streamed(server, client, sse, reply(answered));
        assert_eq!(timeless(text), timeless(&expected), "{client:?} at {server:?}");
        return;
    }
    let sse = std::str::from_utf8(sse).expect("UTF-8");
    // The gateway alone asked for this event.
    let hidden = |event: &&str| client == Dialect::Chat && event.contains("\"choices\":[]");
    let passed: String = sse.split_inclusive("\n\n").filter(|event| !hidden(event)).collect();
    let more = text.strip_prefix(&passed).expect("what came is passed on");
    let cut = sse.as_bytes() == data(server, "cut.stream.sse");
    assert_eq!(more.contains("ended before it was complete"), cut, "{client:?}: {more}");
    assert_eq!(more.is_empty(), !cut, "{client:?}: {more}");
}

async fn ask(gateway: &Gateway, dialect: Dialect, body: &Value, stream: bool) -> Answered {
    let request = gateway.client().request(Method::POST, path(dialect, stream));
    Answered::from(request.json(body)).await
}

/// What no two answers share: when they were made.
fn timeless(text: &str) -> String {
    let mut parts = text.split("\"created").map(str::to_owned);
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| {
        let (name, behind) = part.split_once(':').unwrap_or((&part, ""));
        let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        format!("\"created{name}:T{}", behind.get(end..).unwrap_or_default())
    });
    std::iter::once(first).chain(rest).collect()
}

fn reply(answered: &Answered) -> Reply<'_> {
    Reply { id: answered.header("x-request-id"), created: 0, model: "demo" }
}

fn target() -> Target<'static> {
    Target { model: UPSTREAM_MODEL, extensions: false, usage_in_streams: true }
}

/// What a stream becomes.
fn streamed(from: Dialect, to: Dialect, sse: &[u8], reply: Reply<'_>) -> String {
    let options = StreamOptions { reply, include_usage: false, framing: Framing::Sse };
    let mut translator = StreamTranslator::new(from, to, &options);
    let mut out = Vec::new();
    let text = std::str::from_utf8(sse).expect("UTF-8");
    let mut last = Step::More;
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        last = translator.event(data.as_bytes(), &mut out);
    }
    if matches!(last, Step::More) {
        translator.finish(&mut out);
    }
    String::from_utf8(out).expect("UTF-8")
}

fn sse(body: Vec<u8>) -> Answer {
    bytes("text/event-stream; charset=utf-8", body)
}

fn whole(body: Vec<u8>) -> Answer {
    bytes("application/json", body)
}

fn pairs() -> impl Iterator<Item = (Dialect, Dialect)> {
    let with = |client| Dialect::ALL.into_iter().map(move |server| (client, server));
    Dialect::ALL.into_iter().flat_map(with)
}

#[tokio::test]
async fn whole_answers_cross() {
    for server in Dialect::ALL {
        let model = upstream().await;
        let gateway = serving(server, &model).start().await;
        for client in Dialect::ALL {
            for case in ["plain", "tools", "thinking"] {
                model.forget();
                let answer = data(server, &format!("{case}.answer.json"));
                model.then(whole(answer.clone()));
                let body = request(client, case, false);
                let answered = ask(&gateway, client, &body, false).await;
                assert_eq!(answered.status, 200, "{client:?} at {server:?}: {}", answered.text());
                assert_eq!(answered.header("content-type"), "application/json");
                let received = model.only_request();
                assert_eq!(received.path, upstream_path(server, false));
                assert_sent(client, server, body, &received);
                assert_told(client, server, &answer, &answered);
            }
        }
    }
}

#[tokio::test]
async fn whole_answers_and_streams_cross_over_http2() {
    let model = upstream().await;
    let gateway =
        serving(Dialect::Gemini, &model).set("server.listeners.0.h2c", true).start().await;
    for stream in [false, true] {
        let case = if stream { "plain.stream.sse" } else { "plain.answer.json" };
        let answer = data(Dialect::Gemini, case);
        model.then(if stream { sse(answer.clone()) } else { whole(answer.clone()) });
        let body = request(Dialect::Anthropic, "plain", stream);
        let asked = gateway.client_h2c().request(Method::POST, path(Dialect::Anthropic, stream));
        let answered = Answered::from(asked.json(&body)).await;
        assert_eq!((answered.status, answered.version), (200, support::Version::HTTP_2));
        if stream {
            assert_streamed(Dialect::Anthropic, Dialect::Gemini, &answer, &answered);
        } else {
            assert_told(Dialect::Anthropic, Dialect::Gemini, &answer, &answered);
        }
    }
}

#[tokio::test]
async fn streams_cross() {
    for server in Dialect::ALL {
        let model = upstream().await;
        let gateway = serving(server, &model).start().await;
        for client in Dialect::ALL {
            for case in ["plain", "parallel_tools", "cut", "error"] {
                model.forget();
                let answer = data(server, &format!("{case}.stream.sse"));
                model.then(sse(answer.clone()));
                let body = request(client, "plain", true);
                let answered = ask(&gateway, client, &body, true).await;
                let name = format!("{client:?} at {server:?}: {case}: {}", answered.text());
                assert_eq!(answered.status, 200, "{name}");
                assert!(answered.header("content-type").starts_with("text/event-stream"), "{name}");
                let received = model.only_request();
                assert_eq!(received.path, upstream_path(server, true), "{name}");
                assert_streamed(client, server, &answer, &answered);
                let line = gateway.logged(&answered).await;
                let failed = matches!(case, "cut" | "error");
                assert_eq!(line["error"] == json!("upstream_broken"), failed, "{name}: {line}");
                let tokens = line["tokens"]["output"].as_u64();
                assert!(case != "plain" || tokens > Some(0), "{name}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn refusals_cross_with_their_status() {
    for (client, server) in pairs() {
        let model = upstream().await;
        let gateway = serving(server, &model).start().await;
        let answer = data(server, "error.answer.json");
        model.then(whole(answer.clone()).with_status(400));
        let answered = ask(&gateway, client, &request(client, "plain", false), false).await;
        let name = format!("{client:?} at {server:?}: {}", answered.text());
        assert_eq!(answered.status, 400, "{name}");
        if client == server {
            assert_eq!(answered.body, answer, "{name}");
        } else {
            let expected = translate_error(server, client, 400, &answer).body;
            assert_eq!(answered.body, expected, "{name}");
        }
        assert_eq!(model.count(), 1, "a refusal is not tried again: {name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_asked_for_again() {
    for (client, server) in pairs().filter(|(client, server)| client != server) {
        let model = upstream().await;
        let gateway = serving(server, &model).start().await;
        model.then(whole(b"{\"never\":".to_vec()));
        model.then(whole(data(server, "plain.answer.json")));
        let answered = ask(&gateway, client, &request(client, "plain", false), false).await;
        assert_eq!(answered.status, 200, "{client:?} at {server:?}: {}", answered.text());
        let length = answered.body.len().to_string();
        assert_eq!(answered.header("content-length"), length);
        assert_eq!(model.count(), 2);
        model.always(whole(b"[]".to_vec()));
        let answered = ask(&gateway, client, &request(client, "plain", false), false).await;
        assert_eq!(answered.status, 502, "{client:?} at {server:?}: {}", answered.text());
    }
}

/// A request that says what no other provider than its own can be told.
fn lossy() -> Value {
    json!({
        "model": "demo", "messages": [{"role": "user", "content": "Hi"}],
        "seed": 7, "logit_bias": {"1": 2}, "temperature": 2.0,
    })
}

#[tokio::test]
async fn what_is_lost_is_told() {
    let model = upstream().await;
    let gateway = serving(Dialect::Anthropic, &model).start().await;
    model.always(whole(data(Dialect::Anthropic, "plain.answer.json")));
    let answered = ask(&gateway, Dialect::Chat, &lossy(), false).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let dropped = answered.header("x-tollgate-dropped");
    assert!(dropped.contains("seed") && dropped.contains("logit_bias"), "{dropped}");
    let line = gateway.logged(&answered).await;
    let attempt = line.pointer("/attempts/0").expect("an attempt");
    assert_eq!(attempt.get("dialect"), Some(&json!("anthropic")), "{line}");
    let losses = attempt.get("losses").map(ToString::to_string).unwrap_or_default();
    assert!(losses.contains("\"seed\""), "{line}");
    let lossy = r#"tollgate_translations_total{model="demo",endpoint="local-1",lossy="true"}"#;
    gateway.until_metric(lossy, |count| count == 1.0).await;
    assert!(!gateway.stderr().contains("lost"), "nobody asked for a warning");

    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "Hi"}]});
    let answered = ask(&gateway, Dialect::Chat, &body, false).await;
    assert!(!answered.header("x-tollgate-dropped").contains("seed"), "not lost here");
}

#[tokio::test]
async fn losses_are_warned_of_or_refused_as_the_model_says() {
    let model = upstream().await;
    model.always(whole(data(Dialect::Anthropic, "plain.answer.json")));
    let policy = |losses: &str| {
        serving(Dialect::Anthropic, &model).set("models.demo.translation.losses", losses)
    };
    let gateway = policy("warn").start().await;
    assert_eq!(ask(&gateway, Dialect::Chat, &lossy(), false).await.status, 200);
    gateway.until_stderr("lost ").await;

    let sent = model.count();
    let gateway = policy("reject").start().await;
    let answered = ask(&gateway, Dialect::Chat, &lossy(), false).await;
    answered.assert_error(400, "untranslatable");
    assert!(answered.error_message().contains("`seed`"), "{}", answered.text());
    assert_eq!(model.count(), sent, "nothing goes upstream");
    let own = json!({"model": "demo", "max_tokens": 9, "messages": []});
    assert_eq!(ask(&gateway, Dialect::Anthropic, &own, false).await.status, 200);
}

#[tokio::test]
async fn a_fallback_may_speak_another_dialect() {
    let (first, second) = (upstream().await, upstream().await);
    let gateway = conf()
        .provider("first", &[&first])
        .provider("second", &[&second])
        .set("providers.first.dialect", "gemini")
        .set("providers.second.dialect", "anthropic")
        .model("demo", &[("first", "gemini-x"), ("second", "claude-x")])
        .set("models.demo.candidates.1.priority", 1)
        .start()
        .await;
    first.always(whole(data(Dialect::Gemini, "error.answer.json")).with_status(503));
    second.always(whole(data(Dialect::Anthropic, "plain.answer.json")));
    for client in Dialect::ALL {
        let answered = ask(&gateway, client, &request(client, "plain", false), false).await;
        assert_eq!(answered.status, 200, "{client:?}: {}", answered.text());
        assert_told(client, Dialect::Anthropic, &second_answer(), &answered);
        assert_eq!(first.last_request().path, "/v1/models/gemini-x:generateContent");
        assert_eq!(second.last_request().path, "/v1/messages");
        assert_eq!(second.last_request().model(), "claude-x");
    }
}

fn second_answer() -> Vec<u8> {
    data(Dialect::Anthropic, "plain.answer.json")
}
