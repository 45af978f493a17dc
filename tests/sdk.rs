//! The official clients against the gateway, with `tollgate mock` as the model server.
//!
//! OpenAI's for Python and Node are used in full: chat, stream, embeddings, sound, models, and the
//! error types they raise. Then the clients of OpenAI, Anthropic and Google are each run against an
//! upstream of each dialect: chat, stream, tools, images, structured output, thoughts, embeddings,
//! errors, broken streams. AWS's client is run against the model server itself, since it is no client of the
//! gateway's.
//!
//! What they check is in `tests/sdk/`; `make setup-tests` installs them.

use std::process::Command;

use support::conf::{KEY, conf};
use support::gateway::Gateway;
use support::tools::{Server, python, root, run};

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

/// The aliases of the matrix: each the dialect of its upstream, where that begins there, and the model
/// asked for. Anthropic and Gemini want some things said otherwise to their older models.
const UPSTREAMS: [(&str, &str, &str, &str); 6] = [
    ("openai", "openai", "/v1", "gpt-x"),
    ("responses", "responses", "/v1", "gpt-x"),
    ("anthropic", "anthropic", "", "claude-x"),
    ("anthropic-older", "anthropic", "", "claude-sonnet-4-5"),
    ("gemini", "gemini", "", "gemini-3-pro"),
    ("gemini-older", "gemini", "", "gemini-2.5-pro"),
];

/// Runs a client against an upstream of each dialect.
async fn matrix(script: &str) {
    let mock = Server::mock().await;
    let mut gateway = conf();
    for (alias, dialect, base, model) in UPSTREAMS {
        gateway = gateway
            .provider_at(alias, &[format!("{}{base}", mock.url())])
            .set(&format!("providers.{alias}.dialect"), dialect)
            // A simulated failure is not to spare the server the next check.
            .set(&format!("providers.{alias}.passive.failures"), 0)
            .model(alias, &[(alias, model)]);
    }
    let gateway = gateway.start().await;
    let names = UPSTREAMS.map(|(alias, ..)| alias).join(",");
    pass(script, &gateway, &[("TOLLGATE_MOCK", &mock.url()), ("TOLLGATE_UPSTREAMS", &names)]);
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
