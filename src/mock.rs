//! `tollgate mock`: a simulated model server with the endpoints of OpenAI, Anthropic, Gemini and Bedrock,
//! for tests and benchmarks.
//!
//! It answers as fast as a socket allows, so that what is measured is the gateway; and it fails
//! in every way that a real server does, on request. Each setting is a flag of the whole
//! instance, and can be set for one request by a header (`x-mock-status: 503`) or, since a
//! gateway keeps such headers to itself, by the body's `metadata`
//! (`{"mock": "status=503;header=retry-after=2"}`). `docs/mock.md` describes them all.
//!
//! The mock shares no code with the gateway: a mistake in one must not hide itself in the other.
//!
//! A request's way: `http` (bytes into a request) → `route` → `respond` → what is asked (`ask`, read
//! by each dialect) → what is said (`turn`) → an answer in the dialect's words (`chat`, `responses`,
//! `anthropic`, `gemini`, `bedrock`; `texts`, `media`, `models` for the rest) → `reply` (when, and with which
//! faults) → `connection` (bytes, waits and cuts).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use behaviour::Instance;
use connection::Connection;
use respond::Server;

mod answer;
mod anthropic;
mod ask;
mod asked;
mod bedrock;
pub mod behaviour;
mod chat;
mod connection;
mod dialect;
mod echo;
mod gemini;
mod http;
mod json;
mod media;
mod models;
mod refusal;
mod reply;
mod request;
mod respond;
mod responses;
mod route;
mod schema;
mod signature;
mod stats;
mod texts;
mod turn;

/// How long to wait when no connection can be accepted, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The flags of `tollgate mock`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Address to listen on; with port 0 a free one is chosen
    #[arg(long, default_value = "127.0.0.1:9100")]
    pub listen: SocketAddr,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Models that are listed; any model is answered for
    #[arg(long, value_delimiter = ',', default_value = "mock")]
    pub models: Vec<String>,
    /// What answers are like.
    #[command(flatten)]
    pub instance: Instance,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9100)),
            threads: 1,
            models: vec!["mock".into()],
            instance: Instance::default(),
        }
    }
}

/// Runs the mock until the process ends; says on standard output where it listens.
pub fn run(options: Options) -> io::Result<()> {
    let runtime = match options.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        threads => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?,
    };
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("mock listens on http://{}", listener.local_addr()?);
        serve(options, listener).await
    })
}

/// Serves on a listener for ever. Dropping the future closes every connection.
pub async fn serve(options: Options, listener: TcpListener) -> io::Result<()> {
    let server = Arc::new(Server::new(options.models, options.instance));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(Arc::clone(&server), stream));
                }
                Err(error) => {
                    log::warn!("mock: no connection accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection to its end. That a client breaks off is nothing to report: it is counted.
async fn converse(server: Arc<Server>, stream: TcpStream) {
    if let Err(error) = Connection::new(&server, stream).serve().await {
        log::debug!("mock: a client broke off: {error}");
    }
}

#[cfg(test)]
mod tests;
