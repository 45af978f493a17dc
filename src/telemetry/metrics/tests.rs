//! What a scrape shows after requests of every kind.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{LostLine, Metrics};
use crate::config::reload;
use crate::error::Kind;
use crate::telemetry::fixture::{record, refused, snapshot};
use crate::types::{EndpointId, ModelAlias, Revision};
use crate::upstream::Ejection;
use crate::usage::{Outcome, TokenUsage, UsageRecord};

/// A scrape without the process's own figures, which change by themselves.
fn scrape(metrics: &Metrics) -> Vec<String> {
    let page = metrics.render().unwrap();
    page.lines().filter(|line| line.starts_with("tollgate_")).map(str::to_owned).collect()
}

#[track_caller]
fn check(metrics: &Metrics, expected: &[&str]) {
    let lines = scrape(metrics);
    for line in expected {
        assert!(lines.iter().any(|seen| seen == line), "no `{line}` in\n{}", lines.join("\n"));
    }
}

/// Two attempts: the first broke the connection, the second answered.
fn retried(metrics: &Metrics) -> UsageRecord {
    let mut first = record(metrics, "chat", "a/one");
    let second = record(metrics, "chat", "b/two");
    first.attempts[0].outcome = Outcome::Broken;
    first.attempts[0].reused = Some(false);
    first.attempts[0].first_byte = None;
    first.attempts.extend(second.attempts);
    first.total = Duration::from_millis(4);
    first
}

#[test]
fn a_request_counts_under_its_alias_and_its_endpoint() {
    let metrics = Metrics::new(2);
    metrics.record(&record(&metrics, "chat", "a/one"));
    check(
        &metrics,
        &[
            r#"tollgate_requests_total{model="chat",operation="chat",status="2xx"} 1"#,
            r#"tollgate_request_bytes_total{model="chat"} 600"#,
            r#"tollgate_response_bytes_total{model="chat"} 400"#,
            r#"tollgate_request_duration_seconds_bucket{model="chat",le="0.001"} 0"#,
            r#"tollgate_request_duration_seconds_bucket{model="chat",le="0.0025"} 1"#,
            r#"tollgate_request_duration_seconds_sum{model="chat"} 0.002"#,
            r#"tollgate_first_byte_seconds_sum{model="chat"} 0.0016"#,
            r#"tollgate_overhead_seconds_sum{model="chat"} 0.0001"#,
            r#"tollgate_overhead_seconds_bucket{model="chat",le="0.0001"} 1"#,
            r#"tollgate_upstream_attempts_total{model="chat",endpoint="a/one",outcome="2xx"} 1"#,
            r#"tollgate_upstream_first_byte_seconds_sum{endpoint="a/one"} 0.0015"#,
            r#"tollgate_upstream_duration_seconds_sum{endpoint="a/one"} 0.0019"#,
            r#"tollgate_upstream_connections_total{endpoint="a/one",reused="true"} 1"#,
            r#"tollgate_upstream_request_bytes_total{endpoint="a/one"} 620"#,
            r#"tollgate_upstream_response_bytes_total{endpoint="a/one"} 400"#,
            r#"tollgate_tokens_total{model="chat",endpoint="a/one",class="input"} 10"#,
            r#"tollgate_tokens_total{model="chat",endpoint="a/one",class="output"} 20"#,
        ],
    );
}

