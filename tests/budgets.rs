//! Money over real sockets: prices, budgets that hold whatever comes at once, and books that equal
//! the sum of the journal, through a killed process too.

use serde_json::{Value, json};
use support::Method;
use support::answer::ok;
use support::client::chat_with;
use support::conf::{Conf, UPSTREAM_MODEL, serving};
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::upstream;

/// Of the simulated model's 9 tokens of prompt and 3 of answer: 9 and 6 micro-dollars.
const COST: u64 = 15;

/// Clients at once.
const CLIENTS: usize = 64;

const SPENT: &str = "tollgate_budget_spent_micro_usd";

fn priced(conf: Conf) -> Conf {
    let price = json!([{"input": 1_000_000, "output": 2_000_000}]);
    conf.set("prices.models", json!({UPSTREAM_MODEL: price}))
}

async fn ask(gateway: &Gateway) -> Reply {
    let body = chat_with("demo", &json!({"max_tokens": 3}));
    gateway.client().post("/v1/chat/completions", &body).await
}

async fn usage(gateway: &Gateway, query: &str) -> Value {
    gateway.admin(Method::GET, &format!("/admin/usage?{query}")).await.json()
}

#[tokio::test]
async fn an_answers_cost_is_in_the_log_in_the_metrics_and_where_it_is_asked_for() {
    let model = upstream().await;
    let conf = priced(serving(&[&model])).set("tiers.half.price_percent", 50);
    let mut gateway = conf.start().await;
    let plain = gateway.client().chat("demo").await;
    assert_eq!(plain.header("x-tollgate-cost-micro-usd"), "", "nobody asked");
    let logged = gateway.logged(&plain).await;
    assert_eq!(
        (&logged["cost_micro_usd"], &logged["usage_source"]),
        (&json!(COST), &json!("reported"))
    );
    gateway.reconfigure(|conf| conf.set("keys.0.tier", "half")).await;
    let asking = gateway.client().request(Method::POST, "/v1/chat/completions");
    let asking = asking.header("x-tollgate-cost", "true").json(&chat_with("demo", &json!({})));
    let told = Reply::from(asking).await;
    assert_eq!(told.header("x-tollgate-cost-micro-usd"), "8", "half of 15, rounded up");
    assert_eq!(told.body, plain.body, "the answer itself is the same");
    assert_eq!(told.header("content-length"), told.body.len().to_string());
    let metric = r#"tollgate_cost_micro_usd_total{model="demo",endpoint="local-1"}"#;
    gateway.until_metric(metric, |cost| cost == 23.0).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_charged_by_an_estimate() {
    let model = upstream().await;
    let gateway = priced(serving(&[&model])).set("usage.tokenizer", "o200k").start().await;
    model.then(ok().cut_after(3));
    let stream = gateway.client().stream("demo").await;
    stream.rest().await;
    let line = gateway.access_log(1).await.remove(0);
    assert_eq!((&line["usage_source"], &line["status"]), (&json!("estimated"), &json!(200)));
    // "Hello" as a message of a chat, and of the answer "Hello from".
    assert_eq!((&line["tokens"]["input"], &line["tokens"]["output"]), (&json!(8), &json!(2)));
    assert_eq!(line["cost_micro_usd"], 8 + 2 * 2, "{line}");
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_where_that_is_the_rule() {
    let model = upstream().await;
    let conf = priced(serving(&[&model])).set("prices.unpriced", "refuse");
    let conf = conf.model("free", &[("local", "unpriced-model")]);
    let mut gateway = conf.start().await;
    let refused = gateway.client().chat("free").await;
    assert_eq!((refused.status, &*refused.error_code()), (403, "model_unpriced"));
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    gateway.reconfigure(|conf| conf.set("prices.unpriced", "allow")).await;
    let served = gateway.client().chat("free").await;
    assert_eq!(served.status, 200);
    assert!(gateway.logged(&served).await.get("cost_micro_usd").is_none());
}

#[tokio::test]
async fn clients_at_once_never_overspend_and_the_books_survive_a_kill() {
    let model = upstream().await;
    let conf = priced(serving(&[&model]))
        .set("tenants.acme.budget.month_micro_usd", 1000 * COST)
        .set("usage.journal", "usage");
    let mut gateway = conf.start().await;
    let shared = &gateway;
    let client = async || {
        let mut answered = 0u64;
        loop {
            let reply = ask(shared).await;
            match reply.status {
                200 => answered += 1,
                429 => break answered,
                other => panic!("{other}: {}", reply.text()),
            }
        }
    };
    let answered: Vec<u64> = futures_util::future::join_all((0..CLIENTS).map(|_| client())).await;
    let answered: u64 = answered.iter().sum();
    assert!((900..=1000).contains(&answered), "{answered} of 1000 requests' worth");
    assert_eq!(model.count() as u64, answered, "what is refused goes nowhere");
    let refused = ask(&gateway).await;
    assert_eq!((refused.status, &*refused.error_code()), (429, "insufficient_quota"));
    assert!(refused.error_message().contains("the tenant `acme`"), "{}", refused.error_message());
    assert_eq!(refused.header("x-should-retry"), "false");
    assert_ne!(refused.header("retry-after"), "");
    let spent = (answered * COST) as f64;
    gateway.until_metric(SPENT, |told| told == spent).await;
    let books = usage(&gateway, "group_by=tenant,key").await;
    assert_eq!(books["rows"][0]["cost_micro_usd"], answered * COST, "{books}");
    assert_eq!(books["rows"][0]["requests"], answered);
    gateway.until_stderr("the tenant `acme` has spent 80 % of its budget of the month").await;

    gateway.signal("KILL");
    gateway.restart().await;
    assert_eq!(gateway.metric(SPENT).await, spent, "read from the journal");
    assert_eq!(usage(&gateway, "group_by=tenant,key").await, books);
    assert_eq!(ask(&gateway).await.status, 429);
}

#[tokio::test]
async fn usage_is_told_by_group_as_json_and_as_csv() {
    let model = upstream().await;
    let conf = priced(serving(&[&model])).model("other", &[("local", UPSTREAM_MODEL)]);
    let gateway = conf.set("usage.journal", "usage").start().await;
    for alias in ["demo", "demo", "other", "gpt-9"] {
        gateway.client().chat(alias).await;
    }
    gateway.until_metric("tollgate_requests_total", |count| count == 4.0).await;
    let rows = usage(&gateway, "group_by=model,tenant").await;
    assert_eq!(rows["rows"][0]["model"], "demo", "{rows}");
    assert_eq!((&rows["rows"][0]["requests"], &rows["rows"][0]["input"]), (&json!(2), &json!(18)));
    assert_eq!(rows["rows"][1]["cost_micro_usd"], COST);
    let csv = gateway.admin(Method::GET, "/admin/usage?group_by=model&format=csv").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let lines: Vec<_> = csv.text().lines().skip(1).collect();
    assert_eq!(lines, ["demo,2,0,18,0,0,6,0,30", "other,1,0,9,0,0,3,0,15"]);
    let wrong = gateway.admin(Method::GET, "/admin/usage?group_by=person").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn without_a_journal_nothing_is_reported() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let reply = gateway.admin(Method::GET, "/admin/usage").await;
    assert_eq!((reply.status, &*reply.error_code()), (404, "no_journal"));
}
