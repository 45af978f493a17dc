//! Who gets how many requests: weights, unhealthy endpoints, consistent hashing.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use futures_util::future::join_all;
use serde_json::json;
use support::client::{Client, chat, chat_with};
use support::conf::{conf, serving};
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};
use support::{Method, RequestBuilder};

/// Requests in a measurement, and how many of them are on their way at a time.
const REQUESTS: usize = 10_000;
const CONCURRENT: usize = 16;

/// How far a share may be off, of all requests.
const TOLERANCE: f64 = 0.02;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_get_their_weight() {
    let upstreams = [upstream().await, upstream().await, upstream().await];
    let [one, two, three] = &upstreams;
    let gateway = serving(&[one, two, three])
        .set("models.demo.balance", "round_robin")
        .set("providers.local.endpoints.0.weight", 5)
        .set("providers.local.endpoints.1.weight", 3)
        .set("providers.local.endpoints.2.weight", 2)
        .start()
        .await;
    ask(&gateway, REQUESTS).await;
    assert_shares(&upstreams, &[0.5, 0.3, 0.2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_get_their_weight_whatever_the_number_of_their_endpoints() {
    let upstreams = [upstream().await, upstream().await, upstream().await];
    let [one, two, three] = &upstreams;
    let gateway = conf()
        .provider("single", &[one])
        .provider("double", &[two, three])
        .model("demo", &[("single", "m"), ("double", "m")])
        .set("models.demo.balance", "round_robin")
        .set("models.demo.candidates.0.weight", 1)
        .set("models.demo.candidates.1.weight", 3)
        .start()
        .await;
    ask(&gateway, REQUESTS).await;
    assert_shares(&upstreams, &[0.25, 0.375, 0.375]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_balance_uses_every_endpoint_and_loses_nothing() {
    for balance in ["round_robin", "least_requests", "peak_ewma"] {
        let upstreams = [upstream().await, upstream().await];
        let [one, two] = &upstreams;
        let conf = serving(&[one, two]).set("models.demo.balance", balance);
        ask(&conf.start().await, 400).await;
        let counts = upstreams.each_ref().map(Upstream::count);
        assert_eq!(counts.iter().sum::<usize>(), 400, "{balance}: {counts:?}");
        assert!(counts.iter().all(|count| *count >= 20), "{balance}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unhealthy_endpoint_gets_nothing_until_it_is_well() {
    let (sick, well) = (upstream().await, upstream().await);
    sick.health(503);
    let gateway = serving(&[&sick, &well])
        .set("models.demo.balance", "round_robin")
        .set("providers.local.passive.slow_start_ms", 0)
        .set(
            "providers.local.health",
            json!({
                "path": "/health", "interval_ms": 20, "timeout_ms": 5000,
                "healthy_after": 1, "unhealthy_after": 1,
            }),
        )
        .start()
        .await;
    let healthy = r#"tollgate_upstream_healthy{endpoint="local-1"}"#;
    gateway.until_metric(healthy, |value| value == 0.0).await;
    let before = sick.count();
    ask(&gateway, 200).await;
    assert_eq!(sick.count(), before, "requests to an unhealthy endpoint");
    sick.health(200);
    gateway.until_metric(healthy, |value| value == 1.0).await;
    ask(&gateway, 100).await;
    assert!(sick.count() > before, "an endpoint that is well again gets requests");
}

#[tokio::test]
async fn a_consistent_hash_keeps_callers_where_they_are() {
    let upstreams = [upstream().await, upstream().await, upstream().await];
    let [one, two, three] = &upstreams;
    type Ask = fn(&Client, usize) -> RequestBuilder;
    let rows: [(&str, Ask); 2] = [("header:x-session", by_header), ("user", by_user)];
    for (hash_on, ask) in rows {
        let gateway = serving(&[one, two, three])
            .set("models.demo.balance", "consistent_hash")
            .set("models.demo.hash_on", hash_on)
            .start()
            .await;
        let client = gateway.client();
        let mut used = std::collections::BTreeSet::new();
        for caller in 0..24 {
            let counts = upstreams.each_ref().map(Upstream::count);
            for _ in 0..3 {
                assert_eq!(Reply::from(ask(&client, caller)).await.status, 200);
            }
            let after = upstreams.each_ref().map(Upstream::count);
            let moved: Vec<usize> = (0..3).filter(|at| after[*at] != counts[*at]).collect();
            assert_eq!(moved.len(), 1, "{hash_on}: caller {caller} went to {moved:?}");
            used.extend(moved);
        }
        assert_eq!(used.len(), 3, "{hash_on}: 24 callers spread over all endpoints");
    }
}

fn by_header(client: &Client, caller: usize) -> RequestBuilder {
    let request = client.request(Method::POST, "/v1/chat/completions").json(&chat("demo"));
    request.header("x-session", format!("session-{caller}"))
}

fn by_user(client: &Client, caller: usize) -> RequestBuilder {
    let body = chat_with("demo", &json!({"user": format!("user-{caller}")}));
    client.request(Method::POST, "/v1/chat/completions").json(&body)
}

async fn ask(gateway: &Gateway, requests: usize) {
    let client = gateway.client();
    let workers = (0..CONCURRENT).map(|worker| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in (worker..requests).step_by(CONCURRENT) {
                let reply = client.chat("demo").await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        })
    });
    for worker in join_all(workers).await {
        worker.expect("every request is answered");
    }
}

fn assert_shares(upstreams: &[Upstream], expected: &[f64]) {
    let counts: Vec<usize> = upstreams.iter().map(Upstream::count).collect();
    let all: usize = counts.iter().sum();
    assert_eq!(all, REQUESTS, "{counts:?}");
    for (count, expected) in counts.iter().zip(expected) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let share = *count as f64 / all as f64;
        assert!((share - expected).abs() <= TOLERANCE, "{share} for {expected} of {counts:?}");
    }
}
