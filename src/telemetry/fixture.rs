//! Records and configurations for tests of what operators see.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};
use smallvec::smallvec;

use crate::config::snapshot::contexts::Contexts;
use crate::config::snapshot::health::PassiveHealth;
use crate::config::snapshot::platform::Platform;
use crate::config::snapshot::prices::Prices;
use crate::config::snapshot::terms::{KeyTerms, Terms};
use crate::config::snapshot::{
    AccessLog, Admin, Balance, Endpoint, Key, Level, Model, Reload, Retry, Rewrite, Server,
    Snapshot, Target, Timeouts,
};
use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::Policy;
use crate::telemetry::metrics::Metrics;
use crate::types::TokenUsage;
use crate::types::{EndpointId, KeyId, ModelAlias, ModelName, Operation, Revision, TenantId};
use crate::usage::{AttemptRecord, Charge, Outcome, UsageRecord};

/// A chat that went well: 2 ms in all, 1.9 of them at the upstream.
pub(crate) fn record(metrics: &Metrics, alias: &str, endpoint: &str) -> UsageRecord {
    let target = metrics.target(&ModelAlias::from(alias), &EndpointId::from(endpoint));
    UsageRecord {
        request_id: "0123456789abcdef0123456789abcdef".into(),
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_769_860_800_007),
        client: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
        method: Method::POST,
        path: "/v1/chat/completions".into(),
        operation: Some(Operation::Chat),
        dialect: Dialect::Chat,
        caller: Some(Arc::new(key())),
        model: Some(Arc::clone(target.alias())),
        stream: false,
        status: 200,
        error: None,
        error_detail: None,
        attempts: smallvec![AttemptRecord {
            target,
            model: ModelName::from("gpt-9"),
            outcome: Outcome::Answered(200),
            translation: None,
            at_home: None,
            reused: Some(true),
            first_byte: Some(Duration::from_micros(1_500)),
            total: Duration::from_micros(1_900),
            request_bytes: 620,
            response_bytes: 400,
        }],
        first_byte: Some(Duration::from_micros(1_600)),
        total: Duration::from_millis(2),
        request_bytes: 600,
        response_bytes: 400,
        tokens: Some(TokenUsage { input: 10, output: 20, ..TokenUsage::default() }),
        charge: Charge::default(),
    }
}

/// A request that got nowhere: it named no alias that exists.
pub(crate) fn refused(metrics: &Metrics, path: &str) -> UsageRecord {
    UsageRecord {
        path: path.into(),
        model: None,
        status: 404,
        error: Some(crate::error::Kind::UnknownModel),
        attempts: smallvec![],
        tokens: None,
        ..record(metrics, "chat", "a/one")
    }
}

fn key() -> Key {
    Key {
        id: KeyId::from("web"),
        tenant: TenantId::from("acme"),
        enabled: true,
        expires_at: None,
        models: None,
        prompt: Arc::new([]),
        labels: BTreeMap::new(),
        terms: KeyTerms::default(),
    }
}

/// A configuration with these aliases, each with its endpoints.
pub(crate) fn snapshot(models: &[(&str, &[&str])]) -> Snapshot {
    let mut endpoints: BTreeMap<EndpointId, Arc<Endpoint>> = BTreeMap::new();
    for id in models.iter().flat_map(|(_, ids)| *ids) {
        endpoints.entry(EndpointId::from(*id)).or_insert_with(|| Arc::new(endpoint(id)));
    }
    let model = |(alias, ids): &(&str, &[&str])| {
        let ids = ids.iter().map(|id| Arc::clone(&endpoints[*id]));
        (ModelAlias::from(*alias), Arc::new(model(alias, ids)))
    };
    Snapshot {
        revision: Revision(1),
        server: server(),
        access_log: AccessLog::Off,
        reload: Reload { watch: false, interval: Duration::from_secs(1) },
        models: models.iter().map(model).collect(),
        contexts: Contexts::default(),
        endpoints: endpoints.into_values().collect(),
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
        listeners: vec![],
        admin: Admin { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), token: None },
        threads: 1,
        work_stealing: false,
        listener_tasks: 1,
        upstream_keepalive_max: 1,
        upstream_keepalive: Duration::from_secs(60),
        client_keepalive: Duration::from_secs(75),
        body_bytes_max: 1024,
        body_timeout: Duration::from_secs(1),
        drain: Duration::from_secs(1),
        pid_file: "tollgate.pid".into(),
        upgrade_socket: "tollgate.sock".into(),
    }
}

fn endpoint(id: &str) -> Endpoint {
    let second = Duration::from_secs(1);
    Endpoint {
        id: EndpointId::from(id),
        provider: id.into(),
        dialect: Dialect::Chat,
        also: Box::default(),
        extensions: false,
        usage_in_streams: true,
        host: "upstream.test".into(),
        port: 80,
        tls: None,
        base_path: "/v1".into(),
        authority: HeaderValue::from_static("upstream.test"),
        headers: vec![],
        credential: None,
        region: None,
        platform: Platform::Plain,
        weight: 1,
        health: None,
        passive: PassiveHealth {
            failures: 5,
            eject: second,
            eject_max: second,
            slow_start: second,
        },
    }
}

fn model(alias: &str, endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Model {
    let second = Duration::from_secs(1);
    let target = |endpoint| Target {
        endpoint,
        model: alias.into(),
        candidate: 0,
        weight: 1,
        prices: Prices::default(),
    };
    Model {
        alias: ModelAlias::from(alias),
        number: 0,
        levels: vec![Level { targets: endpoints.map(target).collect() }],
        balance: Balance::RoundRobin,
        rewrite: Rewrite::default(),
        window_tokens: None,
        losses: Policy::default(),
        retry: Retry {
            attempts_max: 3,
            statuses: vec![],
            budget_percent: 20,
            budget_min_per_second: 10,
            backoff: Duration::ZERO,
        },
        timeouts: Timeouts {
            connect: second,
            first_byte: second,
            between_bytes: second,
            total: second,
        },
    }
}
