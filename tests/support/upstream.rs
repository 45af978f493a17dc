//! A scriptable model server inside the test process.
//!
//! It records every request whole, answers from a script (one answer for each request, then the
//! standing one), and tells when its caller left before an answer was complete.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::{HeaderMap, Method, Version};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::answer::{Answer, ok};
use crate::port::Port;
use crate::tls::Identity;
use crate::wait::within;

mod serve;

/// Where active health checks ask; such requests are not recorded and use up no answer.
pub const HEALTH_PATH: &str = "/health";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Received {
    /// A header's text; empty where absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the upstream was sent JSON")
    }

    /// The body's `model`.
    pub fn model(&self) -> String {
        self.json().get("model").and_then(|model| model.as_str()).unwrap_or_default().to_owned()
    }
}

/// What the server's tasks share with the test.
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    standing: Mutex<Answer>,
    health: Mutex<u16>,
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    cancelled: watch::Sender<usize>,
    connections: AtomicUsize,
}

/// A running model server; it stops when dropped.
pub struct Upstream {
    shared: Arc<Shared>,
    port: Port,
    identity: Option<Identity>,
    accepting: Mutex<Option<AbortHandle>>,
}

/// A model server that speaks HTTP/1 and HTTP/2 in clear text.
pub async fn upstream() -> Upstream {
    start(None)
}

/// A model server behind TLS that offers what the identity's ALPN names.
pub async fn tls_upstream(identity: Identity) -> Upstream {
    start(Some(identity))
}

fn start(identity: Option<Identity>) -> Upstream {
    let shared = Arc::new(Shared {
        script: Mutex::default(),
        standing: Mutex::new(ok()),
        health: Mutex::new(200),
        received: Mutex::default(),
        count: watch::Sender::new(0),
        cancelled: watch::Sender::new(0),
        connections: AtomicUsize::new(0),
    });
    let upstream =
        Upstream { shared, port: Port::reserve(), identity, accepting: Mutex::default() };
    upstream.revive();
    upstream
}

impl Upstream {
    /// The base URL for the gateway's configuration, with `/v1` behind the address.
    pub fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/v1", self.port.address())
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> std::net::SocketAddr {
        self.port.address()
    }

    /// Adds an answer for one request.
    pub fn then(&self, answer: Answer) -> &Self {
        self.shared.script.lock().unwrap().push_back(answer);
        self
    }

    /// Sets the answer for every request that the script says nothing about.
    pub fn always(&self, answer: Answer) -> &Self {
        *self.shared.standing.lock().unwrap() = answer;
        self
    }

    /// Sets the status that [`HEALTH_PATH`] answers.
    pub fn health(&self, status: u16) -> &Self {
        *self.shared.health.lock().unwrap() = status;
        self
    }

    /// Stops listening and breaks every connection: the process was killed.
    pub fn kill(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
    }

    /// Listens again, on the same port.
    pub fn revive(&self) {
        let acceptor = self.identity.as_ref().map(Identity::acceptor);
        let task = tokio::spawn(serve::accept(self.shared.clone(), self.port.listen(), acceptor));
        *self.accepting.lock().unwrap() = Some(task.abort_handle());
    }

    /// How many requests arrived whole.
    pub fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The only request so far; panics where there is another number of them.
    pub fn only_request(&self) -> Received {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at the upstream");
        requests.into_iter().next_back().unwrap()
    }

    /// The latest request.
    pub fn last_request(&self) -> Received {
        self.shared.received.lock().unwrap().last().cloned().expect("a request at the upstream")
    }

    /// Forgets the requests recorded so far; counts go on.
    pub fn forget(&self) {
        self.shared.received.lock().unwrap().clear();
    }

    /// Returns once `count` requests have arrived in all.
    pub async fn received(&self, count: usize) {
        let mut arrived = self.shared.count.subscribe();
        within("requests to arrive at the upstream", async {
            let _ = arrived.wait_for(|arrived| *arrived >= count).await;
        })
        .await;
    }

    /// Returns once `count` answers in all were given up by whoever had asked.
    pub async fn cancelled(&self, count: usize) {
        let mut cancelled = self.shared.cancelled.subscribe();
        within("the upstream to see its caller leave", async {
            let _ = cancelled.wait_for(|cancelled| *cancelled >= count).await;
        })
        .await;
    }

    /// How many answers were given up so far.
    pub fn cancellations(&self) -> usize {
        *self.shared.cancelled.borrow()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}
