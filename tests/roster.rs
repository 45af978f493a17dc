//! Tenants and keys that are made at run time: what can be done to them, that they outlive the process,
//! and that the configuration file goes before them.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use support::conf::{Conf, KEY_ID, TENANT, UPSTREAM_MODEL, serving};
use support::gateway::Gateway;
use support::operator::{Operator, bearer};
use support::upstream::{Upstream, upstream};
use support::valkey::Valkey;
use support::wait::eventually;

fn kept(model: &Upstream) -> Conf {
    serving(&[model]).set("state.path", "roster").set("tenants", json!({TENANT: {}}))
}

/// The status that a chat with this secret gets, and the code of its error.
async fn chat(gateway: &Gateway, secret: &str) -> (u16, String) {
    let reply = bearer(gateway, secret).chat("demo").await;
    let code = if reply.status == 200 { String::new() } else { reply.error_code() };
    (reply.status, code)
}

fn fine() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_key_is_made_used_changed_rotated_and_deleted() {
    let model = upstream().await;
    let gateway = kept(&model).start().await;
    let admin = Operator::of(&gateway);
    let secret = admin.make_key(&json!({"id": "app", "tenant": TENANT, "models": ["demo"]})).await;
    assert_eq!(chat(&gateway, &secret).await, fine());
    let shown = admin.get("/admin/keys/app").await;
    assert!(!shown.text().contains(&secret) && !shown.text().contains("sha256"));
    let shown = shown.json();
    assert_eq!((&shown["source"], &shown["in_effect"]), (&json!("admin"), &json!(true)));

    admin.change("/admin/keys/app", &json!({"enabled": false})).await;
    assert_eq!(chat(&gateway, &secret).await, refused(401, "api_key_disabled"));
    let change = json!({"enabled": null, "expires_at": "2020-01-01T00:00:00Z"});
    admin.change("/admin/keys/app", &change).await;
    assert_eq!(chat(&gateway, &secret).await, refused(401, "api_key_expired"));
    admin.change("/admin/keys/app", &json!({"expires_at": null})).await;

    let rotate = async |body: Value| {
        let made = admin.make("/admin/keys/app/rotate", &body).await;
        made["secret"].as_str().expect("a secret").to_owned()
    };
    let second = rotate(json!({"overlap_seconds": 3600})).await;
    assert_eq!(chat(&gateway, &secret).await, fine(), "the old secret overlaps");
    assert_eq!(chat(&gateway, &second).await, fine());
    let third = rotate(json!({})).await;
    assert_eq!(chat(&gateway, &secret).await, refused(401, "invalid_api_key"));
    assert_eq!(chat(&gateway, &second).await, refused(401, "invalid_api_key"));
    assert_eq!(chat(&gateway, &third).await, fine());

    assert_eq!(admin.delete("/admin/keys/app").await.status, 200);
    assert_eq!(chat(&gateway, &third).await, refused(401, "invalid_api_key"));
    admin.get("/admin/keys/app").await.assert_refused(404, "not_found");
}

#[tokio::test]
async fn both_secrets_of_a_key_use_up_one_limit_and_other_changes_do_not_reset_it() {
    let model = upstream().await;
    let gateway = kept(&model).start().await;
    let admin = Operator::of(&gateway);
    let limited = json!({"id": "app", "tenant": TENANT, "limits": {"requests_per_day": 3}});
    let old = admin.make_key(&limited).await;
    assert_eq!(chat(&gateway, &old).await, fine());
    let rotated = admin.make("/admin/keys/app/rotate", &json!({"overlap_seconds": 60})).await;
    let new = rotated["secret"].as_str().expect("a secret");
    assert_eq!(chat(&gateway, new).await, fine());
    admin.make("/admin/tenants", &json!({"name": "other"})).await;
    admin.make_key(&json!({"id": "another", "tenant": "other"})).await;
    assert_eq!(chat(&gateway, &old).await, fine());
    for secret in [new, &old] {
        assert_eq!(chat(&gateway, secret).await, refused(429, "limit_exceeded"));
    }
}

#[tokio::test]
async fn a_tenant_bounds_its_keys_and_stays_while_it_has_some() {
    let model = upstream().await;
    let gateway = kept(&model).model("other", &[("local", UPSTREAM_MODEL)]).start().await;
    let admin = Operator::of(&gateway);
    let tenant = json!({"name": "beta", "models": ["other"], "teams": {"search": {}}});
    admin.make("/admin/tenants", &tenant).await;
    let key = json!({"id": "app", "tenant": "beta", "team": "search"});
    let secret = admin.make_key(&key).await;
    let client = bearer(&gateway, &secret);
    client.chat("demo").await.assert_error(404, "model_not_found");
    assert_eq!(client.chat("other").await.status, 200);
    admin.change("/admin/tenants/beta", &json!({"models": ["other", "demo"]})).await;
    assert_eq!(client.chat("demo").await.status, 200);

    let no_team = admin.send(Method::PATCH, "/admin/tenants/beta", &json!({"teams": null})).await;
    no_team.assert_refused(409, "in_use");
    admin.delete("/admin/tenants/beta").await.assert_refused(409, "in_use");
    admin.delete("/admin/keys/app").await;
    assert_eq!(admin.delete("/admin/tenants/beta").await.status, 200);
}

