//! What several gateways share, as the file says it: a server, and limits that hold across them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;

/// A Valkey or Redis that several gateways share. Without one, each gateway is alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Valkey {
    /// `redis://host:6379/0`, `rediss://` for TLS, `redis+sentinel://host:26379,host:26379/service` or `redis+cluster://host:6379,host:6379`, with user and password where they are needed.
    #[schemars(extend("x-upgrade" = true))]
    pub url: Option<SecretRef>,
    /// What every key begins with. Default tollgate.
    #[schemars(extend("x-upgrade" = true))]
    pub prefix: Option<String>,
    /// Milliseconds for a connection and for a command. Default 2000.
    #[schemars(extend("x-upgrade" = true))]
    pub timeout_ms: Option<u64>,
}

/// How limits and budgets hold across the gateways that share a Valkey: see docs/limits.md.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// What a gateway may hold of a limit beyond what it uses, in percent of the limit. Default 1.
    #[schemars(extend("x-upgrade" = true))]
    pub lease_percent: Option<u32>,
    /// Milliseconds after which what a gateway held is free that was not heard of. Default 5000.
    #[schemars(extend("x-upgrade" = true))]
    pub lease_ms: Option<u64>,
    /// What is done once a lease has run out and Valkey cannot be reached. Default refuse.
    #[serde(default)]
    #[schemars(extend("x-upgrade" = true))]
    pub valkey_down: ValkeyDown,
}

/// What is done while Valkey cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValkeyDown {
    /// What is limited is refused.
    #[default]
    Refuse,
    /// Each gateway grants the whole limit by itself.
    Allow,
}
