//! Metrics: in the format, with the series that operators need, and bounded whatever clients send.

use std::process::Command;

use serde_json::json;
use support::answer::{ok, status, status_with};
use support::client::chat_with;
use support::conf::{conf, serving};
use support::gate::Gate;
use support::tools;
use support::upstream::upstream;

#[tokio::test]
async fn promtool_has_no_complaint() {
    let (model, sick) = (upstream().await, upstream().await);
    sick.always(status(503));
    let gateway = serving(&[&model, &sick]).start().await;
    for _ in 0..4 {
        gateway.client().chat("demo").await;
        gateway.client().stream("demo").await.rest().await;
    }
    gateway.client().chat("gpt-9").await;
    let metrics = gateway.metrics().await;
    let said = tools::run(Command::new("promtool").args(["check", "metrics"]), metrics.text());
    assert_eq!(said.trim(), "", "promtool complains");
}

#[tokio::test]
async fn requests_attempts_and_tokens_are_counted() {
    let (first, second) = (upstream().await, upstream().await);
    let gateway = conf()
        .provider("first", &[&first])
        .provider("second", &[&second])
        .model("demo", &[("first", "m"), ("second", "m")])
        .set("models.demo.candidates.1.priority", 1)
        .set("providers.first.passive.failures", 0)
        .start()
        .await;
    gateway.client().chat("demo").await;
    first.then(status(503));
    gateway.client().chat("demo").await;
    gateway.client().stream("demo").await.rest().await;
    gateway.client().chat("gpt-9").await;
    // Accounting follows the answer: what is waited for is the last thing counted.
    gateway.until_metric("tollgate_requests_total", |count| count == 4.0).await;
    let metrics = gateway.metrics().await;
    let rows = [
        (r#"tollgate_requests_total{model="demo"}"#, 3.0),
        (r#"tollgate_upstream_attempts_total{endpoint="first-1"}"#, 3.0),
        (r#"tollgate_upstream_attempts_total{endpoint="first-1",outcome="2xx"}"#, 2.0),
        (r#"tollgate_upstream_attempts_total{endpoint="first-1",outcome="5xx"}"#, 1.0),
        (r#"tollgate_upstream_attempts_total{endpoint="second-1",outcome="2xx"}"#, 1.0),
        (r#"tollgate_upstream_retries_total{model="demo"}"#, 1.0),
        (r#"tollgate_errors_total{code="model_not_found"}"#, 1.0),
        (r#"tollgate_tokens_total{class="input"}"#, 27.0),
        (r#"tollgate_tokens_total{class="output"}"#, 9.0),
        (r#"tollgate_request_duration_seconds_count{model="demo"}"#, 3.0),
        (r#"tollgate_upstream_healthy{endpoint="first-1"}"#, 1.0),
        ("tollgate_config_revision", 1.0),
    ];
    for (selector, expected) in rows {
        assert_eq!(metrics.sum(selector), expected, "{selector}\n{}", metrics.text());
    }
    for name in [
        "tollgate_first_byte_seconds_count",
        "tollgate_overhead_seconds_count",
        "tollgate_upstream_first_byte_seconds_count",
        "tollgate_upstream_duration_seconds_count",
        "tollgate_upstream_connections_total",
        "tollgate_build_info",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(metrics.sum(name) > 0.0, "{name}\n{}", metrics.text());
    }
}

#[tokio::test]
async fn what_is_in_flight_is_shown_while_it_is() {
    let (model, gate) = (upstream().await, Gate::new());
    let gateway = serving(&[&model]).start().await;
    let in_flight = r#"tollgate_upstream_in_flight{endpoint="local-1"}"#;
    model.then(ok().held_by(&gate));
    let client = gateway.client();
    let asking = tokio::spawn(async move { client.chat("demo").await.status });
    gate.reached_by(1).await;
    gateway.until_metric(in_flight, |count| count == 1.0).await;
    gate.open();
    assert_eq!(asking.await.expect("an answer"), 200);
    gateway.until_metric(in_flight, |count| count == 0.0).await;
}

#[tokio::test]
async fn an_ejection_is_counted_with_its_reason() {
    let (limited, other) = (upstream().await, upstream().await);
    limited.always(status_with(429, &[("retry-after", "60")]));
    let conf = serving(&[&limited, &other]).set("models.demo.balance", "round_robin");
    let gateway = conf.start().await;
    for _ in 0..4 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    let ejections = r#"tollgate_upstream_ejections_total{endpoint="local-1"}"#;
    gateway.until_metric(ejections, |count| count == 1.0).await;
}

#[tokio::test]
async fn clients_cannot_make_series() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    // Every kind of request once: what comes after it may add to series, and add none.
    let hostile = async |number: usize| {
        client.chat(&format!("unknown-{number}")).await;
        client.get(&format!("/v1/path-{number}")).await;
        client.clone().with_header("x-api-key", &format!("sk-{number}")).chat("demo").await;
        let members = json!({"user": format!("user-{number}"), "metadata": {"trace": number}});
        let body = chat_with("demo", &members);
        client.post("/v1/chat/completions", &body).await;
    };
    hostile(0).await;
    gateway.until_metric("tollgate_requests_total", |count| count == 4.0).await;
    let before = gateway.metrics().await.count();
    for number in 1..50 {
        hostile(number).await;
    }
    gateway.until_metric("tollgate_requests_total", |count| count == 200.0).await;
    assert_eq!(gateway.metrics().await.count(), before);
}

#[tokio::test]
async fn series_of_what_left_the_configuration_leave_too() {
    let model = upstream().await;
    let mut gateway = serving(&[&model]).model("gone", &[("local", "m")]).start().await;
    gateway.client().chat("gone").await;
    gateway.until_metric(r#"tollgate_requests_total{model="gone"}"#, |count| count == 1.0).await;
    gateway.reconfigure(|_| serving(&[&model])).await;
    assert!(!gateway.metrics().await.text().contains("gone"));
}