#[tokio::test]
async fn what_is_made_survives_a_kill_and_a_reload() {
    let model = upstream().await;
    let mut gateway = kept(&model).start().await;
    let mut secrets = Vec::new();
    for id in ["one", "two"] {
        let key = json!({"id": id, "tenant": TENANT, "labels": {"team": id}});
        secrets.push(Operator::of(&gateway).make_key(&key).await);
        gateway.crash().await;
    }
    gateway.reconfigure(|conf| conf.model("more", &[("local", UPSTREAM_MODEL)])).await;
    for secret in &secrets {
        assert_eq!(chat(&gateway, secret).await, fine());
        assert_eq!(bearer(&gateway, secret).chat("more").await.status, 200);
    }
    let listed = Operator::of(&gateway).get("/admin/keys").await.json();
    let ids: Vec<_> = listed["keys"].as_array().expect("a list").iter().map(|k| &k["id"]).collect();
    assert_eq!(ids, ["one", KEY_ID, "two"]);
}

#[tokio::test]
async fn the_file_goes_before_what_was_made() {
    let model = upstream().await;
    let mut gateway = kept(&model).start().await;
    let admin = Operator::of(&gateway);
    for (path, body) in
        [("/admin/keys", json!({"id": KEY_ID})), ("/admin/tenants", json!({"name": TENANT}))]
    {
        admin.send(Method::POST, path, &body).await.assert_refused(409, "defined_in_file");
    }
    for path in [format!("/admin/keys/{KEY_ID}"), format!("/admin/tenants/{TENANT}")] {
        let change = admin.send(Method::PATCH, &path, &json!({"models": []})).await;
        change.assert_refused(409, "defined_in_file");
        admin.delete(&path).await.assert_refused(409, "defined_in_file");
    }

    let secret = admin.make_key(&json!({"id": "app", "tenant": TENANT})).await;
    let narrow =
        admin.make_key(&json!({"id": "narrow", "tenant": TENANT, "models": ["demo"]})).await;
    gateway
        .reconfigure(|conf| {
            conf.key("app", "sk-of-the-file", &json!({"tenant": TENANT}))
                .set("models", json!({}))
                .model("renamed", &[("local", UPSTREAM_MODEL)])
        })
        .await;
    assert_eq!(chat(&gateway, &secret).await.0, 401, "the file's key has taken its place");
    assert_eq!(chat(&gateway, &narrow).await.0, 401, "what cannot be built opens nothing");
    assert_eq!(bearer(&gateway, "sk-of-the-file").chat("renamed").await.status, 200);
    let shown = admin.get("/admin/keys/narrow").await.json();
    assert_eq!(shown["in_effect"], false);
    let why = shown["problems"][0].as_str().expect("a sentence");
    assert!(why.starts_with("models[0]: no model `demo`"), "{why}");
    assert_eq!(gateway.metric("tollgate_roster_set_aside").await, 2.0);
    gateway.until_stderr("the key `app`, made at run time, is set aside").await;

    gateway
        .reconfigure(|conf| {
            conf.set("models", json!({}))
                .model("demo", &[("local", UPSTREAM_MODEL)])
                .set("keys.1.id", "else")
        })
        .await;
    for secret in [&secret, &narrow] {
        assert_eq!(chat(&gateway, secret).await, fine(), "it is back");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let model = upstream().await;
    let gateway = kept(&model).start().await;
    let admin = Operator::of(&gateway);
    let rows = [
        (json!({}), 400, "invalid_request", "`id` is missing"),
        (json!({"id": 7}), 400, "invalid_request", "`id` must be text"),
        (json!({"id": "a", "hash": "x"}), 400, "invalid_request", "`hash` cannot be set"),
        (json!({"id": ""}), 422, "invalid_object", "id: a name must not be empty"),
        (json!({"id": "a", "modles": []}), 422, "invalid_object", "did you mean `models`?"),
        (json!({"id": "a", "tenant": "acm"}), 422, "invalid_object", "tenant: no tenant `acm`"),
        (json!({"id": "a", "tier": "gold"}), 422, "invalid_object", "tier: no tier `gold`"),
        (json!({"id": "a", "models": ["x"]}), 422, "invalid_object", "models[0]: no model `x`"),
        (
            json!({"id": "a", "enabled": "no"}),
            422,
            "invalid_object",
            "enabled: must be true or false",
        ),
        (
            json!({"id": "a", "limits": {"in_flight": -1}}),
            422,
            "invalid_object",
            "limits.in_flight:",
        ),
        (
            json!({"id": "a", "expires_at": "soon"}),
            422,
            "invalid_object",
            "expires_at: `soon` is not",
        ),
    ];
    for (body, status, code, text) in rows {
        let reply = admin.send(Method::POST, "/admin/keys", &body).await;
        reply.assert_refused(status, code);
        assert!(reply.error_message().contains(text), "{body}: {}", reply.text());
    }
    for body in ["", "[]", "nonsense", "{\"id\":", "\u{0}"] {
        admin.send_bytes("/admin/keys", body).await.assert_refused(400, "invalid_request");
    }
    let huge = "x".repeat(300 << 10);
    admin.send_bytes("/admin/keys", huge).await.assert_refused(400, "invalid_request");
    for path in ["/admin/keys?limit=0", "/admin/keys?x=1", "/admin/audit?from=soon"] {
        admin.get(path).await.assert_refused(400, "invalid_request");
    }
    assert_eq!(admin.get("/admin/keys").await.json()["keys"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn of_many_who_make_the_same_name_at_once_one_does_on_every_node_within_a_second() {
    let (model, valkey) = (upstream().await, Valkey::start().await);
    let conf = serving(&[&model]).set("valkey.url.value", valkey.url());
    let (one, two) = (conf.clone().start().await, conf.start().await);
    let made = join_all((0..12).map(async |index| {
        let admin = Operator::of(if index % 2 == 0 { &one } else { &two });
        admin.send(Method::POST, "/admin/keys", &json!({"id": "app"})).await
    }))
    .await;
    let (made, others): (Vec<_>, Vec<_>) = made.iter().partition(|reply| reply.status == 201);
    assert_eq!(made.len(), 1);
    others.iter().for_each(|reply| reply.assert_refused(409, "already_exists"));
    let secret = made[0].json()["secret"].as_str().expect("a secret").to_owned();
    for gateway in [&one, &two] {
        eventually("the key to be known", async || {
            (chat(gateway, &secret).await == fine()).then_some(())
        })
        .await;
    }
    Operator::of(&one).change("/admin/keys/app", &json!({"enabled": false})).await;
    eventually("the other node to refuse it", async || {
        (chat(&two, &secret).await == refused(401, "api_key_disabled")).then_some(())
    })
    .await;
    let audited = Operator::of(&two).get("/admin/audit").await.json();
    let actions: Vec<_> =
        audited["entries"].as_array().expect("a list").iter().map(|e| &e["action"]).collect();
    assert_eq!(actions, ["key.change", "key.create"], "the newest first");

    valkey.kill();
    two.until_metric("tollgate_roster_up", |up| up == 0.0).await;
    assert_eq!(chat(&two, &secret).await, refused(401, "api_key_disabled"), "what is known stays");
    let reply = Operator::of(&two).send(Method::POST, "/admin/keys", &json!({"id": "b"})).await;
    reply.assert_refused(503, "state_unavailable");
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_no_secret() {
    let model = upstream().await;
    let mut gateway = kept(&model).set("server.admin.token.value", "s3cret").start().await;
    let (stranger, admin) = (Operator::of(&gateway), Operator::of(&gateway).with_token("s3cret"));
    for path in ["/admin/keys", "/admin/tenants/x", "/admin/audit", "/admin/status", "/admin/usage"]
    {
        stranger.get(path).await.assert_refused(401, "unauthorized");
    }
    let made = stranger.send(Method::POST, "/admin/keys", &json!({"id": "app"})).await;
    made.assert_refused(401, "unauthorized");

    let secret = admin.make_key(&json!({"id": "app", "tenant": TENANT})).await;
    admin.change("/admin/keys/app", &json!({"enabled": false})).await;
    admin.make("/admin/keys/app/rotate", &json!({})).await;
    admin.make("/admin/reload", &json!({})).await;
    admin.delete("/admin/keys/app").await;
    gateway.crash().await;
    let log = admin.get("/admin/audit?limit=4").await;
    assert!(!log.text().contains(&secret) && !log.text().contains("sha256"), "{}", log.text());
    let entries = log.json()["entries"].as_array().expect("a list").clone();
    let actions: Vec<_> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["key.delete", "reload", "key.rotate", "key.change"]);
    let change = &entries[3];
    assert_eq!((&change["by"], &change["name"]), (&json!("admin"), &json!("app")));
    assert!(change["address"].as_str().expect("an address").starts_with("127.0.0.1:"));
    assert_eq!(
        (&change["before"]["enabled"], &change["after"]["enabled"]),
        (&Value::Null, &json!(false))
    );
    for (query, count) in [("?from=2999-01-01", 0), ("?to=2020-01-01", 0), ("?from=2020-01-01", 5)]
    {
        let log = admin.get(&format!("/admin/audit{query}")).await.json();
        assert_eq!(log["entries"].as_array().expect("a list").len(), count, "{query}");
    }
}

#[tokio::test]
async fn without_a_place_to_keep_it_nothing_can_be_made() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let admin = Operator::of(&gateway);
    for path in ["/admin/keys", "/admin/tenants", "/admin/audit"] {
        let reply = admin.get(path).await;
        reply.assert_refused(501, "no_state");
        assert!(reply.error_message().contains("state.path"), "{}", reply.text());
    }
}
