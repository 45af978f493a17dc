//! Who may ask, and what is never passed on: a client's credential to a model server, a model
//! server's headers to a client.

use serde_json::json;
use support::Method;
use support::answer::ok;
use support::client::{Client, chat};
use support::conf::{KEY, conf, serving};
use support::reply::Reply;
use support::upstream::upstream;
use support::wire::{exchange, wire_server};

/// Every header that may carry a key, and the key as it stands there.
const CREDENTIALS: [(&str, &str); 5] = [
    ("authorization", "Bearer "),
    ("authorization", "bearer "),
    ("x-api-key", ""),
    ("api-key", ""),
    ("x-goog-api-key", ""),
];

#[tokio::test]
async fn each_header_lets_in_and_none_reaches_the_model_server() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    for (name, scheme) in CREDENTIALS {
        model.forget();
        let client = Client::new(gateway.url()).with_header(name, &format!("{scheme}{KEY}"));
        let reply = client.chat("demo").await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let headers = format!("{:?}", model.only_request().headers);
        assert!(!headers.contains(KEY), "{name}: {headers}");
        assert!(!headers.contains("authorization"), "none is configured: {headers}");
    }
}

#[tokio::test]
async fn who_is_refused_is_told_why() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .key("off", "sk-off", &json!({"enabled": false}))
        .key("old", "sk-old", &json!({"expires_at": "2020-01-01T00:00:00Z"}))
        .key("young", "sk-young", &json!({"expires_at": "2099-01-01T00:00:00Z"}))
        .start()
        .await;
    Client::new(gateway.url()).chat("demo").await.assert_error(401, "missing_api_key");
    let rows = [
        ("sk-nobody", "invalid_api_key"),
        ("sk-off", "api_key_disabled"),
        ("sk-old", "api_key_expired"),
    ];
    for (key, code) in rows {
        for (name, scheme) in CREDENTIALS {
            let client = Client::new(gateway.url()).with_header(name, &format!("{scheme}{key}"));
            let reply = client.chat("demo").await;
            reply.assert_error(401, code);
            assert!(!reply.text().contains(key), "a key is not repeated: {}", reply.text());
            let reply = client.get("/v1/models").await;
            assert_eq!(reply.status, 401, "{name}: {}", reply.text());
        }
    }
    assert_eq!(model.count(), 0);
    let young = Client::new(gateway.url()).with_header("api-key", "sk-young");
    assert_eq!(young.chat("demo").await.status, 200);
}

#[tokio::test]
async fn what_is_almost_a_key_is_none() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let longer = format!("Bearer {KEY}x");
    let rows = [
        "Bearer",
        "Bearer ",
        "Basic dGVzdA==",
        &longer,
        &KEY.replace("dcb6d", ""),
        "Bearer sk-test-\u{e9}",
    ];
    for value in rows {
        let client = Client::new(gateway.url()).with_header("authorization", value);
        let reply = client.chat("demo").await;
        assert_eq!(reply.status, 401, "`{value}`: {}", reply.text());
    }
    assert_eq!(model.count(), 0);
}

#[tokio::test]
async fn the_model_server_gets_its_own_credential_and_headers() {
    let model = upstream().await;
    let gateway = serving(&[&model])
        .set("providers.local.credential.value", "sk-upstream")
        .set("providers.local.headers", json!({"OpenAI-Organization": "org-1"}))
        .start()
        .await;
    gateway.client().chat("demo").await;
    let received = model.only_request();
    assert_eq!(received.header("authorization"), "Bearer sk-upstream");
    assert_eq!(received.header("openai-organization"), "org-1");
    assert_eq!(received.header("host"), model.address().to_string());
}

#[tokio::test]
async fn a_clients_private_headers_stay_with_the_gateway() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let private = [
        ("cookie", "session=private"),
        ("proxy-authorization", "Basic private"),
        ("x-forwarded-for", "10.0.0.private"),
        ("x-internal-token", "private"),
        ("openai-organization", "private"),
        ("connection", "x-internal-token"),
    ];
    let mut request = gateway.client().request(Method::POST, "/v1/chat/completions");
    for (name, value) in private {
        request = request.header(name, value);
    }
    assert_eq!(Reply::from(request.json(&chat("demo"))).await.status, 200);
    let headers = format!("{:?}", model.only_request().headers);
    assert!(!headers.contains("private"), "{headers}");
}

#[tokio::test]
async fn a_model_servers_private_headers_stay_with_the_gateway() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let private = [
        ("set-cookie", "session=private"),
        ("authorization", "Bearer private"),
        ("x-api-key", "private"),
        ("openai-organization", "private"),
        ("x-internal-host", "private"),
        ("x-request-id", "private"),
        ("server", "private"),
    ];
    model.always(private.iter().fold(ok(), |answer, (name, value)| answer.header(name, value)));
    let reply = gateway.client().chat("demo").await;
    assert_eq!(reply.status, 200);
    let headers = format!("{:?}", reply.headers);
    assert!(!headers.contains("private"), "{headers}");
    let events = gateway.client().stream("demo").await;
    let headers = format!("{:?}", events.headers);
    assert!(!headers.contains("private"), "{headers}");
}

#[tokio::test]
async fn interim_answers_and_those_without_a_body_carry_nothing_private() {
    for (answer, status, framing) in [
        (
            &b"HTTP/1.1 103 Early Hints\r\nset-cookie: private\r\n\r\n\
               HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"[..],
            "HTTP/1.1 200 OK",
            "content-length: 2",
        ),
        (b"HTTP/1.1 204 No Content\r\nserver: private\r\n\r\n", "HTTP/1.1 204 No Content", ""),
    ] {
        let model = wire_server(answer).await;
        let conf = conf().provider_at("local", &[model.url()]).model("demo", &[("local", "m")]);
        let gateway = conf.start().await;
        let body = chat("demo").to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        );
        let said = exchange(gateway.address(), request.as_bytes()).await;
        assert!(said.contains(status) && said.to_lowercase().contains(framing), "{said}");
        assert!(!said.contains("private"), "{said}");
        assert!(!said.to_lowercase().contains("transfer-encoding"), "{said}");
    }
}
