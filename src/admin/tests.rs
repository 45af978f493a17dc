//! The admin service over real sockets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::FutureExt;
use http::{Method, StatusCode};
use pingora::protocols::l4::stream::Stream;
use pingora::services::listening::Service;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Admin, EndpointStatus};
use crate::admission::Spent;
use crate::config::reload::{Outcome, ReloadReport};
use crate::config::snapshot::Snapshot;
use crate::config::snapshot::terms::Scope;
use crate::telemetry::fixture::{record, snapshot};
use crate::telemetry::metrics::Metrics;
use crate::types::{EndpointId, Revision, Secret};
use crate::usage::report::Report;

/// A running service, and what it reads.
struct Running {
    base: String,
    client: reqwest::Client,
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
    snapshot: Arc<Mutex<Option<Arc<Snapshot>>>>,
    reloads: Arc<AtomicUsize>,
    _shutdown: watch::Sender<bool>,
}

async fn start(outcome: Outcome) -> Running {
    let metrics = Arc::new(Metrics::new(2));
    let draining = Arc::new(AtomicBool::new(false));
    let in_use = Arc::new(Mutex::new(Some(Arc::new(snapshot(&[("chat", &["a/one"])])))));
    let reloads = Arc::new(AtomicUsize::new(0));
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        started: Instant::now(),
        draining: Arc::clone(&draining),
        snapshot: Box::new({
            let in_use = Arc::clone(&in_use);
            move || in_use.lock().unwrap().clone()
        }),
        endpoints: Box::new({
            let metrics = Arc::clone(&metrics);
            move || vec![endpoint(&metrics)]
        }),
        budgets: Box::new(|| {
            vec![(Scope::Tenant("acme".into()), Spent { period: 2, spent: 7, budget: 10 })]
        }),
        usage: Box::new(|query| {
            let report = Report { query, rows: Vec::new(), unreadable_lines: 0 };
            async move { Ok(Some(report)) }.boxed()
        }),
        state: None,
        reload: Box::new({
            let reloads = Arc::clone(&reloads);
            move || {
                reloads.fetch_add(1, Ordering::Relaxed);
                async move { report(outcome) }.boxed()
            }
        }),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (shutdown, watch) = watch::channel(false);
    tokio::spawn(serve(listener, Arc::new(admin), watch));
    // reqwest asks for one even where no TLS is spoken; a second one is refused, which is fine.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    Running { base, client, metrics, draining, snapshot: in_use, reloads, _shutdown: shutdown }
}

async fn serve(listener: TcpListener, admin: Arc<Admin>, shutdown: watch::Receiver<bool>) {
    while let Ok((stream, _peer)) = listener.accept().await {
        let stream = Box::new(Stream::from(stream));
        tokio::spawn(Service::handle_event(stream, Arc::clone(&admin), shutdown.clone()));
    }
}

fn endpoint(metrics: &Metrics) -> EndpointStatus {
    EndpointStatus {
        metrics: metrics.endpoint(&EndpointId::from("a/one")),
        healthy: false,
        in_flight: 3,
        latency: Some(std::time::Duration::from_micros(2_500)),
    }
}

fn report(outcome: Outcome) -> ReloadReport {
    let refused = outcome == Outcome::Refused;
    ReloadReport {
        revision: Revision(4),
        outcome,
        problems: if refused { vec!["line 3: no".to_owned()] } else { vec![] },
        needs_upgrade: if refused { vec![] } else { vec!["server.threads".to_owned()] },
    }
}

impl Running {
    async fn ask(&self, method: Method, path: &str) -> Response {
        self.client.request(method, format!("{}{path}", self.base)).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).await
    }

    async fn reload_with(&self, authorization: Option<&str>) -> StatusCode {
        let request = self.client.post(format!("{}/admin/reload", self.base));
        let request = match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        request.send().await.unwrap().status()
    }

    fn set_token(&self, token: Option<&str>) {
        let mut changed = snapshot(&[("chat", &["a/one"])]);
        changed.server.admin.token = token.map(|token| Secret::from(token.to_owned()));
        *self.snapshot.lock().unwrap() = Some(Arc::new(changed));
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn each_path_answers_to_its_methods_and_to_no_others() {
    let admin = start(Outcome::Applied).await;
    // (method, path, status, content type, allow)
    let text = "text/plain; charset=utf-8";
    let prometheus = "text/plain; version=0.0.4; charset=utf-8";
    let json = "application/json";
    let cases = [
        ("GET", "/", 200, text, None),
        ("HEAD", "/", 200, text, None),
        ("GET", "/metrics", 200, prometheus, None),
        ("GET", "/metrics?name=x", 200, prometheus, None),
        ("HEAD", "/metrics", 200, prometheus, None),
        ("GET", "/livez", 200, json, None),
        ("HEAD", "/livez", 200, json, None),
        ("GET", "/readyz", 200, json, None),
        ("GET", "/admin/status", 200, json, None),
        ("POST", "/admin/reload", 200, json, None),
        ("GET", "/admin/reload", 405, json, Some("POST")),
        ("POST", "/metrics", 405, json, Some("GET, HEAD")),
        ("DELETE", "/livez", 405, json, Some("GET, HEAD")),
        ("BREW", "/", 405, json, Some("GET, HEAD")),
        ("GET", "/metrics/", 404, json, None),
        ("GET", "/admin", 404, json, None),
        ("POST", "/v1/chat/completions", 404, json, None),
    ];
    for (method, path, status, content_type, allow) in cases {
        let answer = admin.ask(method.parse().unwrap(), path).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(header(&answer, "content-type"), Some(content_type), "{method} {path}");
        assert_eq!(header(&answer, "allow"), allow, "{method} {path}");
        let body = answer.text().await.unwrap();
        assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
        if status >= 400 {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string());
        }
    }
}

