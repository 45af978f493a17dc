//! The configuration file, one to one: what `serde` reads and `tollgate schema` describes.
//!
//! Unknown keys are refused. Nothing is resolved or checked here: names may dangle, numbers
//! may be absurd, secrets may lie in files; `build` turns this into a `Snapshot` or says
//! everything that is wrong. The doc comments are the descriptions in the JSON Schema; `x-secret`
//! marks what no message may quote, `x-upgrade` what a reload cannot change. Types that may hold a
//! secret have no derived `Debug`.

pub mod contexts;
pub mod credential;
pub mod health;
pub mod jwt;
pub mod listener;
pub mod owner;
pub mod platform;
pub mod prices;
pub mod rewrite;
pub mod state;
pub mod terms;
pub mod valkey;
pub mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use self::contexts::Contexts;
use self::credential::Credential;
use self::health::{Health, Passive};
use self::jwt::Issuer;
use self::listener::ListenerTls;
use self::owner::{Key, Tenant};
use self::platform::Platform;
use self::prices::Prices;
use self::rewrite::{Rewrite, Translation};
use self::state::State;
use self::terms::{Limits, Tier, Usage, Waiting};
use self::valkey::{Quotas, Valkey};
use self::webhook::BudgetWebhook;

/// Tollgate's configuration.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// The process: listeners, threads, sizes.
    #[serde(default)]
    pub server: Server,
    /// One JSON line for each request.
    #[serde(default)]
    pub access_log: AccessLog,
    /// How a changed file is noticed.
    #[serde(default)]
    pub reload: Reload,
    /// Times that hold for every model that says nothing else.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Retries that hold for every model that says nothing else.
    #[serde(default)]
    pub retry: Retry,
    /// Conversations that live at the gateway: see docs/contexts.md.
    #[serde(default)]
    pub contexts: Contexts,
    /// A Valkey or Redis that several gateways share.
    #[serde(default)]
    pub valkey: Valkey,
    /// How limits and budgets hold across the gateways that share it.
    #[serde(default)]
    pub quotas: Quotas,
    /// Where is kept what is made at run time: see docs/admin.md.
    #[serde(default)]
    pub state: State,
    /// Groups of model servers, by name.
    #[serde(default)]
    pub providers: BTreeMap<String, Provider>,
    /// What clients may ask for, by alias.
    #[serde(default)]
    pub models: BTreeMap<String, Model>,
    /// What models cost.
    #[serde(default)]
    pub prices: Prices,
    /// Where the use of models is written down.
    #[serde(default)]
    pub usage: Usage,
    /// Bundles of terms that tenants and keys may name.
    #[serde(default)]
    pub tiers: BTreeMap<String, Tier>,
    /// Whether, and how, requests wait for room under a limit.
    pub waiting: Option<Waiting>,
    /// Where warnings of budgets are posted: see docs/limits.md.
    pub budget_webhook: Option<BudgetWebhook>,
    /// Owners of keys, by name. Where none is listed, keys may name any.
    #[serde(default)]
    pub tenants: BTreeMap<String, Tenant>,
    /// Virtual keys.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Whose tokens (JWT) are accepted beside keys: see docs/access.md.
    #[serde(default)]
    pub jwt: Vec<Issuer>,
}

