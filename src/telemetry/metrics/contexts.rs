//! Conversations that live at the gateway, in numbers. No label is made from what a client sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::shard::Sharded;
use super::cells::{Counts, Histogram, OVERHEAD_BOUNDS, REQUEST_BOUNDS, distribution, sum};
use super::page::{Family, Page};

/// Shards, so that the threads of a large machine do not meet in one cell.
const SHARDS: usize = 8;

/// The counters of contexts.
pub struct ContextMetrics {
    shards: Sharded<Cells>,
    contexts: AtomicU64,
    bytes: AtomicU64,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// Its version was made.
    Committed,
    /// It was not to be kept.
    ReadOnly,
    /// No complete answer came: it changed nothing.
    Abandoned,
    /// The answer was there and could not be kept.
    Failed,
}

/// What came of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryEnd {
    /// It is there.
    Made,
    /// The model gave none, or it could not be kept.
    Failed,
}

/// What a store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCall {
    /// For a log.
    Read,
    /// To keep a version.
    Append,
}

const ENDS: [&str; 4] = ["committed", "read_only", "abandoned", "failed"];
const SUMMARIES: [&str; 2] = ["made", "failed"];
const CALLS: [&str; 2] = ["read", "append"];

#[derive(Default)]
struct Cells {
    turns: Counts<{ ENDS.len() }>,
    versions: Counts<1>,
    summaries: Counts<{ SUMMARIES.len() }>,
    history_bytes: Counts<1>,
    dropped_bytes: Counts<1>,
    dropped_tokens: Counts<1>,
    wait: Histogram,
    read: Histogram,
    append: Histogram,
}

impl Default for ContextMetrics {
    fn default() -> Self {
        Self {
            shards: Sharded::new(SHARDS, Cells::default),
            contexts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }
}

impl ContextMetrics {
    /// Counts a turn that has ended.
    pub fn turn(&self, end: TurnEnd) {
        self.shards.mine().turns.add(end as usize, 1);
    }

    /// Counts what came of a summary.
    pub fn summary(&self, end: SummaryEnd) {
        self.shards.mine().summaries.add(end as usize, 1);
    }

    /// Counts a version that was made, by a turn or otherwise.
    pub fn version(&self) {
        self.shards.mine().versions.add(0, 1);
    }

    /// Counts what a turn put before the client's own messages, and what the window left out.
    pub fn prompt(&self, history_bytes: usize, (dropped_bytes, dropped_tokens): (usize, u64)) {
        let cells = self.shards.mine();
        cells.history_bytes.add(0, history_bytes as u64);
        cells.dropped_bytes.add(0, dropped_bytes as u64);
        cells.dropped_tokens.add(0, dropped_tokens);
    }

    /// Notes how long someone waited for a context's lease.
    pub fn waited(&self, time: Duration) {
        self.shards.mine().wait.observe(&REQUEST_BOUNDS, time);
    }

    /// Notes how long the store took.
    pub fn store(&self, call: StoreCall, time: Duration) {
        let cells = self.shards.mine();
        let histogram = match call {
            StoreCall::Read => &cells.read,
            StoreCall::Append => &cells.append,
        };
        histogram.observe(&OVERHEAD_BOUNDS, time);
    }

    /// Says how much is held.
    pub fn hold(&self, contexts: u64, bytes: u64) {
        self.contexts.store(contexts, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// All families.
    pub(super) fn families(&self, page: &mut Page) {
        let mut turns =
            Family::counter("tollgate_context_turns_total", "Turns of contexts, by their end.");
        for (slot, end) in ENDS.into_iter().enumerate() {
            turns.nonzero(&[("outcome", end)], sum(&self.shards, |cells| &cells.turns, slot));
        }
        page.add(turns);
        let mut summaries = Family::counter(
            "tollgate_context_summaries_total",
            "Summaries of the oldest turns of contexts, by what came of them.",
        );
        for (slot, end) in SUMMARIES.into_iter().enumerate() {
            let count = sum(&self.shards, |cells| &cells.summaries, slot);
            summaries.nonzero(&[("outcome", end)], count);
        }
        page.add(summaries);
        self.totals(page);
        let mut wait = Family::histogram(
            "tollgate_context_wait_seconds",
            "How long turns waited for the one before them.",
        );
        wait.distribution(&[], distribution(&self.shards, |cells| &cells.wait, &REQUEST_BOUNDS));
        page.add(wait);
        let mut store =
            Family::histogram("tollgate_context_store_seconds", "How long the store took.");
        let [read, append] = CALLS;
        let of =
            |pick: fn(&Cells) -> &Histogram| distribution(&self.shards, pick, &OVERHEAD_BOUNDS);
        store.distribution(&[("operation", read)], of(|cells| &cells.read));
        store.distribution(&[("operation", append)], of(|cells| &cells.append));
        page.add(store);
    }

    fn totals(&self, page: &mut Page) {
        let total = |pick: fn(&Cells) -> &Counts<1>| sum(&self.shards, pick, 0);
        for (name, help, value) in [
            (
                "tollgate_context_versions_total",
                "Versions made, by turns and otherwise.",
                total(|cells| &cells.versions),
            ),
            (
                "tollgate_context_history_bytes_total",
                "Bytes of kept messages put into prompts, which clients did not send.",
                total(|cells| &cells.history_bytes),
            ),
            (
                "tollgate_context_dropped_bytes_total",
                "Bytes of kept messages that the window left out of prompts.",
                total(|cells| &cells.dropped_bytes),
            ),
            (
                "tollgate_context_dropped_tokens_total",
                "Tokens, estimated, that the window left out of prompts.",
                total(|cells| &cells.dropped_tokens),
            ),
        ] {
            let mut family = Family::counter(name, help);
            family.sample(&[], value);
            page.add(family);
        }
        for (name, help, value) in [
            ("tollgate_contexts", "Contexts held by this process's store.", &self.contexts),
            ("tollgate_context_bytes", "Bytes held by this process's store.", &self.bytes),
        ] {
            let mut family = Family::gauge(name, help);
            family.sample(&[], value.load(Ordering::Relaxed));
            page.add(family);
        }
    }
}
