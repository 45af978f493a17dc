//! Bytes on the wire: sizes, framing, connections that are used again.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Answer, PATIENCE, mock, request};

const CHAT: &str = "/v1/chat/completions";
const HEAD: &str = "POST /v1/rerank HTTP/1.1\r\nx-mock-echo: 1\r\nconnection: close\r\n";

/// A JSON body of exactly this many bytes.
fn sized(bytes: usize) -> Vec<u8> {
    let frame = r#"{"x":""}"#.len();
    format!(r#"{{"x":"{}"}}"#, "y".repeat(bytes - frame)).into_bytes()
}

fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut bytes = b"transfer-encoding: chunked\r\n\r\n".to_vec();
    for data in body.chunks(chunk) {
        bytes.extend(format!("{:X}\r\n", data.len()).bytes());
        bytes.extend(data);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn bodies_of_any_size_and_framing_arrive_as_they_were_sent() {
    let mock = mock("").await;
    for bytes in [8, 16 * 1024, 65_535, 65_537, 1024 * 1024, 20 * 1024 * 1024] {
        let body = sized(bytes);
        let length = format!("content-length: {bytes}\r\n\r\n").into_bytes();
        for framed in [[length, body.clone()].concat(), chunked(&body, 10_007)] {
            let echo = mock.exchange(&[HEAD.as_bytes(), &framed].concat()).await.json();
            assert_eq!(echo["body_bytes"], bytes);
            assert_eq!(echo["body_sha256"], hex::encode(Sha256::digest(&body)));
            assert_eq!(echo["body"].is_string(), bytes <= 65_536);
        }
    }
}

#[tokio::test]
async fn a_request_may_come_in_any_pieces() {
    let mock = mock("").await;
    let body = json!({ "model": "mock", "messages": [], "stream": true });
    let whole = request("POST", CHAT, "", body.to_string().as_bytes());
    let without_ids = |answer: Answer| {
        let mut events = answer.event_values();
        events.iter_mut().for_each(|event| event["id"] = Value::Null);
        events
    };
    let expected = without_ids(mock.exchange(whole.as_bytes()).await);
    for size in [1, 2, 3, 17, 64] {
        let mut stream = mock.connect().await;
        stream.set_nodelay(true).unwrap();
        for piece in whole.as_bytes().chunks(size) {
            stream.write_all(piece).await.unwrap();
        }
        assert_eq!(without_ids(Answer::read(stream).await), expected, "pieces of {size}");
    }
}

/// Reads one answer of known length and leaves the connection open.
async fn read_one(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            bytes.push(stream.read_u8().await.unwrap());
            if bytes.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let length: usize = Answer::parse(&bytes, false)
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let head = bytes.len();
        bytes.resize(head + length, 0);
        stream.read_exact(&mut bytes[head..]).await.unwrap();
    };
    timeout(PATIENCE, read).await.unwrap();
    Answer::parse(&bytes, false)
}

#[tokio::test]
async fn a_connection_is_used_again_and_may_be_pipelined() {
    let mock = mock("").await;
    let mut stream = mock.connect().await;
    let health = "GET /health HTTP/1.1\r\n\r\n";
    let wrong = "POST /v1/rerank HTTP/1.1\r\ncontent-length: 1\r\n\r\n!";
    for _ in 0..2 {
        stream.write_all([health, wrong, health].concat().as_bytes()).await.unwrap();
        for status in [200, 400, 200] {
            assert_eq!(read_one(&mut stream).await.status, status);
        }
    }
}

#[tokio::test]
async fn a_request_sent_behind_a_waiting_one_is_answered_in_its_turn() {
    let mock = mock("").await;
    let mut stream = mock.connect().await;
    stream.write_all(b"GET /health HTTP/1.1\r\nx-mock-delay-ms: 20\r\n\r\n").await.unwrap();
    mock.until(|stats| stats["open"] == 1 || stats["by_path"]["/health"] == 1).await;
    stream.write_all(b"GET /nowhere HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 200);
    assert_eq!(read_one(&mut stream).await.status, 404);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let mock = mock("").await;
    let mut stream = mock.connect().await;
    let head = "POST /v1/rerank HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 100);
    stream.write_all(b"{}").await.unwrap();
    assert_eq!(read_one(&mut stream).await.status, 400);
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let mock = mock("").await;
    let answer = mock.exchange(request("HEAD", "/health", "", b"").as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("content-length"), Some("15"));
}

#[tokio::test]
async fn an_old_client_gets_a_stream_that_ends_with_the_connection() {
    let mock = mock("tokens=2").await;
    let body = r#"{"model":"mock","messages":[],"stream":true}"#;
    let head = format!("POST {CHAT} HTTP/1.0\r\ncontent-length: {}\r\n\r\n", body.len());
    let answer = mock.exchange(format!("{head}{body}").as_bytes()).await;
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("connection"), Some("close"));
    let text = answer.text();
    assert!(text.starts_with("data: {") && text.ends_with("}\n\ndata: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_in_words() {
    let mock = mock("").await;
    let huge = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    for (bytes, status) in [("nonsense\r\n\r\n", 400), (huge.as_str(), 431)] {
        let mut stream = mock.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = Answer::read(stream).await;
        assert_eq!((answer.status, answer.complete), (status, true));
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}
