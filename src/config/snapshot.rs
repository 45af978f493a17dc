//! What the request path reads: plain immutable data, made by `build` from a checked file.
//!
//! A request loads one snapshot and keeps it to its end, so a reload never changes the rules under it.
//! Nothing here locks, counts or changes; live state lies in `upstream`, keyed by [`EndpointId`].

pub mod certificate;
pub mod credential;
pub mod health;
pub mod jwt;
pub mod made;
pub mod platform;
pub mod prices;
pub mod prompt;
pub mod terms;
pub mod tls;
pub mod valkey;
pub mod webhook;

pub mod contexts;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue};

use self::certificate::CertificateName;
use self::credential::Credential;
use self::health::{ActiveHealth, PassiveHealth};
use self::jwt::Bearers;
use self::made::Made;
use self::platform::Platform;
use self::prices::Prices;
use self::prompt::PromptMessage;
use self::terms::{KeyTerms, Terms};
use self::tls::TlsFiles;
use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::Policy;
use crate::types::{
    EndpointId, KeyId, ModelAlias, ModelName, ProviderId, Revision, Secret, TenantId,
};
use crate::valkey::Settings;

/// One configuration, complete and consistent.
#[derive(Clone)]
pub struct Snapshot {
    /// Which configuration this is.
    pub revision: Revision,
    /// Listeners, threads, sizes: taken into use at start only, except where noted.
    pub server: Server,
    /// The access log.
    pub access_log: AccessLog,
    /// Watching the file.
    pub reload: Reload,
    /// Conversations that live at the gateway.
    pub contexts: contexts::Contexts,
    /// Every endpoint of every provider: by the provider's name, then in the order of the file.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What clients may ask for.
    pub models: HashMap<ModelAlias, Arc<Model>>,
    /// Who may ask. Found by the SHA-256 of the key.
    pub keys: HashMap<KeyDigest, Arc<Key>>,
    /// Who may ask with a client certificate. Found by a name in it; a key may be here, above, or both.
    pub certificates: HashMap<CertificateName, Arc<Key>>,
    /// Who may ask with a token.
    pub bearers: Bearers,
    /// Who may use how much.
    pub terms: Terms,
    /// What several gateways share: taken into use at start only.
    pub valkey: Option<Settings>,
    /// How limits hold across them: taken into use at start only.
    pub quotas: valkey::Quotas,
    /// What is made at run time.
    pub made: Made,
    /// Files of secrets, which are watched with the configuration.
    pub secret_files: Vec<PathBuf>,
}

impl Snapshot {
    /// Every key, and what stands for one, once: in the order of their numbers, which leave none out.
    pub fn numbered_keys(&self) -> Vec<&Arc<Key>> {
        let mut keys: Vec<_> = self.keys.values().chain(self.certificates.values()).collect();
        keys.extend(self.bearers.keys());
        keys.sort_unstable_by_key(|key| key.terms.number);
        keys.dedup_by_key(|key| key.terms.number);
        keys
    }
}

/// SHA-256 of a virtual key's text.
pub type KeyDigest = [u8; 32];

/// The process: what it listens on and how large it may grow.
#[derive(Clone, PartialEq)]
pub struct Server {
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Where operators connect: metrics, health, reload.
    pub admin: Admin,
    /// Worker threads of the proxy service.
    pub threads: usize,
    /// Whether an idle worker takes tasks of a busy one.
    pub work_stealing: bool,
    /// Accepting tasks for each listener.
    pub listener_tasks: usize,
    /// Idle upstream connections kept, for each worker thread.
    pub upstream_keepalive_max: usize,
    /// How long an idle upstream connection is kept.
    pub upstream_keepalive: Duration,
    /// How long an idle client connection is kept. Reloadable.
    pub client_keepalive: Duration,
    /// The largest body read. Reloadable.
    pub body_bytes_max: usize,
    /// The longest time the body may take to arrive. Reloadable.
    pub body_timeout: Duration,
    /// How long a leaving process waits for its last stream.
    pub drain: Duration,
    /// Where the process id is written, for `--upgrade`.
    pub pid_file: PathBuf,
    /// The socket over which listeners are handed to a new process.
    pub upgrade_socket: PathBuf,
}

impl Server {
    /// Whether a client may show a certificate anywhere.
    pub fn asks_for_certificates(&self) -> bool {
        let mut tls = self.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        tls.any(|files| files.clients.is_some())
    }
}

/// One address for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address bound.
    pub address: SocketAddr,
    /// Certificate and key; clear text without.
    pub tls: Option<TlsFiles>,
    /// Whether HTTP/2 is also accepted in clear text (prior knowledge).
    pub h2c: bool,
}

/// The operators' listener.
#[derive(Clone)]
pub struct Admin {
    /// The address bound.
    pub address: SocketAddr,
    /// Asked for as a bearer token by everything under `/admin`. Reloadable.
    pub token: Option<Secret>,
}

impl PartialEq for Admin {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

/// One JSON line for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// None is written.
    Off,
    /// To standard output.
    Stdout,
    /// Appended to a file, which is opened again on SIGUSR1.
    File(PathBuf),
}

/// How a changed file is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether the file is watched at all (SIGHUP and the admin API always work).
    pub watch: bool,
    /// How often the file's state is compared.
    pub interval: Duration,
}

