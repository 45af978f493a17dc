//! Bedrock as an upstream, over real sockets: paths, signatures, whole answers, streams in binary frames,
//! errors. What a translation must say is the golden matrix's to judge (`tests/dialects.rs`).

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::Method;
use support::answer::{Answer, bytes, json as answer, pieces};
use support::client::{chat, chat_with};
use support::conf::{Conf, conf};
use support::reply::Reply;
use support::upstream::{Received, Upstream, upstream};

const MODEL: &str = "us.anthropic.claude-x-v1:0";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A gateway whose alias `demo` is a model of Bedrock, with keys from a file of profiles.
fn serving(model: &Upstream) -> Conf {
    let url = format!("http://{}", model.address());
    conf()
        .provider_at("local", &[url])
        .model("demo", &[("local", MODEL)])
        .set("providers.local.dialect", "bedrock")
        .set(
            "providers.local.credential.aws",
            json!({"from": "profile", "profile": "p", "file": "profiles", "region": "us-east-1"}),
        )
}

async fn start(conf: Conf) -> support::gateway::Gateway {
    conf.start_with(|directory, conf| {
        let text = format!("[p]\naws_access_key_id=AKIDEXAMPLE\naws_secret_access_key={SECRET}\n");
        fs::write(directory.join("profiles"), text).expect("written");
        conf
    })
    .await
}

fn data(case: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/bedrock").join(case);
    fs::read(path).expect(case)
}

/// A golden stream as Bedrock sends it: each event a frame.
fn frames(case: &str) -> Vec<Vec<u8>> {
    let sse = String::from_utf8(data(case)).expect("UTF-8");
    let events = sse.lines().filter_map(|line| line.strip_prefix("data: "));
    let frame = |event: &str| {
        let event: Value = serde_json::from_str(event).expect("JSON");
        let (kind, payload) = event.as_object().and_then(|union| union.iter().next()).expect("one");
        let name = if kind.ends_with("Exception") { "exception" } else { "event" };
        let kinds = if name == "event" { ":event-type" } else { ":exception-type" };
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let message = Message::new(payload.to_string().into_bytes())
            .add_header(Header::new(kinds, text(kind)))
            .add_header(Header::new(":content-type", text("application/json")))
            .add_header(Header::new(":message-type", text(name)));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).expect("a frame");
        bytes
    };
    events.map(frame).collect()
}

fn streamed(body: Vec<u8>) -> Answer {
    bytes("application/vnd.amazon.eventstream", body)
}

/// The signature that AWS would compute (Signature Version 4, "Create a signed request"), by hand.
fn signature(request: &Received) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let sign = |key: &[u8], text: &str| -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let (date, host) = (request.header("x-amz-date"), request.header("host"));
    let day = date.get(..8).expect("a date");
    // Of the path as it was sent, each escape is escaped once more.
    let path = request.path.replace('%', "%25");
    let canonical = format!(
        "POST\n{path}\n\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}",
        digest(&request.body)
    );
    let scope = format!("{day}/us-east-1/bedrock/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", digest(canonical.as_bytes()));
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, "us-east-1", "bedrock", "aws4_request"] {
        key = sign(&key, part);
    }
    hex(&sign(&key, &text))
}

fn assert_signed(request: &Received) {
    let authorization = request.header("authorization");
    let expected = format!("Signature={}", signature(request));
    assert!(authorization.ends_with(&expected), "{authorization} {expected}");
}

#[tokio::test]
async fn a_whole_answer_comes_from_converse() {
    let model = upstream().await;
    model.then(bytes("application/json", data("tools.answer.json")));
    let gateway = start(serving(&model)).await;
    let reply = gateway.client().chat("demo").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let call = reply.json()["choices"][0]["message"]["tool_calls"][0]["function"].clone();
    assert_eq!(call["name"], "get_weather");
    let arguments = call["arguments"].as_str().expect("a text");
    assert_eq!(serde_json::from_str::<Value>(arguments).expect("JSON"), json!({"city": "Oslo"}));
    let request = model.only_request();
    assert_eq!(request.path, "/model/us.anthropic.claude-x-v1%3A0/converse");
    assert_eq!(
        request.json()["messages"][0]["content"][0]["text"],
        chat("demo")["messages"][0]["content"]
    );
    assert_signed(&request);
    let line = gateway.logged(&reply).await;
    assert_eq!(line["tokens"]["output"], 9, "{line}");
}

