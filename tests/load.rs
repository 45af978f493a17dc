//! Fifty reloads and one upgrade under constant load, with open streams: no request is lost, no
//! stream is cut.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use support::Method;
use support::answer::{natural_events, sse};
use support::client::{Client, chat, chat_with};
use support::conf::{UPSTREAM_MODEL, serving};
use support::gate::Gate;
use support::gateway::Gateway;
use support::reply::Reply;
use support::upstream::upstream;
use tokio::task::JoinHandle;

const RELOADS: u32 = 50;
const OPEN_STREAMS: usize = 4;

/// Requests that must have been served between two reloads, and behind the upgrade.
const BETWEEN: usize = 10;
const BEHIND: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_and_an_upgrade_lose_nothing() {
    let (model, gate) = (upstream().await, Gate::new());
    let mut gateway = serving(&[&model]).start().await;
    let mut held = Vec::new();
    for _ in 0..OPEN_STREAMS {
        model.then(sse(natural_events(UPSTREAM_MODEL)).held_at(2, &gate));
        held.push(gateway.client().stream("demo").await);
    }
    let load = Load::start(&gateway);
    for reload in 1..=RELOADS {
        gateway.reconfigure(|conf| conf.set("models.demo.candidates.0.weight", reload)).await;
        model.received(model.count() + BETWEEN).await;
        model.forget();
    }
    assert_eq!(gateway.metric("tollgate_config_revision").await, f64::from(RELOADS + 1));
    gateway.upgrade().await;
    model.received(model.count() + BEHIND).await;
    assert!(gateway.is_draining(), "the old process stays for its open streams");
    gate.open();
    for stream in held {
        let told = stream.rest().await;
        assert!(told.is_whole(), "a stream was cut: {told:?}");
        assert_eq!(told.events, natural_events(UPSTREAM_MODEL));
    }
    gateway.drained().await;
    model.received(model.count() + BEHIND).await;
    let lost = load.stop().await;
    assert!(lost.is_empty(), "lost: {lost:#?}");
    assert_eq!(model.cancellations(), 0, "no request was given up at the model server");
}

/// Clients that ask without a pause, each in its own way, until they are stopped.
struct Load {
    running: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let fresh = || Client::unpooled(gateway.url()).with_test_key();
        let clients = vec![
            tokio::spawn(until_stopped(running.clone(), fresh(), ask_whole)),
            tokio::spawn(until_stopped(running.clone(), fresh(), ask_whole)),
            tokio::spawn(until_stopped(running.clone(), fresh(), ask_stream)),
            tokio::spawn(until_stopped(running.clone(), fresh(), ask_stream)),
            tokio::spawn(until_stopped(running.clone(), gateway.client(), ask_kept)),
            tokio::spawn(until_stopped(running.clone(), gateway.client(), ask_kept)),
        ];
        Self { running, clients }
    }

    /// What was lost in all.
    async fn stop(self) -> Vec<String> {
        self.running.store(false, Ordering::Relaxed);
        let lost = join_all(self.clients).await;
        lost.into_iter().flat_map(|lost| lost.expect("a client does not panic")).collect()
    }
}

async fn until_stopped<F>(
    running: Arc<AtomicBool>,
    client: Client,
    ask: impl Fn(Client) -> F,
) -> Vec<String>
where
    F: Future<Output = Result<(), String>>,
{
    let mut lost = Vec::new();
    while running.load(Ordering::Relaxed) {
        lost.extend(ask(client.clone()).await.err());
    }
    lost
}

async fn ask_whole(client: Client) -> Result<(), String> {
    let request = client.request(Method::POST, "/v1/chat/completions").json(&chat("demo"));
    let reply = Reply::attempt(request).await.map_err(|error| format!("{error:?}"))?;
    if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
}

async fn ask_stream(client: Client) -> Result<(), String> {
    let body = chat_with("demo", &json!({"stream": true}));
    let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
    let events = support::events::Events::attempt(request).await;
    let told = events.map_err(|error| format!("{error:?}"))?.rest().await;
    if told.is_whole() { Ok(()) } else { Err(format!("{told:?}")) }
}

/// How often a kept connection was found closed in the moment of asking.
static CLOSED_MEANWHILE: AtomicUsize = AtomicUsize::new(0);

/// On a kept connection. A server may close one that is idle just as a request is on its way:
/// HTTP/1 cannot tell that from a loss, so every SDK asks again on such an error, and so does
/// this. It may happen once for each connection, when the old process closes it.
async fn ask_kept(client: Client) -> Result<(), String> {
    match ask_whole(client.clone()).await {
        Err(error) if error.contains("reqwest::Error") => {
            let before = CLOSED_MEANWHILE.fetch_add(1, Ordering::Relaxed);
            if before < 2 { ask_whole(client).await } else { Err(error) }
        }
        outcome => outcome,
    }
}
