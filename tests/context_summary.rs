//! Conversations that outgrow the window, with a model that folds their oldest turns.

use serde_json::{Value, json};
use support::answer::{Answer, json as answer, status};
use support::client::Client;
use support::conf::{Conf, serving};
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::{Upstream, upstream};

const CHAT: &str = "/v1/chat/completions";
const MADE: &str = r#"tollgate_context_summaries_total{outcome="made"}"#;
const FAILED: &str = r#"tollgate_context_summaries_total{outcome="failed"}"#;

/// Tokens of a prompt: the window less the answer.
const FIT: u32 = 600;

/// Above so many a summary is made.
const NEAR: u32 = FIT * 80 / 100;

fn summary(text: &str) -> Answer {
    let message = json!({"role": "assistant", "content": text});
    answer(&json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
}

fn summarizing(model: &Upstream, scribe: &Upstream) -> Conf {
    let by = json!({
        "url": format!("{}/v1", scribe.url()), "model": "scribe", "key": {"value": "sk-scribe"},
    });
    serving(&[model])
        .set("models.demo.window_tokens", FIT + 100)
        .set("contexts.window.answer_tokens", 100)
        .set("contexts.window.strategy", "summarize")
        .set("contexts.window.summary", by)
}

async fn start() -> (Upstream, Upstream, Gateway) {
    let (model, scribe) = (upstream().await, upstream().await);
    scribe.always(summary("They talk of words."));
    let gateway = summarizing(&model, &scribe).start().await;
    (model, scribe, gateway)
}

async fn say(client: &Client, text: &str) -> Reply {
    say_in(client, "c", text).await
}

async fn say_in(client: &Client, context: &str, text: &str) -> Reply {
    let messages = json!([{"role": "user", "content": format!("{text} {}", "word ".repeat(20))}]);
    let body = json!({"model": "demo", "context": {"id": context}, "messages": messages});
    let reply = client.post(CHAT, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn number(reply: &Reply, name: &str) -> u32 {
    reply.header(name).parse().unwrap_or_default()
}

/// Takes turns until so many summaries were made, each of which is awaited; the prompts.
async fn talk(client: &Client, model: &Upstream, gateway: &Gateway, made: f64) -> Vec<Value> {
    let mut prompts = Vec::new();
    let start = gateway.metric(MADE).await;
    let mut seen = start;
    while seen < start + made {
        let reply = say(client, "More").await;
        prompts.push(model.last_request().json().get("messages").cloned().unwrap_or_default());
        if number(&reply, "x-context-tokens") > NEAR {
            seen += 1.0;
            gateway.until_metric(MADE, |count| count == seen).await;
        }
    }
    prompts
}

#[tokio::test]
async fn the_oldest_turns_are_folded_before_the_window_is_full() {
    let (model, scribe, gateway) = start().await;
    let client = gateway.client();
    let begin = json!({"id": "c", "messages": [
        {"role": "system", "content": "Rules."},
        {"role": "user", "content": "Remember this.", "pinned": true},
    ]});
    assert_eq!(client.post("/v1/contexts", &begin).await.status, 201);
    let first = talk(&client, &model, &gateway, 1.0).await;
    assert!(first.iter().all(|prompt| !prompt.to_string().contains("They talk of words.")));
    let asked = scribe.only_request();
    assert_eq!(asked.header("authorization"), "Bearer sk-scribe");
    assert_eq!(
        (asked.model().as_str(), &asked.json()["max_completion_tokens"]),
        ("scribe", &json!(512))
    );
    let told = asked.json()["messages"][1]["content"].as_str().expect("a text").to_owned();
    assert!(
        told.starts_with(r#"{"role":"assistant","#) || told.starts_with(r#"{"content":"#),
        "{told}"
    );
    assert!(!told.contains("Rules.") && !told.contains("Remember this."), "what stays is not told");
    let second = talk(&client, &model, &gateway, 1.0).await;
    for prompt in &second {
        let head: Vec<&str> =
            (0..3).map(|at| prompt[at]["content"].as_str().unwrap_or_default()).collect();
        let short = "What was said before, in short:\nThey talk of words.";
        assert_eq!(head, ["Rules.", "Remember this.", short], "{prompt}");
    }
    let texts: Vec<String> = second.iter().map(Value::to_string).collect();
    assert!(texts.windows(2).all(|pair| pair[1].starts_with(pair[0].trim_end_matches(']'))));
    let again = scribe.last_request().json()["messages"][1]["content"].to_string();
    assert!(again.contains("They talk of words."), "a summary tells of the one before: {again}");
    let reply = say(&client, "Last").await;
    let (dropped, summarized) =
        (number(&reply, "x-context-dropped"), number(&reply, "x-context-summarized"));
    assert_eq!(dropped + 2, summarized, "all but the rules and what is pinned");
    let kept = client.get("/v1/contexts/c").await.json();
    let turns = first.len() + second.len() + 1;
    assert_eq!(kept["version"], turns + 1, "a summary is no version");
    assert_eq!(kept["message_count"], 2 + 2 * turns, "the context keeps everything");
}

#[tokio::test]
async fn without_a_summary_the_oldest_turns_stay_behind() {
    let (model, scribe, gateway) = start().await;
    let client = gateway.client();
    let bad = [status(500), summary(""), summary(&"long ".repeat(5000)), answer(&json!({}))];
    // A context whose summary failed twice is left alone for a while: each has its own.
    for (context, bad) in ["a", "b", "d", "e"].into_iter().zip(bad) {
        scribe.always(bad);
        let before = gateway.metric(FAILED).await;
        while gateway.metric(FAILED).await == before {
            let reply = say_in(&client, context, "More").await;
            assert!(number(&reply, "x-context-tokens") <= FIT);
            assert_eq!(reply.header("x-context-summarized"), "");
        }
    }
    for _ in 0..12 {
        say(&client, "More").await;
    }
    assert!(number(&say(&client, "More").await, "x-context-dropped") > 0);
    assert_eq!(gateway.metric(MADE).await, 0.0);
    assert!(!model.last_request().json().to_string().contains("in short"));
}

#[tokio::test]
async fn a_summary_of_what_was_taken_back_is_not_used() {
    let (model, _scribe, gateway) = start().await;
    let client = gateway.client();
    talk(&client, &model, &gateway, 1.0).await;
    let summarized = number(&say(&client, "One").await, "x-context-summarized");
    assert!(summarized > 0);
    let back = client.post("/v1/contexts/c/rollback", &json!({"version": 1})).await;
    assert_eq!(back.status, 200, "{}", back.text());
    let mut last = say(&client, "Other").await;
    while number(&last, "x-context-tokens") <= NEAR {
        assert_eq!(last.header("x-context-summarized"), "");
        last = say(&client, "Other").await;
    }
    gateway.until_metric(MADE, |made| made == 2.0).await;
    assert!(number(&say(&client, "Other").await, "x-context-summarized") > 0);
    // A context that is removed takes its summary along.
    let gone = Reply::from(client.request(support::Method::DELETE, "/v1/contexts/c")).await;
    assert_eq!(gone.status, 200);
    assert_eq!(gateway.metric("tollgate_contexts").await, 0.0);
}

#[tokio::test]
async fn who_asks_for_summaries_where_there_are_none_is_told() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let window = json!({"strategy": "summarize"});
    let body = json!({"model": "demo", "context": {"window": window}, "messages": []});
    let refused = gateway.client().post(CHAT, &body).await;
    refused.assert_error(400, "invalid_body");
    let strategies = |protocol: Value| protocol["window_strategies"].clone();
    let spoken = gateway.client().get("/.well-known/context-protocol").await.json();
    assert_eq!(strategies(spoken), json!(["oldest_turns", "none"]));
    let (_model, _scribe, gateway) = start().await;
    let spoken = gateway.client().get("/.well-known/context-protocol").await.json();
    assert_eq!(strategies(spoken), json!(["oldest_turns", "summarize", "none"]));
}
