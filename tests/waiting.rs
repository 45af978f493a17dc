//! Waiting for room under a limit, over real sockets: who is served when a request ends, who is refused
//! in the end, who leaves, and that budgets are not waited for.

use serde_json::{Value, json};
use support::answer::ok;
use support::client::{Client, chat_with};
use support::conf::{Conf, KEY, UPSTREAM_MODEL, serving};
use support::gate::Gate;
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};

const WAITING: &str = "tollgate_waiting";

/// One request at a time, and time enough to wait.
fn one_at_a_time(model: &Upstream, waiting: Value) -> Conf {
    serving(&[model]).set("keys.0.limits", json!({"in_flight": 1})).set("waiting", waiting)
}

fn long(queue_max: u64) -> Value {
    json!({"wait_ms_max": 60_000, "queue_max": queue_max})
}

async fn waits(gateway: &Gateway, end: &str) -> f64 {
    gateway.metric(&format!(r#"tollgate_waits_total{{end="{end}"}}"#)).await
}

#[tokio::test]
async fn a_request_waits_until_another_ends() {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = one_at_a_time(&model, long(10)).start().await;
    model.then(ok().held_by(&gate));
    let ask = || {
        let client = gateway.client();
        tokio::spawn(async move { client.chat("demo").await })
    };
    let first = ask();
    gate.reached_by(1).await;
    let others = [ask(), ask(), ask()];
    gateway.until_metric(WAITING, |waiting| waiting == 3.0).await;
    assert_eq!(model.count(), 1);
    gate.open();
    assert_eq!(first.await.expect("an answer").status, 200);
    for other in others {
        assert_eq!(other.await.expect("an answer").status, 200);
    }
    assert_eq!(waits(&gateway, "admitted").await, 3.0);
    assert_eq!(gateway.metric(WAITING).await, 0.0);
    assert_eq!(gateway.metric("tollgate_wait_seconds_count").await, 3.0);
}

#[tokio::test]
async fn a_window_that_moves_on_wakes_the_next() {
    let model = upstream().await;
    let conf = serving(&[&model])
        .set("keys.0.limits", json!({"requests_per_second": 2}))
        .set("waiting", long(10));
    let gateway = conf.start().await;
    let asked = std::time::Instant::now();
    let ask = async || gateway.client().chat("demo").await.status;
    let statuses = futures_util::future::join_all((0..6).map(|_| ask())).await;
    assert_eq!(statuses, [200; 6]);
    assert!(asked.elapsed().as_secs_f64() >= 2.0, "two a second: the last come in the third");
}

#[tokio::test]
async fn higher_priorities_go_first_and_tenants_take_turns() {
    let (model, gate) = (upstream().await, Gate::new());
    let conf = serving(&[&model])
        .set("models.demo.limits", json!({"in_flight": 1}))
        .set("waiting", long(10))
        .set("tiers.gold.priority", 10)
        .set("tenants.acme", json!({}))
        .set("tenants.b", json!({}))
        .set("tenants.c.tier", "gold")
        .key("b", "b-key", &json!({"tenant": "b"}))
        .key("c", "c-key", &json!({"tenant": "c"}));
    let gateway = conf.start().await;
    model.then(ok().held_by(&gate));
    let ask = |key: &'static str, user: &'static str| {
        let client = Client::new(gateway.url());
        let client = client.with_header("authorization", &format!("Bearer {key}"));
        let body = chat_with("demo", &json!({"user": user}));
        tokio::spawn(async move { client.post("/v1/chat/completions", &body).await.status })
    };
    let mut asked = vec![ask("b-key", "first")];
    gate.reached_by(1).await;
    let rows = [(KEY, "a1"), (KEY, "a2"), ("b-key", "b1"), ("c-key", "c1")];
    for (waiting, (key, user)) in (1..).zip(rows) {
        asked.push(ask(key, user));
        gateway.until_metric(WAITING, |count| count == f64::from(waiting)).await;
    }
    gate.open();
    for status in asked {
        assert_eq!(status.await.expect("an answer"), 200);
    }
    let users: Vec<_> =
        model.requests().iter().map(|request| request.json()["user"].clone()).collect();
    assert_eq!(users, ["first", "c1", "a1", "b1", "a2"]);
}

#[tokio::test]
async fn who_waits_too_long_or_comes_too_late_is_refused() {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = one_at_a_time(&model, json!({"wait_ms_max": 20, "queue_max": 1}));
    let gateway = gateway.start().await;
    model.then(ok().held_by(&gate));
    let client = gateway.client();
    let first = tokio::spawn(async move { client.chat("demo").await.status });
    gate.reached_by(1).await;
    let late = gateway.client().chat("demo").await;
    late.assert_error(429, "limit_exceeded");
    assert_eq!(late.header("retry-after"), "1");
    assert_eq!(waits(&gateway, "refused").await, 1.0);
    gate.open();
    assert_eq!(first.await.expect("an answer"), 200);
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_client_that_leaves_makes_room() {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = one_at_a_time(&model, long(1)).start().await;
    model.then(ok().held_by(&gate));
    let client = gateway.client();
    let first = tokio::spawn(async move { client.chat("demo").await.status });
    gate.reached_by(1).await;
    let client = gateway.client();
    let leaving = tokio::spawn(async move { client.chat("demo").await.status });
    gateway.until_metric(WAITING, |waiting| waiting == 1.0).await;
    gateway.client().chat("demo").await.assert_error(429, "limit_exceeded");
    assert_eq!(waits(&gateway, "full").await, 1.0);
    leaving.abort();
    gateway.until_metric(r#"tollgate_waits_total{end="left"}"#, |left| left == 1.0).await;
    assert_eq!(gateway.metric(WAITING).await, 0.0);
    gate.open();
    assert_eq!(first.await.expect("an answer"), 200);
    assert_eq!(model.count(), 1, "who left is not served");
}

#[tokio::test]
async fn what_waiting_cannot_help_is_refused_at_once() {
    let model = upstream().await;
    let price = json!([{"input": 1_000_000, "output": 2_000_000}]);
    let conf = serving(&[&model]).set("prices.models", json!({UPSTREAM_MODEL: price}));
    let conf = conf.set("waiting", long(10)).set("keys.0.budget.day_micro_usd", 1);
    let mut gateway = conf.start().await;
    let broke = gateway.client().chat("demo").await;
    assert_eq!((broke.status, &*broke.error_code()), (429, "insufficient_quota"));
    let limits = json!({"requests_per_day": 1});
    gateway
        .reconfigure(|conf| conf.set("keys.0.budget", json!({})).set("keys.0.limits", limits))
        .await;
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    gateway.client().chat("demo").await.assert_error(429, "limit_exceeded");
    let none = json!({"in_flight": 0});
    gateway.reconfigure(|conf| conf.set("keys.0.limits", none)).await;
    gateway.client().chat("demo").await.assert_error(429, "request_over_limit");
}
