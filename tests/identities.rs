//! Credentials of workloads, which have no secret of their own: metadata servers and token services are simulated,
//! and found as the providers' own SDKs find them. What is common to fetched credentials is in `credentials.rs`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

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
        (with(&model, json!({"azure": {"url": url}})), query.to_owned()),
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
