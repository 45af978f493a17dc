//! The official OpenAI clients for Python and Node against the gateway, with `tollgate mock` as
//! the model server: chat, stream, embeddings, models, and the error types they raise.
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

fn pass(command: &mut Command, gateway: &Gateway) {
    let said = run(command.env("TOLLGATE_URL", gateway.url()).env("TOLLGATE_KEY", KEY), "");
    assert!(said.contains("every check passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_python() {
    let (_mock, gateway) = start().await;
    pass(Command::new(python("python")).arg(root().join("tests/sdk/openai_client.py")), &gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_for_node() {
    let (_mock, gateway) = start().await;
    let modules = root().join("tests/sdk/node_modules");
    assert!(modules.exists(), "{} is missing: run `make setup-tests`", modules.display());
    pass(Command::new("node").arg(root().join("tests/sdk/openai_client.mjs")), &gateway);
}
