//! The operators' HTTP service: metrics, health, status, reload.
//!
//! It runs on a listener of its own, which clients do not reach. Everything is read from
//! handles and closures that the server gives it, so it depends on none of the request path.
//! Metrics and health are open to whoever reaches the listener; everything under `/admin` asks for the
//! bearer token of the configuration, where one is configured.

mod answer;
mod body;
mod roster;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::admission::Spent;
use crate::config::reload::{Outcome, ReloadReport};
use crate::config::snapshot::Snapshot;
use crate::config::snapshot::terms::{PERIODS, Scope};
use crate::roster::Author;
use crate::state::State;
use crate::telemetry::metrics::{self, EndpointMetrics, Metrics};
use crate::types::{Revision, Secret};
use crate::usage::report::{Query, Report, Unread};

/// The service: everything it needs to answer.
pub struct Admin {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// When the process started.
    pub started: Instant,
    /// Set once the process takes no new clients; `/readyz` then answers 503.
    pub draining: Arc<AtomicBool>,
    /// The configuration in use; `None` before the first one is.
    pub snapshot: Box<dyn Fn() -> Option<Arc<Snapshot>> + Send + Sync>,
    /// How each endpoint stands.
    pub endpoints: Box<dyn Fn() -> Vec<EndpointStatus> + Send + Sync>,
    /// How each budget stands.
    pub budgets: Box<dyn Fn() -> Vec<(Scope, Spent)> + Send + Sync>,
    /// Sums of the usage journal; `None` where none is kept.
    pub usage: UsageReports,
    /// What is made at run time; `None` where the service runs without a gateway.
    pub state: Option<Arc<State>>,
    /// Reads the configuration again and takes it into use.
    pub reload: Box<dyn Fn() -> BoxFuture<'static, ReloadReport> + Send + Sync>,
}

/// Adds up the usage journal.
pub type UsageReports =
    Box<dyn Fn(Query) -> BoxFuture<'static, Result<Option<Report>, Unread>> + Send + Sync>;

/// How an endpoint stands.
pub struct EndpointStatus {
    /// Its name and its counters.
    pub metrics: Arc<EndpointMetrics>,
    /// Whether it may be picked.
    pub healthy: bool,
    /// Attempts that have begun and not ended.
    pub in_flight: usize,
    /// How long it takes now, as the balance sees it; `None` before its first answer.
    pub latency: Option<Duration>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        if let Some((name, actions)) = roster::at(request.uri.path()) {
            let action = actions.iter().find(|(method, _)| *method == request.method);
            let Some((_, action)) = action else {
                let methods: Vec<_> = actions.into_iter().map(|(method, _)| method).collect();
                return answer::method_not_allowed(&methods);
            };
            if let Some(refused) = self.refused(session) {
                return refused;
            }
            let author = self.author(session);
            return roster::serve(self.state.as_ref(), (name, *action), session, &author).await;
        }
        let Some(page) = Page::at(request.uri.path()) else {
            return answer::error(StatusCode::NOT_FOUND, "not_found", NOT_FOUND);
        };
        if !page.methods().contains(&request.method) {
            return answer::method_not_allowed(page.methods());
        }
        if let Some(refused) = page.is_admin().then(|| self.refused(session)).flatten() {
            return refused;
        }
        match page {
            Page::Index => answer::text("text/plain; charset=utf-8", INDEX),
            Page::Metrics => self.metrics(),
            Page::Live => answer::json(StatusCode::OK, &json!({ "status": "alive" })),
            Page::Ready => self.ready(),
            Page::Status => self.status(),
            Page::Usage => self.usage(session).await,
            Page::Reload => self.reload(session).await,
        }
    }
}

const INDEX: &str = "\
Tollgate, for operators

GET  /metrics       Prometheus metrics
GET  /livez         200 while the process runs
GET  /readyz        200 while it takes requests, 503 while it starts or drains

With the admin token, if one is set (docs/admin.md):

GET  /admin/status  version, configuration, endpoints, budgets, as JSON
GET  /admin/usage   sums of the usage journal: ?group_by=tenant,model&from=DAY&to=DAY&format=csv
POST /admin/reload  read the configuration again
GET  /admin/tenants tenants; POST makes one; GET, PATCH, DELETE /admin/tenants/NAME
GET  /admin/keys    keys; POST makes one; GET, PATCH, DELETE /admin/keys/ID; POST /admin/keys/ID/rotate
GET  /admin/access-requests who asks for a model; POST /admin/access-requests/ID/approve, refuse, revoke
GET  /admin/audit   what was changed: ?from=DAY&to=DAY&limit=100
";

const NOT_FOUND: &str = "there is no such page; GET / names all there are";

/// What is served.
#[derive(Clone, Copy)]
enum Page {
    Index,
    Metrics,
    Live,
    Ready,
    Status,
    Usage,
    Reload,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Page::Index,
            "/metrics" => Page::Metrics,
            "/livez" => Page::Live,
            "/readyz" => Page::Ready,
            "/admin/status" => Page::Status,
            "/admin/usage" => Page::Usage,
            "/admin/reload" => Page::Reload,
            _ => return None,
        })
    }

    /// Whether it asks for the admin token.
    fn is_admin(self) -> bool {
        matches!(self, Page::Status | Page::Usage | Page::Reload)
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Page::Index | Page::Metrics | Page::Live | Page::Ready | Page::Status | Page::Usage => {
                &[Method::GET, Method::HEAD]
            }
            Page::Reload => &[Method::POST],
        }
    }
}

