//! Limits over real sockets: what is refused, what the client reads, and that every way in which a
//! request can end gives back what it held.

use serde_json::{Value, json};
use support::Method;
use support::answer::{close, ok, sse, status};
use support::client::chat_with;
use support::conf::{Conf, serving};
use support::gate::Gate;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::upstream;

fn limited(conf: Conf, limits: Value) -> Conf {
    conf.set("keys.0.limits", limits)
}

/// Waits until so many requests are accounted: settling comes before.
async fn ended(gateway: &Gateway, count: f64) {
    gateway.until_metric("tollgate_requests_total", |ended| ended == count).await;
}

#[tokio::test]
async fn the_limit_is_granted_and_not_one_more() {
    let model = upstream().await;
    let gateway =
        limited(serving(&[&model]), json!({"requests_per_day": 3, "tokens_per_hour": 100000}));
    let gateway = gateway.start().await;
    for remaining in ["2", "1", "0"] {
        let reply = gateway.client().chat("demo").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), "3");
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), remaining);
        assert_eq!(reply.header("x-ratelimit-reset-requests"), "24h0m0s");
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), "100000");
        assert_eq!(reply.header("x-ratelimit-reset-tokens"), "1h0m0s");
    }
    let refused = gateway.client().chat("demo").await;
    refused.assert_error(429, "limit_exceeded");
    let text = refused.error_message();
    assert!(text.contains("the key `test-key`, 3 requests (`requests_per_day`)"), "{text}");
    let after: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((86_400 - 60..=86_400 * 51 / 50).contains(&after), "{after}");
    assert_eq!(refused.header("x-should-retry"), "true");
    assert_eq!(refused.header("x-ratelimit-limit-requests"), "3");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert_eq!(refused.header("x-ratelimit-reset-requests"), "24h0m0s");
    assert_eq!(refused.header("x-ratelimit-limit-tokens"), "100000");
    assert_eq!(model.count(), 3);
    let refusals = r#"tollgate_admission_refused_total{scope="key",rule="requests_per_day"}"#;
    assert_eq!(gateway.metric(refusals).await, 1.0);
}

#[tokio::test]
async fn without_limits_there_are_no_headers_of_limits() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let reply = gateway.client().chat("demo").await;
    let names = reply.headers.keys().filter(|name| name.as_str().starts_with("x-ratelimit"));
    assert_eq!((reply.status, names.count()), (200, 0));
}

#[tokio::test]
async fn tokens_are_set_aside_and_settled_with_what_was_used() {
    let model = upstream().await;
    let gateway = limited(serving(&[&model]), json!({"tokens_per_day": 1000})).start().await;
    let remaining = |reply: &Reply| -> u64 {
        reply.header("x-ratelimit-remaining-tokens").parse().expect("a number")
    };
    let ask = json!({"max_tokens": 500});
    let first = gateway.client().post("/v1/chat/completions", &chat_with("demo", &ask)).await;
    assert!((450..500).contains(&remaining(&first)), "prompt and 500: {first:?}");
    ended(&gateway, 1.0).await;
    let second = gateway.client().post("/v1/chat/completions", &chat_with("demo", &ask)).await;
    assert_eq!(remaining(&second), remaining(&first) - 12, "12 tokens were used");
    let ask = json!({"max_tokens": 1000});
    let beyond = gateway.client().post("/v1/chat/completions", &chat_with("demo", &ask)).await;
    beyond.assert_error(429, "request_over_limit");
    assert_eq!((beyond.header("retry-after"), beyond.header("x-should-retry")), ("", "false"));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_clients_dialect() {
    let model = upstream().await;
    let conf = serving(&[&model]).set("providers.local.also", json!(["anthropic", "gemini"]));
    let gateway = limited(conf, json!({"requests_per_day": 0})).start().await;
    let message =
        json!({"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let reply = gateway.client().post("/v1/messages", &message).await;
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (429, &json!("rate_limit_error")));
    let contents = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
    let reply = gateway.client().post("/v1beta/models/demo:generateContent", &contents).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["status"]),
        (429, &json!("RESOURCE_EXHAUSTED"))
    );
}

