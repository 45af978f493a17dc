//! Books: what a budget says was spent, what the journal holds, what a report adds up and what the
//! access log tells are one sum, to the micro-dollar, however requests end and whatever comes at once.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "JSON that lacks a member is null")]

use std::fs;

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::Method;
use support::answer::{Answer, close, ok, status};
use support::client::chat_with;
use support::conf::{Conf, UPSTREAM_MODEL, serving};
use support::events::Events;
use support::gate::Gate;
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};

/// Of the simulated model's 9 tokens of prompt and 3 of answer, at the first model's price and at the
/// second's: micro-dollars.
const DEAR: u64 = 9 + 6;
const CHEAP: u64 = 5 + 3;

/// Clients at once.
const CLIENTS: usize = 64;

/// The budget, in requests at the dearer price.
const WORTH: u64 = 1000;

const SPENT: &str = "tollgate_budget_spent_micro_usd";

/// Sums of one book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    requests: u64,
    estimated: u64,
    input: u64,
    output: u64,
    cost: u64,
}

/// A dear model, and a cheap one that is asked where it fails; the budget of the tenant is what
/// [`WORTH`] requests of the dear one cost.
fn bookkeeping(dear: &Upstream, cheap: &Upstream) -> Conf {
    let prices = json!({
        UPSTREAM_MODEL: [{"input": 1_000_000, "output": 2_000_000}],
        "cheap-model": [{"input": 500_000, "output": 1_000_000}],
    });
    serving(&[dear])
        .provider("cheap", &[cheap])
        .model("demo", &[("local", UPSTREAM_MODEL), ("cheap", "cheap-model")])
        .set("models.demo.candidates.1.priority", 1)
        .set("providers.local.passive.failures", 0)
        .set("providers.local.also", json!(["anthropic"]))
        .set("prices.models", prices)
        .set("usage.journal", "usage")
        .set("tenants.acme.budget.month_micro_usd", WORTH * DEAR)
        .set("keys.0.budget.day_micro_usd", 2 * WORTH * DEAR)
}

/// The lines of the journal's files, each once.
fn journal(gateway: &Gateway) -> Vec<Value> {
    let files = fs::read_dir(gateway.directory().join("usage")).expect("the journal's directory");
    let read = |file: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(file.expect("a file").path()).expect("lines")
    };
    let text: String = files.map(read).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
}