#[test]
fn a_retry_counts_both_attempts_and_its_reason_once() {
    let metrics = Metrics::new(2);
    metrics.record(&retried(&metrics));
    check(
        &metrics,
        &[
            r#"tollgate_requests_total{model="chat",operation="chat",status="2xx"} 1"#,
            r#"tollgate_upstream_retries_total{model="chat",reason="broken"} 1"#,
            r#"tollgate_upstream_attempts_total{model="chat",endpoint="a/one",outcome="broken"} 1"#,
            r#"tollgate_upstream_attempts_total{model="chat",endpoint="b/two",outcome="2xx"} 1"#,
            r#"tollgate_upstream_connections_total{endpoint="a/one",reused="false"} 1"#,
            r#"tollgate_upstream_first_byte_seconds_count{endpoint="a/one"} 0"#,
            r#"tollgate_overhead_seconds_sum{model="chat"} 0.0002"#,
            r#"tollgate_tokens_total{model="chat",endpoint="b/two",class="output"} 20"#,
        ],
    );
    let page = scrape(&metrics).join("\n");
    assert!(!page.contains(r#"reason="2xx""#), "the last attempt was no reason to retry");
    let tokens = r#"tokens_total{model="chat",endpoint="a/one""#;
    assert!(!page.contains(tokens), "tokens belong to the attempt that answered");
}

#[test]
fn an_attempt_without_a_connection_says_nothing_of_the_endpoints_pace() {
    let metrics = Metrics::new(1);
    let mut failed = record(&metrics, "chat", "a/one");
    failed.status = 502;
    failed.error = Some(Kind::UpstreamUnreachable);
    failed.tokens = None;
    failed.attempts[0].outcome = Outcome::Connect;
    failed.attempts[0].reused = None;
    failed.attempts[0].first_byte = None;
    metrics.record(&failed);
    check(
        &metrics,
        &[
            r#"tollgate_requests_total{model="chat",operation="chat",status="5xx"} 1"#,
            r#"tollgate_errors_total{code="upstream_unreachable"} 1"#,
            r#"tollgate_upstream_attempts_total{model="chat",endpoint="a/one",outcome="connect"} 1"#,
            r#"tollgate_upstream_duration_seconds_count{endpoint="a/one"} 0"#,
            r#"tollgate_upstream_connections_total{endpoint="a/one",reused="false"} 0"#,
        ],
    );
}

#[test]
fn tokens_keep_their_classes_apart() {
    let metrics = Metrics::new(1);
    let mut counted = record(&metrics, "chat", "a/one");
    counted.tokens =
        Some(TokenUsage { input: 1, cache_read: 2, cache_write: 3, output: 4, reasoning: 5 });
    metrics.record(&counted);
    let classes =
        [("input", 1), ("cache_read", 2), ("cache_write", 3), ("output", 4), ("reasoning", 5)];
    for (class, count) in classes {
        let labels = format!(r#"model="chat",endpoint="a/one",class="{class}""#);
        check(&metrics, &[&format!("tollgate_tokens_total{{{labels}}} {count}")]);
    }
}

#[test]
fn what_happens_beside_requests_shows_too() {
    let metrics = Metrics::new(1);
    let endpoint = metrics.endpoint(&EndpointId::from("a/one"));
    endpoint.ejected(Ejection::RateLimited);
    endpoint.publish(false, 7);
    metrics.in_use(Revision(3));
    metrics.reloaded(reload::Outcome::Refused);
    metrics.lines_lost(LostLine::WriteFailed, 12);
    check(
        &metrics,
        &[
            r#"tollgate_upstream_ejections_total{endpoint="a/one",reason="rate_limited"} 1"#,
            r#"tollgate_upstream_ejections_total{endpoint="a/one",reason="failures"} 0"#,
            r#"tollgate_upstream_healthy{endpoint="a/one"} 0"#,
            r#"tollgate_upstream_in_flight{endpoint="a/one"} 7"#,
            "tollgate_config_revision 3",
            r#"tollgate_config_reloads_total{outcome="refused"} 1"#,
            r#"tollgate_access_log_dropped_total{reason="write_failed"} 12"#,
            r#"tollgate_access_log_dropped_total{reason="queue_full"} 0"#,
            concat!(r#"tollgate_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ],
    );
}

#[test]
fn a_request_is_in_flight_until_its_guard_is_dropped_on_whatever_thread() {
    let metrics = Metrics::new(4);
    let here = metrics.started();
    let there = std::thread::scope(|scope| scope.spawn(|| metrics.started()).join().unwrap());
    assert_eq!(metrics.in_flight(), 2);
    std::thread::spawn(move || drop(here)).join().unwrap();
    assert_eq!(metrics.in_flight(), 1);
    drop(there);
    check(&metrics, &["tollgate_in_flight 0"]);
}

#[test]
fn handles_are_the_same_for_the_same_names() {
    let metrics = Metrics::new(1);
    let (alias, id) = (ModelAlias::from("chat"), EndpointId::from("a/one"));
    let target = metrics.target(&alias, &id);
    assert!(Arc::ptr_eq(&target, &metrics.target(&alias, &id)));
    assert!(Arc::ptr_eq(target.alias(), &metrics.alias(&alias)));
    assert!(Arc::ptr_eq(target.endpoint(), &metrics.endpoint(&id)));
}

#[test]
fn counts_of_many_threads_add_up() {
    let metrics = Metrics::new(2);
    let requests = record(&metrics, "chat", "a/one");
    std::thread::scope(|scope| {
        for _thread in 0..8 {
            scope.spawn(|| (0..1000).for_each(|_| metrics.record(&requests)));
        }
    });
    check(
        &metrics,
        &[
            r#"tollgate_requests_total{model="chat",operation="chat",status="2xx"} 8000"#,
            r#"tollgate_request_duration_seconds_bucket{model="chat",le="+Inf"} 8000"#,
            r#"tollgate_request_duration_seconds_count{model="chat"} 8000"#,
        ],
    );
}

#[test]
fn no_client_can_make_a_series() {
    let metrics = Metrics::new(2);
    metrics.record(&record(&metrics, "chat", "a/one"));
    metrics.record(&refused(&metrics, "/v1/chat/completions"));
    let before = scrape(&metrics).len();
    for unknown in 0..1000 {
        let mut hostile = refused(&metrics, &format!("/v1/models/gpt-{unknown}\n\"{{x=\"y\"}}"));
        hostile.method = http::Method::from_bytes(format!("M{unknown}").as_bytes()).unwrap();
        metrics.record(&hostile);
    }
    assert_eq!(scrape(&metrics).len(), before);
    check(&metrics, &[r#"tollgate_requests_total{model="",operation="chat",status="4xx"} 1001"#]);
}

#[test]
fn what_leaves_the_configuration_leaves_the_page() {
    let metrics = Metrics::new(1);
    let gone = record(&metrics, "old", "a/one");
    for kept in [("chat", "a/one"), ("chat", "b/two"), ("fast", "c/three")] {
        metrics.record(&record(&metrics, kept.0, kept.1));
    }
    metrics.record(&gone);
    // `old` is gone, `c/three` is gone, and `chat` moved from `b/two`, which `fast` uses now.
    metrics.retain(&snapshot(&[("chat", &["a/one"]), ("fast", &["b/two"])]));
    // A request on the older configuration ends after the reload.
    metrics.record(&gone);
    let page = scrape(&metrics).join("\n");
    for absent in [r#"model="old""#, "c/three", r#"model="chat",endpoint="b/two""#] {
        assert!(!page.contains(absent), "{absent} is in\n{page}");
    }
    check(
        &metrics,
        &[
            r#"tollgate_requests_total{model="chat",operation="chat",status="2xx"} 2"#,
            r#"tollgate_upstream_attempts_total{model="chat",endpoint="a/one",outcome="2xx"} 1"#,
            r#"tollgate_upstream_request_bytes_total{endpoint="b/two"} 620"#,
        ],
    );
}

#[test]
fn names_are_escaped_as_the_format_asks() {
    let metrics = Metrics::new(1);
    metrics.record(&record(&metrics, "a\"b\\c\nd", "e/f"));
    check(&metrics, &[r#"tollgate_request_bytes_total{model="a\"b\\c\nd"} 600"#]);
}

#[test]
fn the_process_shows_its_own_figures() {
    let page = Metrics::new(1).render().unwrap();
    for name in ["process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes"] {
        assert!(page.contains(&format!("\n{name} ")), "no {name} in\n{page}");
    }
}

#[test]
fn promtool_has_nothing_to_complain_of() {
    let metrics = Metrics::new(2);
    metrics.record(&retried(&metrics));
    metrics.record(&refused(&metrics, "/v1/chat/completions"));
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: promtool is not installed (Debian: apt install prometheus)");
            return;
        }
        Err(error) => panic!("promtool cannot be run: {error}"),
    };
    promtool.stdin.take().unwrap().write_all(metrics.render().unwrap().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
