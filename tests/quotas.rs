//! Limits and budgets that several gateways share through a Valkey: together they grant the limit and
//! not one more, also while Valkey is killed and comes back.

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::answer::ok;
use support::client::chat_with;
use support::conf::{Conf, UPSTREAM_MODEL, serving};
use support::gate::Gate;
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};
use support::valkey::Valkey;
use support::wait::eventually;

/// Of the simulated model's 9 tokens of prompt and 3 of answer: 9 and 6 micro-dollars.
const COST: u64 = 15;

const CLIENTS: usize = 16;

const LEASED: &str = r#"tollgate_quota_exchanges_total{result="ok"}"#;

fn shared(model: &Upstream, valkey: &Valkey, limits: Value) -> Conf {
    serving(&[model])
        .set("valkey.url.value", valkey.url())
        .set("valkey.timeout_ms", 5000)
        .set("quotas.lease_ms", 1000)
        .set("tenants.acme.limits", limits)
}

/// Gateways of one configuration, each of which has leased.
async fn fleet(conf: Conf, nodes: usize) -> Vec<Gateway> {
    let fleet = join_all((0..nodes).map(|_| conf.clone().start())).await;
    for gateway in &fleet {
        leases_again(gateway).await;
    }
    fleet
}

async fn leases_again(gateway: &Gateway) {
    let before = gateway.metric(LEASED).await;
    gateway.until_metric(LEASED, |exchanges| exchanges > before).await;
}

/// One client asks until it is refused; how many were answered.
async fn drain(gateway: &Gateway) -> u64 {
    let mut answered = 0;
    loop {
        let body = chat_with("demo", &json!({"max_tokens": 3}));
        let reply = gateway.client().post("/v1/chat/completions", &body).await;
        if reply.status != 200 {
            assert_eq!(reply.status, 429, "{}", reply.text());
            break answered;
        }
        answered += 1;
    }
}

/// Many clients at every gateway ask until all are refused.
async fn drain_all(fleet: &[Gateway]) -> u64 {
    let clients = fleet.iter().flat_map(|gateway| (0..CLIENTS).map(move |_| drain(gateway)));
    join_all(clients).await.iter().sum()
}

#[tokio::test]
async fn two_and_four_gateways_grant_the_limit_together() {
    for (nodes, limit) in [(2, 400), (4, 600)] {
        let (model, valkey) = (upstream().await, Valkey::start().await);
        let fleet = fleet(shared(&model, &valkey, json!({"requests_per_day": limit})), nodes).await;
        let answered = drain_all(&fleet).await;
        assert_eq!(model.count() as u64, answered, "what is refused goes nowhere");
        // What is in stock elsewhere is 1 % for each of the others; none is granted twice.
        let stock = limit * (nodes as u64 - 1) / 100;
        assert!(
            (limit - stock..=limit).contains(&answered),
            "{answered} of {limit}, {nodes} nodes"
        );
    }
}

#[tokio::test]
async fn a_limit_of_one_is_one_for_four_gateways() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let conf = shared(&model, &valkey, json!({"requests_per_day": 1}));
    let fleet = fleet(conf, 4).await;
    let answered: Vec<_> = join_all(fleet.iter().map(drain)).await;
    assert_eq!(answered.iter().sum::<u64>(), 1, "{answered:?}");
    let refused = fleet[0].client().chat("demo").await;
    refused.assert_error(429, "limit_exceeded");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0", "what others hold counts");
    assert!(refused.header("retry-after").parse::<u64>().expect("seconds") > 0);
}

#[tokio::test]
async fn requests_at_a_time_are_counted_over_all_gateways_and_given_back() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let fleet = fleet(shared(&model, &valkey, json!({"in_flight": 1})), 2).await;
    let gate = Gate::new();
    model.then(ok().held_by(&gate));
    let (one, two) = (fleet[0].client(), fleet[1].client());
    let first = tokio::spawn(async move { one.chat("demo").await.status });
    eventually("the first to be under way", async || (model.count() == 1).then_some(())).await;
    two.chat("demo").await.assert_error(429, "limit_exceeded");
    gate.open();
    assert_eq!(first.await.expect("an answer"), 200);
    eventually("the place to be free everywhere", async || {
        (two.chat("demo").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_budget_holds_for_all_gateways() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let price = json!([{"input": 1_000_000, "output": 2_000_000}]);
    let conf = shared(&model, &valkey, json!({}))
        .set("prices.models", json!({UPSTREAM_MODEL: price}))
        .set("tenants.acme.budget.month_micro_usd", 300 * COST);
    let fleet = fleet(conf, 2).await;
    let answered = drain_all(&fleet).await;
    // A request is refused whose estimate is over what is left, and requests under way hold theirs.
    assert!((200..=300).contains(&answered), "{answered}");
}

#[tokio::test]
async fn a_valkey_that_is_killed_and_comes_back_empty_lets_nothing_be_granted_twice() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let fleet = fleet(shared(&model, &valkey, json!({"requests_per_day": 200})), 2).await;
    let mut answered = 0;
    for gateway in &fleet {
        for _ in 0..40 {
            answered += u64::from(gateway.client().chat("demo").await.status == 200);
        }
    }
    assert_eq!(answered, 80);
    valkey.kill();
    for gateway in &fleet {
        eventually("what is limited to be refused", async || {
            let reply = gateway.client().chat("demo").await;
            answered += u64::from(reply.status == 200);
            (reply.status == 503).then(|| reply.assert_error(503, "quota_unavailable"))
        })
        .await;
        gateway.until_stderr("limits across gateways cannot be leased").await;
    }
    valkey.revive().await;
    for gateway in &fleet {
        leases_again(gateway).await;
    }
    answered += drain_all(&fleet).await;
    assert_eq!(model.count() as u64, answered);
    assert!((196..=200).contains(&answered), "{answered}");
}

#[tokio::test]
async fn without_valkey_each_gateway_grants_the_limit_where_that_is_the_rule() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let conf = shared(&model, &valkey, json!({"requests_per_day": 20}));
    let fleet = fleet(conf.set("quotas.valkey_down", "allow"), 2).await;
    valkey.kill();
    for gateway in &fleet {
        gateway.until_stderr("limits across gateways cannot be leased").await;
        assert_eq!(drain(gateway).await, 20);
    }
}

#[tokio::test]
async fn what_a_killed_gateway_held_is_free_again_and_what_it_used_is_not() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let conf = shared(&model, &valkey, json!({"requests_per_day": 10}));
    let fleet = fleet(conf.set("quotas.lease_percent", 50), 2).await;
    for _ in 0..3 {
        assert_eq!(fleet[0].client().chat("demo").await.status, 200);
    }
    leases_again(&fleet[0]).await;
    fleet[0].signal("KILL");
    let mut answered = drain(&fleet[1]).await;
    eventually("the killed gateway's lease to be free", async || {
        answered += drain(&fleet[1]).await;
        (answered >= 7).then_some(())
    })
    .await;
    assert_eq!(answered, 7, "three of ten were used");
}