#[tokio::test]
async fn the_index_names_every_page() {
    let admin = start(Outcome::Applied).await;
    let index = admin.get("/").await.text().await.unwrap();
    let pages = index.lines().filter(|line| line.starts_with(['G', 'P'])).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.next().unwrap())
    });
    // What is made at run time has no place here.
    let kept = ["/admin/tenants", "/admin/keys", "/admin/access-requests", "/admin/audit"];
    let mut count = 0;
    for (method, path) in pages {
        let expected = if kept.contains(&path) { 501 } else { 200 };
        assert_eq!(admin.ask(method.parse().unwrap(), path).await.status(), expected, "{path}");
        count += 1;
    }
    assert_eq!(count, 10);
}

#[tokio::test]
async fn metrics_show_requests_and_how_endpoints_stand_now() {
    let admin = start(Outcome::Applied).await;
    admin.metrics.record(&record(&admin.metrics, "chat", "a/one"));
    let page = admin.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"tollgate_requests_total{model="chat",operation="chat",status="2xx"} 1"#,
        r#"tollgate_upstream_healthy{endpoint="a/one"} 0"#,
        r#"tollgate_upstream_in_flight{endpoint="a/one"} 3"#,
    ] {
        assert!(page.lines().any(|seen| seen == line), "no {line} in\n{page}");
    }
}

#[tokio::test]
async fn it_is_ready_from_the_first_configuration_until_it_drains() {
    let admin = start(Outcome::Applied).await;
    let first = admin.snapshot.lock().unwrap().take();
    let ready = async || {
        let answer = admin.get("/readyz").await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(ready().await, (503, json!({"status": "starting"})));
    *admin.snapshot.lock().unwrap() = first;
    assert_eq!(ready().await, (200, json!({"status": "ready"})));
    admin.draining.store(true, Ordering::Relaxed);
    assert_eq!(ready().await, (503, json!({"status": "draining"})));
    assert_eq!(admin.get("/livez").await.status(), 200);
}

#[tokio::test]
async fn the_status_says_how_the_process_and_its_endpoints_stand() {
    let admin = start(Outcome::Applied).await;
    let _request = admin.metrics.started();
    let mut status: Value = admin.get("/admin/status").await.json().await.unwrap();
    assert!(status["uptime_seconds"].take().is_u64());
    assert_eq!(
        status,
        json!({
            "budgets": [{
                "scope": "tenant", "name": "acme", "period": "month",
                "spent_micro_usd": 7, "budget_micro_usd": 10,
            }],
            "version": env!("CARGO_PKG_VERSION"),
            "revision": 1,
            "uptime_seconds": null,
            "draining": false,
            "in_flight": 1,
            "endpoints": [{"id": "a/one", "healthy": false, "in_flight": 3, "latency_ms": 2.5}],
        })
    );
}

#[tokio::test]
async fn a_reload_says_what_came_of_it() {
    let upgrade = json!(["server.threads"]);
    let cases = [
        (Outcome::Applied, 200, "applied", json!([]), upgrade),
        (Outcome::Refused, 422, "refused", json!(["line 3: no"]), json!([])),
    ];
    for (outcome, status, label, problems, needs_upgrade) in cases {
        let admin = start(outcome).await;
        let answer = admin.ask(Method::POST, "/admin/reload").await;
        assert_eq!(answer.status(), status);
        assert_eq!(
            answer.json::<Value>().await.unwrap(),
            json!({
                "revision": 4,
                "outcome": label,
                "problems": problems,
                "needs_upgrade": needs_upgrade,
            })
        );
        assert_eq!(admin.reloads.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_reload_asks_for_the_token_where_one_is_configured() {
    let admin = start(Outcome::Applied).await;
    admin.set_token(Some("s3cret"));
    let refused = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer s3cre"),
        Some("Bearer s3cret-and-more"),
        Some("Bearer S3CRET"),
        Some("Basic s3cret"),
        Some("s3cret"),
    ];
    for authorization in refused {
        assert_eq!(admin.reload_with(authorization).await, 401, "{authorization:?}");
    }
    assert_eq!(admin.reloads.load(Ordering::Relaxed), 0);
    for authorization in ["Bearer s3cret", "bearer s3cret"] {
        assert_eq!(admin.reload_with(Some(authorization)).await, 200, "{authorization}");
    }
    // The token of the configuration in use counts, also after it changed.
    admin.set_token(Some("other"));
    assert_eq!(admin.reload_with(Some("Bearer s3cret")).await, 401);
    admin.set_token(None);
    assert_eq!(admin.reload_with(None).await, 200);
    assert_eq!(admin.reloads.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_refusal_asks_for_a_bearer_token_and_tells_none() {
    let admin = start(Outcome::Applied).await;
    admin.set_token(Some("s3cret"));
    let answer = admin.ask(Method::POST, "/admin/reload").await;
    assert_eq!(header(&answer, "www-authenticate"), Some("Bearer"));
    assert!(!answer.text().await.unwrap().contains("s3cret"));
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_does_no_harm() {
    let admin = start(Outcome::Applied).await;
    for length in [0, 10, 1 << 20] {
        let url = format!("{}/admin/reload", admin.base);
        // A large body may find the connection closed while it is still being sent.
        if let Ok(answer) = admin.client.post(url).body(vec![b'x'; length]).send().await {
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(admin.get("/livez").await.status(), 200, "after a body of {length} bytes");
    }
    assert_eq!(admin.reloads.load(Ordering::Relaxed), 3);
}
