//! TLS on both sides: HTTP/2 by ALPN, certificates that change, upstreams that must prove who
//! they are.

use std::path::Path;

use serde_json::{Value, json};
use support::answer::status;
use support::client::{Client, Length};
use support::conf::{Conf, UPSTREAM_MODEL, conf, serving};
use support::tls::{Authority, Identity};
use support::upstream::{tls_upstream, upstream};
use support::{Version, gateway::Gateway};

const LOCALHOST: &str = "127.0.0.1";

#[tokio::test]
async fn clients_get_http_2_where_they_offer_it() {
    let (authority, model) = (Authority::new(), upstream().await);
    let gateway = behind_tls(serving(&[&model]), &authority.issue(LOCALHOST)).await;
    let rows = [
        (Client::tls(gateway.url(), authority.pem()), Version::HTTP_2),
        (Client::tls_http1(gateway.url(), authority.pem()), Version::HTTP_11),
    ];
    for (client, version) in rows {
        let client = client.with_test_key();
        let reply = client.chat("demo").await;
        assert_eq!((reply.status, reply.version), (200, version), "{}", reply.text());
        let told = client.stream("demo").await.rest().await;
        assert!(told.is_whole(), "{version:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_a_reload_and_old_connections_stay() {
    let (authority, model) = (Authority::new(), upstream().await);
    let (first, second) = (authority.issue(LOCALHOST), authority.issue(LOCALHOST));
    let gateway = behind_tls(serving(&[&model]), &first).await;
    let client = || Client::tls(gateway.url(), authority.pem()).with_test_key();
    let early = client();
    assert_eq!(early.chat("demo").await.certificate.as_deref(), Some(first.der()));
    second.write(gateway.directory());
    let report = gateway.reload().await;
    assert_eq!(report.json()["problems"], json!([]));
    assert_eq!(client().chat("demo").await.certificate.as_deref(), Some(second.der()));
    assert_eq!(early.chat("demo").await.certificate.as_deref(), Some(first.der()));
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_its_key_is_refused_and_the_old_one_stays() {
    let (authority, model) = (Authority::new(), upstream().await);
    let first = authority.issue(LOCALHOST);
    let gateway = behind_tls(serving(&[&model]), &first).await;
    let (certificate, _) = first.write(gateway.directory());
    let kept = std::fs::read(&certificate).expect("the certificate");
    authority.issue(LOCALHOST).write(gateway.directory());
    std::fs::write(&certificate, kept).expect("the certificate");
    assert_ne!(gateway.reload().await.json()["problems"], json!([]));
    let client = Client::tls(gateway.url(), authority.pem()).with_test_key();
    assert_eq!(client.chat("demo").await.certificate.as_deref(), Some(first.der()));
}

#[tokio::test]
async fn an_upstream_must_prove_who_it_is() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let trust = |directory: &Path| json!({"ca_file": trusted.write(directory)});
    let named = |directory: &Path| json!({"ca_file": trusted.write(directory), "server_name": "models.test"});
    type Tls<'a> = &'a dyn Fn(&Path) -> Value;
    let rows: [(&str, Identity, Tls, u16); 7] = [
        ("signed by the authority", trusted.issue(LOCALHOST), &trust, 200),
        ("signed by another", other.issue(LOCALHOST), &trust, 502),
        ("signed by one the system does not know", trusted.issue(LOCALHOST), &|_| json!({}), 502),
        ("for another name", trusted.issue("models.test"), &trust, 502),
        ("for the name that is asked for", trusted.issue("models.test"), &named, 200),
        ("for the address in place of the name", trusted.issue(LOCALHOST), &named, 502),
        ("not checked", other.issue("models.test"), &|_| json!({"verify": false}), 200),
    ];
    for (row, identity, tls, expected) in rows {
        let model = tls_upstream(identity).await;
        let conf = serving(&[&model]);
        let gateway = conf
            .start_with(|directory, conf| conf.set("providers.local.tls", tls(directory)))
            .await;
        let reply = gateway.client().chat("demo").await;
        assert_eq!(reply.status, expected, "{row}: {}", reply.text());
        if expected == 502 {
            reply.assert_error(502, "upstream_unreachable");
            assert_eq!(model.count(), 0, "{row}: nothing is sent to it");
        }
    }
}

#[tokio::test]
async fn upstreams_get_http_2_where_both_want_it() {
    let authority = Authority::new();
    let rows = [
        (authority.issue(LOCALHOST), true, Version::HTTP_2),
        (authority.issue(LOCALHOST), false, Version::HTTP_11),
        (authority.issue(LOCALHOST).http1_only(), true, Version::HTTP_11),
    ];
    for (identity, http2, version) in rows {
        let model = tls_upstream(identity).await;
        let gateway = conf()
            .provider("local", &[&model])
            .model("demo", &[("local", UPSTREAM_MODEL)])
            .start_with(|directory, conf| {
                let tls = json!({"ca_file": authority.write(directory), "http2": http2});
                conf.set("providers.local.tls", tls)
            })
            .await;
        assert_eq!(gateway.client().chat("demo").await.status, 200);
        assert!(gateway.client().stream("demo").await.rest().await.is_whole());
        for request in model.requests() {
            assert_eq!(request.version, version, "{http2}");
            assert_eq!(request.model(), UPSTREAM_MODEL);
        }
    }
}

#[tokio::test]
async fn large_bodies_pass_to_the_upstream_also_when_tried_again() {
    let authority = Authority::new();
    let http2 = authority.issue(LOCALHOST);
    let http1 = authority.issue(LOCALHOST).http1_only();
    for (identity, version) in [(http2, Version::HTTP_2), (http1, Version::HTTP_11)] {
        large_bodies_pass(&authority, identity, version).await;
    }
}

async fn large_bodies_pass(authority: &Authority, identity: Identity, version: Version) {
    let model = tls_upstream(identity).await;
    let gateway = serving(&[&model])
        .set("providers.local.passive.failures", 0)
        .start_with(|directory, conf| {
            conf.set("providers.local.tls.ca_file", json!(authority.write(directory)))
        })
        .await;
    let text = "x".repeat(1024 * 1024);
    let body = |model: &str| format!(r#"{{"model":"{model}","messages":[],"user":"{text}"}}"#);
    for length in [Length::Known, Length::Unknown] {
        model.forget();
        model.then(status(503));
        assert_eq!(gateway.client().send(body("demo").into(), length).await.status, 200);
        let received = model.requests();
        assert_eq!(received.len(), 2, "{length:?}");
        for request in received {
            assert_eq!(request.version, version);
            // Not `assert_eq`: nobody wants to read a MiB.
            assert!(request.body == body(UPSTREAM_MODEL), "{length:?}: other bytes arrived");
        }
    }
}

async fn behind_tls(conf: Conf, identity: &Identity) -> Gateway {
    conf.start_with(|directory, conf| {
        let (certificate, key) = identity.write(directory);
        conf.set("server.listeners.0.tls", json!({"cert_file": certificate, "key_file": key}))
    })
    .await
}
