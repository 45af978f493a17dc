//! Warnings of budgets at a receiver elsewhere: what it is told, how often, and what is done where it does
//! not take it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use ring::hmac;
use serde_json::{Value, json};
use support::answer::{close, hang, ok, status};
use support::client::chat_with;
use support::conf::{Conf, UPSTREAM_MODEL, serving};
use support::gateway::Gateway;
use support::upstream::{Received, Upstream, upstream};
use support::valkey::Valkey;
use support::wait::eventually;

/// Of the simulated model's 9 tokens of prompt and 3 of answer: 9 and 6 micro-dollars.
const COST: u64 = 15;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const DELIVERIES: &str = "tollgate_budget_webhook_total";

/// A tenant with a budget of 1000 requests' worth a month, of whose 1 % and 50 % a receiver is told.
fn telling(model: &Upstream, receiver: &Upstream) -> Conf {
    let price = json!([{"input": 1_000_000, "output": 2_000_000}]);
    let budget = json!({"month_micro_usd": 1000 * COST, "warn_percent": [1, 50]});
    serving(&[model])
        .set("prices.models", json!({UPSTREAM_MODEL: price}))
        .set("tenants.acme.budget", budget)
        .set("budget_webhook", webhook(receiver, &json!({})))
}

fn webhook(receiver: &Upstream, more: &Value) -> Value {
    let mut webhook = json!({
        "url": format!("{}/hook?to=me", receiver.url()),
        "secret": {"value": SECRET}, "credential": {"value": "a-token"},
        "headers": {"x-team": "finance"}, "backoff_ms": 10,
    });
    let more = more.as_object().expect("an object").clone();
    webhook.as_object_mut().expect("an object").extend(more);
    webhook
}

async fn ask(gateway: &Gateway, times: usize) {
    let body = chat_with("demo", &json!({"max_tokens": 3}));
    for _ in 0..times {
        assert_eq!(gateway.client().post("/v1/chat/completions", &body).await.status, 200);
    }
}

async fn until(gateway: &Gateway, end: &str, count: f64) {
    let selector = format!("{DELIVERIES}{{end=\"{end}\"}}");
    gateway.until_metric(&selector, |seen| seen == count).await;
}

async fn ends(fleet: &[Gateway], end: &str) -> f64 {
    let selector = format!("{DELIVERIES}{{end=\"{end}\"}}");
    join_all(fleet.iter().map(|gateway| gateway.metric(&selector))).await.iter().sum()
}

/// Asserts that a document is signed by who knows the secret (standardwebhooks.com).
fn assert_signed(received: &Received) {
    let key = SECRET.trim_start_matches("whsec_");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64_STANDARD.decode(key).expect("base64"));
    let [id, time] = ["webhook-id", "webhook-timestamp"].map(|name| received.header(name));
    let signed = [format!("{id}.{time}.").as_bytes(), &received.body].concat();
    let signature = received.header("webhook-signature").trim_start_matches("v1,");
    let signature = BASE64_STANDARD.decode(signature).expect("base64");
    hmac::verify(&key, &signed, &signature).expect("the signature of the document");
}

#[tokio::test]
async fn a_share_that_is_passed_is_told_until_it_is_taken() {
    let (model, receiver) = (upstream().await, upstream().await);
    receiver.then(status(503)).then(close());
    let gateway = telling(&model, &receiver).start().await;
    ask(&gateway, 9).await;
    assert_eq!(receiver.count(), 0);
    ask(&gateway, 1).await;
    until(&gateway, "delivered", 1.0).await;
    let received = receiver.requests();
    assert_eq!(received.len(), 3, "failed twice, then taken");
    let first = &received[0];
    for request in &received {
        assert_eq!((request.method.as_str(), &*request.path), ("POST", "/v1/hook?to=me"));
        assert_eq!(request.body, first.body);
        assert_eq!(request.header("webhook-id"), first.header("webhook-id"));
        assert_eq!(request.header("authorization"), "Bearer a-token");
        assert_eq!(request.header("x-team"), "finance");
        assert_eq!(request.header("content-type"), "application/json");
        assert_signed(request);
    }
    let told = first.json();
    assert_eq!(told["type"], "budget.threshold_passed", "{told}");
    let data = &told["data"];
    assert_eq!((&data["scope"], &data["tenant"]), (&json!("tenant"), &json!("acme")), "{told}");
    assert_eq!((&data["period"], &data["percent"]), (&json!("month"), &json!(1)), "{told}");
    assert_eq!(data["spent_micro_usd"], 10 * COST, "{told}");
    assert_eq!(data["budget_micro_usd"], 1000 * COST, "{told}");
    let warning = told["text"].as_str().expect("a sentence");
    assert!(gateway.stderr().contains(warning), "the log says the same");
    for secret in [SECRET, "a-token", "to=me"] {
        assert!(!gateway.stderr().contains(secret), "{}", gateway.stderr());
    }
    ask(&gateway, 5).await;
    assert_eq!(receiver.count(), 3, "once in its period");
}