/// One model server of one provider.
pub struct Endpoint {
    /// Stable over reloads.
    pub id: EndpointId,
    /// Whose endpoint it is.
    pub provider: ProviderId,
    /// The wire format that requests are translated into.
    pub dialect: Dialect,
    /// Whose servers these are, as far as that matters.
    pub platform: Platform,
    /// Further wire formats that go through untranslated.
    pub also: Box<[Dialect]>,
    /// Whether translated chats may use what self-hosted engines add to OpenAI's API.
    pub extensions: bool,
    /// Whether a stream's usage may be asked for (`stream_options`).
    pub usage_in_streams: bool,
    /// Host without port, as in the URL: resolved to `addresses` and sent in `Host` and SNI.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: Option<UpstreamTls>,
    /// The URL's path, without a trailing slash: `/v1`. A request's path is put behind it.
    pub base_path: Box<str>,
    /// `Host` of each request.
    pub authority: HeaderValue,
    /// Fixed headers of each request, its credential among them where that is fixed.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A credential that is not fixed: the same for all endpoints of a provider.
    pub credential: Option<Arc<Credential>>,
    /// Where AWS has the endpoint: part of each signature.
    pub region: Option<Box<str>>,
    /// Share within its provider.
    pub weight: u32,
    /// Active checks.
    pub health: Option<ActiveHealth>,
    /// Ejection by what real requests see.
    pub passive: PassiveHealth,
}

impl Endpoint {
    /// The wire format in which it is asked what a client says in `client`.
    pub fn wire(&self, client: Dialect) -> Dialect {
        if self.also.contains(&client) { client } else { self.dialect }
    }
}

/// How an upstream's certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// SNI and the name the certificate must carry.
    pub server_name: Box<str>,
    /// Roots to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate is checked at all.
    pub verify: bool,
    /// Whether HTTP/2 is offered by ALPN.
    pub http2: bool,
}

/// What one alias stands for.
pub struct Model {
    /// The name clients use.
    pub alias: ModelAlias,
    /// The model's place among all: live state is found by it.
    pub number: usize,
    /// Candidates by priority, the first level preferred. Never empty, no level empty.
    pub levels: Vec<Level>,
    /// How one is picked within a level.
    pub balance: Balance,
    /// What is changed in the body.
    pub rewrite: Rewrite,
    /// The model's context window, in tokens.
    pub window_tokens: Option<u32>,
    /// What is done about what a translation cannot carry.
    pub losses: Policy,
    /// Attempts and their bounds.
    pub retry: Retry,
    /// Times.
    pub timeouts: Timeouts,
}

impl Model {
    /// Whether every server that may be asked knows `stream_options`.
    pub fn usage_in_streams(&self) -> bool {
        let mut targets = self.levels.iter().flat_map(|level| &level.targets);
        targets.all(|target| target.endpoint.usage_in_streams)
    }
}

/// Candidates of the same priority.
pub struct Level {
    /// Never empty.
    pub targets: Vec<Target>,
}

/// One endpoint of one candidate, with the model to ask there.
pub struct Target {
    /// Where.
    pub endpoint: Arc<Endpoint>,
    /// What to ask for.
    pub model: ModelName,
    /// The candidate's index within the alias: a retry prefers the same one.
    pub candidate: usize,
    /// Share within the level: the candidate's weight times the endpoint's share; at least 1.
    pub weight: u32,
    /// What the model costs there.
    pub prices: Prices,
}

/// How a target is picked within a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The fewest requests in flight for its weight.
    LeastRequests,
    /// The better of two random ones by latency (peak EWMA) times load.
    PeakEwma,
    /// The same target for the same value, with few moves when targets change (ketama).
    ConsistentHash(HashOn),
    /// The same target for the same context, while it has at most so many percent of its share of
    /// the requests in flight; at least 100.
    Context {
        /// Of the share that its weight gives it.
        load_percent: u32,
    },
}

/// What a consistent hash is taken of; the caller's key where it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// A request header.
    Header(HeaderName),
    /// The caller's key.
    Key,
    /// The body's `user` member.
    User,
}

/// What is changed in a body on its way upstream, beside the model's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewrite {
    /// Messages put into chats, in order.
    pub prompt: Vec<PromptMessage>,
    /// Members set where the client sent none: name and JSON text.
    pub defaults: Vec<(Box<str>, Box<str>)>,
    /// The largest value of numeric members; a larger one is lowered.
    pub caps: Vec<(Box<str>, serde_json::Number)>,
    /// Members that are refused with 400.
    pub refuse: Vec<Box<str>>,
}

impl Rewrite {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty()
            && self.defaults.is_empty()
            && self.caps.is_empty()
            && self.refuse.is_empty()
    }
}

/// Attempts before the first byte goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included; at least 1.
    pub attempts_max: usize,
    /// Statuses of an upstream that are tried again elsewhere, sorted.
    pub statuses: Vec<u16>,
    /// Retries may be at most this share of requests, in percent …
    pub budget_percent: u32,
    /// … but this many a second always.
    pub budget_min_per_second: u32,
    /// The longest wait before a failed endpoint is asked again, the first time.
    pub backoff: Duration,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two reads of the answer.
    pub between_bytes: Duration,
    /// From the request's arrival to the answer's end, over all attempts.
    pub total: Duration,
}

/// A virtual key: who the caller is and what it may use.
#[derive(Clone)]
pub struct Key {
    /// Public name.
    pub id: KeyId,
    /// Its owner.
    pub tenant: TenantId,
    /// Where false, the key is refused.
    pub enabled: bool,
    /// From this moment on, the key is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Aliases it may use; `None`: all. Already the intersection of tenant and key.
    pub models: Option<Vec<ModelAlias>>,
    /// Messages the tenant puts into chats, before the alias's own.
    pub prompt: Arc<[PromptMessage]>,
    /// For whoever reads logs and metrics.
    pub labels: BTreeMap<String, String>,
    /// How much it may use.
    pub terms: KeyTerms,
}

impl Key {
    /// Whether the key may use an alias.
    pub fn may_use(&self, alias: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|m| m.as_str() == alias))
    }
}
