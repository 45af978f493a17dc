//! Contexts on disk: what a client has seen is there after a crash, and an upgrade loses nothing.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::Method;
use support::answer::ok;
use support::client::Client;
use support::conf::{Conf, serving};
use support::events::Events;
use support::gate::Gate;
use support::reply::Reply;
use support::upstream::upstream;
use support::wait::eventually;

const CHAT: &str = "/v1/chat/completions";

/// Contexts that are spoken to at the same time.
const CONTEXTS: usize = 8;

/// Turns that are acknowledged before each crash: the moments are as good as random, for no turn
/// takes the same time.
const CRASHES: [usize; 6] = [3, 700, 41, 1100, 90, 400];

fn on_disk(directory: &Path, conf: Conf) -> Conf {
    let path = directory.join("contexts");
    conf.set("contexts.store.path", path.to_str().expect("a path in UTF-8"))
}

fn turn(id: &str, stream: bool) -> Value {
    json!({
        "model": "demo", "stream": stream, "context": {"id": id},
        "messages": [{"role": "user", "content": "Hello"}],
    })
}

/// A client whose connections nothing orders.
fn client(url: &str) -> Client {
    Client::unpooled(url.to_owned()).with_test_key()
}

/// Asks for one turn; its version, if the whole answer came.
async fn ask(client: &Client, id: &str, stream: bool) -> Option<u64> {
    let request = client.request(Method::POST, CHAT).json(&turn(id, stream));
    let (version, is_whole) = if stream {
        let events = Events::attempt(request).await.ok()?;
        let version = events.headers.get("x-context-version").cloned();
        (version, events.rest().await.is_whole())
    } else {
        let reply = Reply::attempt(request).await.ok()?;
        (reply.headers.get("x-context-version").cloned(), reply.status == 200)
    };
    is_whole.then(|| version?.to_str().ok()?.parse().ok()).flatten()
}

/// Takes turns from version `last` on, until an answer does not come; the last version that did.
async fn speak(client: Client, id: String, mut last: u64, count: Arc<AtomicUsize>) -> u64 {
    while let Some(version) = ask(&client, &id, last.is_multiple_of(2)).await {
        // What was kept when the process was killed may not have been seen.
        assert!(version == last + 1 || version == last + 2, "{last}, {version}");
        last = version;
        count.fetch_add(1, Ordering::Relaxed);
    }
    last
}

#[tokio::test]
async fn what_a_client_has_seen_survives_every_crash() {
    let model = upstream().await;
    let mut gateway = serving(&[&model]).start_with(on_disk).await;
    let url = gateway.url();
    let mut seen = [0_u64; CONTEXTS];
    for acknowledged in CRASHES {
        let count = Arc::new(AtomicUsize::new(0));
        let speakers: Vec<_> = (0..CONTEXTS)
            .map(|number| {
                let (id, last) = (format!("c-{number}"), seen[number]);
                tokio::spawn(speak(client(&url), id, last, count.clone()))
            })
            .collect();
        eventually("turns to be acknowledged", async || {
            (count.load(Ordering::Relaxed) >= acknowledged).then_some(())
        })
        .await;
        gateway.crash().await;
        for (number, speaker) in speakers.into_iter().enumerate() {
            let last = speaker.await.expect("a speaker");
            let context = client(&url).get(&format!("/v1/contexts/c-{number}")).await;
            if last == 0 && context.status == 404 {
                continue;
            }
            let context = context.json();
            let version = context["version"].as_u64().expect("a version");
            assert!(version == last || version == last + 1, "{version} is there, {last} was seen");
            assert_eq!(context["message_count"], 2 * version, "a turn is whole or not there");
            seen[number] = version;
        }
    }
    assert!(seen.iter().sum::<u64>() >= CRASHES.iter().sum::<usize>() as u64, "{seen:?}");
}

#[tokio::test]
async fn an_upgrade_hands_the_contexts_over_behind_the_last_turn() {
    let (model, gate) = (upstream().await, Gate::new());
    let mut gateway = serving(&[&model]).start_with(on_disk).await;
    let url = gateway.url();
    assert_eq!(ask(&client(&url), "a", false).await, Some(1));
    model.then(ok().held_by(&gate));
    let slow = tokio::spawn({
        let client = client(&url);
        async move { ask(&client, "a", false).await }
    });
    gate.reached_by(1).await;
    gateway.upgrade().await;
    // The old process has a turn under way: the new one's wait for it, in whatever context.
    let next: Vec<_> = ["a", "b"]
        .map(|id| {
            let client = client(&url);
            tokio::spawn(async move { ask(&client, id, true).await })
        })
        .into();
    gate.open();
    assert_eq!(slow.await.expect("an answer"), Some(2));
    let mut versions = Vec::new();
    for next in next {
        versions.push(next.await.expect("an answer"));
    }
    assert_eq!(versions, [Some(3), Some(1)]);
    gateway.drained().await;
    let context = client(&url).get("/v1/contexts/a").await.json();
    assert_eq!(context["message_count"], 6);
}

#[tokio::test]
async fn a_store_that_is_not_there_leaves_all_other_traffic_alone() {
    let (model, directory) = (upstream().await, tempfile::tempdir().expect("a directory"));
    let conf = || on_disk(directory.path(), serving(&[&model]));
    let first = conf().start().await;
    // A second gateway on the same directory, as a mistake would have it.
    let second = conf().set("contexts.turn_wait_ms", 1).start().await;
    let refused = second.client().post(CHAT, &turn("a", false)).await;
    refused.assert_error(503, "context_store_unavailable");
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("1", "true"));
    assert_eq!(second.client().chat("demo").await.status, 200);
    let line = second.logged(&refused).await;
    assert!(line["error_detail"].as_str().is_some_and(|text| text.contains("another process")));
    drop(first);
    let patience = second.client();
    eventually("the directory to be free", async || {
        let reply = patience.post(CHAT, &turn("a", false)).await;
        (reply.status == 200).then_some(())
    })
    .await;
}