#[tokio::test]
async fn clients_at_once_that_pass_a_share_are_told_of_once() {
    let (model, receiver) = (upstream().await, upstream().await);
    let gateway = telling(&model, &receiver).start().await;
    join_all((0..64).map(|_| ask(&gateway, 1))).await;
    until(&gateway, "delivered", 1.0).await;
    // The next share is told behind it: there was no other of the first.
    join_all((0..64).map(|_| ask(&gateway, 7))).await;
    until(&gateway, "delivered", 2.0).await;
    let told: Vec<_> =
        receiver.requests().iter().map(|r| r.json()["data"]["percent"].clone()).collect();
    assert_eq!(told, [1, 50]);
}

#[tokio::test]
async fn each_budget_that_is_passed_by_one_request_is_told() {
    let (model, receiver) = (upstream().await, upstream().await);
    let budget = json!({
        "day_micro_usd": 100 * COST, "week_micro_usd": 100 * COST, "warn_percent": [1],
    });
    let conf = telling(&model, &receiver).set("tenants.acme.budget", budget);
    let gateway = conf
        .set("keys.0.budget", json!({"day_micro_usd": 50 * COST, "warn_percent": [2]}))
        .start()
        .await;
    ask(&gateway, 1).await;
    until(&gateway, "delivered", 3.0).await;
    let told = receiver.requests().into_iter().map(|request| {
        let data = request.json()["data"].clone();
        format!("{} {}", data["scope"], data["period"]).replace('"', "")
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    assert_eq!(told, ["key day", "tenant day", "tenant week"]);
}

#[tokio::test]
async fn a_receiver_that_hangs_or_refuses_is_given_up_and_delays_nobody() {
    let (model, receiver) = (upstream().await, upstream().await);
    receiver.always(hang());
    let conf = telling(&model, &receiver).set("budget_webhook.timeout_ms", 50);
    let mut gateway = conf.set("budget_webhook.attempts_max", 3).start().await;
    ask(&gateway, 20).await;
    until(&gateway, "failed", 1.0).await;
    assert_eq!(receiver.count(), 3);
    let other = upstream().await;
    other.always(status(404));
    let budget = json!({"month_micro_usd": 30 * COST, "warn_percent": [70]});
    gateway
        .reconfigure(|conf| {
            let conf = conf.set("tenants.acme.budget", budget);
            conf.set("budget_webhook", webhook(&other, &json!({})))
        })
        .await;
    ask(&gateway, 1).await;
    until(&gateway, "refused", 1.0).await;
    assert_eq!((receiver.count(), other.count()), (3, 1), "a receiver is changed by a reload");
    gateway
        .reconfigure(|conf| {
            conf.set("keys.0.budget", json!({"day_micro_usd": 100 * COST, "warn_percent": [1]}))
                .set("budget_webhook", Value::Null)
        })
        .await;
    ask(&gateway, 2).await;
    gateway.until_stderr("the key `test-key` has spent 1 %").await;
    assert_eq!((receiver.count(), other.count()), (3, 1), "there is none any more");
}

async fn fleet(conf: Conf, valkey: &Valkey) -> Vec<Gateway> {
    let conf = conf.set("valkey.url.value", valkey.url()).set("quotas.lease_ms", 1000);
    let fleet = join_all((0..2).map(|_| conf.clone().start())).await;
    for gateway in &fleet {
        let leased = r#"tollgate_quota_exchanges_total{result="ok"}"#;
        gateway.until_metric(leased, |exchanges| exchanges > 1.0).await;
    }
    fleet
}

#[tokio::test]
async fn gateways_that_share_a_budget_tell_of_it_once_and_go_by_what_all_of_them_spend() {
    let (model, receiver, valkey) = (upstream().await, upstream().await, Valkey::start().await);
    let conf = telling(&model, &receiver).set("tenants.acme.budget.warn_percent", json!([10]));
    let mut fleet = fleet(conf, &valkey).await;
    for gateway in &fleet {
        ask(gateway, 60).await;
    }
    eventually("every gateway to know what became of it", async || {
        let known = ends(&fleet, "delivered").await + ends(&fleet, "elsewhere").await;
        (known == 2.0).then_some(())
    })
    .await;
    assert_eq!((receiver.count(), ends(&fleet, "delivered").await), (1, 1.0));
    // A gateway that starts anew finds the share passed, and that others have told.
    let mut restarted = fleet.remove(0);
    restarted.crash().await;
    ask(&restarted, 1).await;
    until(&restarted, "elsewhere", 1.0).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn what_one_gateway_cannot_deliver_another_does() {
    let (model, receiver, valkey) = (upstream().await, upstream().await, Valkey::start().await);
    receiver.then(hang()).always(ok());
    let conf = telling(&model, &receiver)
        .set("budget_webhook.attempts_max", 1)
        .set("budget_webhook.timeout_ms", 100);
    let fleet = fleet(conf, &valkey).await;
    for gateway in &fleet {
        ask(gateway, 10).await;
    }
    eventually("the other gateway to take over", async || {
        (ends(&fleet, "delivered").await == 1.0).then_some(())
    })
    .await;
    assert_eq!((receiver.count(), ends(&fleet, "failed").await), (2, 1.0));
    let ids: Vec<_> =
        receiver.requests().iter().map(|r| r.header("webhook-id").to_owned()).collect();
    assert_eq!(ids[0], ids[1]);
}
