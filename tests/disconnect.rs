//! A client that leaves cancels its request at the model server at once: nobody pays for tokens
//! that nobody reads.

use reqwest::Method;
use support::answer::{bytes, hang, sse};
use support::client::{Client, chat};
use support::conf::serving;
use support::gate::Gate;
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};

/// Every way a client can be connected.
async fn start() -> (Gateway, Upstream, [Client; 2]) {
    let model = upstream().await;
    // Times are long: if the gateway cancels only when one of them is over, the test fails.
    let conf = serving(&[&model]).set("server.listeners.0.h2c", true);
    let gateway = conf.set("timeouts.first_byte_ms", 600_000).start().await;
    let clients = [gateway.client(), gateway.client_h2c()];
    (gateway, model, clients)
}

#[tokio::test]
async fn before_the_answers_header() {
    let (gateway, model, clients) = start().await;
    model.always(hang());
    for (number, client) in (1..).zip(clients) {
        let asking = tokio::spawn(async move { client.chat("demo").await.status });
        model.received(number).await;
        asking.abort();
        model.cancelled(number).await;
    }
    assert_eq!(model.count(), 2, "a request whose client left is not tried again");
    for line in gateway.access_log(2).await {
        assert_eq!((&line["status"], &line["error"]), (&499.into(), &"client_gone".into()));
    }
}

#[tokio::test]
async fn before_the_header_of_a_stream() {
    let (_gateway, model, clients) = start().await;
    model.always(hang());
    for (number, client) in (1..).zip(clients) {
        let asking = tokio::spawn(async move { client.stream("demo").await.status });
        model.received(number).await;
        asking.abort();
        model.cancelled(number).await;
    }
}

#[tokio::test]
async fn in_mid_stream() {
    let (gateway, model, clients) = start().await;
    let held = Gate::new();
    model.always(sse(["{\"choices\":[]}", "[DONE]"]).held_at(1, &held));
    for (number, client) in (1..).zip(clients) {
        let mut events = client.stream("demo").await;
        events.next().await.expect("an open stream").expect("an event");
        drop(events);
        model.cancelled(number).await;
    }
    for line in gateway.access_log(2).await {
        assert_eq!((&line["status"], &line["error"]), (&200.into(), &"client_gone".into()));
    }
}

#[tokio::test]
async fn other_streams_of_the_same_connection_go_on() {
    let (_gateway, model, [_, client]) = start().await;
    let held = Gate::new();
    model.always(sse(["{\"choices\":[]}", "[DONE]"]).held_at(1, &held));
    let (mut leaving, mut staying) = (client.stream("demo").await, client.stream("demo").await);
    leaving.next().await.expect("an open stream");
    staying.next().await.expect("an open stream");
    drop(leaving);
    model.cancelled(1).await;
    held.open();
    assert!(staying.rest().await.is_whole());
    assert_eq!(model.cancellations(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_at_the_end_of_its_time() {
    let model = upstream().await;
    // More than all buffers on the way hold.
    model.always(bytes("audio/mpeg", vec![0; 64 << 20]));
    let gateway = serving(&[&model])
        .set("timeouts.total_ms", 1_000)
        .set("server.listeners.0.h2c", true)
        .start()
        .await;
    let mut unread = Vec::new();
    for client in [gateway.client(), gateway.client_h2c()] {
        let speech = client.request(Method::POST, "/v1/audio/speech").json(&chat("demo"));
        unread.push(speech.send().await.expect("the answer's header"));
    }
    for line in gateway.access_log(2).await {
        assert_eq!((&line["status"], &line["error"]), (&200.into(), &"client_gone".into()));
    }
}
