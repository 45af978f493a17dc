//! Framing as a table and for any split of the bytes; connections on real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::connectors::http::custom::{Connection, Connector as _};
use pingora::http::RequestHeader;
use pingora::protocols::http::custom::client::Session as _;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, Result};
use proptest::prelude::{any, prop, proptest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::body::{Body, Chunk};
use super::session::Session;
use super::{Connector, Kept, head};

const MINUTE: Duration = Duration::from_secs(60);

/// All that a body gives of bytes that come in these parts.
fn read(mut body: Body, parts: &[&[u8]]) -> Result<(Vec<Bytes>, Body), String> {
    let mut buffer = BytesMut::new();
    let mut pieces = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        pieces.push(body.take(&mut buffer)?);
    }
    pieces.retain(|piece| !piece.is_empty());
    Ok((pieces, body))
}

#[test]
fn chunks_that_came_together_are_one_piece() {
    let wire = b"5\r\nhello\r\n1;ext=1\r\n,\r\n6 \r\n world\r\n0\r\nx-trailer: 1\r\n\r\n";
    let (pieces, body) = read(Body::Chunked(Chunk::Size), &[wire]).unwrap();
    assert_eq!((pieces, body), (vec![Bytes::from("hello, world")], Body::Complete));
}

#[test]
fn what_follows_a_body_stays_in_the_buffer() {
    for (mut body, wire) in [
        (Body::Length(2), &b"abHTTP"[..]),
        (Body::Chunked(Chunk::Size), &b"2\r\nab\r\n0\r\n\r\nHTTP"[..]),
    ] {
        let mut buffer = BytesMut::from(wire);
        assert_eq!(body.take(&mut buffer).unwrap(), "ab");
        assert_eq!((body, &buffer[..]), (Body::Complete, &b"HTTP"[..]));
    }
}

#[test]
fn broken_framing_is_refused() {
    let long = "1".repeat(2000);
    let extension = format!("1;{}", "x".repeat(2000));
    let trailer = format!("0\r\n{}", "a: b\r\n".repeat(4000));
    for wire in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "1\nab",
        "1\r\nabc",
        "0\r\na\nb",
        "1\r\na\nb",
        &long,
        &extension,
        &trailer,
        "ffffffffffffffff\r\n",
    ] {
        let body = read(Body::Chunked(Chunk::Size), &[wire.as_bytes()]);
        assert!(body.is_err(), "{:?}", wire.get(..20));
    }
}

proptest! {
    #[test]
    fn any_split_of_chunks_gives_the_same_bytes(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
        cuts in prop::collection::vec(1usize..40, 1..8),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let mut parts = Vec::new();
        let (mut rest, mut cuts) = (&wire[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (part, left) = rest.split_at(cuts.next().copied().unwrap().min(rest.len()));
            parts.push(part);
            rest = left;
        }
        let (pieces, body) = read(Body::Chunked(Chunk::Size), &parts).unwrap();
        assert_eq!(pieces.concat(), chunks.concat());
        assert_eq!(body, Body::Complete);
    }

    #[test]
    fn garbage_is_an_error_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(Body::Chunked(Chunk::Size), &[&bytes]);
        let _ = head::read(&mut BytesMut::from(&bytes[..]));
    }
}

#[test]
fn a_head_says_where_its_body_ends_and_whether_the_connection_stays() {
    use Body::{Chunked, Complete, Length, UntilClose};
    let table: [(&str, Body, bool); 13] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", Length(7), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Complete, true),
        ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", Chunked(Chunk::Size), true),
        ("HTTP/1.1 200 OK\r\n\r\n", UntilClose, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", Complete, true),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", Complete, true),
        ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", Complete, true),
        ("HTTP/1.1 200 OK\r\nconnection: a, Close\r\ncontent-length: 7\r\n\r\n", Length(7), false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 7\r\n\r\n", Length(7), false),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 7\r\n\r\n", Length(7), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 7\r\n\r\n", Length(7), true),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n",
            Chunked(Chunk::Size),
            false,
        ),
        ("HTTP/1.1 200 OK\r\nx: caf\u{e9}\r\ncontent-length: 1\r\n\r\n", Length(1), true),
    ];
    for (text, body, keep_alive) in table {
        let mut buffer = BytesMut::from(text);
        let answer = head::read(&mut buffer).unwrap().unwrap();
        assert_eq!((answer.body, answer.keep_alive), (body, keep_alive), "{text}");
        assert!(buffer.is_empty());
        let mut half = BytesMut::from(&text[..text.len() - 1]);
        assert!(head::read(&mut half).unwrap().is_none(), "{text}");
    }
}

