//! Model servers that fail, and what the client gets: the table of faults in the documentation,
//! row by row, then retries, fallback, their bounds, and recovery.

use std::time::{Duration, Instant};

use serde_json::json;
use support::answer::{Answer, close, hang, ok, sse, status, status_with};
use support::conf::{Conf, conf, serving};
use support::gate::Gate;
use support::port::Port;
use support::upstream::{Upstream, upstream};
use support::wait::PATIENCE;
use support::wire::wire_server;

/// Each way to fail before the first byte: its name, the answer, how often the only endpoint is
/// asked of two times at most, and the client's status and code in the end.
fn faults() -> [(&'static str, Answer, usize, u16, &'static str); 8] {
    [
        ("hung", hang(), 2, 504, "upstream_timeout"),
        ("closed", close(), 2, 502, "upstream_broken"),
        ("500", status(500), 2, 502, "upstream_error"),
        ("502", status(502), 2, 502, "upstream_error"),
        ("503", status(503), 2, 502, "upstream_error"),
        ("504", status(504), 2, 502, "upstream_error"),
        ("529", status(529), 2, 502, "upstream_error"),
        // Who says that it is asked too often is not asked again at once.
        ("429", status(429), 1, 429, "rate_limit_exceeded"),
    ]
}

#[tokio::test]
async fn a_fault_of_the_only_endpoint_is_an_error_that_names_it() {
    let model = upstream().await;
    let gateway = alone(&model).set("retry.attempts_max", 2).start().await;
    for (fault, answer, attempts, code, text) in faults() {
        let before = model.count();
        model.always(answer);
        let reply = gateway.client().chat("demo").await;
        println!("{fault}");
        reply.assert_error(code, text);
        assert_eq!(model.count() - before, attempts, "{fault}: attempts");
        assert!(!reply.text().contains("127.0.0.1"), "no address is told: {}", reply.text());
    }
}

#[tokio::test]
async fn a_fault_of_one_endpoint_is_not_seen_where_another_works() {
    for (fault, answer, ..) in faults() {
        let (bad, good) = (upstream().await, upstream().await);
        bad.always(answer);
        let gateway = eager(serving(&[&bad, &good])).start().await;
        for _ in 0..6 {
            let reply = gateway.client().chat("demo").await;
            assert_eq!(reply.status, 200, "{fault}: {}", reply.text());
            let told = gateway.client().stream("demo").await.rest().await;
            assert!(told.is_whole(), "{fault}: {told:?}");
        }
        assert!(bad.count() > 0, "{fault}: the bad endpoint was tried");
    }
}