fn sums(rows: &[Value], of: impl Fn(&Value) -> Sums) -> Sums {
    rows.iter().map(of).fold(Sums::default(), |sum, row| Sums {
        requests: sum.requests + row.requests,
        estimated: sum.estimated + row.estimated,
        input: sum.input + row.input,
        output: sum.output + row.output,
        cost: sum.cost + row.cost,
    })
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn in_journal(gateway: &Gateway) -> Sums {
    sums(&journal(gateway), |line| Sums {
        requests: 1,
        estimated: u64::from(line["usage_source"] == "estimated"),
        input: number(&line["input"]),
        output: number(&line["output"]),
        cost: number(&line["cost_micro_usd"]),
    })
}

fn in_log(lines: &[Value]) -> Sums {
    sums(lines, |line| Sums {
        requests: u64::from(line["attempts"].as_array().is_some_and(|tried| !tried.is_empty())),
        estimated: u64::from(line["usage_source"] == "estimated"),
        input: number(&line["tokens"]["input"]),
        output: number(&line["tokens"]["output"]),
        cost: number(&line["cost_micro_usd"]),
    })
}

async fn in_report(gateway: &Gateway, group_by: &str) -> Sums {
    let path = format!("/admin/usage?group_by={group_by}");
    let report = gateway.admin(Method::GET, &path).await.json();
    assert_eq!(report["unreadable_lines"], 0, "{report}");
    sums(report["rows"].as_array().expect("rows"), |row| Sums {
        requests: number(&row["requests"]),
        estimated: number(&row["estimated"]),
        input: number(&row["input"]),
        output: number(&row["output"]),
        cost: number(&row["cost_micro_usd"]),
    })
}

/// What every book says once `ended` requests have; panics where two differ.
async fn agreed(gateway: &Gateway, ended: usize) -> Sums {
    let log = in_log(&gateway.access_log(ended).await);
    let report = in_report(gateway, "tenant,key,model,endpoint").await;
    let journal = in_journal(gateway);
    assert_eq!(report, journal, "report and journal");
    assert_eq!(log, journal, "access log and journal");
    let metrics = gateway.metrics().await;
    for scope in ["tenant", "key"] {
        let spent = metrics.sum(&format!("{SPENT}{{scope=\"{scope}\"}}"));
        assert_eq!(spent, journal.cost as f64, "budget of the {scope} and journal");
    }
    let told = ["tollgate_cost_micro_usd_total", "tollgate_estimated_requests_total"];
    let told = told.map(|name| metrics.sum(name));
    assert_eq!(told, [journal.cost as f64, journal.estimated as f64], "metrics and journal");
    let tokens = metrics.sum("tollgate_tokens_total");
    assert_eq!(tokens, (journal.input + journal.output) as f64, "tokens and journal");
    journal
}

/// Every way in which an answer goes, over and over.
fn trouble(requests: usize) -> Vec<Answer> {
    let kinds =
        [ok(), status(500), ok(), close(), ok().cut_after(2), ok(), status(429), ok().cut_after(0)];
    kinds.into_iter().cycle().take(requests).collect()
}

/// One request, of a kind that changes from turn to turn; its status.
async fn ask(gateway: &Gateway, turn: usize) -> u16 {
    let client = gateway.client();
    let members = json!({"max_tokens": 3, "stream": !turn.is_multiple_of(4)});
    let body = chat_with("demo", &members);
    match turn % 4 {
        0 => client.post("/v1/chat/completions", &body).await.status,
        1 => {
            client.post("/v1/messages", &chat_with("demo", &json!({"max_tokens": 3}))).await.status
        }
        leaves => {
            let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
            let mut events = Events::open(request).await;
            let status = events.status;
            if leaves == 3 {
                // The client leaves behind the first event.
                let _first = events.next().await;
            } else {
                events.rest().await;
            }
            status
        }
    }
}

#[tokio::test]
async fn the_books_are_one_sum_whatever_happens_to_requests() {
    let (dear, cheap) = (upstream().await, upstream().await);
    let gateway = bookkeeping(&dear, &cheap).start().await;
    let (shared, gate) = (&gateway, Gate::new());

    // Clients that leave before there is an answer.
    for _ in 0..8 {
        dear.then(ok().held_by(&gate));
    }
    let body = chat_with("demo", &json!({"max_tokens": 3}));
    let leaving = async || shared.client().post("/v1/chat/completions", &body).await.status;
    tokio::select! {
        _ = join_all((0..8).map(|_| leaving())) => unreachable!("nobody is answered"),
        () = gate.reached_by(8) => {}
    }
    dear.cancelled(8).await;
    gate.open();

    for answer in trouble(400) {
        dear.then(answer);
    }
    let client = async |number: usize| {
        for turn in 1.. {
            match ask(shared, number + turn).await {
                200 | 500..=504 => {}
                429 if shared.metric(SPENT).await >= (WORTH * DEAR * 9 / 10) as f64 => return turn,
                429 => {}
                other => panic!("{other}"),
            }
        }
        0
    };
    let turns: usize = join_all((0..CLIENTS).map(client)).await.iter().sum();

    let books = agreed(&gateway, 8 + turns).await;
    assert!(books.cost <= WORTH * DEAR, "overspent: {books:?}");
    assert!(books.cost > WORTH * DEAR * 9 / 10, "and nobody was refused too early: {books:?}");
    let entries = journal(&gateway);
    let costs = |endpoint: &str, source: &str| -> Vec<u64> {
        let here =
            entries.iter().filter(|e| e["endpoint"] == endpoint && e["usage_source"] == source);
        here.map(|entry| number(&entry["cost_micro_usd"])).collect()
    };
    let (dearly, cheaply) = (costs("local-1", "reported"), costs("cheap-1", "reported"));
    assert!(!dearly.is_empty() && dearly.iter().all(|cost| *cost == DEAR), "{dearly:?}");
    assert!(!cheaply.is_empty() && cheaply.iter().all(|cost| *cost == CHEAP), "{cheaply:?}");
    assert!(books.estimated > 0, "{books:?}");
    let free = entries.iter().filter(|entry| entry.get("usage_source").is_none());
    assert!(free.clone().count() >= 8 && free.clone().all(|entry| entry["cost_micro_usd"] == 0));
}

#[tokio::test]
async fn a_kill_in_the_midst_of_it_leaves_the_journal_and_the_budgets_agreed() {
    let (dear, cheap) = (upstream().await, upstream().await);
    let mut gateway = bookkeeping(&dear, &cheap).start().await;
    let shared = &gateway;
    let (told, mut heard) = tokio::sync::watch::channel(0_usize);
    let client = async || {
        let body = chat_with("demo", &json!({"max_tokens": 3}));
        loop {
            let request = shared.client().request(Method::POST, "/v1/chat/completions").json(&body);
            match support::reply::Reply::attempt(request).await {
                Ok(reply) => assert_eq!(reply.status, 200, "{}", reply.text()),
                Err(_) => return,
            }
            told.send_modify(|answers| *answers += 1);
        }
    };
    let kill = async {
        let _ = heard.wait_for(|answers| *answers >= 200).await;
        shared.signal("KILL");
    };
    tokio::join!(join_all((0..16).map(|_| client())), kill);
    let answers = *told.borrow();
    gateway.restart().await;

    let report = in_report(&gateway, "key").await;
    assert_eq!(report, in_journal(&gateway), "report and journal");
    for scope in ["tenant", "key"] {
        let spent = gateway.metric(&format!("{SPENT}{{scope=\"{scope}\"}}")).await;
        assert_eq!(spent, report.cost as f64, "budget of the {scope} and journal");
    }
    // What every client heard last may have been on its way to the journal.
    let journalled = usize::try_from(report.requests).expect("few");
    assert!(journalled + 16 >= answers, "{answers} answers, {journalled} in the journal");
    assert!(journalled <= dear.count(), "no more than were asked for");
}

#[tokio::test]
async fn a_budget_that_comes_with_a_reload_knows_what_was_spent_before() {
    let (dear, cheap) = (upstream().await, upstream().await);
    let conf = bookkeeping(&dear, &cheap);
    let conf = conf.set("keys.0.budget", json!({})).set("keys.0.team", "red");
    let mut gateway = conf.set("tenants.acme.teams.red.limits", json!({})).start().await;
    for _ in 0..3 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    gateway.until_metric("tollgate_requests_total", |count| count == 3.0).await;
    let (key, team) =
        ("keys.0.budget.day_micro_usd", "tenants.acme.teams.red.budget.week_micro_usd");
    gateway.reconfigure(|conf| conf.set(key, 4 * DEAR).set(team, 1000 * DEAR)).await;
    for scope in ["tenant", "team", "key"] {
        let spent = gateway.metric(&format!("{SPENT}{{scope=\"{scope}\"}}")).await;
        assert_eq!(spent, (3 * DEAR) as f64, "budget of the {scope}");
    }
    gateway.reconfigure(|conf| conf.set(key, 3 * DEAR)).await;
    let refused = gateway.client().chat("demo").await;
    assert_eq!((refused.status, &*refused.error_code()), (429, "insufficient_quota"));
}