#[test]
fn what_is_no_head_is_refused() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(head::HEAD_BYTES_MAX));
    for text in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +7\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        &many,
        &long,
    ] {
        assert!(head::read(&mut BytesMut::from(text)).is_err(), "{:?}", text.get(..60));
    }
}

/// A server of one connection, and the client's end of it.
async fn connected() -> (TcpStream, Session) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, Session::new(client))
}

async fn ask(session: &mut Session, body: &str) {
    let mut request = RequestHeader::build("POST", b"/v1/x?y=%20z", None).unwrap();
    request.insert_header("Host", "model").unwrap();
    session.write_request_header(Box::new(request), false).await.unwrap();
    let mut writer = session.take_request_body_writer().unwrap();
    writer.write_all_buf(&mut Bytes::from(body.to_owned())).await.unwrap();
    writer.finish().await.unwrap();
}

async fn answer(session: &mut Session) -> Result<(StatusCode, Vec<u8>)> {
    session.read_response_header().await?;
    let mut body = Vec::new();
    while let Some(bytes) = session.read_response_body().await? {
        body.extend_from_slice(&bytes);
    }
    Ok((session.response_header().unwrap().status, body))
}

/// What a session makes of an answer, after which the server has closed: the answer or its
/// error, and whether the connection could be used again.
async fn answered(wire: &str) -> (Result<(StatusCode, Vec<u8>), ErrorType>, bool) {
    let (mut server, mut session) = connected().await;
    ask(&mut session, "body").await;
    server.write_all(wire.as_bytes()).await.unwrap();
    drop(server.shutdown().await);
    let answered = answer(&mut session).await.map_err(|error| error.etype().clone());
    (answered, session.renew())
}

#[tokio::test]
async fn a_request_arrives_whole_and_its_connection_serves_the_next() {
    let (mut server, mut session) = connected().await;
    for turn in 0..3 {
        ask(&mut session, "body").await;
        let expected = "POST /v1/x?y=%20z HTTP/1.1\r\nHost: model\r\n\r\nbody";
        let mut received = vec![0; expected.len()];
        server.read_exact(&mut received).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&received).to_lowercase(), expected.to_lowercase());
        let wire = format!("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nturn {turn}");
        server.write_all(wire.as_bytes()).await.unwrap();
        let (status, body) = answer(&mut session).await.unwrap();
        assert_eq!((status, body), (StatusCode::OK, format!("turn {turn}").into_bytes()));
        assert!(session.renew());
    }
}

#[tokio::test]
async fn an_answer_is_whole_or_an_error() {
    let ok = |body: &str| Ok((StatusCode::OK, body.as_bytes().to_vec()));
    let table = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", ok("ab"), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc", ok("ab"), false),
        ("HTTP/1.1 200 OK\r\n\r\nabc", ok("abc"), false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", ok("a"), true),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab", ok("ab"), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", Err(ErrorType::ConnectionClosed), false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
            Err(ErrorType::ConnectionClosed),
            false,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-le", Err(ErrorType::ConnectionClosed), false),
        ("", Err(ErrorType::ConnectionClosed), false),
        ("garbage\r\n\r\n", Err(ErrorType::InvalidHTTPHeader), false),
    ];
    for (wire, expected, reusable) in table {
        assert_eq!(answered(wire).await, (expected, reusable), "{wire:?}");
    }
}

#[tokio::test]
async fn an_interim_answer_comes_before_the_final_one() {
    let (mut server, mut session) = connected().await;
    ask(&mut session, "").await;
    let wire = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    server.write_all(wire.as_bytes()).await.unwrap();
    session.read_response_header().await.unwrap();
    assert_eq!(session.response_header().unwrap().status, StatusCode::EARLY_HINTS);
    assert!(!session.check_response_end_or_error(true).await.unwrap());
    assert_eq!(answer(&mut session).await.unwrap(), (StatusCode::OK, Vec::new()));
    assert!(session.check_response_end_or_error(true).await.unwrap());
}

