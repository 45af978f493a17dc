//! Work beside the requests: health checks, names, the configuration file, signals.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reloader;
use crate::state::State;
use crate::upstream;

/// How long a starting process waits for its endpoints' names.
const NAMES_WAIT: Duration = Duration::from_secs(5);

/// How often a starting process looks whether its listeners are there.
const READY_POLL: Duration = Duration::from_millis(5);

/// Everything that runs beside the requests.
pub struct Work {
    state: Arc<State>,
    reloader: Arc<Reloader>,
    kept: Arc<upstream::Kept>,
}

impl Work {
    /// The background work of a process.
    pub fn new(state: Arc<State>, reloader: Arc<Reloader>, kept: Arc<upstream::Kept>) -> Self {
        Self { state, reloader, kept }
    }

    /// SIGHUP reloads the configuration, SIGUSR1 opens the access log again.
    async fn signals(&self) {
        let (Some(mut hangup), Some(mut user)) =
            (listen(SignalKind::hangup()), listen(SignalKind::user_defined1()))
        else {
            return;
        };
        self.ready().await;
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    self.reloader.reload("SIGHUP").await;
                }
                _ = user.recv() => {
                    self.state.access_log.reopen();
                    info!("the access log is opened again");
                }
            }
        }
    }
}

impl Work {
    /// Waits until the endpoints' names are looked up, credentials fetched, and every listener takes connections, and
    /// then says that the process serves: Pingora itself tells of no such moment.
    async fn ready(&self) {
        // A name that cannot be resolved is the matter of its own requests, not of all others.
        let _late = tokio::time::timeout(NAMES_WAIT, self.state.registry.resolve()).await;
        self.state.registry.authorise().await;
        if let Ok(runtime) = self.state.runtime() {
            runtime.read().await;
        }
        let active = self.state.active();
        active.tokens.tried().await;
        for listener in &active.snapshot.server.listeners {
            let address = reachable(listener.address);
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(READY_POLL).await;
            }
        }
        self.state.serve();
    }
}

/// The address under which this machine reaches a listener that may be bound to all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[async_trait]
impl BackgroundService for Work {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let checks = upstream::Checks::new(self.state.registry.clone());
        let names = upstream::Resolver::new(self.state.registry.clone());
        let credentials = upstream::Keeper::new(self.state.registry.clone());
        let (checking, naming, keeping) = (shutdown.clone(), shutdown.clone(), shutdown.clone());
        let work = async {
            tokio::join!(
                checks.start(checking),
                names.start(naming),
                credentials.start(keeping),
                self.reloader.watch(),
                self.signals(),
                self.kept.keep_swept(),
                self.state.ledger.keep_leases(),
                self.state.key_sets.keep(),
                self.state.keep_runtime(),
            )
        };
        tokio::select! {
            _ = work => {}
            _ = shutdown.changed() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).map_err(|error| warn!("signal {kind:?} cannot be heard: {error}")).ok()
}
