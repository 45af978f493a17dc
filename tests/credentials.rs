//! Credentials that are fetched, over real sockets: a token server stands beside the model server. What a clock
//! decides is tested beside the code, on a clock that the test turns.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::answer::{Answer, bytes, json as answer, ok, status};
use support::conf::{Conf, serving};
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};
use support::wait::eventually;

const USABLE: &str = r#"tollgate_credential_usable{provider="local"}"#;

/// A token that holds for so many seconds.
fn token(text: &str, seconds: u64) -> Answer {
    answer(&json!({"access_token": text, "expires_in": seconds, "token_type": "Bearer"}))
}

/// Keys of AWS that hold for longer than any test.
fn keys(id: &str) -> Answer {
    answer(&json!({
        "AccessKeyId": id,
        "SecretAccessKey": "aws-secret",
        "Token": "aws-session",
        "Expiration": "2999-01-01T00:00:00Z",
    }))
}

/// The configuration of an application that asks at a token server.
fn azure(tokens: &Upstream) -> Value {
    json!({"azure": {
        "tenant": "tenant-1",
        "client_id": "app-1",
        "client_secret": {"value": "azure-secret"},
        "authority": format!("http://{}", tokens.address()),
    }})
}

fn with_azure(model: &Upstream, tokens: &Upstream) -> Conf {
    serving(&[model]).set("providers.local.credential", azure(tokens))
}

/// The key of a service account, whose tokens are asked for at a token server.
fn account(directory: &Path, tokens: &Upstream) {
    let text = include_str!("data/google/service-account.json");
    let mut key: Value = serde_json::from_str(text).expect("JSON");
    let members = key.as_object_mut().expect("an object");
    members.insert("token_uri".into(), format!("http://{}/token", tokens.address()).into());
    fs::write(directory.join("account.json"), key.to_string()).expect("written");
}

/// The members of a form.
fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn member<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

async fn asked(gateway: &Gateway, model: &Upstream) -> String {
    let reply = gateway.client().chat("demo").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    model.last_request().header("authorization").to_owned()
}

/// Asserts that a text shows nowhere that an operator or a client may look.
async fn shows_nowhere(gateway: &Gateway, secrets: &[&str]) {
    let mut seen = vec![gateway.stderr(), gateway.stdout(), gateway.metrics().await.text().into()];
    seen.push(gateway.admin(support::Method::GET, "/admin/status").await.text().into());
    seen.extend(gateway.access_log(1).await.iter().map(ToString::to_string));
    for secret in secrets {
        assert!(seen.iter().all(|text| !text.contains(secret)), "{secret} shows: {seen:?}");
    }
}

#[tokio::test]
async fn a_service_account_of_google_gets_a_token_for_a_signed_assertion() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(token("google-token", 3600));
    let conf = serving(&[&model])
        .set("providers.local.credential", json!({"google": {"file": "account.json"}}));
    let place = |directory: &Path, conf: Conf| {
        account(directory, &tokens);
        conf
    };
    let gateway = conf.start_with(place).await;
    // It is there before the first request, and it is fetched once for many.
    assert_eq!(asked(&gateway, &model).await, "Bearer google-token");
    assert_eq!(asked(&gateway, &model).await, "Bearer google-token");
    let request = tokens.only_request();
    assert_eq!((request.path.as_str(), request.method.as_str()), ("/token", "POST"));
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let form = form(&request.body);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(member(&form, "grant_type"), grant);
    assert_eq!(member(&form, "assertion").split('.').count(), 3);
    assert_eq!(gateway.metric(USABLE).await, 1.0);
    let fetched = r#"tollgate_credential_fetches_total{provider="local",outcome="fetched"}"#;
    assert_eq!(gateway.metric(fetched).await, 1.0);
    shows_nowhere(&gateway, &["google-token", member(&form, "assertion"), "PRIVATE KEY"]).await;
}

