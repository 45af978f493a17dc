//! Credentials of workloads, which have no secret of their own: metadata servers and token services are simulated,
//! and found as the providers' own SDKs find them. What is common to fetched credentials is in `credentials.rs`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::answer::{Answer, bytes, json as answer};
use support::conf::{Conf, serving};
use support::gateway::Gateway;
use support::upstream::{Received, Upstream, upstream};

fn with(model: &Upstream, credential: Value) -> Conf {
    serving(&[model]).set("providers.local.credential", credential)
}

/// A token that holds for an hour; Microsoft's metadata service writes the time as text.
fn token(text: &str, expires_in: Value) -> Answer {
    answer(&json!({"access_token": text, "expires_in": expires_in, "token_type": "Bearer"}))
}

/// The answer of AWS's token service.
fn role_keys(action: &str, id: &str) -> Answer {
    bytes(
        "text/xml",
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
             <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>aws-secret</SecretAccessKey>\
             <SessionToken>aws-session</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>\
             </Credentials></{action}Result></{action}Response>"
        ),
    )
}

async fn authorization(gateway: &Gateway, model: &Upstream) -> String {
    let reply = gateway.client().chat("demo").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    model.last_request().header("authorization").to_owned()
}

/// A member of the form that was sent.
fn member(request: &Received, name: &str) -> String {
    let mut form = url::form_urlencoded::parse(&request.body);
    form.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("written");
}

fn assert_signed_by(authorization: &str, key: &str) {
    let expected = format!("AWS4-HMAC-SHA256 Credential={key}/");
    assert!(authorization.starts_with(&expected), "{authorization}");
    assert!(authorization.contains("/eu-west-1/bedrock/aws4_request"), "{authorization}");
}

#[tokio::test]
async fn google_gives_tokens_to_those_that_its_metadata_server_can_see() {
    let (model, metadata) = (upstream().await, upstream().await);
    metadata.always(token("google-token", json!(3600)));
    let path = "/computeMetadata/v1/instance/service-accounts";
    let scope = "scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";
    let url = format!("http://{}", metadata.address());
    let gateway = with(&model, json!({"google": {"url": url}})).start().await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer google-token");
    let request = metadata.only_request();
    assert_eq!(request.path, format!("{path}/default/token?{scope}"));
    assert_eq!((request.method.as_str(), request.header("metadata-flavor")), ("GET", "Google"));

    let host = metadata.address().to_string();
    let conf = with(&model, json!({"google": {"account": "a@b", "scope": "s"}}));
    let gateway = conf.variable("GCE_METADATA_HOST", &host).start().await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer google-token");
    assert_eq!(metadata.last_request().path, format!("{path}/a@b/token?scopes=s"));
}

