//! Conversations that live at the gateway: where they are kept, how long, how much of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::types::Secret;
use crate::valkey::Settings;

/// Conversations that live at the gateway.
#[derive(Clone)]
pub struct Contexts {
    /// Whether they are served.
    pub enabled: bool,
    /// Where they are kept: taken into use at start only.
    pub store: ContextStore,
    /// How a conversation is fitted to the model.
    pub window: ContextWindow,
    /// How long a context is kept behind its last change.
    pub ttl: Duration,
    /// How long a turn waits for the one before it.
    pub turn_wait: Duration,
    /// Messages of one context.
    pub messages_max: usize,
    /// Versions of one context.
    pub versions_max: usize,
    /// The size of one context with all its versions, in bytes.
    pub context_bytes_max: usize,
    /// Contexts of one tenant.
    pub tenant_contexts_max: usize,
    /// The size of all contexts of one tenant, in bytes.
    pub tenant_bytes_max: usize,
    /// What one delta may write, and the size of `data`, in bytes.
    pub delta_bytes_max: usize,
    /// Operations of one JSON Patch.
    pub delta_operations_max: usize,
    /// The longest answer that is kept, in bytes.
    pub answer_bytes_max: usize,
    /// Whether a request of Responses that does not say `store` is kept.
    pub store_responses: bool,
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            enabled: true,
            store: ContextStore::Memory { bytes_max: 256 << 20 },
            window: ContextWindow {
                strategy: WindowStrategy::OldestTurns,
                keep_percent: 70,
                answer_tokens: 1024,
                summary: None,
            },
            ttl: Duration::from_secs(7 * 24 * 3600),
            turn_wait: Duration::from_secs(10),
            messages_max: 10_000,
            versions_max: 100,
            context_bytes_max: 16 << 20,
            tenant_contexts_max: 100_000,
            tenant_bytes_max: 1 << 30,
            delta_bytes_max: 1 << 20,
            delta_operations_max: 256,
            answer_bytes_max: 4 << 20,
            store_responses: false,
        }
    }
}

/// Where contexts are kept.
#[derive(Clone)]
pub enum ContextStore {
    /// In this process's memory, at most so many bytes.
    Memory {
        /// The most of it.
        bytes_max: usize,
    },
    /// On disk.
    Embedded {
        /// A directory.
        path: PathBuf,
        /// After this time at most, what was written survives a power cut.
        sync: Duration,
    },
    /// In Valkey or Redis.
    Valkey {
        /// Where it is.
        server: Settings,
        /// After this time a lease that is not renewed is free.
        lease: Duration,
    },
}

/// How a conversation is fitted to the model.
#[derive(Clone)]
pub struct ContextWindow {
    /// What is done with one that does not fit.
    pub strategy: WindowStrategy,
    /// What a cut leaves, in percent of the window.
    pub keep_percent: u32,
    /// Tokens left for the answer where the request does not say.
    pub answer_tokens: u32,
    /// Who folds the oldest turns into one message; present where `summarize` may be asked for.
    pub summary: Option<Arc<Summary>>,
}

/// A model that folds the oldest turns of a conversation into one message.
pub struct Summary {
    /// Where chat completions are asked for.
    pub url: Box<str>,
    /// What for.
    pub model: Box<str>,
    /// What is shown there.
    pub key: Option<Secret>,
    /// What it is told to do.
    pub prompt: Box<str>,
    /// A prompt of so many percent of the window has its oldest turns folded.
    pub at_percent: u32,
    /// The longest summary, in tokens.
    pub tokens_max: u32,
    /// The longest time for one.
    pub timeout: Duration,
}

/// What is done with a conversation that is over the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowStrategy {
    /// The oldest turns stay behind.
    OldestTurns,
    /// The oldest turns are folded into one message; until that is there, they stay behind.
    Summarize,
    /// The turn is refused.
    None,
}
