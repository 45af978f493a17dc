//! Bodies of every size, each way they can come, on the first attempt and on a retry: the model
//! server receives exactly the expected bytes.
//!
//! 64 KiB is where Pingora's own replay of a body ends, so the sizes lie around it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use support::answer::status;
use support::client::{Client, Length};
use support::conf::{Conf, KEY, UPSTREAM_MODEL, conf, serving};
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};
use support::wire::{exchange, wire_server};
use tokio::net::TcpListener;

const KIB: usize = 1024;
const SIZES: [usize; 6] =
    [16 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB, 20 * 1024 * KIB];
const LENGTHS: [Length; 2] = [Length::Known, Length::Unknown];

#[tokio::test]
async fn over_http_1_at_the_first_attempt() {
    let (gateway, model) = start().await;
    exact_bytes_arrive(&gateway.client(), &model, 1).await;
}

#[tokio::test]
async fn over_http_1_after_two_failures() {
    let (gateway, model) = start().await;
    exact_bytes_arrive(&gateway.client(), &model, 3).await;
}

#[tokio::test]
async fn over_http_2_at_the_first_attempt() {
    let (gateway, model) = start().await;
    exact_bytes_arrive(&gateway.client_h2c(), &model, 1).await;
}

#[tokio::test]
async fn over_http_2_after_two_failures() {
    let (gateway, model) = start().await;
    exact_bytes_arrive(&gateway.client_h2c(), &model, 3).await;
}

#[tokio::test]
async fn no_object_fits_into_no_byte_or_one() {
    let (gateway, model) = start().await;
    for client in [gateway.client(), gateway.client_h2c()] {
        for length in LENGTHS {
            for body in ["", "{"] {
                let reply = client.send(body.into(), length).await;
                println!("{body:?}, {length:?}");
                reply.assert_error(400, "invalid_body");
            }
        }
    }
    assert_eq!(model.count(), 0);
}

#[tokio::test]
async fn the_limit_is_exact() {
    let model = upstream().await;
    let limit = 100 * KIB;
    let gateway = patient(serving(&[&model])).set("server.body_bytes_max", limit).start().await;
    for client in [gateway.client(), gateway.client_h2c()] {
        for length in LENGTHS {
            let (sent, count) = (body(limit, "demo"), model.count());
            assert_eq!(client.send(sent, length).await.status, 200, "{length:?}");
            let reply = client.send(body(limit + 1, "demo"), length).await;
            println!("{length:?}");
            reply.assert_error(413, "request_too_large");
            assert_eq!(model.count(), count + 1, "what is too large reaches no model server");
        }
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    let (gateway, model) = start().await;
    let answer = exchange(gateway.address(), head(99_999_999_999).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request_too_large"), "{answer}");
    assert_eq!(model.count(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("server.body_timeout_ms", 300).start().await;
    let answer = exchange(gateway.address(), format!("{}{{", head(100)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    assert_eq!(model.count(), 0);
}

#[tokio::test]
async fn a_server_that_refuses_before_it_has_read_all_is_heard() {
    let refusal = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 37\r\n\r\n\
        {\"error\":{\"message\":\"That is a lot.\"}}";
    let (strict, patient) = (wire_server(refusal).await, upstream().await);
    let gateway = conf()
        .provider_at("strict", &[strict.url()])
        .provider("patient", &[&patient])
        .model("demo", &[("strict", UPSTREAM_MODEL)])
        .model("other", &[("patient", UPSTREAM_MODEL)])
        .start()
        .await;
    for client in [gateway.client(), gateway.client()] {
        let reply = client.send(body(20 * 1024 * KIB, "demo"), Length::Known).await;
        println!("{}", reply.text());
        assert_eq!(reply.status, 413);
        assert!(reply.text().contains("That is a lot."), "{}", reply.text());
        // The client's connection serves what comes next.
        assert_eq!(client.chat("other").await.status, 200);
    }
}

#[tokio::test]
async fn a_server_that_does_not_take_the_body_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let gateway = conf()
        .provider_at("deaf", &[format!("http://{address}/v1")])
        .model("demo", &[("deaf", UPSTREAM_MODEL)])
        .set("timeouts.total_ms", 1000)
        .start()
        .await;
    let client = gateway.client();
    let asked = client.send(body(20 * 1024 * KIB, "demo"), Length::Known);
    let held = async {
        let held = listener.accept().await.expect("a connection");
        std::future::pending::<()>().await;
        drop(held);
    };
    tokio::select! {
        reply = asked => reply.assert_error(504, "upstream_timeout"),
        () = held => unreachable!("nothing ends it"),
    };
}

async fn start() -> (Gateway, Upstream) {
    let model = upstream().await;
    let gateway = patient(serving(&[&model])).start().await;
    (gateway, model)
}

/// HTTP/2 in clear text, and no reason to give up on the only endpoint.
fn patient(conf: Conf) -> Conf {
    conf.set("server.listeners.0.h2c", true)
        .set("providers.local.passive.failures", 0)
        .set("retry.budget_min_per_second", 1000)
}

async fn exact_bytes_arrive(client: &Client, model: &Upstream, attempts: usize) {
    for size in SIZES {
        for length in LENGTHS {
            model.forget();
            for _ in 1..attempts {
                model.then(status(503));
            }
            let reply = client.send(body(size, "demo"), length).await;
            let row = format!("{size} bytes, length {length:?}, {attempts} attempts");
            assert_eq!(reply.status, 200, "{row}: {}", reply.text());
            let (received, expected) = (model.requests(), body(size, UPSTREAM_MODEL));
            assert_eq!(received.len(), attempts, "{row}");
            for request in received {
                assert_eq!(request.header("content-length"), expected.len().to_string(), "{row}");
                // Not `assert_eq`: nobody wants to read 20 MiB.
                assert!(request.body == expected, "{row}: other bytes arrived");
            }
        }
    }
}

/// A chat for a model. For the alias it has exactly `size` bytes; for another name, the same text.
fn body(size: usize, model: &str) -> Bytes {
    let text = |model: &str| {
        (
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":""#),
            r#""}],"temperature":0.5}"#,
        )
    };
    let (start, end) = text("demo");
    let filler = size - start.len() - end.len();
    let (start, end) = text(model);
    let mut body = start.into_bytes();
    // A sequence that does not repeat within any size here: pieces out of order would show.
    let mut state = 0x2545_f491_u32;
    body.extend((0..filler).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + u8::try_from((state >> 24) % 26).expect("a letter")
    }));
    body.extend_from_slice(end.as_bytes());
    body.into()
}

fn head(length: u64) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )
}
