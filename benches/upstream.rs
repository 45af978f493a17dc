//! What a pick costs, with its guard and its report: each balance over 1, 10 and 1000 targets.
//!
//! `cargo bench --bench upstream`

#![expect(clippy::panic, reason = "a bench that cannot be set up must stop")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::HeaderValue;
use tollgate::config::snapshot::contexts::Contexts;
use tollgate::config::snapshot::health::PassiveHealth;
use tollgate::config::snapshot::platform::Platform;
use tollgate::config::snapshot::prices::Prices;
use tollgate::config::snapshot::terms::Terms;
use tollgate::config::snapshot::valkey::Quotas;
use tollgate::config::snapshot::{
    AccessLog, Admin, Balance, Endpoint, HashOn, Level, Model, Reload, Retry, Rewrite, Server,
    Snapshot, Target, Timeouts,
};
use tollgate::dialect::ir::Dialect;
use tollgate::dialect::ir::loss::Policy;
use tollgate::telemetry::metrics::Metrics;
use tollgate::types::Revision;
use tollgate::upstream::{Pools, Registry, Tried};
use tollgate::usage::Outcome;

const SECOND: Duration = Duration::from_secs(1);

fn endpoint(number: usize) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        id: format!("provider/{number}").as_str().into(),
        provider: "provider".into(),
        dialect: Dialect::Chat,
        also: Box::default(),
        extensions: false,
        usage_in_streams: true,
        host: "127.0.0.1".into(),
        port: 1,
        tls: None,
        base_path: "/v1".into(),
        authority: HeaderValue::from_static("127.0.0.1"),
        headers: Vec::new(),
        credential: None,
        region: None,
        platform: Platform::Plain,
        weight: 1,
        health: None,
        passive: PassiveHealth {
            failures: 5,
            eject: SECOND,
            eject_max: SECOND,
            slow_start: SECOND,
        },
    })
}

fn timeouts() -> Timeouts {
    Timeouts { connect: SECOND, first_byte: SECOND, between_bytes: SECOND, total: SECOND }
}

fn snapshot(balance: Balance, targets: usize) -> Snapshot {
    let endpoints: Vec<_> = (0..targets).map(endpoint).collect();
    let target = |endpoint: &Arc<Endpoint>| Target {
        endpoint: Arc::clone(endpoint),
        model: "model".into(),
        candidate: 0,
        weight: 1,
        prices: Prices::default(),
    };
    let model = Model {
        alias: "chat".into(),
        number: 0,
        levels: vec![Level { targets: endpoints.iter().map(target).collect() }],
        balance,
        rewrite: Rewrite::default(),
        window_tokens: None,
        losses: Policy::default(),
        retry: Retry {
            attempts_max: 3,
            statuses: Vec::new(),
            budget_percent: 20,
            budget_min_per_second: 10,
            backoff: Duration::ZERO,
        },
        timeouts: timeouts(),
    };
    Snapshot {
        revision: Revision(1),
        server: Server {
            listeners: Vec::new(),
            admin: Admin { address: SocketAddr::from(([127, 0, 0, 1], 0)), token: None },
            threads: 1,
            work_stealing: true,
            listener_tasks: 1,
            upstream_keepalive_max: 1,
            upstream_keepalive: SECOND,
            client_keepalive: SECOND,
            body_bytes_max: 1,
            body_timeout: SECOND,
            drain: SECOND,
            pid_file: "unused.pid".into(),
            upgrade_socket: "unused.sock".into(),
        },
        access_log: AccessLog::Off,
        reload: Reload { watch: false, interval: SECOND },
        contexts: Contexts::default(),
        endpoints,
        models: HashMap::from([("chat".into(), Arc::new(model))]),
        keys: HashMap::new(),
        certificates: Default::default(),
        bearers: Default::default(),
        terms: Terms::default(),
        valkey: None,
        quotas: Quotas::default(),
        made: Default::default(),
        secret_files: Vec::new(),
    }
}

fn pools(balance: Balance, targets: usize, now: Instant) -> Pools {
    let registry = Registry::new(Arc::new(Metrics::new(1)), now);
    registry.pools(&snapshot(balance, targets)).unwrap_or_else(|error| panic!("{error}"))
}

fn pick(c: &mut Criterion) {
    let balances = [
        ("round_robin", Balance::RoundRobin),
        ("least_requests", Balance::LeastRequests),
        ("peak_ewma", Balance::PeakEwma),
        ("consistent_hash", Balance::ConsistentHash(HashOn::Key)),
    ];
    let mut group = c.benchmark_group("pick");
    for (name, balance) in balances {
        for targets in [1, 10, 1000] {
            let now = Instant::now();
            let pools = pools(balance.clone(), targets, now);
            let mut request = 0u64;
            group.bench_function(BenchmarkId::new(name, targets), |b| {
                b.iter(|| {
                    request = request.wrapping_add(0x9E37_79B9_7F4A_7C15);
                    let pool = pools.get(black_box("chat"))?;
                    let mut pick = pool.pick(Some(request), &mut Tried::default(), now)?;
                    pick.answered(200, now);
                    pick.report(Outcome::Answered(200), None, now);
                    Some(())
                });
            });
        }
    }
    group.finish();
}

fn peer(c: &mut Criterion) {
    let now = Instant::now();
    let pools = pools(Balance::RoundRobin, 10, now);
    let pick = pools.get("chat").and_then(|pool| pool.pick(None, &mut Tried::default(), now));
    let Some(mut pick) = pick else { return };
    let timeouts = timeouts();
    c.bench_function("peer", |b| b.iter(|| black_box(pick.peer(&timeouts, SECOND, now))));
}

criterion_group!(benches, pick, peer);
criterion_main!(benches);
