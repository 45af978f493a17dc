//! Errors from every provider's dialect to every client's: their class, their status, whether asking
//! again helps, and when. The shapes as they are written are the golden matrix's (`tests/dialects.rs`).

use std::time::Duration;

use serde_json::{Value, json};
use support::answer::{json as answer, ok, status};
use support::conf::{Conf, conf, serving};
use support::upstream::{Upstream, upstream};
use tollgate::dialect::ir::Dialect;
use tollgate::dialect::translate::translate_error;

/// What an error is, in each dialect's own words.
#[derive(Clone, Copy, Debug)]
struct Words {
    chat: &'static str,
    anthropic: &'static str,
    gemini: &'static str,
}

const fn words(chat: &'static str, anthropic: &'static str, gemini: &'static str) -> Words {
    Words { chat, anthropic, gemini }
}

const INVALID: Words = words("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT");
const UNKNOWN: Words = words("authentication_error", "authentication_error", "UNAUTHENTICATED");
const FORBIDDEN: Words = words("permission_error", "permission_error", "PERMISSION_DENIED");
const MISSING: Words = words("invalid_request_error", "not_found_error", "NOT_FOUND");
const LARGE: Words = words("invalid_request_error", "request_too_large", "INVALID_ARGUMENT");
const LIMITED: Words = words("rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED");
const UNPAID: Words = words("insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED");
const OVERLOADED: Words = words("server_error", "overloaded_error", "UNAVAILABLE");
const LATE: Words = words("server_error", "timeout_error", "DEADLINE_EXCEEDED");
const BROKEN: Words = words("server_error", "api_error", "INTERNAL");

fn openai(kind: &str, code: Value) -> Value {
    json!({"error": {"message": "Why.", "type": kind, "param": null, "code": code}})
}

fn anthropic(kind: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": "Why."}})
}

fn google(code: u16, status: &str) -> Value {
    json!({"error": {"code": code, "message": "Why.", "status": status}})
}

/// What providers answer, and what it is.
fn table() -> Vec<(Dialect, u16, Value, Words)> {
    let amazon = || json!({"message": "Why."});
    let mut rows = vec![
        (Dialect::Chat, 400, openai("invalid_request_error", json!(null)), INVALID),
        (Dialect::Chat, 401, openai("invalid_request_error", json!("invalid_api_key")), UNKNOWN),
        (Dialect::Chat, 403, openai("invalid_request_error", json!(null)), FORBIDDEN),
        (Dialect::Chat, 404, openai("invalid_request_error", json!("model_not_found")), MISSING),
        (Dialect::Chat, 429, openai("requests", json!("rate_limit_exceeded")), LIMITED),
        (Dialect::Chat, 429, openai("insufficient_quota", json!("insufficient_quota")), UNPAID),
        (Dialect::Chat, 500, openai("server_error", json!(null)), BROKEN),
        (Dialect::Chat, 503, openai("server_error", json!(null)), OVERLOADED),
        (Dialect::Chat, 429, json!({"detail": "Why."}), LIMITED),
        (Dialect::Chat, 422, json!({"message": "Why.", "code": 422}), INVALID),
        (Dialect::Anthropic, 400, anthropic("invalid_request_error"), INVALID),
        (Dialect::Anthropic, 401, anthropic("authentication_error"), UNKNOWN),
        (Dialect::Anthropic, 402, anthropic("billing_error"), UNPAID),
        (Dialect::Anthropic, 403, anthropic("permission_error"), FORBIDDEN),
        (Dialect::Anthropic, 404, anthropic("not_found_error"), MISSING),
        (Dialect::Anthropic, 413, anthropic("request_too_large"), LARGE),
        (Dialect::Anthropic, 429, anthropic("rate_limit_error"), LIMITED),
        (Dialect::Anthropic, 500, anthropic("api_error"), BROKEN),
        (Dialect::Anthropic, 504, anthropic("timeout_error"), LATE),
        (Dialect::Anthropic, 529, anthropic("overloaded_error"), OVERLOADED),
        (Dialect::Gemini, 400, google(400, "FAILED_PRECONDITION"), INVALID),
        (Dialect::Gemini, 401, google(401, "UNAUTHENTICATED"), UNKNOWN),
        (Dialect::Gemini, 403, google(403, "PERMISSION_DENIED"), FORBIDDEN),
        (Dialect::Gemini, 404, google(404, "NOT_FOUND"), MISSING),
        (Dialect::Gemini, 429, google(429, "RESOURCE_EXHAUSTED"), LIMITED),
        (Dialect::Gemini, 500, google(500, "INTERNAL"), BROKEN),
        (Dialect::Gemini, 503, google(503, "UNAVAILABLE"), OVERLOADED),
        (Dialect::Gemini, 504, google(504, "DEADLINE_EXCEEDED"), LATE),
        (Dialect::Gemini, 429, json!([google(429, "RESOURCE_EXHAUSTED")]), LIMITED),
        (Dialect::Bedrock, 400, amazon(), INVALID),
        (Dialect::Bedrock, 403, amazon(), FORBIDDEN),
        (Dialect::Bedrock, 404, amazon(), MISSING),
        (Dialect::Bedrock, 408, amazon(), LATE),
        (Dialect::Bedrock, 424, amazon(), BROKEN),
        (Dialect::Bedrock, 429, amazon(), LIMITED),
        (Dialect::Bedrock, 500, amazon(), BROKEN),
        (Dialect::Bedrock, 503, amazon(), OVERLOADED),
    ];
    let chats = rows.iter().filter(|row| row.0 == Dialect::Chat);
    let again: Vec<_> =
        chats.map(|row| (Dialect::Responses, row.1, row.2.clone(), row.3)).collect();
    rows.extend(again);
    rows
}

