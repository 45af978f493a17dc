//! Contexts in other formats than JSON, and compressed bodies.

use serde_json::{Value, json};
use support::Method;
use support::client::Client;
use support::conf::serving;
use support::reply::Reply;
use support::upstream::upstream;

const LIST: &str = "/v1/contexts";
const ONE: &str = "/v1/contexts/c";
const MESSAGE_PACK: &str = "application/msgpack";

#[tokio::test]
async fn a_context_is_made_changed_and_read_in_message_pack() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    let send = async |method, path, value: Value| {
        let body = rmp_serde::to_vec_named(&value).expect("plain data");
        let request = client.request(method, path).header("content-type", MESSAGE_PACK);
        Reply::from(request.header("accept", MESSAGE_PACK).body(body)).await
    };
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let made = send(Method::POST, LIST, json!({"id": "c", "messages": messages})).await;
    assert_eq!((made.status, made.header("content-type")), (201, MESSAGE_PACK));
    let delta = json!([{"op": "add", "path": "/data/n", "value": 1}]);
    assert_eq!(send(Method::PATCH, ONE, json!({ "delta": delta })).await.status, 200);
    let read = Reply::from(client.request(Method::GET, ONE).header("accept", MESSAGE_PACK)).await;
    let context: Value = rmp_serde::from_slice(&read.body).expect("MessagePack");
    assert_eq!(context, client.get(ONE).await.json());
    assert_eq!((&context["messages"], &context["data"]), (&messages, &json!({"n": 1})));
    let request = client.request(Method::POST, LIST).header("content-type", MESSAGE_PACK);
    Reply::from(request.body("{")).await.assert_error(400, "invalid_body");
    let request = client.request(Method::POST, LIST).header("content-type", "text/xml");
    Reply::from(request.body("<a/>")).await.assert_error(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_context_is_read_in_protocol_buffers_whose_description_is_served() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let client = gateway.client();
    // `Create {id: "c"}`
    let request = client.request(Method::POST, LIST).header("content-type", "application/protobuf");
    assert_eq!(Reply::from(request.body(vec![0x0a, 1, b'c'])).await.status, 201);
    let request = client.request(Method::GET, ONE).header("accept", "application/protobuf");
    let read = Reply::from(request).await;
    assert_eq!(read.header("content-type"), "application/protobuf");
    // `Context {id: "c", version: 1, …}`
    assert_eq!(read.body.get(..5), Some(&[0x0a, 1, b'c', 0x10, 1][..]));
    let told = Client::new(gateway.url()).get("/.well-known/context-protocol.proto").await;
    assert_eq!(told.text(), include_str!("../proto/context.proto"));
}

#[tokio::test]
async fn compressed_requests_are_read_and_answers_compressed_where_the_client_wants_it() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("server.body_bytes_max", 100_000).start().await;
    let client = gateway.client();
    let chat = json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]});
    let small = zstd::encode_all(chat.to_string().as_bytes(), 0).expect("zstd");
    let ask = async |coding, body: Vec<u8>| {
        let request = client.request(Method::POST, "/v1/chat/completions");
        let request = request.header("content-type", "application/json");
        Reply::from(request.header("content-encoding", coding).body(body)).await
    };
    let answer = ask("zstd", small.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = model.only_request();
    assert_eq!(received.json()["messages"], chat["messages"]);
    assert_eq!(received.header("content-encoding"), "");
    ask("gzip", small.clone()).await.assert_error(400, "invalid_body");
    ask("deflate", small).await.assert_error(415, "unsupported_media_type");
    let bomb = zstd::encode_all(&vec![b' '; 50 << 20][..], 0).expect("zstd");
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    ask("zstd", bomb).await.assert_error(413, "body_too_large");
    assert_eq!(model.count(), 1, "nothing of what was refused went upstream");

    let text = "It is a city of seven hills. ".repeat(100);
    let context = json!({"id": "c", "messages": [{"role": "user", "content": text}]});
    assert_eq!(client.post(LIST, &context).await.status, 201);
    let request = client.request(Method::GET, ONE).header("accept-encoding", "zstd");
    let read = Reply::from(request).await;
    assert_eq!(read.header("content-encoding"), "zstd");
    assert!(read.body.len() < 1000, "{}", read.body.len());
    let body = zstd::decode_all(&read.body[..]).expect("zstd");
    let context: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(context["messages"][0]["content"], text);
}