#[tokio::test]
async fn a_killed_endpoint_is_an_error_alone_and_unseen_beside_another() {
    let (bad, good) = (upstream().await, upstream().await);
    let gateway = alone(&bad).start().await;
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    bad.kill();
    gateway.client().chat("demo").await.assert_error(502, "upstream_unreachable");
    let gateway = eager(serving(&[&bad, &good])).start().await;
    for _ in 0..6 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    assert_eq!(good.count(), 6);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_fault() {
    let garbage: [&[u8]; 3] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-le",
    ];
    for answer in garbage {
        let (bad, good) = (wire_server(answer).await, upstream().await);
        let gateway = eager(served_at(&[bad.url()])).start().await;
        println!("{}", String::from_utf8_lossy(answer));
        gateway.client().chat("demo").await.assert_error(502, "upstream_broken");
        let gateway = eager(served_at(&[bad.url(), good.url()])).start().await;
        for _ in 0..4 {
            assert_eq!(gateway.client().chat("demo").await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_whole_answer_that_breaks_off_is_not_a_success() {
    let short =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let bad = wire_server(short).await;
    let gateway = eager(served_at(&[bad.url()])).start().await;
    let request = gateway.client().request(support::Method::POST, "/v1/chat/completions");
    let reply = support::reply::Reply::attempt(request.json(&support::client::chat("demo"))).await;
    assert!(reply.is_err() || reply.as_ref().is_ok_and(|reply| reply.status == 502), "{reply:?}");
}

#[tokio::test]
async fn a_slow_endpoint_is_waited_for() {
    let model = upstream().await;
    let gateway = alone(&model).set("timeouts.first_byte_ms", 20_000).start().await;
    model.then(ok().late_by(Duration::from_millis(700)));
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    model.then(ok().paced(Duration::from_millis(150)));
    assert!(gateway.client().stream("demo").await.rest().await.is_whole());
    assert_eq!(model.count(), 2, "nothing was tried again");
}

#[tokio::test]
async fn the_gateways_own_credential_refused_is_not_the_callers_fault() {
    let model = upstream().await;
    let gateway = alone(&model).start().await;
    for code in [401, 403] {
        model.always(status(code));
        let reply = gateway.client().chat("demo").await;
        reply.assert_error(502, "upstream_credential");
        assert_eq!(reply.header("x-should-retry"), "false", "asking again cannot help");
    }
}

#[tokio::test]
async fn a_refusal_of_the_request_itself_is_passed_on_and_not_retried() {
    let model = upstream().await;
    let gateway = alone(&model).start().await;
    for code in [400, 404, 409, 422] {
        let before = model.count();
        model.always(status(code));
        let reply = gateway.client().chat("demo").await;
        assert_eq!(reply.status, code, "{}", reply.text());
        assert_eq!(reply.error_message(), format!("simulated {code}"));
        assert_eq!(model.count() - before, 1, "{code} is not tried again");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_and_never_begun_again() {
    let (bad, good) = (upstream().await, upstream().await);
    let gateway = eager(conf().provider("bad", &[&bad]).provider("good", &[&good]))
        .model("demo", &[("bad", "m"), ("good", "m")])
        .set("models.demo.candidates.1.priority", 1)
        .start()
        .await;
    let held = Gate::new();
    let event = r#"{"choices":[{"delta":{"content":"x"}}]}"#;
    let breaks = [
        ("cut", sse([event, event, "[DONE]"]).cut_after(1)),
        ("ended early", sse([event])),
        ("hung", sse([event, event, "[DONE]"]).held_at(1, &held)),
    ];
    for (fault, answer) in breaks {
        bad.always(answer);
        let told = gateway.client().stream("demo").await.rest().await;
        assert!(told.failed(), "{fault}: {told:?}");
        assert_eq!(told.events.first().map(String::as_str), Some(event), "{fault}: {told:?}");
        assert!(!told.events.iter().any(|event| event == "[DONE]"), "{fault}: {told:?}");
    }
    assert_eq!(good.count(), 0, "no other endpoint goes on with a stream");
}

#[tokio::test]
async fn the_next_priority_serves_with_its_own_model() {
    let (first, second) = (upstream().await, upstream().await);
    let gateway = eager(conf().provider("first", &[&first]).provider("second", &[&second]))
        .model("demo", &[("first", "large"), ("second", "small")])
        .set("models.demo.candidates.1.priority", 1)
        .start()
        .await;
    for _ in 0..5 {
        gateway.client().chat("demo").await;
    }
    assert_eq!((first.count(), second.count()), (5, 0), "the second waits for its turn");
    first.always(status(503));
    let reply = gateway.client().chat("demo").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(first.last_request().model(), "large");
    assert_eq!(second.only_request().model(), "small");
    let line = gateway.logged(&reply).await;
    let outcomes = line["attempts"].as_array().expect("attempts").len();
    assert_eq!((outcomes, &line["upstream_model"]), (2, &json!("small")), "{line}");
}

#[tokio::test]
async fn all_limited_is_429_with_the_smallest_retry_after() {
    let (one, two) = (upstream().await, upstream().await);
    one.always(status_with(429, &[("retry-after", "30")]));
    two.always(status_with(429, &[("retry-after", "7")]));
    let gateway = eager(serving(&[&one, &two])).start().await;
    let reply = gateway.client().chat("demo").await;
    reply.assert_error(429, "rate_limit_exceeded");
    assert_eq!(reply.header("retry-after"), "7");
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_says_when_to_come_back_is_not_asked_again_before() {
    let (busy, good) = (upstream().await, upstream().await);
    busy.always(status_with(503, &[("retry-after", "7")]));
    let gateway = alone(&busy).start().await;
    let reply = gateway.client().chat("demo").await;
    reply.assert_error(502, "upstream_error");
    assert_eq!((busy.count(), reply.header("retry-after")), (1, "7"));
    let gateway = eager(serving(&[&busy, &good])).start().await;
    for _ in 0..4 {
        assert_eq!(gateway.client().chat("demo").await.status, 200, "another can be asked");
    }
}

#[tokio::test]
async fn a_limited_endpoint_is_left_alone_for_as_long_as_it_asked() {
    let (limited, other) = (upstream().await, upstream().await);
    limited.then(status_with(429, &[("retry-after", "60")]));
    let gateway = eager(serving(&[&limited, &other])).start().await;
    for _ in 0..20 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
        if limited.count() == 1 {
            break;
        }
    }
    for _ in 0..20 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    assert_eq!(limited.count(), 1);
}

#[tokio::test]
async fn attempts_are_bounded() {
    let model = upstream().await;
    model.always(status(503));
    for attempts in [1, 2, 4] {
        let gateway = alone(&model).set("retry.attempts_max", attempts).start().await;
        let before = model.count();
        gateway.client().chat("demo").await.assert_error(502, "upstream_error");
        assert_eq!(model.count() - before, attempts);
    }
}

#[tokio::test]
async fn a_status_that_is_not_chosen_is_not_tried_again() {
    let model = upstream().await;
    let gateway = alone(&model).set("retry.statuses", json!([503])).start().await;
    model.always(status(500));
    assert!(gateway.client().chat("demo").await.status >= 500);
    assert_eq!(model.count(), 1);
}

#[tokio::test]
async fn retries_are_a_share_of_requests() {
    let model = upstream().await;
    model.always(status(503));
    let gateway = alone(&model)
        .set("retry.budget_percent", 10)
        .set("retry.budget_min_per_second", 0)
        .start()
        .await;
    let client = gateway.client();
    for _ in 0..100 {
        client.chat("demo").await.assert_error(502, "upstream_error");
    }
    let retries = model.count() - 100;
    assert!((1..=10).contains(&retries), "{retries} retries for 100 requests at 10 %");
}

#[tokio::test]
async fn an_endpoint_that_failed_is_asked_again_only_after_a_wait_and_another_at_once() {
    let (bad, good) = (upstream().await, upstream().await);
    bad.then(status(503)).always(ok());
    let gateway = alone(&bad).set("retry.backoff_ms", 400).start().await;
    let start = Instant::now();
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    assert_eq!(bad.count(), 2);
    assert!(start.elapsed() >= Duration::from_millis(200), "took {:?}", start.elapsed());

    bad.always(status(503));
    let patient = |conf: Conf| conf.set("retry.backoff_ms", 10_000);
    let gateway = patient(eager(serving(&[&bad, &good]))).start().await;
    let start = Instant::now();
    for _ in 0..4 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());

    // What could only begin after the request's time is not waited for.
    let before = bad.count();
    let gateway = patient(alone(&bad)).set("timeouts.total_ms", 4000).start().await;
    let start = Instant::now();
    gateway.client().chat("demo").await.assert_error(502, "upstream_error");
    assert_eq!(bad.count() - before, 1);
    assert!(start.elapsed() < Duration::from_secs(4), "took {:?}", start.elapsed());
}

#[tokio::test]
async fn the_whole_time_bounds_all_attempts() {
    let model = upstream().await;
    model.always(hang());
    let gateway = alone(&model)
        .set("timeouts.first_byte_ms", 400)
        .set("timeouts.total_ms", 600)
        .set("retry.attempts_max", 16)
        .start()
        .await;
    let start = Instant::now();
    gateway.client().chat("demo").await.assert_error(504, "upstream_timeout");
    assert!(model.count() <= 2, "{} attempts of 400 ms in 600 ms", model.count());
    assert!(start.elapsed() < PATIENCE / 3, "took {:?}", start.elapsed());
}

#[tokio::test]
async fn the_whole_time_bounds_a_stream() {
    let model = upstream().await;
    // It would go on for minutes, and is never silent for as long as a timeout.
    let endless = sse(vec!["{\"choices\":[]}"; 2000]).paced(Duration::from_millis(100));
    model.always(endless);
    let gateway = alone(&model).set("timeouts.total_ms", 1500).start().await;
    let told = gateway.client().stream("demo").await.rest().await;
    assert!(told.failed(), "{told:?}");
    model.cancelled(1).await;
}

#[tokio::test]
async fn all_endpoints_down_is_an_error_and_recovery_is_found_again() {
    let (one, two) = (upstream().await, upstream().await);
    let gateway = eager(serving(&[&one, &two]))
        .set(
            "providers.local.passive",
            json!({
                "failures": 1, "eject_ms": 50, "eject_max_ms": 50, "slow_start_ms": 0,
            }),
        )
        .start()
        .await;
    one.kill();
    two.kill();
    for _ in 0..3 {
        gateway.client().chat("demo").await.assert_error(502, "upstream_unreachable");
    }
    one.revive();
    two.revive();
    // The least bad is tried even while all are ejected, so the first request already succeeds.
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    support::wait::eventually("both endpoints to serve again", async || {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
        (one.count() > 0 && two.count() > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_that_nobody_listens_on_costs_no_time() {
    let (dead, good) = (Port::reserve(), upstream().await);
    let urls = [format!("http://{}/v1", dead.address()), good.url()];
    let gateway = eager(served_at(&urls)).start().await;
    for _ in 0..10 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
}

/// One endpoint that is never ejected, short times, and retries for everyone.
fn alone(model: &Upstream) -> Conf {
    eager(serving(&[model])).set("providers.local.passive.failures", 0)
}

fn served_at(urls: &[String]) -> Conf {
    conf().provider_at("local", urls).model("demo", &[("local", "m")])
}

/// Short times, and no bound on retries but the number of attempts.
fn eager(conf: Conf) -> Conf {
    conf.set("timeouts", json!({"first_byte_ms": 500, "between_bytes_ms": 500}))
        .set("retry.budget_min_per_second", 1000)
}
