//! What the mock has seen: the counters behind `GET /mock/stats`.
//!
//! Tests read them to know that an endpoint was spared, or that a client's leaving reached the
//! upstream. The mock's own paths are not counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Map, Value, json};

use super::route::Route;

/// Counters of one instance, from its start or its last reset.
#[derive(Default)]
pub(crate) struct Stats {
    by_route: [AtomicU64; Route::ALL.len()],
    open: AtomicU64,
    open_streams: AtomicU64,
    aborted_waits: AtomicU64,
    aborted_streams: AtomicU64,
}

impl Stats {
    /// One request more.
    pub(crate) fn count(&self, route: Route) {
        if let Some(counter) = self.by_route.get(route as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// An answer begins; it counts as open until the guard is dropped.
    pub(crate) fn open(&self) -> Open<'_> {
        self.open.fetch_add(1, Relaxed);
        Open { stats: self, streams: false, finished: false }
    }

    /// Back to zero, but for what is open now.
    pub(crate) fn reset(&self) {
        let counters = [&self.aborted_waits, &self.aborted_streams];
        for counter in self.by_route.iter().chain(counters) {
            counter.store(0, Relaxed);
        }
    }

    /// The counters as `GET /mock/stats` answers them.
    pub(crate) fn json(&self) -> Value {
        let mut by_path = Map::new();
        let mut requests = 0;
        for (route, counter) in Route::ALL.into_iter().zip(&self.by_route) {
            let count = counter.load(Relaxed);
            if count > 0 {
                by_path.insert(route.path().into(), count.into());
            }
            if route.is_model_request() {
                requests += count;
            }
        }
        json!({
            "requests": requests,
            "by_path": by_path,
            "open": self.open.load(Relaxed),
            "open_streams": self.open_streams.load(Relaxed),
            "aborted_waits": self.aborted_waits.load(Relaxed),
            "aborted_streams": self.aborted_streams.load(Relaxed),
        })
    }
}

/// An answer that is being given. Dropped before [`Open::finish`], it counts as aborted: the
/// client closed first.
pub(crate) struct Open<'s> {
    stats: &'s Stats,
    streams: bool,
    finished: bool,
}

impl Open<'_> {
    /// A stream's header goes out.
    pub(crate) fn stream(&mut self) {
        self.streams = true;
        self.stats.open_streams.fetch_add(1, Relaxed);
    }

    /// The answer ended as it was meant to end, a cut included.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.stats.open.fetch_sub(1, Relaxed);
        if self.streams {
            self.stats.open_streams.fetch_sub(1, Relaxed);
        }
        let aborted =
            if self.streams { &self.stats.aborted_streams } else { &self.stats.aborted_waits };
        if !self.finished {
            aborted.fetch_add(1, Relaxed);
        }
    }
}