#[tokio::test]
async fn an_application_of_azure_gets_a_token_for_its_secret() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(token("azure-token", 3600));
    let gateway =
        with_azure(&model, &tokens).set("providers.local.platform", "azure").start().await;
    assert_eq!(asked(&gateway, &model).await, "Bearer azure-token");
    assert_eq!(model.last_request().header("api-key"), "");
    let request = tokens.only_request();
    assert_eq!(request.path, "/tenant-1/oauth2/v2.0/token");
    let form = form(&request.body);
    assert_eq!(member(&form, "grant_type"), "client_credentials");
    assert_eq!(member(&form, "client_id"), "app-1");
    assert_eq!(member(&form, "client_secret"), "azure-secret");
    assert_eq!(member(&form, "scope"), "https://cognitiveservices.azure.com/.default");
    shows_nowhere(&gateway, &["azure-token", "azure-secret"]).await;
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.then(token("first", 5)).always(token("second", 3600));
    let gateway = with_azure(&model, &tokens).start().await;
    // No request fails meanwhile: each has the one or the other.
    let token = eventually("another token", async || {
        let token = asked(&gateway, &model).await;
        (token != "Bearer first").then_some(token)
    })
    .await;
    assert_eq!(token, "Bearer second");
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn without_a_token_another_provider_is_asked_and_none_is_an_error() {
    let (model, other, tokens) = (upstream().await, upstream().await, upstream().await);
    tokens.always(
        answer(&json!({"error": "invalid_client", "error_description": "no such client"}))
            .with_status(401),
    );
    let mut gateway = with_azure(&model, &tokens).start().await;
    let reply = gateway.client().chat("demo").await;
    reply.assert_error(503, "credential_unavailable");
    assert_eq!(reply.header("x-should-retry"), "true");
    assert_eq!(model.count(), 0, "nothing is sent without a credential");
    assert_eq!(gateway.metric(USABLE).await, 0.0);
    gateway.until_stderr("invalid_client: no such client").await;
    let line = gateway.logged(&reply).await;
    assert_eq!(line["attempts"][0]["outcome"], "no_credential", "{line}");
    gateway
        .reconfigure(|conf| {
            conf.provider("other", &[&other]).model("demo", &[("local", "a"), ("other", "b")])
        })
        .await;
    for _ in 0..5 {
        assert_eq!(gateway.client().chat("demo").await.status, 200);
    }
    assert_eq!((model.count(), other.count()), (0, 5));
    // The token server has recovered: so does the provider, by itself.
    tokens.always(token("late", 3600));
    gateway.until_metric(USABLE, |usable| usable == 1.0).await;
    gateway.reconfigure(|conf| conf.model("demo", &[("local", "a")])).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer late");
}

#[tokio::test]
async fn a_token_server_that_is_down_is_asked_again() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(token("late", 3600));
    tokens.kill();
    let gateway = with_azure(&model, &tokens).start().await;
    gateway.client().chat("demo").await.assert_error(503, "credential_unavailable");
    let failed = r#"tollgate_credential_fetches_total{provider="local",outcome="failed"}"#;
    gateway.until_metric(failed, |failures| failures >= 1.0).await;
    tokens.revive();
    gateway.until_metric(USABLE, |usable| usable == 1.0).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer late");
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_fetches_what_did() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.then(token("first", 3600)).then(token("second", 3600)).always(status(500));
    let mut gateway = with_azure(&model, &tokens).start().await;
    gateway.reconfigure(|conf| conf.set("providers.local.headers.x-new", "1")).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer first");
    assert_eq!((model.last_request().header("x-new"), tokens.count()), ("1", 1));
    let id = "providers.local.credential.azure.client_id";
    gateway.reconfigure(|conf| conf.set(id, "app-2")).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer second");
    assert_eq!(member(&form(&tokens.last_request().body), "client_id"), "app-2");
}

#[tokio::test]
async fn active_checks_are_authorised_too() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(token("token", 3600));
    let checks =
        json!({"path": "/health", "interval_ms": 20, "healthy_after": 1, "unhealthy_after": 1});
    let gateway = with_azure(&model, &tokens).set("providers.local.health", checks).start().await;
    let healthy = r#"tollgate_upstream_healthy{endpoint="local-1"}"#;
    model.health(500);
    gateway.until_metric(healthy, |healthy| healthy == 0.0).await;
    model.health(200);
    gateway.until_metric(healthy, |healthy| healthy == 1.0).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer token");
}

/// A gateway that signs what it sends, with keys from somewhere.
fn with_aws(model: &Upstream, from: Value) -> Conf {
    let mut aws = from;
    let members = aws.as_object_mut().expect("an object");
    members.insert("region".into(), "eu-west-1".into());
    serving(&[model]).set("providers.local.credential", json!({"aws": aws}))
}

