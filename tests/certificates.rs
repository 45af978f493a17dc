//! Client certificates: whose key one is, which connections are not made at all, and what a new
//! configuration changes.

use serde_json::json;
use support::client::{Client, chat};
use support::conf::{Conf, KEY, KEY_ID, TENANT, serving};
use support::gateway::Gateway;
use support::operator::Operator;
use support::reply::Reply;
use support::tls::{Authority, Identity};
use support::upstream::{Upstream, upstream};
use support::{Method, Version};

const LOCALHOST: &str = "127.0.0.1";
const SPIFFE: &str = "URI:spiffe://example.com/app";
const ENDS: &str = "tollgate_client_certificates_total";

/// A gateway that asks its clients for certificates, and who may have signed whose.
struct World {
    servers: Authority,
    clients: Authority,
    model: Upstream,
}

impl World {
    async fn new() -> Self {
        Self { servers: Authority::new(), clients: Authority::new(), model: upstream().await }
    }

    async fn gateway(&self, mode: &str, change: impl FnOnce(Conf) -> Conf) -> Gateway {
        let conf = change(serving(&[&self.model]));
        conf.start_with(|directory, conf| {
            let (certificate, key) = self.servers.issue(LOCALHOST).write(directory);
            let tls = json!({
                "cert_file": certificate, "key_file": key,
                "client_ca_file": self.clients.write(directory), "client_certificate": mode,
            });
            conf.set("server.listeners.0.tls", tls)
        })
        .await
    }

    fn client(&self, gateway: &Gateway, own: &Identity) -> Client {
        Client::tls_as(gateway.url(), self.servers.pem(), own)
    }

    fn stranger(&self, gateway: &Gateway) -> Client {
        Client::tls(gateway.url(), self.servers.pem())
    }
}

fn with_app(conf: Conf) -> Conf {
    conf.certificate_key("app", SPIFFE, &json!({}))
}

/// A chat over a connection that is not made.
async fn assert_no_connection(client: &Client, row: &str) {
    let asked = client.request(Method::POST, "/v1/chat/completions").json(&chat("demo"));
    let reply = Reply::attempt(asked).await;
    assert!(reply.is_err(), "{row}: {reply:?}");
}

#[tokio::test]
async fn a_key_is_found_by_any_kind_of_name() {
    let world = World::new().await;
    let gateway = world
        .gateway("required", |conf| {
            let conf = with_app(conf);
            let conf = conf.certificate_key("host", "DNS:App.Example.com", &json!({}));
            let conf = conf.certificate_key("mail", "email:app@example.com", &json!({}));
            conf.certificate_key("common", "CN:An App", &json!({}))
        })
        .await;
    let rows: [(&[&str], &str); 6] = [
        (&[SPIFFE], "app"),
        (&["DNS:app.example.COM"], "host"),
        (&["email:app@example.com"], "mail"),
        (&["CN:An App"], "common"),
        (&["CN:An App", "DNS:other.example.com", "DNS:app.example.com"], "host"),
        (&["CN:An App", "DNS:app.example.com", SPIFFE, "email:app@example.com"], "app"),
    ];
    for (names, id) in rows {
        let own = world.clients.issue_client(names);
        let over_http1 = Client::tls_resuming(gateway.url(), world.servers.pem(), Some(&own));
        let over_http2 = world.client(&gateway, &own);
        for (client, version) in [(over_http1, Version::HTTP_11), (over_http2, Version::HTTP_2)] {
            let reply = client.chat("demo").await;
            assert_eq!((reply.status, reply.version), (200, version), "{names:?} {}", reply.text());
            let line = gateway.logged(&reply).await;
            assert_eq!(line["key"], id, "{names:?} over {version:?}");
            assert!(!line.to_string().contains("example.com"), "{line}");
        }
    }
    assert_eq!(gateway.metric(&format!("{ENDS}{{end=\"accepted\"}}")).await, 12.0);
}

#[tokio::test]
async fn many_requests_of_one_connection_have_its_key_and_its_limits() {
    let world = World::new().await;
    let limited = |conf| {
        let limits = json!({"limits": {"requests_per_day": 2}});
        with_app(conf).certificate_key("little", "CN:little", &limits)
    };
    let gateway = world.gateway("required", limited).await;
    let little = world.client(&gateway, &world.clients.issue_client(&["CN:little"]));
    for expected in [200, 200, 429] {
        assert_eq!(little.chat("demo").await.status, expected);
    }
    let app = world.client(&gateway, &world.clients.issue_client(&[SPIFFE]));
    assert!(app.stream("demo").await.rest().await.is_whole());
    assert_eq!(gateway.metric(&format!("{ENDS}{{end=\"accepted\"}}")).await, 2.0);
}

