//! A context's turns go where its prompt is warm, as long as that is no worse than elsewhere.

use serde_json::{Value, json};
use support::answer::ok;
use support::client::Client;
use support::conf::serving;
use support::gate::Gate;
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};

const CHAT: &str = "/v1/chat/completions";
const HITS: &str = r#"tollgate_context_affinity_total{hit="true"}"#;
const MISSES: &str = r#"tollgate_context_affinity_total{hit="false"}"#;

fn turn(id: &str) -> Value {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    json!({"model": "demo", "context": {"id": id}, "messages": messages})
}

async fn three() -> ([Upstream; 3], Gateway) {
    let upstreams = [upstream().await, upstream().await, upstream().await];
    let [one, two, three] = &upstreams;
    let gateway = serving(&[one, two, three]).set("models.demo.balance", "context").start().await;
    (upstreams, gateway)
}

fn counts(upstreams: &[Upstream]) -> Vec<usize> {
    upstreams.iter().map(Upstream::count).collect()
}

async fn say(client: &Client, id: &str) {
    let reply = client.post(CHAT, &turn(id)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_context_stays_where_it_is() {
    let (upstreams, gateway) = three().await;
    let client = gateway.client();
    let mut homes = Vec::new();
    for number in 0..24 {
        let before = counts(&upstreams);
        for _ in 0..3 {
            say(&client, &format!("c-{number}")).await;
        }
        let after = counts(&upstreams);
        let used: Vec<usize> = (0..3).filter(|at| after[*at] != before[*at]).collect();
        assert_eq!(used.len(), 1, "context {number} went to {used:?}");
        homes.extend(used);
    }
    homes.sort_unstable();
    homes.dedup();
    assert_eq!(homes, [0, 1, 2], "24 contexts spread over all endpoints");
    gateway.until_metric(HITS, |hits| hits == 72.0).await;
    assert_eq!(gateway.metric(MISSES).await, 0.0);
    // Who names no context is balanced by load, and is no hit and no miss.
    assert_eq!(client.chat("demo").await.status, 200);
    assert_eq!(gateway.metric(HITS).await + gateway.metric(MISSES).await, 72.0);
}

#[tokio::test]
async fn a_home_that_fails_or_has_too_much_to_do_is_left_for_a_while() {
    let (upstreams, gateway) = three().await;
    let client = gateway.client();
    say(&client, "a").await;
    let home = (0..3).find(|at| upstreams[*at].count() == 1).expect("a home");
    // A read of the same context is no turn in its way, and so can be held at its home.
    let gate = Gate::new();
    upstreams[home].then(ok().held_by(&gate));
    let slow = tokio::spawn({
        let client = client.clone();
        let mut read = turn("a");
        read["context"]["store"] = false.into();
        async move { client.post(CHAT, &read).await.status }
    });
    gate.reached_by(1).await;
    let before = counts(&upstreams);
    say(&client, "a").await;
    assert_eq!(upstreams[home].count(), before[home], "one of two is more than its share");
    gate.open();
    assert_eq!(slow.await.expect("an answer"), 200);
    gateway.until_metric(MISSES, |misses| misses == 1.0).await;
    say(&client, "a").await;
    assert_eq!(upstreams[home].count(), before[home] + 1, "it is home again");
    upstreams[home].kill();
    say(&client, "a").await;
    gateway.until_metric(HITS, |hits| hits >= 3.0).await;
    assert!(gateway.metric(MISSES).await >= 2.0);
}