#[tokio::test]
async fn azure_gives_tokens_to_a_machine() {
    let (model, metadata) = (upstream().await, upstream().await);
    metadata.always(token("azure-token", json!("3600")));
    let url = format!("http://{}", metadata.address());
    let query = "?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com";
    for (conf, expected) in [
        (
            // Who says where the machine is asked means the machine.
            with(&model, json!({"azure": {"url": url}}))
                .variable("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
                .variable("IDENTITY_HEADER", "h"),
            query.to_owned(),
        ),
        (
            with(&model, json!({"azure": {"from": "instance", "client_id": "mine"}}))
                .variable("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url),
            format!("{query}&client_id=mine"),
        ),
    ] {
        let gateway = conf.start().await;
        assert_eq!(authorization(&gateway, &model).await, "Bearer azure-token");
        let request = metadata.last_request();
        assert_eq!(request.path, format!("/metadata/identity/oauth2/token{expected}"));
        assert_eq!((request.method.as_str(), request.header("metadata")), ("GET", "true"));
    }
}

#[tokio::test]
async fn azure_gives_tokens_for_the_token_of_a_workload() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(token("azure-token", json!(3600)));
    let url = format!("http://{}/", tokens.address());
    let place = |directory: &Path, conf: Conf| {
        write(directory, "projected", "first-assertion\n");
        let file = directory.join("projected");
        conf.variable("AZURE_FEDERATED_TOKEN_FILE", file.to_str().expect("UTF-8"))
    };
    let conf = with(&model, json!({"azure": {}}))
        .variable("AZURE_TENANT_ID", "tenant-1")
        .variable("AZURE_CLIENT_ID", "app-1")
        .variable("AZURE_AUTHORITY_HOST", &url);
    let mut gateway = conf.start_with(place).await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer azure-token");
    let request = tokens.last_request();
    assert_eq!(request.path, "/tenant-1/oauth2/v2.0/token");
    assert_eq!(member(&request, "client_id"), "app-1");
    assert_eq!(member(&request, "client_assertion"), "first-assertion");
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert_eq!(member(&request, "client_assertion_type"), kind);
    assert_eq!(member(&request, "client_secret"), "");
    // The platform changes the token; the next fetch reads it.
    write(gateway.directory(), "projected", "second-assertion");
    let scope = "providers.local.credential.azure.scope";
    gateway.reconfigure(|conf| conf.set(scope, "another")).await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer azure-token");
    let request = tokens.last_request();
    assert_eq!(member(&request, "client_assertion"), "second-assertion");
    assert_eq!(member(&request, "scope"), "another");
}

#[tokio::test]
async fn aws_gives_keys_for_the_token_of_a_workload() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(role_keys("AssumeRoleWithWebIdentity", "AKWEB"));
    let arn = "arn:aws:iam::123456789012:role/gateway";
    let url = format!("http://{}", tokens.address());
    let place = |directory: &Path, conf: Conf| {
        write(directory, "projected", "web-identity\n");
        let file = directory.join("projected");
        conf.variable("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().expect("UTF-8"))
    };
    let conf = with(&model, json!({"aws": {"region": "eu-west-1"}}))
        .variable("AWS_ROLE_ARN", arn)
        .variable("AWS_ENDPOINT_URL_STS", &url);
    let gateway = conf.start_with(place).await;
    assert_signed_by(&authorization(&gateway, &model).await, "AKWEB");
    assert_eq!(model.last_request().header("x-amz-security-token"), "aws-session");
    let request = tokens.only_request();
    assert_eq!((request.method.as_str(), request.header("authorization")), ("POST", ""));
    for (name, expected) in [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", arn),
        ("RoleSessionName", "tollgate"),
        ("WebIdentityToken", "web-identity"),
    ] {
        assert_eq!(member(&request, name), expected, "{name}");
    }
}

#[tokio::test]
async fn a_profile_of_aws_may_name_a_role() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(role_keys("AssumeRole", "AKROLE"));
    let url = format!("http://{}", tokens.address());
    let place = |directory: &Path, conf: Conf| {
        let text = "[base]\naws_access_key_id = AKBASE\naws_secret_access_key = base-secret\n\
            [profile work]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = ext-1\n";
        write(directory, "profiles", text);
        conf
    };
    let aws = json!({"region": "eu-west-1", "from": "profile", "profile": "work", "file": "profiles", "url": url});
    let gateway = with(&model, json!({"aws": aws})).start_with(place).await;
    assert_signed_by(&authorization(&gateway, &model).await, "AKROLE");
    let request = tokens.only_request();
    let signed = request.header("authorization");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKBASE/"), "{signed}");
    assert!(signed.contains("/eu-west-1/sts/aws4_request"), "{signed}");
    assert_eq!(member(&request, "Action"), "AssumeRole");
    assert_eq!(member(&request, "ExternalId"), "ext-1");
    let shown = format!("{}{}", gateway.stderr(), gateway.metrics().await.text());
    for secret in ["base-secret", "aws-secret", "aws-session"] {
        assert!(!shown.contains(secret), "{secret} shows: {shown}");
    }
}

#[tokio::test]
async fn an_instance_of_aws_is_found_as_its_sdks_find_it() {
    let (model, metadata) = (upstream().await, upstream().await);
    metadata.then(bytes("text/plain", "session-1")).then(bytes("text/plain", "role-1"));
    metadata.always(answer(&json!({
        "AccessKeyId": "AKINSTANCE", "SecretAccessKey": "aws-secret", "Token": "aws-session",
        "Expiration": "2999-01-01T00:00:00Z",
    })));
    let url = format!("http://{}", metadata.address());
    let aws = json!({"aws": {"region": "eu-west-1", "from": "instance"}});
    let conf = with(&model, aws).variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    let gateway = conf.start().await;
    assert_signed_by(&authorization(&gateway, &model).await, "AKINSTANCE");
}

/// The file of an external account, which exchanges a token that comes from here at this server.
fn external_account(tokens: &Upstream, source: &Value, more: &Value) -> String {
    let mut account = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("http://{}/v1/token", tokens.address()),
        "credential_source": source,
    });
    let members = account.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    account.to_string()
}

#[tokio::test]
async fn google_takes_the_token_of_another_cloud_from_a_file() {
    let (model, tokens) = (upstream().await, upstream().await);
    tokens.always(token("federated-token", json!(3600)));
    let place = |directory: &Path, conf: Conf| {
        write(directory, "projected", "first-subject\n");
        let source = json!({"file": "projected"});
        write(directory, "account.json", &external_account(&tokens, &source, &json!({})));
        conf
    };
    let google = json!({"google": {"file": "account.json", "scope": "scope-1"}});
    let mut gateway = with(&model, google).start_with(place).await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer federated-token");
    let request = tokens.only_request();
    assert_eq!(request.path, "/v1/token");
    for (name, expected) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        (
            "audience",
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        ),
        ("scope", "scope-1"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", "first-subject"),
    ] {
        assert_eq!(member(&request, name), expected, "{name}");
    }
    // The platform changes the token; the next fetch reads it.
    write(gateway.directory(), "projected", "second-subject");
    let scope = "providers.local.credential.google.scope";
    gateway.reconfigure(|conf| conf.set(scope, "scope-2")).await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer federated-token");
    assert_eq!(member(&tokens.last_request(), "subject_token"), "second-subject");
}