impl Admin {
    fn metrics(&self) -> Response<Vec<u8>> {
        for endpoint in (self.endpoints)() {
            endpoint.metrics.publish(endpoint.healthy, endpoint.in_flight);
        }
        self.metrics.admission.publish((self.budgets)());
        match self.metrics.render() {
            Ok(page) => answer::text(metrics::CONTENT_TYPE, page),
            Err(error) => {
                log::error!("metrics cannot be shown: {error}");
                let text = "the metrics cannot be shown; the log says why";
                answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", text)
            }
        }
    }

    fn ready(&self) -> Response<Vec<u8>> {
        let (status, text) = if self.draining.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else if (self.snapshot)().is_none() {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        } else {
            (StatusCode::OK, "ready")
        };
        answer::json(status, &json!({ "status": text }))
    }

    fn status(&self) -> Response<Vec<u8>> {
        let endpoints: Vec<_> = (self.endpoints)()
            .iter()
            .map(|endpoint| {
                json!({
                    "id": endpoint.metrics.id().as_str(),
                    "healthy": endpoint.healthy,
                    "in_flight": endpoint.in_flight,
                    "latency_ms": endpoint.latency.map(|latency| latency.as_secs_f64() * 1e3),
                })
            })
            .collect();
        let revision = (self.snapshot)().map(|snapshot| snapshot.revision.0);
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "revision": revision,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "draining": self.draining.load(Ordering::Relaxed),
            "in_flight": self.metrics.in_flight(),
            "endpoints": endpoints,
            "budgets": (self.budgets)().iter().map(budget).collect::<Vec<_>>(),
        });
        answer::json(StatusCode::OK, &status)
    }

    async fn usage(&self, session: &ServerSession) -> Response<Vec<u8>> {
        let query = session.req_header().uri.query().unwrap_or_default();
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(wrong) => return answer::error(StatusCode::BAD_REQUEST, "invalid_query", &wrong),
        };
        match (self.usage)(query).await {
            Ok(Some(report)) if report.query.csv => {
                answer::text("text/csv; charset=utf-8", report.to_csv())
            }
            Ok(Some(report)) => answer::json(StatusCode::OK, &report.to_json()),
            Ok(None) => {
                let text = "no usage journal is kept: set `usage.journal` in the configuration";
                answer::error(StatusCode::NOT_FOUND, "no_journal", text)
            }
            Err(wrong @ Unread::TooLong) => {
                answer::error(StatusCode::BAD_REQUEST, "invalid_query", &wrong.to_string())
            }
            Err(Unread::Io(error)) => {
                log::error!("the usage journal cannot be read: {error}");
                let text = "the usage journal cannot be read; the log says why";
                answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", text)
            }
        }
    }

    async fn reload(&self, session: &ServerSession) -> Response<Vec<u8>> {
        let ReloadReport { revision: Revision(revision), outcome, problems, needs_upgrade } =
            (self.reload)().await;
        let (status, outcome) = match outcome {
            Outcome::Applied => (StatusCode::OK, "applied"),
            Outcome::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        };
        let report = json!({
            "revision": revision,
            "outcome": outcome,
            "problems": problems,
            "needs_upgrade": needs_upgrade,
        });
        if let Some(state) = &self.state {
            state.note(self.author(session), "reload", "configuration", report.clone()).await;
        }
        answer::json(status, &report)
    }

    /// Who asks, for the audit log.
    fn author(&self, session: &ServerSession) -> Author {
        let snapshot = (self.snapshot)();
        let has_token = snapshot.is_some_and(|snapshot| snapshot.server.admin.token.is_some());
        let by = if has_token { "admin" } else { "anonymous" };
        let address = session.client_addr().and_then(|address| address.as_inet().copied());
        Author { by: by.to_owned(), address }
    }

    /// Why the request may not go on below `/admin`, if it may not: without a token in the configuration
    /// everybody may.
    fn refused(&self, session: &ServerSession) -> Option<Response<Vec<u8>>> {
        let Some(snapshot) = (self.snapshot)() else {
            let (status, text) = (StatusCode::SERVICE_UNAVAILABLE, "the gateway is starting");
            return Some(answer::error(status, "starting", text));
        };
        let is_admin = snapshot.server.admin.token.as_ref().is_none_or(|token| {
            bearer(session.get_header_bytes(header::AUTHORIZATION))
                .is_some_and(|sent| is_same(sent, token))
        });
        (!is_admin).then(answer::unauthorized)
    }
}

fn budget((scope, spent): &(Scope, Spent)) -> serde_json::Value {
    json!({
        "scope": scope.kind(),
        "name": scope.name(),
        "period": PERIODS.get(spent.period),
        "spent_micro_usd": spent.spent,
        "budget_micro_usd": spent.budget,
    })
}

/// What a header says behind `Bearer`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares digests, so that time tells neither the token nor its length.
fn is_same(sent: &[u8], token: &Secret) -> bool {
    Sha256::digest(sent).ct_eq(&Sha256::digest(token.expose())).into()
}
