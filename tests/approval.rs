//! Models that a tenant may use once that was approved: how it asks, who decides, and what holds from then on.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use reqwest::Method;
use serde_json::{Value, json};
use support::client::Client;
use support::conf::{Conf, TENANT, UPSTREAM_MODEL, serving};
use support::gateway::Gateway;
use support::operator::{Operator, bearer};
use support::upstream::{Upstream, upstream};
use support::valkey::Valkey;
use support::wait::eventually;

const ASK: &str = "/v1/access-requests";

const OTHER: &str = "sk-of-another-tenant";

fn guarded(model: &Upstream) -> Conf {
    serving(&[model])
        .model("large", &[("local", UPSTREAM_MODEL)])
        .set("models.large.approval", true)
        .key("other", OTHER, &json!({"tenant": "other"}))
}

async fn alone(model: &Upstream) -> Gateway {
    guarded(model).set("state.path", "state").start().await
}

async fn models(client: &Client) -> Vec<String> {
    let listed = client.get("/v1/models").await.json();
    let names = listed["data"].as_array().expect("a list").iter();
    names.map(|model| model["id"].as_str().expect("a name").to_owned()).collect()
}

/// Asks, and gives the id.
async fn ask(client: &Client) -> String {
    let asked = client.post(ASK, &json!({"model": "large", "reason": "a trial"})).await;
    assert_eq!(asked.status, 201, "{}", asked.text());
    let asked = asked.json();
    assert_eq!((&asked["state"], &asked["tenant"]), (&json!("pending"), &json!(TENANT)));
    asked["id"].as_str().expect("an id").to_owned()
}

async fn decide(admin: &Operator, id: &str, verdict: &str, body: Value) -> Value {
    admin.make(&format!("/admin/access-requests/{id}/{verdict}"), &body).await
}

#[tokio::test]
async fn a_tenant_asks_and_is_approved_and_its_access_is_revoked() {
    let model = upstream().await;
    let gateway = alone(&model).await;
    let (client, admin) = (gateway.client(), Operator::of(&gateway));
    let refused = client.chat("large").await;
    refused.assert_error(403, "model_needs_approval");
    assert!(refused.error_message().contains("POST /v1/access-requests"), "{}", refused.text());
    client.get("/v1/models/large").await.assert_error(403, "model_needs_approval");
    assert_eq!(models(&client).await, ["demo"]);
    assert_eq!(model.count(), 0);

    let id = ask(&client).await;
    let again = client.post(ASK, &json!({"model": "large", "reason": "please"})).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)), "asked already");
    let stranger = bearer(&gateway, OTHER);
    assert_eq!(stranger.get(ASK).await.json()["data"], json!([]), "another tenant's");
    let pending = admin.get("/admin/access-requests?state=pending").await.json();
    assert_eq!(pending["access_requests"][0]["reason"], "a trial");

    decide(
        &admin,
        &id,
        "approve",
        json!({"reason": "until summer", "expires_at": "2990-06-01T00:00:00Z"}),
    )
    .await;
    assert_eq!(client.chat("large").await.status, 200);
    assert_eq!(models(&client).await, ["demo", "large"]);
    let mine = client.get(ASK).await.json();
    let mine = &mine["data"][0];
    assert_eq!((&mine["state"], &mine["answer"]), (&json!("approved"), &json!("until summer")));
    assert_eq!(mine["expires_at"], "2990-06-01T00:00:00Z");
    stranger.chat("large").await.assert_error(403, "model_needs_approval");

    decide(&admin, &id, "revoke", json!({})).await;
    client.chat("large").await.assert_error(403, "model_needs_approval");
    let log = admin.get("/admin/audit").await.json();
    let entries = log["entries"].as_array().expect("a list");
    let told: Vec<_> = entries.iter().map(|e| (e["action"].as_str(), e["by"].as_str())).collect();
    let by = Some("anonymous");
    let expected = [
        (Some("access.revoke"), by),
        (Some("access.approve"), by),
        (Some("access.ask"), Some("key test-key")),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_refusal_tells_why_and_another_request_may_follow() {
    let model = upstream().await;
    let mut gateway = alone(&model).await;
    let admin = Operator::of(&gateway);
    let id = ask(&gateway.client()).await;
    decide(&admin, &id, "refuse", json!({"reason": "too dear"})).await;
    gateway.crash().await;
    let client = gateway.client();
    assert_eq!(client.get(ASK).await.json()["data"][0]["answer"], "too dear");
    assert_eq!(ask(&client).await, id, "one request for each model");
    decide(&admin, &id, "approve", json!({})).await;
    gateway.crash().await;
    assert_eq!(gateway.client().chat("large").await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let model = upstream().await;
    let gateway = alone(&model).await;
    let (client, admin) = (gateway.client(), Operator::of(&gateway));
    for (body, status, code) in [
        (json!({}), 400, "invalid_body"),
        (json!({"model": "large", "why": "x"}), 400, "invalid_body"),
        (json!({"model": "large", "reason": "x".repeat(3000)}), 400, "invalid_body"),
        (json!({"model": "demo"}), 400, "invalid_body"),
        (json!({"model": "none"}), 404, "model_not_found"),
    ] {
        client.post(ASK, &body).await.assert_error(status, code);
    }
    let id = ask(&client).await;
    for (verdict, body, status, code) in [
        ("revoke", json!({}), 409, "in_use"),
        ("approve", json!({"expires_at": "2020-01-01T00:00:00Z"}), 400, "invalid_request"),
        ("approve", json!({"until": "2990-01-01T00:00:00Z"}), 400, "invalid_request"),
        ("refuse", json!({"expires_at": "2990-01-01T00:00:00Z"}), 400, "invalid_request"),
        ("refuse", json!({"reason": 1}), 400, "invalid_request"),
        ("grant", json!({}), 404, "not_found"),
    ] {
        let path = format!("/admin/access-requests/{id}/{verdict}");
        admin.send(Method::POST, &path, &body).await.assert_refused(status, code);
    }
    let path = "/admin/access-requests/ar_none/approve";
    admin.send(Method::POST, path, &json!({})).await.assert_refused(404, "not_found");
    client.chat("large").await.assert_error(403, "model_needs_approval");
}

#[tokio::test]
async fn an_approval_is_in_effect_on_every_node() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let conf = guarded(&model).set("valkey.url.value", valkey.url());
    let (one, two) = (conf.clone().start().await, conf.start().await);
    let id = ask(&one.client()).await;
    decide(&Operator::of(&two), &id, "approve", json!({})).await;
    for gateway in [&one, &two] {
        eventually("the approval to be in effect", async || {
            (gateway.client().chat("large").await.status == 200).then_some(())
        })
        .await;
    }
    valkey.kill();
    one.until_metric("tollgate_roster_up", |up| up == 0.0).await;
    assert_eq!(one.client().chat("large").await.status, 200, "what is known stays");
    let asked = bearer(&one, OTHER).post(ASK, &json!({"model": "large"})).await;
    asked.assert_error(503, "access_requests_unavailable");
}

#[tokio::test]
async fn where_no_model_needs_approval_there_is_nothing_to_ask_for() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    gateway.client().get(ASK).await.assert_error(404, "not_found");
}
