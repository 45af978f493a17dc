//! Conversations that live at the gateway: their store and their bounds.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::limits::{millis, seconds, within};
use super::{Surroundings, secret, valkey as shared};
use crate::config::raw::SecretRef;
use crate::config::raw::contexts as raw;
use crate::config::snapshot::contexts::{
    ContextStore, ContextWindow, Contexts, Summary, WindowStrategy,
};
use crate::config::spot::Spot;

const COUNT_MAX: usize = 1_000_000_000;
const BYTES_MAX: usize = 1 << 40;

/// What the model of summaries is told where the configuration does not say.
const SUMMARY_PROMPT: &str = "You are given the beginning of a conversation, one JSON message a line. \
    Write what a participant must know of it to go on: facts, names, numbers, decisions, preferences and \
    open questions. Write notes, in the language of the conversation, without an introduction.";

/// Reads the `contexts` part.
pub(super) fn contexts(
    raw: &raw::Contexts,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Contexts {
    let number = |value: Option<usize>, default: usize, max: usize, name: &str| {
        within(value, default, 1..=max, &spot.key(name))
    };
    let bytes = |value, default, name| number(value, default, BYTES_MAX, name);
    let count = |value, default, name| number(value, default, COUNT_MAX, name);
    let or = Contexts::default();
    Contexts {
        enabled: raw.enabled.unwrap_or(or.enabled),
        store: store(&raw.store, &spot.key("store"), around),
        window: window(&raw.window, or.window, &spot.key("window"), around),
        ttl: seconds(raw.ttl_seconds, or.ttl.as_secs(), &spot.key("ttl_seconds")),
        turn_wait: raw
            .turn_wait_ms
            .map_or(or.turn_wait, |_| millis(raw.turn_wait_ms, 1, &spot.key("turn_wait_ms"))),
        messages_max: count(raw.messages_max, or.messages_max, "messages_max"),
        versions_max: count(raw.versions_max, or.versions_max, "versions_max"),
        context_bytes_max: bytes(raw.context_bytes_max, or.context_bytes_max, "context_bytes_max"),
        tenant_contexts_max: count(
            raw.tenant_contexts_max,
            or.tenant_contexts_max,
            "tenant_contexts_max",
        ),
        tenant_bytes_max: bytes(raw.tenant_bytes_max, or.tenant_bytes_max, "tenant_bytes_max"),
        delta_bytes_max: bytes(raw.delta_bytes_max, or.delta_bytes_max, "delta_bytes_max"),
        delta_operations_max: count(
            raw.delta_operations_max,
            or.delta_operations_max,
            "delta_operations_max",
        ),
        answer_bytes_max: bytes(raw.answer_bytes_max, or.answer_bytes_max, "answer_bytes_max"),
        store_responses: raw.store_responses.unwrap_or(or.store_responses),
    }
}

/// The store that is named: by `url`, by `path`, or by neither. What belongs to another one would have
/// no effect, and is refused.
fn store(raw: &raw::ContextStore, spot: &Spot<'_>, around: &Surroundings<'_>) -> ContextStore {
    let (in_memory, on_disk) = (raw.memory_bytes_max.is_some(), raw.sync_ms.is_some());
    let in_valkey = [
        ("prefix", raw.prefix.is_some()),
        ("timeout_ms", raw.timeout_ms.is_some()),
        ("lease_ms", raw.lease_ms.is_some()),
    ];
    let refuse = |is_there: bool, name: &str, why: &str| {
        if is_there {
            spot.key(name).refuse(format!("has no effect {why}"));
        }
    };
    if let Some(url) = &raw.url {
        refuse(raw.path.is_some(), "path", "beside `url`");
        refuse(in_memory, "memory_bytes_max", "beside `url`");
        refuse(on_disk, "sync_ms", "beside `url`");
        return valkey(raw, url, spot, around);
    }
    for (name, is_there) in in_valkey {
        refuse(is_there, name, "without `url`");
    }
    if let Some(path) = &raw.path {
        refuse(in_memory, "memory_bytes_max", "beside `path`");
        let sync = millis(raw.sync_ms, 10, &spot.key("sync_ms"));
        return ContextStore::Embedded {
            path: around.new_directory(path, &spot.key("path")),
            sync,
        };
    }
    refuse(on_disk, "sync_ms", "without `path`");
    let place = spot.key("memory_bytes_max");
    ContextStore::Memory {
        bytes_max: within(raw.memory_bytes_max, 256 << 20, 1..=BYTES_MAX, &place),
    }
}

fn valkey(
    raw: &raw::ContextStore,
    url: &SecretRef,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> ContextStore {
    ContextStore::Valkey {
        server: shared::settings(url, (raw.prefix.as_deref(), raw.timeout_ms), spot, around),
        lease: millis(raw.lease_ms, 15_000, &spot.key("lease_ms")),
    }
}

fn window(
    raw: &raw::ContextWindow,
    or: ContextWindow,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> ContextWindow {
    let summary = raw.summary.as_ref().map(|raw| summary(raw, &spot.key("summary"), around));
    if matches!(raw.strategy, raw::WindowStrategy::Summarize) && summary.is_none() {
        spot.key("strategy").refuse("needs a model: set `summary`");
    }
    ContextWindow {
        summary: summary.map(Arc::new),
        strategy: match raw.strategy {
            raw::WindowStrategy::OldestTurns => WindowStrategy::OldestTurns,
            raw::WindowStrategy::Summarize => WindowStrategy::Summarize,
            raw::WindowStrategy::None => WindowStrategy::None,
        },
        keep_percent: within(raw.keep_percent, or.keep_percent, 1..=100, &spot.key("keep_percent")),
        answer_tokens: within(
            raw.answer_tokens,
            or.answer_tokens,
            0..=u32::MAX / 2,
            &spot.key("answer_tokens"),
        ),
    }
}

fn summary(raw: &raw::Summary, spot: &Spot<'_>, around: &Surroundings<'_>) -> Summary {
    let url = match Url::parse(&raw.url) {
        Ok(mut url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["chat", "completions"]);
            }
            String::from(url)
        }
        _ => {
            let example = "such as `http://127.0.0.1:8080/v1`";
            spot.key("url").refuse(format!("is not the address of a web service, {example}"));
            String::new()
        }
    };
    if raw.model.is_empty() {
        spot.key("model").refuse("must not be empty");
    }
    let key = raw.key.as_ref().and_then(|key| secret::secret(key, &spot.key("key"), around));
    let timeout = spot.key("timeout_ms");
    Summary {
        url: url.into(),
        model: raw.model.as_str().into(),
        key,
        prompt: raw.prompt.as_deref().unwrap_or(SUMMARY_PROMPT).into(),
        at_percent: within(raw.at_percent, 80, 1..=100, &spot.key("at_percent")),
        tokens_max: within(raw.tokens_max, 512, 1..=u32::MAX / 2, &spot.key("tokens_max")),
        timeout: raw.timeout_ms.map_or(Duration::from_secs(60), |ms| millis(Some(ms), 1, &timeout)),
    }
}
