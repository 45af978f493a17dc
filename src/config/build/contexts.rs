//! Conversations that live at the gateway: their store and their bounds.

use super::Surroundings;
use super::limits::{millis, seconds, within};
use crate::config::raw::contexts as raw;
use crate::config::snapshot::contexts::{ContextStore, ContextWindow, Contexts, WindowStrategy};
use crate::config::spot::Spot;

const COUNT_MAX: usize = 1_000_000_000;
const BYTES_MAX: usize = 1 << 40;

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
        window: window(&raw.window, or.window, &spot.key("window")),
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
    }
}

fn store(raw: &raw::ContextStore, spot: &Spot<'_>, around: &Surroundings<'_>) -> ContextStore {
    let bytes_max =
        within(raw.memory_bytes_max, 256 << 20, 1..=BYTES_MAX, &spot.key("memory_bytes_max"));
    let sync = millis(raw.sync_ms, 10, &spot.key("sync_ms"));
    let Some(path) = &raw.path else {
        if raw.sync_ms.is_some() {
            spot.key("sync_ms").refuse("has no effect without `path`");
        }
        return ContextStore::Memory { bytes_max };
    };
    if raw.memory_bytes_max.is_some() {
        spot.key("memory_bytes_max").refuse("has no effect beside `path`");
    }
    ContextStore::Embedded { path: around.new_directory(path, &spot.key("path")), sync }
}

fn window(raw: &raw::ContextWindow, or: ContextWindow, spot: &Spot<'_>) -> ContextWindow {
    ContextWindow {
        strategy: match raw.strategy {
            raw::WindowStrategy::OldestTurns => WindowStrategy::OldestTurns,
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
