//! Contexts in Redis that is reached in other ways than by one address: TLS, sentinels, a cluster.

use serde_json::json;
use support::conf::{Conf, serving};
use support::gateway::Gateway;
use support::redis::Node;
use support::reply::Reply;
use support::tls::Authority;
use support::upstream::{Upstream, upstream};
use support::wait::eventually;

fn conf(model: &Upstream, url: &str) -> Conf {
    serving(&[model]).set("contexts.store.url", json!({"value": url}))
}

/// A turn of this context.
async fn say(gateway: &Gateway, id: &str) -> Reply {
    let body = json!({"model": "demo", "context": {"id": id},
        "messages": [{"role": "user", "content": "Hello"}]});
    gateway.client().post("/v1/chat/completions", &body).await
}

#[tokio::test]
async fn over_tls_with_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1").write(directory.path());
    let server = Node::start_tls(&certificate, &key, &["--requirepass", "se:cret"]).await;
    let trusted = authority.write(directory.path());
    let model = upstream().await;
    for (account, status) in [(":se%3Acret@", 200), (":other@", 503), ("", 503)] {
        let conf = conf(&model, &format!("rediss://{account}{}", server.address()));
        let gateway = conf.variable("SSL_CERT_FILE", trusted.to_str().unwrap()).start().await;
        let reply = say(&gateway, "c").await;
        assert_eq!(reply.status, status, "{account}: {}", reply.text());
        assert!(!reply.text().contains("cret"), "{}", reply.text());
    }
    // Nobody vouches for the server.
    let conf = conf(&model, &format!("rediss://:se%3Acret@{}", server.address()));
    let reply = say(&conf.start().await, "c").await;
    reply.assert_error(503, "context_store_unavailable");
}

#[tokio::test]
async fn a_cluster_has_contexts_at_every_node() {
    let nodes = Node::cluster(3).await;
    let model = upstream().await;
    // Two of them are enough to find the third.
    let url = format!("redis+cluster://{},{}", nodes[0].address(), nodes[1].address());
    let conf =
        conf(&model, &url).set("valkey.url", json!({"value": url})).set("quotas.lease_ms", 200);
    let limits = json!({"requests_per_minute": 1000});
    let gateways = [
        conf.clone().set("models.demo.limits", limits.clone()).start().await,
        conf.set("models.demo.limits", limits).start().await,
    ];
    for gateway in &gateways {
        eventually("the limit to be shared", async || {
            (say(gateway, "first").await.status == 200).then_some(())
        })
        .await;
    }
    for version in ["1", "2", "3"] {
        for context in 0..20 {
            let reply = say(&gateways[context % 2], &format!("c{context}")).await;
            assert_eq!(reply.header("x-context-version"), version, "{}", reply.text());
        }
    }
    for node in &nodes {
        let kept: usize = node.ask(&["dbsize"]).trim().parse().unwrap();
        assert!(kept > 2, "each has a part of twenty contexts: {kept}");
    }
}

#[tokio::test]
async fn sentinels_name_the_server_that_took_over() {
    let first = Node::start(&[]).await;
    let place = first.address();
    let port = place.rsplit(':').next().unwrap();
    let second = Node::start(&["--replicaof", "127.0.0.1", port]).await;
    let sentinel = Node::sentinel("main", &first).await;
    let model = upstream().await;
    let url = format!("redis+sentinel://127.0.0.1:1,{}/main", sentinel.address());
    let gateway = conf(&model, &url).start().await;
    for version in ["1", "2"] {
        let reply = say(&gateway, "c").await;
        assert_eq!(reply.header("x-context-version"), version, "{}", reply.text());
    }
    eventually("the replica to be known, and to have what was written", async || {
        let replicas = sentinel.ask(&["sentinel", "replicas", "main"]);
        let has = second.ask(&["dbsize"]) == first.ask(&["dbsize"]);
        let versions = [&first, &second].map(version_there);
        (!replicas.trim().is_empty() && has && versions[0] == versions[1]).then_some(())
    })
    .await;
    first.kill();
    let reply = eventually("the other server to take over", async || {
        let reply = say(&gateway, "c").await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    assert_eq!(reply.header("x-context-version"), "3", "nothing was lost");
    assert_eq!(say(&gateway, "c").await.header("x-context-version"), "4");
}

/// The version of the context `c` at a server.
fn version_there(node: &Node) -> String {
    node.ask(&["hget", "tollgate:{4:acme:c}:log", "version"])
}