/// Whether the official SDKs ask again.
const fn is_retried(status: u16) -> bool {
    matches!(status, 408 | 409 | 429 | 500..)
}

#[test]
fn an_error_keeps_its_class_its_words_and_whether_asking_again_helps() {
    for (from, status, body, words) in table() {
        for to in Dialect::ALL {
            let told = translate_error(from, to, status, body.to_string().as_bytes());
            let row = format!("{from:?} {status} {body} to {to:?}: {}", told.status);
            let said: Value = serde_json::from_slice(&told.body).expect("JSON");
            let (name, expected) = match to {
                Dialect::Chat | Dialect::Responses | Dialect::Bedrock => {
                    ("/error/type", words.chat)
                }
                Dialect::Anthropic => ("/error/type", words.anthropic),
                Dialect::Gemini => ("/error/status", words.gemini),
            };
            assert_eq!(said.pointer(name), Some(&json!(expected)), "{row}: {said}");
            let message = said.pointer("/error/message").and_then(Value::as_str);
            assert!(message.is_some_and(|text| text.contains("Why.")), "{row}: {said}");
            // A model that failed (424) is no fault of the request, and 529 is known to Anthropic alone.
            let kept = match status {
                424 => 502,
                529 if to != Dialect::Anthropic => 503,
                status => status,
            };
            assert_eq!(told.status, kept, "{row}");
            assert!(is_retried(status) == is_retried(told.status) || status == 424, "{row}");
        }
    }
}

/// Google's way to say when to ask again.
fn in_seconds(code: u16, delay: &str) -> Value {
    let kind = "type.googleapis.com/google.rpc.RetryInfo";
    json!({"error": {
        "code": code, "message": "Quota.", "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "x", "reason": "y"}, {"@type": kind, "retryDelay": delay}],
    }})
}

/// A gateway whose alias `demo` is served by a server that speaks Gemini.
fn speaking_gemini(model: &Upstream) -> Conf {
    serving(&[model]).set("providers.local.dialect", "gemini")
}

/// Clients of each dialect: where they ask, and what.
fn clients() -> [(&'static str, Value); 4] {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    [
        ("/v1/chat/completions", json!({"model": "demo", "messages": messages})),
        ("/v1/responses", json!({"model": "demo", "input": "Hi"})),
        ("/v1/messages", json!({"model": "demo", "max_tokens": 9, "messages": messages})),
        ("/v1beta/models/demo:generateContent", json!({"contents": [{"parts": [{"text": "Hi"}]}]})),
    ]
}

#[tokio::test]
async fn when_google_wants_to_be_asked_again_is_read_from_its_body() {
    let model = upstream().await;
    let gateway = speaking_gemini(&model).start().await;
    for (code, delay, expected) in
        [(429, "7s", "7"), (429, "1.5s", "2"), (503, "30s", "30"), (429, "soon", "")]
    {
        model.always(answer(&in_seconds(code, delay)).with_status(code));
        for (path, body) in clients() {
            let before = model.count();
            let reply = gateway.client().post(path, &body).await;
            let kept = if code == 429 { 429 } else { 502 };
            let row = format!("{code} {delay} {path}: {}", reply.text());
            assert_eq!((reply.status, reply.header("retry-after")), (kept, expected), "{row}");
            assert_eq!(model.count() - before, 1, "who asked for time is not asked again: {row}");
            assert!(!reply.text().contains("Quota."), "a provider's own words stay here: {row}");
        }
    }
    let told = json!("30s");
    model.always(answer(&in_seconds(503, "30s")).with_status(503));
    let (path, body) = clients()[3].clone();
    let reply = gateway.client().post(path, &body).await;
    assert_eq!(reply.json()["error"]["details"][0]["retryDelay"], told, "{}", reply.text());
}

#[tokio::test]
async fn a_refusal_that_breaks_off_is_a_broken_answer_and_another_endpoint_is_asked() {
    let (limited, other) = (upstream().await, upstream().await);
    let (path, body) = clients()[0].clone();
    let gateway = conf()
        .provider("google", &[&limited])
        .provider("other", &[&other])
        .model("demo", &[("google", "gemini-x"), ("other", "gpt-x")])
        .set("providers.google.dialect", "gemini")
        .start()
        .await;
    for refusal in [
        answer(&in_seconds(429, "60s")).with_status(429),
        answer(&in_seconds(429, "60s")).with_status(429).cut_after(0),
        status(429),
        ok().with_status(429),
    ] {
        limited.always(refusal);
        let reply = gateway.client().post(path, &body).await;
        assert_eq!((reply.status, &*reply.content()), (200, "Hello from upstream"));
    }
    assert!(limited.count() > 0, "the first of the two was asked");
}

#[tokio::test]
async fn an_error_that_is_passed_on_says_when_as_well() {
    let model = upstream().await;
    let gateway = speaking_gemini(&model).set("retry.statuses", json!([])).start().await;
    model.always(answer(&in_seconds(429, "7.2s")).with_status(429));
    for (path, body) in clients().into_iter().take(3) {
        let reply = gateway.client().post(path, &body).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, "8"), "{}", reply.text());
        assert!(reply.text().contains("Quota."), "{}", reply.text());
    }
    let delay = Duration::from_millis(7200);
    let told = in_seconds(429, "7.2s").to_string();
    let told = translate_error(Dialect::Gemini, Dialect::Chat, 429, told.as_bytes());
    assert_eq!(told.fault.retry_after, Some(delay));
}