#[tokio::test]
async fn a_stream_comes_in_frames_however_they_are_cut() {
    let model = upstream().await;
    let gateway = start(serving(&model)).await;
    for size in [1, 7, 100, 100_000] {
        let body = frames("parallel_tools.stream.sse").concat();
        model.then(pieces(
            "application/vnd.amazon.eventstream",
            body.chunks(size).map(<[u8]>::to_vec),
        ));
        let body = chat_with("demo", &json!({"stream": true}));
        let reply =
            Reply::from(gateway.client().request(Method::POST, "/v1/chat/completions").json(&body))
                .await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "text/event-stream");
        let text = reply.text();
        assert!(text.ends_with("data: [DONE]\n\n"), "{size}: {text}");
        assert!(
            text.contains(r#"\"city\":\"Oslo\""#) && text.contains(r#""name":"now""#),
            "{text}"
        );
        let request = model.last_request();
        assert_eq!(request.path, "/model/us.anthropic.claude-x-v1%3A0/converse-stream");
        assert_signed(&request);
        let line = gateway.logged(&reply).await;
        assert_eq!((&line["tokens"]["output"], &line["error"]), (&json!(9), &Value::Null));
    }
}

#[tokio::test]
async fn a_stream_that_fails_tells_so() {
    let model = upstream().await;
    let gateway = start(serving(&model)).await;
    let mut damaged = frames("plain.stream.sse").concat();
    let last = damaged.len() - 20;
    damaged[last] ^= 1;
    let cut = frames("cut.stream.sse").concat();
    let half = frames("plain.stream.sse").concat().split_at(150).0.to_vec();
    for (body, told) in [
        (frames("error.stream.sse").concat(), "Too many tokens"),
        (damaged, "cannot be read"),
        (cut, "before the answer was complete"),
        (half, "before the answer was complete"),
    ] {
        model.then(streamed(body));
        let reply = Reply::from(
            gateway
                .client()
                .request(Method::POST, "/v1/messages")
                .json(&chat_with("demo", &json!({"stream": true, "max_tokens": 9}))),
        )
        .await;
        let text = reply.text();
        assert!(text.contains("event: error") && text.contains(told), "{told}: {text}");
        assert_eq!(gateway.logged(&reply).await["error"], "upstream_broken");
    }
}

#[tokio::test]
async fn errors_keep_their_meaning_and_are_tried_again_where_that_helps() {
    let model = upstream().await;
    let gateway = start(serving(&model)).await;
    let refusal = answer(&json!({"message": "The model does not support tools."}));
    model.then(refusal.with_status(400));
    let reply = gateway.client().chat("demo").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.error_message(), "The model does not support tools.");
    let throttled = answer(&json!({"message": "Too many requests"})).with_status(429);
    model.then(throttled);
    let before = model.count();
    let reply = gateway.client().chat("demo").await;
    // There is one endpoint, which need not be asked again.
    assert_eq!((reply.status, model.count() - before), (429, 1), "{}", reply.text());
    let denied = answer(&json!({"message": "The security token is invalid."}));
    model.always(denied.with_status(403));
    gateway.client().chat("demo").await.assert_error(502, "upstream_credential");
}

#[tokio::test]
async fn clients_of_every_dialect_reach_it() {
    let model = upstream().await;
    let gateway = start(serving(&model)).await;
    let asked = json!([{"role": "user", "content": "Weather?"}]);
    for (path, body, end) in [
        (
            "/v1/chat/completions",
            json!({"model": "demo", "stream": true, "messages": asked}),
            "[DONE]",
        ),
        (
            "/v1/responses",
            json!({"model": "demo", "stream": true, "input": "Weather?"}),
            "response.completed",
        ),
        (
            "/v1/messages",
            json!({"model": "demo", "stream": true, "max_tokens": 9, "messages": asked}),
            "message_stop",
        ),
        (
            "/v1beta/models/demo:streamGenerateContent?alt=sse",
            json!({"contents": [{"role": "user", "parts": [{"text": "Weather?"}]}]}),
            "finishReason",
        ),
    ] {
        model.then(streamed(frames("tools.stream.sse").concat()));
        let reply = Reply::from(gateway.client().request(Method::POST, path).json(&body)).await;
        let text = reply.text();
        assert_eq!(reply.status, 200, "{path}: {text}");
        assert!(text.contains("get_weather") && text.contains("Oslo"), "{path}: {text}");
        assert!(text.contains(end), "{path}: {text}");
        let request = model.last_request();
        assert_eq!(
            request.json()["messages"][0]["content"],
            json!([{"text": "Weather?"}]),
            "{path}"
        );
        assert_signed(&request);
        assert_eq!(gateway.logged(&reply).await["tokens"]["output"], 9, "{path}");
    }
}
