//! The test harness by itself: clients against simulated model servers, with no gateway between.
//!
//! What is seen through a gateway is only worth something if the two ends tell the truth.

use support::answer::{close, hang, json, ok, sse, status, status_with};
use support::client::{Client, Length, chat};
use support::conf::{conf, serving};
use support::gate::Gate;
use support::port::Port;
use support::tls::Authority;
use support::upstream::{Upstream, tls_upstream, upstream};
use support::wire::{exchange, wire_server};
use support::{Method, Version};

fn client(upstream: &Upstream) -> Client {
    Client::new(format!("http://{}", upstream.address()))
}

#[tokio::test]
async fn the_script_is_followed_and_then_the_standing_answer() {
    let model = upstream().await;
    model.then(status(503)).then(status_with(429, &[("retry-after", "7")])).always(ok());
    let client = client(&model);
    assert_eq!(client.chat("m").await.status, 503);
    let limited = client.chat("m").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
    assert_eq!(client.chat("m").await.content(), "Hello from upstream");
    assert_eq!(
        model.requests().iter().map(|request| request.model()).collect::<Vec<_>>(),
        ["m", "m", "m"]
    );
}

#[tokio::test]
async fn a_stream_has_every_event_and_an_end() {
    let model = upstream().await;
    let told = client(&model).stream("m").await.rest().await;
    assert!(told.is_whole(), "{told:?}");
    assert_eq!(told.events.len(), 6);
}

#[tokio::test]
async fn a_cut_leaves_the_events_before_it() {
    let model = upstream().await;
    for count in 0..3 {
        model.then(sse(["1", "2", "3"]).cut_after(count));
        let told = client(&model).stream("m").await.rest().await;
        assert!(told.broken.is_some(), "{told:?}");
        assert_eq!(told.events, ["1", "2"][..count.min(2)], "cut after {count}");
    }
}

#[tokio::test]
async fn a_gate_holds_an_event() {
    let (model, gate) = (upstream().await, Gate::new());
    model.then(sse(["1", "2"]).held_at(1, &gate));
    let mut events = client(&model).stream("m").await;
    assert_eq!(events.next().await.unwrap().as_deref(), Some("1"));
    gate.reached_by(1).await;
    gate.open();
    assert_eq!(events.rest().await.events, ["2"]);
    assert_eq!(model.cancellations(), 0);
}

#[tokio::test]
async fn a_caller_that_leaves_is_noticed_before_headers_and_in_mid_stream() {
    let (model, gate) = (upstream().await, Gate::new());
    for client in [client(&model), Client::h2c(format!("http://{}", model.address()))] {
        model.then(hang()).then(sse(["1", "2"]).held_at(1, &gate));
        let before = model.cancellations();
        let asking = tokio::spawn({
            let client = client.clone();
            async move { client.chat("m").await.status }
        });
        model.received(model.count() + 1).await;
        asking.abort();
        model.cancelled(before + 1).await;
        let mut events = client.stream("m").await;
        assert_eq!(events.next().await.unwrap().as_deref(), Some("1"));
        drop(events);
        model.cancelled(before + 2).await;
    }
}

#[tokio::test]
async fn bodies_arrive_as_they_were_sent() {
    let model = upstream().await;
    let h2c = Client::h2c(format!("http://{}", model.address()));
    for (client, version) in [(client(&model), "HTTP/1.1"), (h2c, "HTTP/2.0")] {
        for length in [Length::Known, Length::Unknown] {
            model.forget();
            let body = bytes::Bytes::from(vec![b'x'; 100_000]);
            client.send(body.clone(), length).await;
            let request = model.only_request();
            assert_eq!(request.body, body);
            assert_eq!(format!("{:?}", request.version), version);
            let declared = request.headers.contains_key("content-length");
            assert_eq!(declared, length == Length::Known, "{length:?} {version}");
        }
    }
}

#[tokio::test]
async fn a_killed_server_refuses_and_a_revived_one_answers() {
    let model = upstream().await;
    let client = client(&model);
    assert_eq!(client.chat("m").await.status, 200);
    model.kill();
    let request = client.request(Method::POST, "/v1/chat/completions");
    assert!(request.json(&chat("m")).send().await.is_err());
    model.revive();
    assert_eq!(client.chat("m").await.status, 200);
    model.then(close());
    let request = client.request(Method::POST, "/v1/chat/completions");
    assert!(request.json(&chat("m")).send().await.is_err());
}

#[tokio::test]
async fn tls_is_spoken_with_the_offered_version() {
    let authority = Authority::new();
    let identity = || authority.issue("127.0.0.1");
    for (identity, version) in
        [(identity(), Version::HTTP_2), (identity().http1_only(), Version::HTTP_11)]
    {
        let model = tls_upstream(identity).await;
        let client = Client::tls(format!("https://{}", model.address()), authority.pem());
        assert_eq!(client.chat("m").await.version, version);
    }
}

#[tokio::test]
async fn health_is_answered_and_not_recorded() {
    let model = upstream().await;
    model.health(503).then(json(&serde_json::json!({"kept": true})));
    assert_eq!(client(&model).get("/health").await.status, 503);
    assert_eq!(model.count(), 0);
    assert_eq!(client(&model).chat("m").await.json()["kept"], true);
}

#[tokio::test]
async fn raw_bytes_go_both_ways() {
    let server = wire_server(b"not HTTP at all\r\n").await;
    let address = server.url().replace("http://", "").replace("/v1", "").parse().unwrap();
    assert_eq!(exchange(address, b"GET / HTTP/1.1\r\n\r\n").await, "not HTTP at all\r\n");
}

#[tokio::test]
async fn a_reserved_port_is_nobody_elses() {
    let ports: Vec<Port> = (0..64).map(|_| Port::reserve()).collect();
    let numbers: std::collections::BTreeSet<_> = ports.iter().map(|port| port.address()).collect();
    assert_eq!(numbers.len(), ports.len());
    assert!(tokio::net::TcpStream::connect(ports[0].address()).await.is_err());
}

#[tokio::test]
async fn a_configuration_is_what_was_set() {
    let model = upstream().await;
    let yaml = serving(&[&model]).set("models.demo.candidates.0.weight", 3).yaml();
    assert!(yaml.contains("weight: 3"), "{yaml}");
    assert!(yaml.contains(&model.url()), "{yaml}");
    assert!(conf().set("timeouts.total_ms", 5).yaml().contains("total_ms: 5"));
}
