//! The process: services, signals, hand-over.
//!
//! Three services run on Pingora's server: the proxy on its worker threads, the admin listener
//! and the background work (health checks, names, credentials, reloads) on a thread each.

mod background;
mod clients;
mod drain;
mod reload;
mod signals;
mod tls;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use log::info;
use pingora::apps::HttpServerOptions;
use pingora::apps::http_app::HttpServer;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::{ProcessCustomSession, ProxyServiceBuilder};
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use pingora::services::listening::Service;

use crate::admin::{Admin, EndpointStatus};
use crate::admission::lease::Leases;
use crate::config::snapshot::{self, Snapshot};
use crate::context::Contexts;
use crate::proxy::Gateway;
use crate::roster::Roster;
use crate::state::{self, State};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Connector, Kept, LiveEndpoint};
use crate::usage::journal::Journal;
use crate::usage::report::{self, Query, Report, Unread};

use self::drain::Draining;
use self::reload::Reloader;
use self::tls::Certificates;

/// Attempts beyond any policy's, as Pingora's own fail-safe.
const PINGORA_RETRIES_MAX: usize = 64;

/// Seconds Pingora gives its runtimes to end once the drain is over.
const RUNTIME_SHUTDOWN_SECONDS: u64 = 1;

/// What a client's connection gathers before it is written: header and body of a short answer, or
/// the events that arrived together, leave in one write.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;

/// What is read at once for TLS, a record's size. In clear text Pingora reads into its own buffers.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Runs the gateway until it is told to leave and its last stream has ended.
///
/// # Errors
/// Where the access log, the certificates or the process to be replaced cannot be used.
pub fn run(snapshot: Snapshot, file: &Path, upgrade: bool) -> io::Result<()> {
    let settings = snapshot.server.clone();
    let metrics = Arc::new(Metrics::new(settings.threads));
    let certificates = Arc::new(Certificates::load(&settings.listeners, &metrics)?);
    let access_log = AccessLog::start(&snapshot.access_log, settings.threads, metrics.clone())?;
    let contexts = Arc::new(Contexts::open(&snapshot.contexts.store, metrics.clone())?);
    let journal = snapshot.terms.journal.as_ref();
    let journal = journal.map(|kept| Journal::start(kept, metrics.clone())).transpose()?;
    let quotas = snapshot.quotas;
    let leases = snapshot.valkey.as_ref().map(|server| Leases::new(server, quotas)).transpose()?;
    let roster = Roster::open(snapshot.made.path.as_deref(), snapshot.valkey.as_ref())?;
    let kept = state::Kept { journal, leases, roster };
    let state = State::new(snapshot, metrics, access_log, contexts, kept)?;
    state.restore_budgets()?;
    let state = Arc::new(state);
    let reloader = Arc::new(Reloader::new(file.to_owned(), state.clone(), certificates.clone()));

    let opt = Opt { upgrade, ..Opt::default() };
    let mut server = Server::new_with_opt_and_conf(Some(opt), server_conf(&settings));
    if upgrade {
        signals::hand_over(&settings.pid_file)?;
    }
    server.bootstrap();
    signals::write_pid(&settings.pid_file)?;

    let kept = Arc::new(Kept::new(settings.threads, settings.upstream_keepalive_max));
    let proxy = proxy(&server.configuration, &settings, &state, Connector::new(kept.clone()));
    server.add_service(proxy_service(proxy, &settings, &certificates)?);
    server.add_service(admin_service(&settings, &state, &reloader));
    server.add_service(background_service(
        "background",
        background::Work::new(state.clone(), reloader, kept),
    ));
    announce(&settings);
    signals::leave_when_drained(&server, &state, settings.pid_file.clone());
    server.run(RunArgs { shutdown_signal: Box::new(signals::Watch::new(state.clone())) });
    state.close();
    Ok(())
}