fn assert_signed_by(authorization: &str, key: &str) {
    let expected = format!("AWS4-HMAC-SHA256 Credential={key}/");
    assert!(authorization.starts_with(&expected), "{authorization}");
    assert!(authorization.contains("/eu-west-1/bedrock/aws4_request"), "{authorization}");
    let headers = "SignedHeaders=host;x-amz-date;x-amz-security-token";
    assert!(authorization.contains(headers), "{authorization}");
}

#[tokio::test]
async fn a_container_gets_keys_from_its_endpoint() {
    let (model, container) = (upstream().await, upstream().await);
    container.always(keys("AKCONTAINER"));
    let url = format!("http://{}/v2/credentials/abc", container.address());
    let gateway = with_aws(&model, json!({"from": "container", "url": url})).start().await;
    assert_signed_by(&asked(&gateway, &model).await, "AKCONTAINER");
    assert_eq!(model.last_request().header("x-amz-security-token"), "aws-session");
    assert_eq!(container.only_request().path, "/v2/credentials/abc");
    shows_nowhere(&gateway, &["aws-secret", "aws-session"]).await;
}

#[tokio::test]
async fn an_instance_gets_keys_from_its_metadata() {
    let (model, metadata) = (upstream().await, upstream().await);
    metadata
        .then(bytes("text/plain", "session-1"))
        .then(bytes("text/plain", "role-1\n"))
        .always(keys("AKINSTANCE"));
    let url = format!("http://{}", metadata.address());
    let gateway = with_aws(&model, json!({"from": "instance", "url": url})).start().await;
    assert_signed_by(&asked(&gateway, &model).await, "AKINSTANCE");
    let requests = metadata.requests();
    let base = "/latest/meta-data/iam/security-credentials/";
    let expected = ["/latest/api/token", base, &format!("{base}role-1")];
    assert_eq!(requests.iter().map(|request| &*request.path).collect::<Vec<_>>(), expected);
    assert_eq!(requests[0].method, support::Method::PUT);
    assert!(requests[1..].iter().all(|r| r.header("x-aws-ec2-metadata-token") == "session-1"));
}

fn profile(directory: &Path, key: &str) {
    let text = format!(
        "[other]\naws_access_key_id = AKOTHER\n[work]\naws_access_key_id = {key}\n\
         aws_secret_access_key = aws-secret\naws_session_token = aws-session\n"
    );
    let next = directory.join("next.profiles");
    fs::write(&next, text).expect("written");
    fs::rename(next, directory.join("profiles")).expect("in its place");
}

#[tokio::test]
async fn a_profile_is_read_again_when_its_file_changes() {
    let model = upstream().await;
    let from = json!({"from": "profile", "profile": "work", "file": "profiles"});
    let conf = with_aws(&model, from).set("reload", json!({"watch": true, "interval_ms": 20}));
    let place = |directory: &Path, conf: Conf| {
        profile(directory, "AKFIRST");
        conf
    };
    let gateway = conf.start_with(place).await;
    assert_signed_by(&asked(&gateway, &model).await, "AKFIRST");
    profile(gateway.directory(), "AKSECOND");
    gateway.until_metric("tollgate_config_revision", |revision| revision >= 2.0).await;
    assert_signed_by(&asked(&gateway, &model).await, "AKSECOND");
}

#[tokio::test]
async fn a_secret_is_read_again_when_its_file_changes() {
    let model = upstream().await;
    let conf = serving(&[&model])
        .set("providers.local.credential", json!({"file": "secret"}))
        .set("reload", json!({"watch": true, "interval_ms": 20}));
    let place = |directory: &Path, conf: Conf| {
        fs::write(directory.join("secret"), "first\n").expect("written");
        conf
    };
    let gateway = conf.start_with(place).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer first");
    model.always(ok());
    fs::write(gateway.directory().join("next"), "the second\n").expect("written");
    fs::rename(gateway.directory().join("next"), gateway.directory().join("secret"))
        .expect("in its place");
    gateway.until_metric("tollgate_config_revision", |revision| revision >= 2.0).await;
    assert_eq!(asked(&gateway, &model).await, "Bearer the second");
}