/// The process: what it listens on and how large it may grow.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where clients connect. Default: one, 127.0.0.1:8080 in clear text.
    #[schemars(extend("x-upgrade" = true))]
    pub listeners: Option<Vec<Listener>>,
    /// Where operators connect.
    pub admin: Option<Admin>,
    /// Worker threads; 0: one for each core. Default 0.
    #[schemars(extend("x-upgrade" = true))]
    pub threads: Option<usize>,
    /// Whether an idle worker takes tasks of a busy one. Default true.
    #[schemars(extend("x-upgrade" = true))]
    pub work_stealing: Option<bool>,
    /// Accepting tasks for each listener. Default 1.
    #[schemars(extend("x-upgrade" = true))]
    pub listener_tasks: Option<usize>,
    /// Idle upstream connections kept in all. Default 1024.
    #[schemars(extend("x-upgrade" = true))]
    pub upstream_keepalive_max: Option<usize>,
    /// Seconds an idle upstream connection is kept. Default 60.
    #[schemars(extend("x-upgrade" = true))]
    pub upstream_keepalive_seconds: Option<u64>,
    /// Seconds an idle client connection is kept; over HTTP/2, what it was at the start. Default 75.
    pub client_keepalive_seconds: Option<u64>,
    /// The largest request body, in bytes. Default 33554432 (32 MiB).
    pub body_bytes_max: Option<usize>,
    /// Milliseconds a request body may take to arrive. Default 60000.
    pub body_timeout_ms: Option<u64>,
    /// Seconds a leaving process waits for its last stream. Default 600.
    #[schemars(extend("x-upgrade" = true))]
    pub drain_seconds: Option<u64>,
    /// Where the process id is written. Default `/tmp/tollgate-<port of the first listener>.pid`.
    #[schemars(extend("x-upgrade" = true))]
    pub pid_file: Option<PathBuf>,
    /// Over which listeners are handed to a new process. Default `/tmp/tollgate-<port>.sock`.
    #[schemars(extend("x-upgrade" = true))]
    pub upgrade_socket: Option<PathBuf>,
}

/// One address for clients.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `host:port` with a numeric host, `0.0.0.0:8080`.
    #[schemars(extend("x-upgrade" = true))]
    pub address: String,
    /// Certificate and key. HTTP/2 is then offered by ALPN.
    #[schemars(extend("x-upgrade" = true))]
    pub tls: Option<ListenerTls>,
    /// Whether HTTP/2 is accepted in clear text too; set at one listener, it holds for all of them. Default false.
    #[serde(default)]
    #[schemars(extend("x-upgrade" = true))]
    pub h2c: bool,
}

/// The operators' listener: /metrics, /livez, /readyz, /admin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `host:port` with a numeric host. Default 127.0.0.1:9090.
    #[schemars(extend("x-upgrade" = true))]
    pub address: Option<String>,
    /// Bearer token for everything under /admin; required where the address is not loopback.
    pub token: Option<SecretRef>,
}

/// Where a secret is found: exactly one of the three.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-secret" = true))]
pub struct SecretRef {
    /// The name of an environment variable.
    pub env: Option<String>,
    /// A file whose content, without the last line break, is the secret.
    pub file: Option<PathBuf>,
    /// The secret itself. For trials; files get copied.
    pub value: Option<String>,
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretRef")
    }
}

/// One JSON line for each request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Whether it is written. Default true.
    pub enabled: Option<bool>,
    /// A file, opened again on SIGUSR1. Default: standard output.
    pub path: Option<PathBuf>,
}

/// How a changed file is noticed. SIGHUP and POST /admin/reload always work.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Whether the file, and the certificates and secrets it names, are watched. Default true.
    pub watch: Option<bool>,
    /// Milliseconds between two looks. Default 1000.
    pub interval_ms: Option<u64>,
}

/// How long things may take, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// TCP and TLS. Default 3000.
    pub connect_ms: Option<u64>,
    /// From the request's last byte to the answer's first. Default 120000.
    pub first_byte_ms: Option<u64>,
    /// Between two reads of an answer. Default 60000.
    pub between_bytes_ms: Option<u64>,
    /// From the request's arrival to the answer's end, over all attempts. Default 600000.
    pub total_ms: Option<u64>,
}

/// Attempts before the first byte goes to the client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included; 1 to 16. Default 3.
    pub attempts_max: Option<usize>,
    /// Statuses tried again elsewhere. Default 408, 429, 500, 502, 503, 504, 529.
    pub statuses: Option<Vec<u16>>,
    /// The share of requests that may be retries, in percent. Default 20.
    pub budget_percent: Option<u32>,
    /// Retries a second that are always allowed. Default 10.
    pub budget_min_per_second: Option<u32>,
    /// The longest wait before an endpoint that failed is asked again by the same request, doubled each time, up to 32-fold; 0: none. Default 100.
    pub backoff_ms: Option<u64>,
}

