//! Requests from bytes, whole and split.

use proptest::prelude::{Strategy, any, prop, proptest};
use proptest::prop_assert_eq;

use super::{Incoming, Message};
use crate::mock::route::Route;

/// Feeds pieces and gives each request's route and body, then the refusal if there was one.
fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<(Route, Vec<u8>)>, Option<u16>) {
    let mut incoming = Incoming::new();
    let mut seen = Vec::new();
    for piece in pieces {
        incoming.space().extend_from_slice(piece);
        loop {
            match incoming.next() {
                Ok(None) => break,
                Err(refusal) => return (seen, Some(refusal.status)),
                Ok(Some(message)) => {
                    seen.push((message.head.route, incoming.body(&message).to_vec()));
                    incoming.consume(&message);
                }
            }
        }
    }
    (seen, None)
}

fn read_one(text: &str) -> Message {
    let mut incoming = Incoming::new();
    incoming.space().extend_from_slice(text.as_bytes());
    incoming.next().unwrap().unwrap()
}

#[test]
fn bodies_are_found_and_unwrapped() {
    for (text, expected) in [
        ("POST /v1/rerank HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", "abc"),
        ("POST /v1/rerank HTTP/1.1\r\n\r\n", ""),
        (
            "POST /v1/rerank HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
             2;x=y\r\nab\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n",
            "ab0123456789",
        ),
        ("POST /v1/rerank HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    ] {
        let (seen, refused) = read([text.as_bytes()]);
        assert_eq!(seen, [(Route::Rerank, expected.as_bytes().to_vec())], "{text}");
        assert_eq!(refused, None);
    }
}

#[test]
fn what_is_not_http_is_refused() {
    for (text, status) in [
        ("GET / HTTP/2.0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\ncontent-length: 999999999999\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc", 400),
    ] {
        assert_eq!(read([text.as_bytes()]), (vec![], Some(status)), "{text}");
    }
    let long = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(70_000));
    assert_eq!(read([long.as_bytes()]), (vec![], Some(431)));
}

#[test]
fn the_head_says_how_to_answer() {
    let head = read_one("GET /health HTTP/1.1\r\nX-Mock-Status: 500\r\n\r\n").head;
    assert!(head.keep_alive && head.chunked && head.settings && !head.bodiless);
    let head = read_one("HEAD /health HTTP/1.1\r\nconnection: x, Close\r\n\r\n").head;
    assert!(!head.keep_alive && head.chunked && !head.settings && head.bodiless);
    let head = read_one("GET /health HTTP/1.0\r\n\r\n").head;
    assert!(!head.keep_alive && !head.chunked);
}

#[test]
fn continue_is_wanted_once() {
    let mut incoming = Incoming::new();
    let head = b"POST /v1/rerank HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    incoming.space().extend_from_slice(head);
    assert_eq!(incoming.next(), Ok(None));
    assert!(incoming.wants_continue());
    assert!(!incoming.wants_continue());
}

/// A request of either framing, as bytes.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let path = prop::sample::select(vec!["/v1/rerank", "/v1/chat/completions", "/x"]);
    let body = prop::collection::vec(any::<u8>(), 0..200);
    (path, body, prop::option::of(1_usize..40)).prop_map(|(path, body, chunk)| {
        let mut bytes = format!("POST {path} HTTP/1.1\r\nhost: a\r\n").into_bytes();
        let Some(chunk) = chunk else {
            bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
            return bytes;
        };
        bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
        for data in body.chunks(chunk) {
            bytes.extend(format!("{:x}\r\n", data.len()).bytes());
            bytes.extend(data);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same_requests(
        requests in prop::collection::vec(request(), 1..4),
        step in 1_usize..50,
    ) {
        let bytes = requests.concat();
        let whole = read([bytes.as_slice()]);
        prop_assert_eq!(whole.0.len(), requests.len());
        prop_assert_eq!(read(bytes.chunks(step)), whole);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1_usize..9) {
        read(bytes.chunks(step));
        let head: &[u8] = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let whole = [head, &bytes].concat();
        prop_assert_eq!(read(whole.chunks(step)).1, read([whole.as_slice()]).1);
    }
}
