//! Contexts in other formats than JSON, and bodies that are compressed.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::Write;

use serde_json::{Value, json};
use support::Method;
use support::conf::serving;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};

const LIST: &str = "/v1/contexts";
const PACK: &str = "application/msgpack";

async fn start() -> (Upstream, Gateway) {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("server.body_bytes_max", 1 << 20).start().await;
    (model, gateway)
}

fn packed(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("MessagePack")
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).expect("gzip");
    writer.finish().expect("gzip")
}

#[tokio::test]
async fn a_context_is_made_changed_and_read_in_message_pack() {
    let (_model, gateway) = start().await;
    let client = gateway.client();
    let new = json!({"id": "c", "messages": [{"role": "user", "content": "Hi"}], "data": {"n": 1}});
    let request = client.request(Method::POST, LIST).header("content-type", PACK);
    assert_eq!(Reply::from(request.body(packed(&new))).await.status, 201);
    let merge = packed(&json!({"merge": {"n": 2}}));
    let request = client.request(Method::PATCH, "/v1/contexts/c").header("content-type", PACK);
    assert_eq!(Reply::from(request.header("if-match", "\"1\"").body(merge)).await.status, 200);
    let request = client.request(Method::GET, "/v1/contexts/c").header("accept", PACK);
    let read = Reply::from(request).await;
    assert_eq!((read.header("content-type"), read.header("etag")), (PACK, "\"2-msgpack\""));
    assert_eq!(read.header("vary"), "accept, accept-encoding");
    let context: Value = rmp_serde::from_slice(&read.body).expect("MessagePack");
    assert_eq!(context, client.get("/v1/contexts/c").await.json());
    assert_eq!((&context["data"], &context["version"]), (&json!({"n": 2}), &json!(2)));
    let request = client.request(Method::POST, LIST).header("content-type", PACK);
    Reply::from(request.body("{}")).await.assert_error(400, "invalid_body");
}

#[tokio::test]
async fn a_context_is_read_in_protocol_buffers_whose_description_is_served() {
    let (_model, gateway) = start().await;
    let client = gateway.client();
    // `Create {id: "c"}`
    let request = client.request(Method::POST, LIST).header("content-type", "application/protobuf");
    assert_eq!(Reply::from(request.body(vec![0x0a, 1, b'c'])).await.status, 201);
    let request =
        client.request(Method::GET, "/v1/contexts/c").header("accept", "application/protobuf");
    let read = Reply::from(request).await;
    assert_eq!(read.header("content-type"), "application/protobuf");
    // `Context {id: "c", version: 1, …}`
    assert_eq!(read.body.get(..5), Some(&[0x0a, 1, b'c', 0x10, 1][..]));
    let told = support::client::Client::new(gateway.url())
        .get("/.well-known/context-protocol.proto")
        .await;
    assert_eq!(told.text(), include_str!("../proto/context.proto"));
}

