//! A new configuration without downtime: each way to ask for it, a bad one, and what requests
//! that are under way see of it.

use serde_json::json;
use support::answer::{ok, sse, status_with};
use support::conf::{Conf, KEY, UPSTREAM_MODEL, serving};
use support::gate::Gate;
use support::gateway::Gateway;
use support::port::Port;
use support::upstream::upstream;

const REVISION: &str = "tollgate_config_revision";

/// The same configuration with an alias more.
fn with_new_alias(conf: Conf) -> Conf {
    conf.model("new", &[("local", UPSTREAM_MODEL)])
}

/// Asserts that the gateway takes up a new alias once `ask` has told it to.
async fn takes_up(mut gateway: Gateway, ask: impl AsyncFnOnce(&Gateway)) {
    gateway.client().chat("new").await.assert_error(404, "model_not_found");
    gateway.rewrite(with_new_alias);
    ask(&gateway).await;
    gateway.until_metric(REVISION, |revision| revision == 2.0).await;
    assert_eq!(gateway.client().chat("new").await.status, 200);
    assert_eq!(gateway.metric("tollgate_config_reloads_total").await, 1.0);
}

#[tokio::test]
async fn a_signal_reloads() {
    let model = upstream().await;
    takes_up(serving(&[&model]).start().await, async |gateway| gateway.signal("HUP")).await;
}

#[tokio::test]
async fn the_admin_listener_reloads_and_reports() {
    let model = upstream().await;
    takes_up(serving(&[&model]).start().await, async |gateway| {
        let report = gateway.reload().await;
        assert_eq!(report.status, 200, "{}", report.text());
        let report = report.json();
        assert_eq!((&report["revision"], &report["problems"]), (&json!(2), &json!([])));
    })
    .await;
}

#[tokio::test]
async fn a_changed_file_is_noticed() {
    let model = upstream().await;
    let watched = serving(&[&model]).set("reload", json!({"watch": true, "interval_ms": 20}));
    takes_up(watched.start().await, async |_| {}).await;
}

#[tokio::test]
async fn an_unchanged_file_is_not_reloaded_by_the_watch() {
    let model = upstream().await;
    let watched = serving(&[&model]).set("reload", json!({"watch": true, "interval_ms": 5}));
    let mut gateway = watched.start().await;
    // The alias that comes with the one change proves that the watch runs.
    gateway.rewrite(with_new_alias);
    gateway.until_metric(REVISION, |revision| revision >= 2.0).await;
    for _ in 0..50 {
        assert_eq!(gateway.metric(REVISION).await, 2.0);
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_everything_that_is_wrong() {
    let model = upstream().await;
    let mut gateway = serving(&[&model]).start().await;
    let good = gateway.config();
    gateway.rewrite(|conf| {
        conf.set("models.demo.candidates.0.provider", "nowhere").set("retry.atempts_max", 3)
    });
    let report = gateway.reload().await;
    let problems = report.json()["problems"].clone();
    let problems = problems.as_array().expect("a list");
    for named in ["nowhere", "atempts_max"] {
        let problem = problems.iter().find(|problem| problem.to_string().contains(named));
        let problem = problem.unwrap_or_else(|| panic!("`{named}` is missing: {problems:?}"));
        let text = problem.as_str().expect("a text");
        let line = text.split_once("tollgate.yaml:").and_then(|(_, rest)| rest.split(':').next());
        let line: usize = line.and_then(|line| line.parse().ok()).expect("a line number");
        let shown = gateway.config().lines().nth(line - 1).expect("the line exists").to_owned();
        assert!(shown.contains(named), "line {line} is `{shown}`, the problem `{text}`");
    }
    assert_eq!(gateway.metric(REVISION).await, 1.0);
    assert_eq!(gateway.client().chat("demo").await.status, 200, "the old configuration serves");
    gateway.signal("HUP");
    gateway.until_metric("tollgate_config_reloads_total", |reloads| reloads == 2.0).await;
    gateway.until_stderr("nowhere").await;
    gateway.write_config("{ not: [yaml");
    assert_ne!(gateway.reload().await.json()["problems"], json!([]));
    gateway.write_config(&good);
    assert_eq!(gateway.reload().await.json()["problems"], json!([]));
    assert_eq!(gateway.metric(REVISION).await, 2.0);
}

#[tokio::test]
async fn a_request_under_way_keeps_its_configuration() {
    let (model, header, event) = (upstream().await, Gate::new(), Gate::new());
    let mut gateway = serving(&[&model]).start().await;
    model.then(ok().held_by(&header));
    let client = gateway.client();
    let whole = tokio::spawn(async move { client.chat("demo").await });
    header.reached_by(1).await;
    model.then(sse(["{\"choices\":[]}", "[DONE]"]).held_at(1, &event));
    let stream = gateway.client().stream("demo").await;
    let elsewhere = upstream().await;
    let url = elsewhere.url();
    gateway
        .reconfigure(|conf| {
            conf.set("models", json!({}))
                .set("providers", json!({}))
                .provider_at("other", &[url])
                .model("other", &[("other", "m")])
        })
        .await;
    gateway.client().chat("demo").await.assert_error(404, "model_not_found");
    header.open();
    event.open();
    assert_eq!(whole.await.expect("an answer").status, 200);
    assert!(stream.rest().await.is_whole());
    assert_eq!(gateway.client().chat("other").await.status, 200);
}

#[tokio::test]
async fn a_key_that_is_taken_out_is_refused_from_then_on() {
    let model = upstream().await;
    let mut gateway = serving(&[&model]).start().await;
    gateway
        .reconfigure(|conf| conf.set("keys", json!([])).key("next", "sk-next", &json!({})))
        .await;
    gateway.client().chat("demo").await.assert_error(401, "invalid_api_key");
    let next = gateway.client().with_header("authorization", "Bearer sk-next");
    assert_eq!(next.chat("demo").await.status, 200);
    assert!(!gateway.config().contains(KEY), "keys are kept hashed");
}

#[tokio::test]
async fn what_is_known_of_endpoints_and_their_connections_survive() {
    let (limited, other) = (upstream().await, upstream().await);
    let conf = serving(&[&limited, &other]).set("models.demo.balance", "round_robin");
    let mut gateway = conf.set("server.threads", 1).start().await;
    limited.then(status_with(429, &[("retry-after", "600")]));
    for _ in 0..4 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    let (asked, connections) = (limited.count(), other.connections());
    assert_eq!(asked, 1, "the endpoint asked to be left alone");
    gateway.reconfigure(with_new_alias).await;
    for _ in 0..10 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    assert_eq!(limited.count(), asked, "its wish outlives a reload");
    assert_eq!(other.connections(), connections, "so do connections");
}

#[tokio::test]
async fn a_changed_listener_is_reported_and_waits_for_an_upgrade() {
    let (model, port) = (upstream().await, Port::reserve());
    let mut gateway = serving(&[&model]).start().await;
    let address = port.address().to_string();
    gateway.rewrite(|conf| {
        with_new_alias(conf).set("server.listeners.1", json!({"address": address}))
    });
    let report = gateway.reload().await.json();
    let wishes = report["needs_upgrade"].to_string();
    assert!(wishes.contains("listeners"), "{report}");
    assert_eq!(gateway.client().chat("new").await.status, 200, "the rest is in use at once");
    gateway.upgrade().await;
    let client = support::client::Client::new(format!("http://{address}")).with_test_key();
    assert_eq!(client.chat("new").await.status, 200);
}