/// A group of model servers that are reached in the same way.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The wire format that requests are translated into. Default openai.
    #[serde(default)]
    pub dialect: Dialect,
    /// Whose servers these are, where they differ from what the dialect says.
    pub platform: Option<Platform>,
    /// For azure: `2024-10-21`, or `preview`. Default: the API without versions, `/openai/v1`.
    pub api_version: Option<String>,
    /// For vertex: the project's id.
    pub project: Option<String>,
    /// For vertex: the location. Default: as the URL's host says, `us-central1-…` or global.
    pub location: Option<String>,
    /// Further wire formats that the servers take: such requests go through untranslated.
    #[serde(default)]
    pub also: Vec<Dialect>,
    /// Whether translated chats may use what self-hosted engines add to OpenAI's API: `top_k`,
    /// `reasoning_content`, `max_tokens`. Default false.
    #[serde(default)]
    pub extensions: bool,
    /// Whether the servers know `stream_options`; where not, the usage of streams is not asked for.
    /// Default true, but for mistral.
    pub usage_in_streams: Option<bool>,
    /// Sent as the dialect wants it: a bearer token, `x-api-key`, `x-goog-api-key`; none without.
    pub credential: Option<Credential>,
    /// Further headers of every request, such as `OpenAI-Organization`.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub headers: BTreeMap<String, String>,
    /// The model servers.
    pub endpoints: Vec<Endpoint>,
    /// How certificates are checked.
    #[serde(default)]
    pub tls: UpstreamTls,
    /// Active health checks; none without.
    pub health: Option<Health>,
    /// Ejection by the outcome of real requests.
    #[serde(default)]
    pub passive: Passive,
}

/// A wire format.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI's API and the servers that follow it: chats as Chat Completions.
    #[default]
    OpenAi,
    /// OpenAI's API: chats as Responses.
    Responses,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// AWS Bedrock's Converse.
    Bedrock,
}

/// One model server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its base, as an SDK's base URL: `https://api.openai.com/v1`.
    pub url: String,
    /// Share within the provider. Default 1.
    pub weight: Option<u32>,
    /// Its name in metrics and logs. Default `provider/host:port`.
    pub name: Option<String>,
}

/// How an upstream's certificate is checked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// SNI and the name the certificate must carry. Default: the URL's host.
    pub server_name: Option<String>,
    /// A PEM file of roots to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate is checked. Default true.
    pub verify: Option<bool>,
    /// Whether HTTP/2 is offered by ALPN. Default true.
    pub http2: Option<bool>,
}

/// What one alias stands for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Where it may be served.
    pub candidates: Vec<Candidate>,
    /// How an endpoint is picked among candidates of the same priority. Default peak_ewma.
    #[serde(default)]
    pub balance: Balance,
    /// For consistent_hash: `key`, `user` or `header:NAME`. Default key.
    pub hash_on: Option<String>,
    /// For context: an endpoint keeps its contexts while it has at most this share of its part of the requests in flight. Default 125.
    pub load_percent: Option<u32>,
    /// Whether a tenant may use it only once that was approved: see docs/access.md. Default false.
    #[serde(default)]
    pub approval: bool,
    /// What is changed in the body.
    #[serde(default)]
    pub rewrite: Rewrite,
    /// The model's context window, in tokens: conversations that live at the gateway are cut to it. Default: none is known.
    pub window_tokens: Option<u32>,
    /// How it is translated.
    #[serde(default)]
    pub translation: Translation,
    /// Instead of the general retries, key by key.
    #[serde(default)]
    pub retry: Retry,
    /// Instead of the general timeouts, key by key.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How much all keys together may ask of it.
    #[serde(default)]
    pub limits: Limits,
}

/// One place where an alias may be served.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// A provider's name.
    pub provider: String,
    /// The model to ask for. Default: the alias.
    pub model: Option<String>,
    /// Share among candidates of the same priority. Default 1.
    pub weight: Option<u32>,
    /// Lower is tried first. Default 0.
    pub priority: Option<u32>,
}

/// How an endpoint is picked.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The fewest requests in flight for its weight.
    LeastRequests,
    /// The better of two random ones by latency and load.
    #[default]
    PeakEwma,
    /// The same endpoint for the same value of `hash_on`.
    ConsistentHash,
    /// The same endpoint for the same context, unless it has too much to do.
    Context,
}
