//! Configurations for tests, in few words: aliases of endpoints that are named by a letter.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::pool::{Pick, Pool, Tried};
use super::{LiveEndpoint, Pools, Registry};
use crate::config::snapshot::contexts::Contexts;
use crate::config::snapshot::health::PassiveHealth;
use crate::config::snapshot::platform::Platform;
use crate::config::snapshot::prices::Prices;
use crate::config::snapshot::terms::Terms;
use crate::config::snapshot::{
    AccessLog, Admin, Balance, Endpoint, HashOn, Level, Model, Reload, Retry, Rewrite, Server,
    Snapshot, Target, Timeouts,
};
use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::Policy;
use crate::telemetry::metrics::Metrics;
use crate::types::Revision;
use crate::usage::Outcome;

/// The alias of every test.
pub(super) const ALIAS: &str = "chat";

/// Endpoint, candidate, weight.
pub(super) type Row = (&'static str, usize, u32);

pub(super) const HASHED: Balance = Balance::ConsistentHash(HashOn::Key);

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An endpoint at an address that is never connected to.
pub(super) fn endpoint(id: &str) -> Endpoint {
    at(id, SocketAddr::from(([127, 0, 0, 1], 1)))
}

/// An endpoint at an address.
pub(super) fn at(id: &str, address: SocketAddr) -> Endpoint {
    Endpoint {
        id: id.into(),
        provider: "provider".into(),
        dialect: Dialect::Chat,
        also: Box::default(),
        extensions: false,
        usage_in_streams: true,
        host: address.ip().to_string().into(),
        port: address.port(),
        tls: None,
        base_path: "/v1".into(),
        authority: HeaderValue::from_str(&address.to_string()).unwrap(),
        headers: Vec::new(),
        credential: None,
        region: None,
        platform: Platform::Plain,
        weight: 1,
        health: None,
        passive: PassiveHealth {
            failures: 1,
            eject: secs(10),
            eject_max: secs(100),
            slow_start: secs(20),
        },
    }
}

pub(super) fn timeouts() -> Timeouts {
    Timeouts { connect: secs(2), first_byte: secs(30), between_bytes: secs(10), total: secs(60) }
}

/// A configuration of these endpoints and one alias over them.
pub(super) fn snapshot(endpoints: Vec<Endpoint>, balance: Balance, levels: &[&[Row]]) -> Snapshot {
    let endpoints: Vec<Arc<Endpoint>> = endpoints.into_iter().map(Arc::new).collect();
    let target = |(id, candidate, weight): &Row| Target {
        endpoint: Arc::clone(endpoints.iter().find(|known| known.id.as_str() == *id).unwrap()),
        model: "model".into(),
        candidate: *candidate,
        weight: *weight,
        prices: Prices::default(),
    };
    let level = |rows: &&[Row]| Level { targets: rows.iter().map(target).collect() };
    let model = Model {
        alias: ALIAS.into(),
        number: 0,
        levels: levels.iter().map(level).collect(),
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
        server: server(),
        access_log: AccessLog::Off,
        reload: Reload { watch: false, interval: secs(1) },
        contexts: Contexts::default(),
        endpoints,
        models: HashMap::from([(ALIAS.into(), Arc::new(model))]),
        keys: HashMap::new(),
        certificates: Default::default(),
        bearers: Default::default(),
        terms: Terms::default(),
        valkey: None,
        quotas: Default::default(),
        made: Default::default(),
        secret_files: Vec::new(),
    }
}

fn server() -> Server {
    Server {
        listeners: Vec::new(),
        admin: Admin { address: SocketAddr::from(([127, 0, 0, 1], 0)), token: None },
        threads: 1,
        work_stealing: true,
        listener_tasks: 1,
        upstream_keepalive_max: 16,
        upstream_keepalive: secs(60),
        client_keepalive: secs(75),
        body_bytes_max: 1 << 20,
        body_timeout: secs(60),
        drain: secs(1),
        pid_file: "unused.pid".into(),
        upgrade_socket: "unused.sock".into(),
    }
}

/// A registry with its pools, and a clock that only the test turns.
pub(super) struct Bed {
    pub(super) registry: Arc<Registry>,
    pub(super) pools: Pools,
    pub(super) now: Instant,
}

/// A registry that measures for nobody.
pub(super) fn registry(now: Instant) -> Arc<Registry> {
    Arc::new(Registry::new(Arc::new(Metrics::new(1)), now))
}

/// A bed of the endpoints that the rows name.
pub(super) fn bed(balance: Balance, levels: &[&[Row]]) -> Bed {
    let mut ids: Vec<&str> = levels.concat().iter().map(|(id, ..)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    over(snapshot(ids.into_iter().map(endpoint).collect(), balance, levels))
}

/// A bed of a configuration.
pub(super) fn over(snapshot: Snapshot) -> Bed {
    // Random draws repeat from run to run: a test fails always or never.
    fastrand::seed(7);
    let now = Instant::now();
    let registry = registry(now);
    let pools = registry.pools(&snapshot).unwrap();
    Bed { registry, pools, now }
}

impl Bed {
    pub(super) fn pool(&self) -> &Pool {
        self.pools.get(ALIAS).unwrap()
    }

    pub(super) fn reload(&mut self, snapshot: &Snapshot) {
        self.pools = self.registry.pools(snapshot).unwrap();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn live(&self, id: &str) -> Arc<LiveEndpoint> {
        self.registry.endpoints().into_iter().find(|live| live.id().as_str() == id).unwrap()
    }

    /// A pick for a request of its own.
    pub(super) fn pick(&self) -> Pick {
        self.hashed(None)
    }

    pub(super) fn hashed(&self, hash: impl Into<Option<u64>>) -> Pick {
        self.pool().pick(hash.into(), &mut Tried::default(), self.now).unwrap()
    }

    /// Where the attempts of one request go, in order.
    pub(super) fn attempts(&self, count: usize) -> Vec<String> {
        let mut tried = Tried::default();
        let mut next = || self.pool().pick(None, &mut tried, self.now).unwrap();
        (0..count).map(|_| name(&next())).collect()
    }

    /// How many of so many requests, one after the other, go to each endpoint.
    pub(super) fn counts(&self, requests: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            *counts.entry(name(&self.pick())).or_default() += 1;
        }
        counts
    }

    /// Ejects an endpoint for a time.
    pub(super) fn eject(&self, id: &str, time: Duration) {
        let moment = self.registry.origin.at(self.now);
        let live = self.live(id);
        live.vitals().rate_limited(time, &live.endpoint().passive, moment);
    }

    /// Gives an endpoint a latency, as if a request had just been answered.
    pub(super) fn measure(&self, id: &str, latency: Duration) {
        let moment = self.registry.origin.at(self.now);
        self.live(id).vitals().latency.observe(latency, moment);
    }

    /// Requests that an endpoint works on until they are dropped.
    pub(super) fn load(&self, id: &str, requests: usize) {
        let live = self.live(id);
        (0..requests).for_each(|_| live.vitals().enter());
    }
}

/// The endpoint of a pick.
pub(super) fn name(pick: &Pick) -> String {
    pick.endpoint().id().to_string()
}

/// Reports without `Retry-After`.
pub(super) fn report(pick: Pick, outcome: Outcome, now: Instant) {
    pick.report(outcome, None, now);
}

/// Counts within two percent of all requests of what weights say.
pub(super) fn assert_shares(counts: &BTreeMap<String, usize>, weights: &[(&str, usize)]) {
    let all: usize = counts.values().sum();
    let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
    for (id, weight) in weights {
        let actual = counts.get(*id).copied().unwrap_or(0) as f64 / all as f64;
        let expected = *weight as f64 / sum as f64;
        assert!((actual - expected).abs() <= 0.02, "{id}: {actual} for {expected}: {counts:?}");
    }
}