#[tokio::test]
async fn requests_at_a_time_are_limited() {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = limited(serving(&[&model]), json!({"in_flight": 1})).start().await;
    model.then(ok().held_by(&gate));
    let client = gateway.client();
    let first = tokio::spawn(async move { client.chat("demo").await.status });
    gate.reached_by(1).await;
    let refused = gateway.client().chat("demo").await;
    refused.assert_error(429, "limit_exceeded");
    assert_eq!(refused.header("retry-after"), "1");
    gate.open();
    assert_eq!(first.await.expect("an answer"), 200);
    ended(&gateway, 2.0).await;
    assert_eq!(gateway.client().chat("demo").await.status, 200);
}

#[tokio::test]
async fn every_end_of_a_request_gives_back_its_place() {
    let model = upstream().await;
    let conf = limited(serving(&[&model]), json!({"in_flight": 1}))
        .set("retry.attempts_max", 1)
        .set("providers.local.passive.failures", 0)
        .set("models.demo.rewrite.refuse", json!(["logit_bias"]));
    let gateway = conf.start().await;
    let mut count = 0.0;
    for answer in [status(500), status(429), status(400), close(), ok().cut_after(0)] {
        model.then(answer);
        let _whatever = gateway.client().chat("demo").await;
        count += 1.0;
        ended(&gateway, count).await;
    }
    model.then(ok().cut_after(1));
    gateway.client().stream("demo").await.rest().await;
    count += 1.0;
    ended(&gateway, count).await;
    let refused = chat_with("demo", &json!({"logit_bias": {"1": 2}}));
    let refused = gateway.client().post("/v1/chat/completions", &refused).await;
    refused.assert_error(400, "parameter_refused");
    count += 1.0;
    ended(&gateway, count).await;
    let gate = Gate::new();
    model.then(sse(["{}", "{}"]).held_at(1, &gate));
    let mut leaving = gateway.client().stream("demo").await;
    leaving.next().await.expect("an event");
    gateway.client().chat("demo").await.assert_error(429, "limit_exceeded");
    drop(leaving);
    count += 2.0;
    ended(&gateway, count).await;
    assert_eq!(gateway.client().chat("demo").await.status, 200);
}

#[tokio::test]
async fn counts_go_on_over_a_reload() {
    let model = upstream().await;
    let mut gateway = limited(serving(&[&model]), json!({"requests_per_day": 2})).start().await;
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    gateway.reconfigure(|conf| conf.set("keys.0.limits.requests_per_day", 3)).await;
    for expected in [200, 200, 429] {
        assert_eq!(gateway.client().chat("demo").await.status, expected);
    }
}

/// Every route, as the gateway itself names them, asked with a key that may ask for nothing.
#[tokio::test]
async fn no_route_passes_by_admission() {
    let model = upstream().await;
    let conf =
        serving(&[&model]).set("providers.local.also", json!(["responses", "anthropic", "gemini"]));
    let gateway = limited(conf, json!({"in_flight": 0})).start().await;
    let client = gateway.client();
    let named = client.get("/v1/nothing").await.error_message();
    let mut paths: Vec<String> = named
        .split([' ', ','])
        .filter(|word| word.starts_with("/v1/") && !word.contains("nothing"))
        .map(|word| word.trim_end_matches('.').to_owned())
        .filter(|path| !["/v1/models", "/v1/capabilities"].contains(&path.as_str()))
        .collect();
    assert!(paths.len() >= 12, "{named}");
    let gemini = ["generateContent", "streamGenerateContent", "countTokens", "embedContent"];
    paths.extend(gemini.map(|method| format!("/v1beta/models/demo:{method}")));
    for path in paths {
        let request = client.request(Method::POST, &path);
        let request = if path.contains("/audio/tran") {
            let form =
                "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ndemo\r\n--x--\r\n";
            request.header("content-type", "multipart/form-data; boundary=x").body(form)
        } else {
            request.json(&json!({"model": "demo", "messages": [], "input": "x"}))
        };
        let reply = Reply::from(request).await;
        assert_eq!(reply.status, 429, "{path}: {}", reply.text());
    }
    assert_eq!(model.count(), 0, "nothing went upstream");
}
