//! Connections that wait for their next request.
//!
//! Each worker thread has a list of its own: a socket belongs to the event loop that it was made on.
//! The last one put back is taken first, so that those not needed grow old and are closed. No
//! task watches a kept connection: that its server has closed it is seen when it is taken, or
//! by [`Kept::sweep`].

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::AHashMap;
use tokio::time::Instant;

use super::session::Session;
use crate::telemetry::shard::Sharded;

/// How often connections that nobody takes are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The kept connections of a process.
pub struct Kept {
    lists: Sharded<Mutex<Lists>>,
    /// The most that one thread keeps.
    max: usize,
}

#[derive(Default)]
struct Lists {
    by_address: AHashMap<SocketAddr, Vec<Idle>>,
    count: usize,
}

struct Idle {
    session: Session,
    until: Instant,
}

impl Kept {
    /// Keeps up to `max` connections for each of `threads` threads.
    pub fn new(threads: usize, max: usize) -> Self {
        Self { lists: Sharded::new(threads, Mutex::default), max }
    }

    /// A connection that the calling thread has kept and that is still open.
    pub(super) fn take(&self, address: SocketAddr, now: Instant) -> Option<Session> {
        let mut lists = lock(self.lists.mine());
        let Lists { by_address, count } = &mut *lists;
        let list = by_address.get_mut(&address)?;
        while let Some(idle) = list.pop() {
            *count -= 1;
            if now < idle.until && idle.session.is_quiet() {
                return Some(idle.session);
            }
        }
        None
    }

    /// Keeps a connection until a moment. Where the thread's lists are full, it is closed.
    pub(super) fn put(&self, address: SocketAddr, session: Session, until: Instant) {
        let mut lists = lock(self.lists.mine());
        if lists.count < self.max {
            lists.count += 1;
            lists.by_address.entry(address).or_default().push(Idle { session, until });
        }
    }

    /// Closes what has grown old and what its server has closed, and forgets empty lists.
    pub fn sweep(&self, now: Instant) {
        for lists in self.lists.iter() {
            let mut lists = lock(lists);
            let good = |idle: &Idle| now < idle.until && idle.session.is_quiet();
            lists.by_address.retain(|_, list| {
                list.retain(good);
                !list.is_empty()
            });
            lists.count = lists.by_address.values().map(Vec::len).sum();
        }
    }

    /// Sweeps until dropped.
    pub async fn keep_swept(&self) {
        let mut rounds = tokio::time::interval(SWEEP_EVERY);
        loop {
            self.sweep(rounds.tick().await);
        }
    }
}

fn lock(lists: &Mutex<Lists>) -> MutexGuard<'_, Lists> {
    lists.lock().unwrap_or_else(PoisonError::into_inner)
}