#[tokio::test]
async fn google_takes_the_token_of_another_cloud_from_a_service_for_an_account() {
    let (model, tokens, identity) = (upstream().await, upstream().await, upstream().await);
    identity.always(answer(&json!({"value": "subject-1"})));
    tokens.then(token("federated-token", json!(3600))).always(answer(
        &json!({"accessToken": "account-token", "expireTime": "2999-01-01T00:00:00Z"}),
    ));
    let place = |directory: &Path, conf: Conf| {
        let source = json!({
            "url": format!("http://{}/identity?resource=r", identity.address()),
            "headers": {"Metadata": "True"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        });
        let path = "v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken";
        let more = json!({
            "service_account_impersonation_url": format!("http://{}/{path}", tokens.address()),
            "service_account_impersonation": {"token_lifetime_seconds": 600},
        });
        write(directory, "account.json", &external_account(&tokens, &source, &more));
        let file = directory.join("account.json");
        conf.variable("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().expect("UTF-8"))
    };
    let gateway = with(&model, json!({"google": {}})).start_with(place).await;
    assert_eq!(authorization(&gateway, &model).await, "Bearer account-token");
    let asked = identity.only_request();
    assert_eq!((&*asked.path, asked.header("metadata")), ("/identity?resource=r", "True"));
    let [exchange, impersonation] = &tokens.requests()[..] else { panic!("two requests") };
    assert_eq!(member(exchange, "subject_token"), "subject-1");
    let all = "https://www.googleapis.com/auth/cloud-platform";
    assert_eq!(member(exchange, "scope"), all);
    assert!(impersonation.path.ends_with(":generateAccessToken"), "{}", impersonation.path);
    assert_eq!(impersonation.header("authorization"), "Bearer federated-token");
    assert_eq!(impersonation.json(), json!({"scope": [all], "lifetime": "600s"}));
    let shown = format!("{}{}", gateway.stderr(), gateway.metrics().await.text());
    for secret in ["subject-1", "federated-token", "account-token"] {
        assert!(!shown.contains(secret), "{secret} shows: {shown}");
    }
}

#[tokio::test]
async fn what_fails_on_the_way_to_a_token_of_google_is_said() {
    let (model, tokens) = (upstream().await, upstream().await);
    let refusal = json!({"error": "invalid_grant", "error_description": "no such pool"});
    tokens.always(answer(&refusal).with_status(400));
    let format = json!({"type": "json", "subject_token_field_name": "value"});
    for (subject, told) in [
        ("subject-1", "the identity's own token: it is not in JSON"),
        (r#"{"other": "subject-1"}"#, "the identity's own token: its JSON has no text `value`"),
        (
            r#"{"value": "subject-1"}"#,
            "the exchange: status 400 Bad Request: invalid_grant: no such pool",
        ),
    ] {
        let place = |directory: &Path, conf: Conf| {
            write(directory, "projected", subject);
            let source = json!({"file": "projected", "format": format});
            write(directory, "account.json", &external_account(&tokens, &source, &json!({})));
            conf
        };
        let google = json!({"google": {"file": "account.json"}});
        let gateway = with(&model, google).start_with(place).await;
        gateway.client().chat("demo").await.assert_error(503, "credential_unavailable");
        gateway.until_stderr(told).await;
        assert!(!gateway.stderr().contains("subject-1"), "{}", gateway.stderr());
    }
}

#[tokio::test]
async fn azure_gives_tokens_to_an_app_service() {
    let (model, identity) = (upstream().await, upstream().await);
    // In place of a lifetime it tells an end, in seconds since 1970 and as text.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let end = u32::try_from(since_1970.as_secs() + 7200).expect("before 2106");
    identity.always(answer(&json!({
        "access_token": "app-token", "expires_on": end.to_string(), "resource": "r", "token_type": "Bearer",
    })));
    let url = format!("http://{}/msi/token", identity.address());
    let query = "api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices.azure.com";
    for (azure, expected) in [
        (json!({}), query.to_owned()),
        (json!({"from": "app_service", "client_id": "mine"}), format!("{query}&client_id=mine")),
    ] {
        let conf = with(&model, json!({"azure": azure}))
            .variable("IDENTITY_ENDPOINT", &url)
            .variable("IDENTITY_HEADER", "header-secret");
        let gateway = conf.start().await;
        assert_eq!(authorization(&gateway, &model).await, "Bearer app-token");
        let request = identity.last_request();
        assert_eq!(request.path, format!("/msi/token?{expected}"));
        assert_eq!(request.header("x-identity-header"), "header-secret");
        assert_eq!(request.header("metadata"), "");
        let expiry = r#"tollgate_credential_expiry_timestamp_seconds{provider="local"}"#;
        let told = gateway.metric(expiry).await;
        assert!((told - f64::from(end)).abs() <= 2.0, "{told} {end}");
        let shown = format!("{}{}", gateway.stderr(), gateway.metrics().await.text());
        assert!(!shown.contains("header-secret") && !shown.contains("app-token"), "{shown}");
    }
}
