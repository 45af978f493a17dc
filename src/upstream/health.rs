//! Active checks: endpoints are asked how they are, away from requests.
//!
//! [`Checks`] is one background service with one task for each endpoint that is to be
//! checked. A reload restarts only the tasks whose check changed, so that counts of good and
//! bad checks in a row survive; an endpoint that is no longer checked is in again.
//!
//! Pingora's `HttpHealthCheck` and `TcpHealthCheck` are not used: each owns a connector and
//! with it two copies of the system's root certificates, for every endpoint, and the HTTP one
//! reads a body without end. Here all checks share one connector and nothing is read
//! behind the header.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use log::{info, warn};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::l4::socket;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use pingora::upstreams::peer::ALPN;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use crate::config::snapshot::health::ActiveHealth;
use crate::types::EndpointId;

use super::{LiveEndpoint, Registry, ToSign};

/// How far an interval may stray, so that checks do not march in step: a tenth either way.
const JITTER: f64 = 0.1;

/// The background service that checks a registry's endpoints.
pub struct Checks(Arc<Registry>);

impl Checks {
    /// Checks of all endpoints that ask for them, also those that a reload will bring.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

#[async_trait]
impl BackgroundService for Checks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut generation = self.0.generation();
        let mut rounds = Rounds::new();
        loop {
            generation.borrow_and_update();
            rounds.renew(self.0.endpoints());
            tokio::select! {
                _ = shutdown.changed() => return,
                changed = generation.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// The tasks that run: dropped, they end.
struct Rounds {
    connector: Arc<Connector>,
    tasks: JoinSet<()>,
    running: HashMap<EndpointId, (Arc<LiveEndpoint>, AbortHandle)>,
}

impl Rounds {
    fn new() -> Self {
        let connector = Arc::new(Connector::new(None));
        Self { connector, tasks: JoinSet::new(), running: HashMap::new() }
    }

    /// Runs exactly the checks of these endpoints; those that are the same go on.
    fn renew(&mut self, endpoints: Vec<Arc<LiveEndpoint>>) {
        let mut before = std::mem::take(&mut self.running);
        for live in endpoints {
            let Some(health) = live.endpoint().health.clone() else {
                live.checked(true, Instant::now());
                continue;
            };
            let entry = match before.remove(live.id()) {
                Some((old, task)) if old.checks_like(&live) => (old, task),
                other => {
                    if let Some((_, task)) = other {
                        task.abort();
                    }
                    let round = round(Arc::clone(&live), health, Arc::clone(&self.connector));
                    (Arc::clone(&live), self.tasks.spawn(round))
                }
            };
            self.running.insert(live.id().clone(), entry);
        }
        for (_, task) in before.into_values() {
            task.abort();
        }
        // What was aborted is let go of.
        while self.tasks.try_join_next().is_some() {}
    }
}

/// Checks one endpoint for ever.
async fn round(live: Arc<LiveEndpoint>, health: ActiveHealth, connector: Arc<Connector>) {
    let mut tally = Tally::default();
    // The first checks of many endpoints are spread, within a tenth of the interval.
    tokio::time::sleep(health.interval.mul_f64(JITTER * fastrand::f64())).await;
    loop {
        let checked = tokio::time::timeout(health.timeout, check(&live, &health, &connector)).await;
        let result = checked.unwrap_or_else(|_| Err("no answer in time".into()));
        let proven = tally.count(result.is_ok(), &health);
        match result {
            Ok(()) if proven && live.checked(true, Instant::now()) => {
                info!("endpoint {}: checks succeed: it is in again", live.id());
            }
            Err(why) if proven && live.checked(false, Instant::now()) => {
                warn!("endpoint {}: checks fail: it is out: {why}", live.id());
            }
            _ => {}
        }
        tokio::time::sleep(jittered(health.interval)).await;
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

/// Checks of one result in a row.
#[derive(Default)]
struct Tally {
    good: bool,
    in_a_row: u32,
}

impl Tally {
    /// Counts a check; says whether enough agree by now to believe it.
    fn count(&mut self, good: bool, health: &ActiveHealth) -> bool {
        self.in_a_row = if good == self.good { self.in_a_row.saturating_add(1) } else { 1 };
        self.good = good;
        let needed = if good { health.healthy_after } else { health.unhealthy_after };
        self.in_a_row >= needed
    }
}

/// One check, at the next address in turn.
async fn check(
    live: &LiveEndpoint,
    health: &ActiveHealth,
    connector: &Connector,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let address = live.next_address(Instant::now()).ok_or("its name is not resolved")?;
    let Some(path) = &health.path else {
        TcpStream::connect(address).await?;
        return Ok(());
    };
    let mut peer = live.bare_peer().clone();
    peer._address = socket::SocketAddr::Inet(address);
    // HTTP/2 would want another form of request, and says nothing more about health.
    peer.options.alpn = ALPN::H1;
    let (mut session, _) = connector.get_http_session(&peer).await?;
    session.write_request_header(Box::new(request(live, path)?)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    match session.response_header().map(|header| header.status) {
        Some(status) if status.is_success() => Ok(()),
        Some(status) => Err(format!("GET {path} answers {status} where 2xx is expected").into()),
        None => Err("no answer".into()),
    }
}

/// The request of a check: model servers want the credential for it too.
fn request(
    live: &LiveEndpoint,
    path: &str,
) -> Result<RequestHeader, Box<dyn std::error::Error + Send + Sync>> {
    let endpoint = live.endpoint();
    let mut request = RequestHeader::build(http::Method::GET, path.as_bytes(), None)?;
    request.insert_header(http::header::HOST, &endpoint.authority)?;
    request.insert_header(http::header::CONNECTION, "close")?;
    for (name, value) in &endpoint.headers {
        request.insert_header(name, value)?;
    }
    if let Some(credential) = live.credential() {
        let grant = credential.grant().ok_or("there is no credential")?;
        let signed = ToSign { method: "GET", path, body: b"" };
        for (name, value) in grant.authorize(endpoint, &signed, SystemTime::now())? {
            request.insert_header(name, value)?;
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
