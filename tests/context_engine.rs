//! Conversations kept by the gateway in front of a real engine: llama.cpp's server with a tiny model. Its prompt
//! cache knows again only what begins with the very bytes of the prompt before.
//!
//! What is checked is in `tests/sdk/engine_turns.py`; `make setup-tests` installs engine and clients.

use std::process::Command;

use support::conf::{KEY, conf};
use support::tools::{Server, python, root, run};

/// The aliases that conversations ask for: each the dialect spoken to the engine, and where that begins.
const FACES: [(&str, &str, &str); 3] =
    [("chat", "openai", "/v1"), ("responses", "responses", "/v1"), ("messages", "anthropic", "")];

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_by_official_clients_reaches_the_engine_whole_and_is_known_again() {
    let engine = Server::llama().await;
    let mut gateway = conf();
    for (alias, dialect, base) in FACES {
        gateway = gateway
            .provider_at(alias, &[format!("{}{base}", engine.url())])
            .set(&format!("providers.{alias}.dialect"), dialect)
            .model(alias, &[(alias, "tiny")]);
    }
    let gateway =
        gateway.model("short", &[("chat", "tiny")]).set("models.short.window_tokens", 600);
    let gateway = gateway.start().await;
    let mut command = Command::new(python("python"));
    command.arg(root().join("tests/sdk/engine_turns.py"));
    command.env("TOLLGATE_URL", gateway.url()).env("TOLLGATE_KEY", KEY);
    let said = tokio::task::spawn_blocking(move || run(&mut command, "")).await.expect("it ends");
    print!("{said}");
    assert!(said.contains("every check passed"), "{said}");
}