#[tokio::test]
async fn what_message_pack_cannot_say_is_answered_in_json() {
    let (_model, gateway) = start().await;
    let client = gateway.client();
    for (id, content) in [("half", r#""\ud800""#), ("large", "1e999")] {
        let body = format!(r#"{{"id":"{id}","messages":[{{"role":"user","content":{content}}}]}}"#);
        let request = client.request(Method::POST, LIST).body(body);
        assert_eq!(Reply::from(request).await.status, 201);
        let request = client.request(Method::GET, &format!("{LIST}/{id}"));
        let read = Reply::from(request.header("accept", "application/msgpack")).await;
        assert_eq!((read.status, read.header("content-type")), (200, "application/json"));
        assert!(read.text().contains(content), "{}", read.text());
    }
}

#[tokio::test]
async fn bodies_are_read_and_answered_compressed() {
    let (model, gateway) = start().await;
    let client = gateway.client();
    let long = "word ".repeat(1000);
    let new = json!({"id": "c", "messages": [{"role": "user", "content": long}]}).to_string();
    let zstd = zstd::encode_all(new.as_bytes(), 3).expect("zstd");
    let request = client.request(Method::POST, LIST).header("content-encoding", "zstd");
    assert_eq!(Reply::from(request.body(zstd)).await.status, 201);
    let request = client.request(Method::GET, "/v1/contexts/c");
    let read = Reply::from(request.header("accept-encoding", "gzip, zstd;q=0.5")).await;
    assert_eq!(read.header("content-encoding"), "gzip");
    assert!(read.body.len() < 1000, "{}", read.body.len());
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(&read.body[..]);
    std::io::Read::read_to_string(&mut reader, &mut text).expect("gzip");
    assert_eq!(text, client.get("/v1/contexts/c").await.text());
    // A turn too; the model gets it as it was before.
    let turn = json!({"model": "demo", "context": {"id": "c"}, "messages": []}).to_string();
    let request = client.request(Method::POST, "/v1/chat/completions");
    let request = request.header("content-encoding", "gzip");
    assert_eq!(Reply::from(request.body(gzipped(turn.as_bytes()))).await.status, 200);
    assert_eq!(model.last_request().header("content-encoding"), "");
    assert_eq!(model.last_request().json()["messages"][0]["content"], long);
}

#[tokio::test]
async fn a_bomb_is_refused_and_changes_nothing() {
    let (model, gateway) = start().await;
    let client = gateway.client();
    let bomb = gzipped(&vec![b' '; 256 << 20]);
    assert!(bomb.len() < 1 << 20, "the limit of what is sent does not refuse it");
    for path in [LIST, "/v1/chat/completions"] {
        let request = client.request(Method::POST, path).header("content-encoding", "gzip");
        Reply::from(request.body(bomb.clone())).await.assert_error(413, "request_too_large");
        let request = client.request(Method::POST, path).header("content-encoding", "deflate");
        Reply::from(request.body("{}")).await.assert_error(415, "unsupported_media_type");
        let request = client.request(Method::POST, path).header("content-encoding", "br");
        Reply::from(request.body("{}")).await.assert_error(400, "invalid_body");
    }
    assert_eq!(model.count(), 0);
    assert_eq!(gateway.metric("tollgate_contexts").await, 0.0);
}

#[tokio::test]
async fn everybody_may_know_what_is_spoken() {
    let (_model, gateway) = start().await;
    let client = support::client::Client::new(gateway.url());
    let spoken = client.get("/.well-known/context-protocol").await.json();
    assert_eq!(spoken["serializations"], json!(["application/json", PACK, "application/protobuf"]));
    assert_eq!(spoken["encodings"], json!(["zstd", "br", "gzip"]));
    let proto = client.get(spoken["proto"].as_str().expect("a path")).await;
    assert!(proto.text().contains("package tollgate.context.v1;"), "{}", proto.text());
}

#[tokio::test]
async fn each_representation_has_a_tag_and_all_name_the_version() {
    let (_model, gateway) = start().await;
    let client = gateway.client();
    client.post(LIST, &json!({"id": "c", "data": {"n": "x".repeat(1000)}})).await;
    let get = async |accept: &str, coding: &str, known: &str| {
        let request = client.request(Method::GET, "/v1/contexts/c").header("accept", accept);
        let request = request.header("accept-encoding", coding).header("if-none-match", known);
        Reply::from(request).await
    };
    let rows = [
        ("application/json", "identity", "\"1\""),
        ("application/json", "gzip", "\"1-gzip\""),
        (PACK, "identity", "\"1-msgpack\""),
        ("application/protobuf", "zstd", "\"1-protobuf-zstd\""),
    ];
    for (accept, coding, tag) in rows {
        let read = get(accept, coding, "\"0\"").await;
        assert_eq!((read.status, read.header("etag")), (200, tag), "{accept} {coding}");
        for (_, _, known) in rows {
            let expected = if known == tag { 304 } else { 200 };
            assert_eq!(get(accept, coding, known).await.status, expected, "{tag} by {known}");
        }
        assert_eq!(get(accept, coding, &format!("\"9\", W/{tag}")).await.status, 304);
    }
    for (version, (_, _, tag)) in (1..).zip(rows) {
        let tag = tag.replace('1', &version.to_string());
        let request = client.request(Method::PATCH, "/v1/contexts/c").header("if-match", &tag);
        let request = request.header("content-type", "application/merge-patch+json");
        let changed = Reply::from(request.body(r#"{"n":1}"#)).await;
        assert_eq!(changed.status, 200, "{tag}: {}", changed.text());
    }
    let request = client.request(Method::PATCH, "/v1/contexts/c").header("if-match", "\"1-gzip\"");
    let request = request.header("content-type", "application/merge-patch+json");
    assert_eq!(Reply::from(request.body(r#"{"n":1}"#)).await.status, 412);
}
