//! Work beside the requests: health checks, names, the configuration file, signals.

use std::sync::Arc;

use async_trait::async_trait;
use log::{info, warn};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::reload::Reloader;
use crate::state::State;
use crate::upstream;

/// Everything that runs beside the requests.
pub struct Work {
    state: Arc<State>,
    reloader: Arc<Reloader>,
}

impl Work {
    /// The background work of a process.
    pub fn new(state: Arc<State>, reloader: Arc<Reloader>) -> Self {
        Self { state, reloader }
    }

    /// SIGHUP reloads the configuration, SIGUSR1 opens the access log again.
    async fn signals(&self) {
        let (Some(mut hangup), Some(mut user)) =
            (listen(SignalKind::hangup()), listen(SignalKind::user_defined1()))
        else {
            return;
        };
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

#[async_trait]
impl BackgroundService for Work {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let checks = upstream::Checks::new(self.state.registry.clone());
        let names = upstream::Resolver::new(self.state.registry.clone());
        tokio::select! {
            () = checks.start(shutdown.clone()) => {}
            () = names.start(shutdown.clone()) => {}
            () = self.reloader.watch() => {}
            () = self.signals() => {}
            _ = shutdown.changed() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).map_err(|error| warn!("signal {kind:?} cannot be heard: {error}")).ok()
}
