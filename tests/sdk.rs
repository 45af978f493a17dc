//! The official clients against the gateway, with `tollgate mock` as the model server.
//!
//! OpenAI's for Python and Node are used in full: chat, stream, embeddings, sound, models, and the
//! error types they raise. Then the clients of OpenAI, Anthropic and Google are each run against an
//! upstream of each dialect, on each platform, and against a third party's model server: chat, stream, tool
//! call with its result, image, structured output, embeddings; against the own one also thoughts, errors and
//! broken streams. AWS's client is run against the model server itself, since it is no client of the gateway's.
//!
//! What they check is in `tests/sdk/`; `make setup-tests` installs them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::answer::json as answer;
use support::conf::{KEY, conf};
use support::gateway::Gateway;
use support::tools::{Server, python, root, run};
use support::upstream::{Upstream, upstream};

async fn start() -> (Server, Gateway) {
    let mock = Server::mock().await;
    let gateway = conf()
        .provider_at("mock", &[format!("{}/v1", mock.url())])
        .model("demo", &[("mock", "simulated")])
        .start()
        .await;
    (mock, gateway)
}

/// Runs a script of `tests/sdk/`, which must say that all is well.
fn pass(script: &str, gateway: &Gateway, more: &[(&str, &str)]) {
    let mut command = match script.rsplit_once('.') {
        Some((_, "mjs")) => node(),
        _ => Command::new(python("python")),
    };
    command.arg(root().join("tests/sdk").join(script)).envs(more.iter().copied());
    let said = run(command.env("TOLLGATE_URL", gateway.url()).env("TOLLGATE_KEY", KEY), "");
    assert!(said.contains("every check passed"), "{said}");
}

fn node() -> Command {
    let modules = root().join("tests/sdk/node_modules");
    assert!(modules.exists(), "{} is missing: run `make setup-tests`", modules.display());
    Command::new("node")
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_python() {
    let (_mock, gateway) = start().await;
    pass("openai_client.py", &gateway, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_python_keeps_its_state_here() {
    let (_mock, gateway) = start().await;
    pass("openai_state.py", &gateway, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_node() {
    let (_mock, gateway) = start().await;
    pass("openai_client.mjs", &gateway, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_for_python_understands_the_simulated_bedrock() {
    let (mock, gateway) = start().await;
    let more = [("TOLLGATE_MOCK", &*mock.url()), ("TOLLGATE_UPSTREAMS", "")];
    pass("bedrock_client.py", &gateway, &more);
}

/// An upstream of the matrix.
struct Row {
    /// The alias: it begins with the dialect that is spoken there.
    name: &'static str,
    /// Where that begins.
    base: &'static str,
    /// Anthropic and Gemini want some things said otherwise to their older models.
    model: &'static str,
    /// What else is said of the provider.
    provider: Value,
}

/// The upstreams of the matrix: each dialect, then each platform with its credential, and last what a third party's
/// model server speaks.
fn rows(tokens: &Upstream) -> Vec<Row> {
    let row = |name, base, model, provider| Row { name, base, model, provider };
    let entra = json!({"azure": {
        "tenant": "tenant-1",
        "client_id": "app-1",
        "client_secret": {"value": "azure-secret"},
        "authority": format!("http://{}", tokens.address()),
    }});
    let vertex = json!({"platform": "vertex", "project": "p", "location": "l",
        "credential": {"google": {"file": "account.json"}}});
    let aws = json!({"aws": {"from": "profile", "file": "profiles", "region": "us-east-1"}});
    let key = json!({"value": "sk-upstream"});
    vec![
        row("openai", "/v1", "gpt-x", json!({})),
        row("responses", "/v1", "gpt-x", json!({})),
        row("anthropic", "", "claude-x", json!({})),
        row("anthropic-older", "", "claude-sonnet-4-5", json!({})),
        row("gemini", "", "gemini-3-pro", json!({})),
        row("gemini-older", "", "gemini-2.5-pro", json!({})),
        row(
            "openai-azure",
            "",
            "deployment-1",
            json!({"platform": "azure", "api_version": "2024-10-21", "credential": entra}),
        ),
        row("responses-azure", "", "gpt-x", json!({"platform": "azure", "credential": key})),
        row("gemini-vertex", "", "gemini-3-pro", vertex.clone()),
        row("anthropic-vertex", "", "claude-x", vertex),
        row(
            "bedrock",
            "",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            json!({"credential": aws}),
        ),
        row("openai-llmock", "/v1", "mock", json!({"credential": key})),
        row("responses-llmock", "/v1", "mock", json!({"credential": key})),
        row("anthropic-llmock", "/anthropic", "mock", json!({"credential": key})),
        row("gemini-llmock", "/gemini", "mock", json!({"credential": key})),
    ]
}

/// What the credentials of the clouds are made of: the key of a service account whose tokens are asked for at this
/// server, and a profile with the key whose signatures the model server verifies.
fn write_credentials(directory: &Path, tokens: &Upstream) {
    let text = include_str!("data/google/service-account.json");
    let mut account: Value = serde_json::from_str(text).expect("JSON");
    let members = account.as_object_mut().expect("an object");
    members.insert("token_uri".into(), format!("http://{}/token", tokens.address()).into());
    fs::write(directory.join("account.json"), account.to_string()).expect("written");
    let profile = "[default]\naws_access_key_id = AKIDEXAMPLE\n\
        aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n";
    fs::write(directory.join("profiles"), profile).expect("written");
}

/// Runs a client against an upstream of each dialect, on each platform.
async fn matrix(script: &str) {
    let tokens = upstream().await;
    tokens.always(answer(&json!({"access_token": "token-1", "expires_in": 3600})));
    let mock = Server::mock().await;
    let llmock = Server::llmock(&["--response-style", "static"]).await;
    let rows = rows(&tokens);
    let conf = rows.iter().fold(conf(), |conf, row| {
        let server = if row.name.ends_with("-llmock") { &llmock } else { &mock };
        let of = |key: &str| format!("providers.{}.{key}", row.name);
        let dialect = row.name.split('-').next().expect("a name");
        let conf = conf
            .provider_at(row.name, &[format!("{}{}", server.url(), row.base)])
            .set(&of("dialect"), dialect)
            // A simulated failure is not to spare the server the next check.
            .set(&of("passive.failures"), 0)
            .model(row.name, &[(row.name, row.model)]);
        let more = row.provider.as_object().expect("an object");
        more.iter().fold(conf, |conf, (key, value)| conf.set(&of(key), value.clone()))
    });
    let place = |directory: &Path, conf| {
        write_credentials(directory, &tokens);
        conf
    };
    let gateway = conf.start_with(place).await;
    let names = rows.iter().map(|row| row.name).collect::<Vec<_>>().join(",");
    let more = [
        ("TOLLGATE_MOCK", &*mock.url()),
        ("TOLLGATE_LLMOCK", &llmock.url()),
        ("TOLLGATE_UPSTREAMS", &names),
    ];
    pass(script, &gateway, &more);
    assert_eq!(tokens.count(), 3, "each provider has a token of its own, fetched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_python_in_every_dialect() {
    matrix("openai_matrix.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_node_in_every_dialect() {
    matrix("openai_matrix.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_for_python_in_every_dialect() {
    matrix("anthropic_matrix.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_for_node_in_every_dialect() {
    matrix("anthropic_matrix.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_for_python_in_every_dialect() {
    matrix("genai_matrix.py").await;
}
