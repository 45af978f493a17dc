//! Conversations that live at the gateway, as the file says it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;

/// Conversations that live at the gateway: see docs/contexts.md.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// Whether they are served. Default true.
    pub enabled: Option<bool>,
    /// Where they are kept: in memory, where neither `path` nor `url` is set.
    #[serde(default)]
    pub store: ContextStore,
    /// How a conversation is fitted to the model.
    #[serde(default)]
    pub window: ContextWindow,
    /// Seconds a context is kept behind its last change. Default 604800 (7 days).
    pub ttl_seconds: Option<u64>,
    /// Milliseconds a turn waits for the one before it, and for a store that is not there. Default 10000.
    pub turn_wait_ms: Option<u64>,
    /// Messages of one context. Default 10000.
    pub messages_max: Option<usize>,
    /// Versions of one context that can be read and rolled back to. Default 100.
    pub versions_max: Option<usize>,
    /// The size of one context with all its versions. Default 16777216 (16 MiB).
    pub context_bytes_max: Option<usize>,
    /// Contexts of one tenant. Default 100000.
    pub tenant_contexts_max: Option<usize>,
    /// The size of all contexts of one tenant. Default 1073741824 (1 GiB).
    pub tenant_bytes_max: Option<usize>,
    /// What one delta may write, and the size of `data`. Default 1048576 (1 MiB).
    pub delta_bytes_max: Option<usize>,
    /// Operations of one JSON Patch. Default 256.
    pub delta_operations_max: Option<usize>,
    /// The longest answer that is kept. Default 4194304 (4 MiB).
    pub answer_bytes_max: Option<usize>,
    /// Whether a request of Responses that does not say `store` is kept, as at OpenAI. Default false.
    pub store_responses: Option<bool>,
}

/// Where contexts are kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextStore {
    /// In memory: the most of it; what was changed longest ago goes first. Default 268435456 (256 MiB).
    #[schemars(extend("x-upgrade" = true))]
    pub memory_bytes_max: Option<usize>,
    /// On disk: a directory, which is made where it is missing.
    #[schemars(extend("x-upgrade" = true))]
    pub path: Option<PathBuf>,
    /// On disk: milliseconds after which what was written survives a power cut. It survives the end of the process at once. Default 10.
    #[schemars(extend("x-upgrade" = true))]
    pub sync_ms: Option<u64>,
    /// In Valkey or Redis, for several gateways: `redis://host:6379/0`, `rediss://` for TLS, `redis+sentinel://host:26379,host:26379/service` or `redis+cluster://host:6379,host:6379`, with user and password where they are needed.
    #[schemars(extend("x-upgrade" = true))]
    pub url: Option<SecretRef>,
    /// In Valkey: what every key begins with. Default tollgate.
    #[schemars(extend("x-upgrade" = true))]
    pub prefix: Option<String>,
    /// In Valkey: milliseconds for a connection and for a command. Default 2000.
    #[schemars(extend("x-upgrade" = true))]
    pub timeout_ms: Option<u64>,
    /// In Valkey: milliseconds after which a turn of a gateway that was killed stands in nobody's way. Default 15000.
    #[schemars(extend("x-upgrade" = true))]
    pub lease_ms: Option<u64>,
}

/// How a conversation is fitted to the model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextWindow {
    /// What is done with a conversation that is over the model's `window_tokens`. Default oldest_turns.
    #[serde(default)]
    pub strategy: WindowStrategy,
    /// What a cut leaves, in percent of the window: the less, the longer an upstream's prompt cache is good. Default 70.
    pub keep_percent: Option<u32>,
    /// Tokens of the window that are left for the answer where the request does not say. Default 1024.
    pub answer_tokens: Option<u32>,
    /// The model that folds the oldest turns into one message, for `summarize`.
    pub summary: Option<Summary>,
}

/// A model that folds the oldest turns of a conversation into one message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// A service with `/chat/completions` below it: a model server, or this gateway, such as http://127.0.0.1:8080/v1.
    pub url: String,
    /// The model to ask for.
    pub model: String,
    /// What the service is shown, as a bearer token. Default: nothing.
    pub key: Option<SecretRef>,
    /// What the model is told to do. Default: to keep facts, decisions, names, numbers and what is open.
    pub prompt: Option<String>,
    /// A prompt of this share of the window has its oldest turns folded, behind its answer. Default 80.
    pub at_percent: Option<u32>,
    /// The longest summary, in tokens. Default 512.
    pub tokens_max: Option<u32>,
    /// Milliseconds for one summary. Default 60000.
    pub timeout_ms: Option<u64>,
}

/// What is done with a conversation that is over the window.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowStrategy {
    /// The oldest turns stay behind.
    #[default]
    OldestTurns,
    /// A model folds the oldest turns into one message.
    Summarize,
    /// The turn is refused.
    None,
}