fn server_conf(settings: &snapshot::Server) -> ServerConf {
    ServerConf {
        threads: settings.threads,
        work_stealing: settings.work_stealing,
        listener_tasks_per_fd: settings.listener_tasks,
        upstream_keepalive_pool_size: settings.upstream_keepalive_max,
        grace_period_seconds: Some(settings.drain.as_secs()),
        graceful_shutdown_timeout_seconds: Some(RUNTIME_SHUTDOWN_SECONDS),
        upgrade_sock: text(&settings.upgrade_socket),
        max_retries: PINGORA_RETRIES_MAX,
        ..ServerConf::default()
    }
}

fn proxy(
    conf: &Arc<ServerConf>,
    settings: &snapshot::Server,
    state: &Arc<State>,
    connector: Connector,
) -> Draining {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(settings.client_keepalive);
    options.h2c = settings.listeners.iter().any(|listener| listener.h2c);
    // Clients speak no protocol but HTTP.
    let no_session: ProcessCustomSession<Gateway, Connector> =
        Arc::new(|_, _, _| Box::pin(async { None }));
    let service = ProxyServiceBuilder::new(conf, Gateway::new(state.clone()))
        .custom(connector, no_session)
        .server_options(options)
        .build();
    Draining::of(service)
}

fn proxy_service(
    proxy: Draining,
    settings: &snapshot::Server,
    certificates: &Certificates,
) -> io::Result<Service<Draining>> {
    let mut service = Service::new("proxy".to_owned(), proxy);
    for listener in &settings.listeners {
        let clear = L4BufferSettings::new(0, WRITE_BUFFER_BYTES);
        let mut endpoint = ListenerConfig::tcp(listener.address.to_string()).l4_buffer(clear);
        if let Some(tls) = certificates.settings(listener).map_err(io::Error::other)? {
            let records = L4BufferSettings::new(READ_BUFFER_BYTES, WRITE_BUFFER_BYTES);
            endpoint = endpoint.tls(tls).l4_buffer(records);
        }
        service.add_listener(endpoint);
    }
    Ok(service)
}

fn admin_service(
    settings: &snapshot::Server,
    state: &Arc<State>,
    reloader: &Arc<Reloader>,
) -> Service<HttpServer<Admin>> {
    let (configured, listed) = (state.clone(), state.clone());
    let (ledger, journalled) = (state.ledger.clone(), state.clone());
    let reloader = reloader.clone();
    let admin = Admin {
        metrics: state.metrics.clone(),
        started: Instant::now(),
        draining: state.draining.clone(),
        snapshot: Box::new(move || {
            configured.is_serving().then(|| configured.active().snapshot.clone())
        }),
        endpoints: Box::new(move || endpoints(&listed)),
        budgets: Box::new(move || ledger.spent(Utc::now())),
        usage: Box::new(move |query| {
            let state = journalled.clone();
            Box::pin(async move { usage(state, query).await })
        }),
        state: Some(state.clone()),
        reload: Box::new(move || {
            let reloader = reloader.clone();
            Box::pin(async move { reloader.reload("admin").await })
        }),
    };
    let mut service = Service::new("admin".to_owned(), HttpServer::new_app(admin));
    service.threads = Some(1);
    service.add_tcp(&settings.admin.address.to_string());
    service
}

fn endpoints(state: &State) -> Vec<EndpointStatus> {
    let now = Instant::now();
    let status = |live: &Arc<LiveEndpoint>| EndpointStatus {
        metrics: live.metrics().clone(),
        healthy: live.is_in(now),
        in_flight: live.in_flight(),
        latency: live.latency(now),
    };
    state.registry.endpoints().iter().map(status).collect()
}

/// A report over the journal, everything that has ended included.
async fn usage(state: Arc<State>, query: Query) -> Result<Option<Report>, Unread> {
    let Some(journal) = state.journal.clone() else { return Ok(None) };
    let _alone = journal.reports.lock().await;
    let directory = journal.directory().to_owned();
    let read = tokio::task::spawn_blocking(move || {
        state.flush_journal();
        report::read(&directory, &query).map(Some)
    });
    read.await.map_err(io::Error::other)?
}

fn announce(settings: &snapshot::Server) {
    for listener in &settings.listeners {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        info!("serving on {scheme}://{}", listener.address);
    }
    info!("admin on http://{}", settings.admin.address);
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