#[tokio::test]
async fn what_is_not_signed_by_the_authority_makes_no_connection() {
    let world = World::new().await;
    let other = Authority::new();
    let rows = [
        ("signed by another", other.issue_client(&[SPIFFE]), "unknown_issuer"),
        ("by the server's own", world.servers.issue_client(&[SPIFFE]), "unknown_issuer"),
        ("expired", world.clients.issue_expired(&[SPIFFE]), "expired"),
    ];
    for mode in ["required", "optional"] {
        let gateway = world.gateway(mode, with_app).await;
        for (row, own, end) in &rows {
            let end = format!("{ENDS}{{end=\"{end}\"}}");
            let before = gateway.metric(&end).await;
            let client = world.client(&gateway, own).with_test_key();
            assert_no_connection(&client, row).await;
            assert!(gateway.metric(&end).await > before, "{mode}, {row}");
        }
        assert_eq!(world.model.count(), 0);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_needs_a_credential_or_gets_no_connection() {
    let world = World::new().await;
    let gateway = world.gateway("required", with_app).await;
    assert_no_connection(&world.stranger(&gateway).with_test_key(), "required").await;
    let gateway = world.gateway("optional", with_app).await;
    world.stranger(&gateway).chat("demo").await.assert_error(401, "missing_api_key");
    let reply = world.stranger(&gateway).with_test_key().chat("demo").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(gateway.logged(&reply).await["key"], KEY_ID);
}

#[tokio::test]
async fn a_certificate_of_no_key_is_refused_in_every_dialect() {
    let world = World::new().await;
    let gateway = world.gateway("required", with_app).await;
    let own = world.clients.issue_client(&["CN:somebody", "URI:spiffe://example.com/other"]);
    let client = world.client(&gateway, &own);
    let reply = client.chat("demo").await;
    reply.assert_error(401, "invalid_certificate");
    assert!(!reply.text().contains("somebody") && !reply.text().contains("spiffe"));
    assert!(!gateway.stderr().contains("somebody"), "{}", gateway.stderr());
    let messages = json!({"model": "demo", "max_tokens": 1, "messages": []});
    let reply = client.post("/v1/messages", &messages).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["type"]),
        (401, &json!("authentication_error"))
    );
    let reply = client.post("/v1beta/models/demo:generateContent", &json!({"contents": []})).await;
    assert_eq!((reply.status, &reply.json()["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    assert_eq!(gateway.metric("tollgate_errors_total{code=\"invalid_certificate\"}").await, 3.0);
}

#[tokio::test]
async fn a_valid_credential_goes_before_the_certificate() {
    let world = World::new().await;
    let gateway = world
        .gateway("required", |conf| {
            let conf = with_app(conf).key("off", "sk-off", &json!({"enabled": false}));
            conf.key("old", "sk-old", &json!({"expires_at": "2020-01-01T00:00:00Z"}))
        })
        .await;
    let (app, nobody) = ([SPIFFE], ["CN:nobody"]);
    let rows: [(&[&str], &str, Result<&str, &str>); 7] = [
        (&app, KEY, Ok(KEY_ID)),
        (&nobody, KEY, Ok(KEY_ID)),
        (&app, "sk-what-an-sdk-insists-on", Ok("app")),
        (&app, "", Ok("app")),
        (&app, "sk-off", Err("api_key_disabled")),
        (&app, "sk-old", Err("api_key_expired")),
        (&nobody, "sk-unknown", Err("invalid_api_key")),
    ];
    for (names, sent, expected) in rows {
        let client = world.client(&gateway, &world.clients.issue_client(names));
        let client = client.with_header("authorization", &format!("Bearer {sent}"));
        let reply = client.chat("demo").await;
        match expected {
            Ok(id) => assert_eq!(gateway.logged(&reply).await["key"], id, "{names:?} {sent}"),
            Err(code) => reply.assert_error(401, code),
        }
    }
}

#[tokio::test]
async fn a_key_that_may_not_be_used_may_not_by_its_certificate() {
    let world = World::new().await;
    let mut gateway = world
        .gateway("required", |conf| {
            let conf = conf.certificate_key("off", "CN:off", &json!({"enabled": false}));
            let conf = conf.certificate_key(
                "old",
                "CN:old",
                &json!({"expires_at": "2020-01-01T00:00:00Z"}),
            );
            with_app(conf)
        })
        .await;
    for (name, code) in [("CN:off", "api_key_disabled"), ("CN:old", "api_key_expired")] {
        let client = world.client(&gateway, &world.clients.issue_client(&[name]));
        client.chat("demo").await.assert_error(401, code);
    }
    // What is withdrawn counts on connections that are there, too.
    let app = world.client(&gateway, &world.clients.issue_client(&[SPIFFE]));
    assert_eq!(app.chat("demo").await.status, 200);
    gateway.reconfigure(|conf| conf.set("keys.3.enabled", false)).await;
    app.chat("demo").await.assert_error(401, "api_key_disabled");
}

#[tokio::test]
async fn a_new_authority_holds_from_the_reload_on_also_for_sessions_that_are_resumed() {
    let world = World::new().await;
    let gateway = world.gateway("required", with_app).await;
    let own = world.clients.issue_client(&[SPIFFE]);
    let kept = world.client(&gateway, &own);
    let resuming = Client::tls_resuming(gateway.url(), world.servers.pem(), Some(&own));
    assert_eq!(kept.chat("demo").await.status, 200);
    assert_eq!(resuming.chat("demo").await.status, 200);
    let next = Authority::new();
    next.write(gateway.directory());
    assert_eq!(gateway.reload().await.json()["problems"], json!([]));
    assert_eq!(kept.chat("demo").await.status, 200, "a connection that is there stays");
    resuming.chat("demo").await.assert_error(401, "invalid_certificate");
    assert_no_connection(&world.client(&gateway, &own), "the old authority").await;
    let new = world.client(&gateway, &next.issue_client(&[SPIFFE]));
    assert_eq!(new.chat("demo").await.status, 200);
    // A file that cannot be used leaves everything as it was.
    std::fs::write(gateway.directory().join("authority.pem"), "no certificate").expect("a file");
    assert_ne!(gateway.reload().await.json()["problems"], json!([]));
    let new = world.client(&gateway, &next.issue_client(&[SPIFFE]));
    assert_eq!(new.chat("demo").await.status, 200);
}

#[tokio::test]
async fn certificates_are_asked_for_or_not_from_a_reload_on() {
    let world = World::new().await;
    let mut gateway = world.gateway("optional", with_app).await;
    let stranger = Client::tls_resuming(gateway.url(), world.servers.pem(), None).with_test_key();
    assert_eq!(stranger.chat("demo").await.status, 200);
    let mode = "server.listeners.0.tls.client_certificate";
    gateway.reconfigure(|conf| conf.set(mode, "required")).await;
    stranger.chat("demo").await.assert_error(401, "invalid_certificate");
    assert_no_connection(&world.stranger(&gateway).with_test_key(), "required").await;
    let files = ["certificate.pem", "key.pem"].map(|name| gateway.directory().join(name));
    let tls = json!({"cert_file": files[0], "key_file": files[1]});
    let hash = format!("sha256:{}", "0".repeat(64));
    let key = json!({"id": "app", "hash": hash});
    let change = |conf: Conf| conf.set("server.listeners.0.tls", tls).set("keys.1", key);
    gateway.reconfigure(change).await;
    assert_eq!(world.stranger(&gateway).with_test_key().chat("demo").await.status, 200);
    let own = world.clients.issue_client(&[SPIFFE]);
    let unasked = world.client(&gateway, &own);
    unasked.chat("demo").await.assert_error(401, "missing_api_key");
}

#[tokio::test]
async fn a_key_that_is_made_at_run_time_may_have_a_certificate() {
    let world = World::new().await;
    let kept =
        |conf: Conf| with_app(conf).set("state.path", "roster").set("tenants", json!({TENANT: {}}));
    let gateway = world.gateway("required", kept).await;
    let admin = Operator::of(&gateway);
    let made = json!({"id": "made", "tenant": TENANT, "certificate": "CN:made"});
    admin.make_key(&made).await;
    let client = world.client(&gateway, &world.clients.issue_client(&["CN:made"]));
    let reply = client.chat("demo").await;
    assert_eq!(gateway.logged(&reply).await["key"], "made", "{}", reply.text());
    for name in ["CN:made", SPIFFE] {
        let taken = json!({"id": "thief", "tenant": TENANT, "certificate": name});
        let reply = admin.send(Method::POST, "/admin/keys", &taken).await;
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(reply.text().contains("is the name of the key"), "{}", reply.text());
    }
    admin.change("/admin/keys/made", &json!({"certificate": "CN:renamed"})).await;
    client.chat("demo").await.assert_error(401, "invalid_certificate");
    let names = world.client(&gateway, &world.clients.issue_client(&["CN:renamed"]));
    assert_eq!(names.chat("demo").await.status, 200);
}