#[tokio::test]
async fn a_connection_whose_request_was_not_sent_whole_is_not_used_again() {
    let (mut server, mut session) = connected().await;
    let request = RequestHeader::build("POST", b"/", None).unwrap();
    session.write_request_header(Box::new(request), false).await.unwrap();
    let _body = session.take_request_body_writer();
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    answer(&mut session).await.unwrap();
    assert!(!session.renew());
}

#[tokio::test]
async fn a_request_that_is_not_taken_times_out() {
    let (_server, mut session) = connected().await;
    session.set_write_timeout(Some(Duration::from_millis(20)));
    let request = RequestHeader::build("POST", b"/", None).unwrap();
    session.write_request_header(Box::new(request), false).await.unwrap();
    let mut body = session.take_request_body_writer().unwrap();
    let error = body.write_all_buf(&mut Bytes::from(vec![0; 64 << 20])).await.unwrap_err();
    assert_eq!(*error.etype(), ErrorType::WriteTimedout);
}

/// A session that has had an answer, with its server's end.
async fn used() -> (TcpStream, Session) {
    let (mut server, mut session) = connected().await;
    ask(&mut session, "").await;
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    answer(&mut session).await.unwrap();
    assert!(session.renew());
    (server, session)
}

/// Waits until the event loop knows that something has come.
async fn until_told(session: &Session) {
    while session.is_quiet() {
        tokio::task::yield_now().await;
    }
}

fn somewhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[tokio::test]
async fn kept_connections_are_taken_last_first_until_they_grow_old() {
    let kept = Kept::new(1, 2);
    let now = Instant::now();
    let mut servers = Vec::new();
    for seconds in [10, 20, 30] {
        let (server, session) = used().await;
        servers.push(server);
        kept.put(somewhere(), session, now + Duration::from_secs(seconds));
    }
    // The third found no room; the first is too old by now.
    let later = now + Duration::from_secs(15);
    assert!(kept.take(SocketAddr::from(([127, 0, 0, 1], 2)), later).is_none());
    assert!(kept.take(somewhere(), later).is_some());
    assert!(kept.take(somewhere(), later).is_none());
    let (_server, session) = used().await;
    kept.put(somewhere(), session, now + MINUTE);
    kept.sweep(now + MINUTE);
    assert!(kept.take(somewhere(), now).is_none());
}

#[tokio::test]
async fn a_connection_that_its_server_closed_or_wrote_to_is_not_taken() {
    let now = Instant::now();
    for says_something in [true, false] {
        let kept = Kept::new(1, 10);
        let (mut server, session) = used().await;
        if says_something {
            server.write_all(b"HTTP/1.1 408 Timeout\r\n\r\n").await.unwrap();
        } else {
            drop(server);
        }
        until_told(&session).await;
        kept.put(somewhere(), session, now + MINUTE);
        assert!(kept.take(somewhere(), now).is_none(), "says something: {says_something}");
    }
}

#[tokio::test]
async fn a_connector_connects_once_and_then_takes_what_was_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = HttpPeer::new(listener.local_addr().unwrap(), false, String::new());
    let connector = Connector::new(Arc::new(Kept::new(1, 10)));
    assert!(connector.reused_http_session(&peer).await.is_none());
    let (connection, reused) = connector.get_http_session(&peer).await.unwrap();
    let Connection::Session(mut session) = connection else { panic!("a session is wanted") };
    assert!(!reused);
    let (mut server, _) = listener.accept().await.unwrap();
    ask(&mut session, "").await;
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    answer(&mut session).await.unwrap();
    connector.release_http_session(session, &peer, Some(MINUTE)).await;
    assert!(connector.reused_http_session(&peer).await.is_some());
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = HttpPeer::new(listener.local_addr().unwrap(), false, String::new());
    drop(listener);
    let connector = Connector::new(Arc::new(Kept::new(1, 10)));
    let error = connector.get_http_session(&peer).await.map(|_| ()).unwrap_err();
    assert_eq!(*error.etype(), ErrorType::ConnectRefused);
}
