//! One writer at a time for each context of this process: a queue for each that somebody wants.
//!
//! Waiting is fair, and costs nothing while nobody waits for the same context. An entry exists as
//! long as someone holds or awaits it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::store::Key;

type Queue = Arc<tokio::sync::Mutex<()>>;
type Queues = Arc<Mutex<HashMap<Key, Queue>>>;

/// The queues of all contexts that somebody wants.
#[derive(Clone, Default)]
pub struct Leases(Queues);

/// The right to change a context, within this process; given back when dropped.
pub struct LocalLease {
    key: Key,
    queues: Queues,
    /// Present until dropped.
    guard: Option<OwnedMutexGuard<()>>,
}

impl Leases {
    /// Takes a context's lease, behind those who came before; `None` where that takes too long.
    pub async fn take(&self, key: &Key, wait: Duration) -> Option<LocalLease> {
        let queue = lock(&self.0).entry(key.clone()).or_default().clone();
        let mut lease = LocalLease { key: key.clone(), queues: self.0.clone(), guard: None };
        // Where this times out or is given up, dropping the lease clears the queue if it is empty.
        lease.guard = Some(tokio::time::timeout(wait, queue.lock_owned()).await.ok()?);
        Some(lease)
    }

    /// How many contexts are wanted right now.
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether nobody wants any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for LocalLease {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut queues = lock(&self.queues);
        // Those who wait hold the queue too: with only the table left, nobody does.
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

fn lock(queues: &Queues) -> MutexGuard<'_, HashMap<Key, Queue>> {
    // No code that can panic runs under the lock, so there is nothing broken to see.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Leases;
    use crate::context::store::Key;
    use std::time::Duration;

    fn key(id: &str) -> Key {
        Key { tenant: "t".into(), id: id.into() }
    }

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let leases = Leases::default();
        let first = leases.take(&key("a"), Duration::ZERO).await.unwrap();
        assert!(leases.take(&key("a"), Duration::ZERO).await.is_none());
        let other = leases.take(&key("b"), Duration::ZERO).await;
        assert!(other.is_some(), "another context is another matter");
        let waiting = tokio::spawn({
            let leases = leases.clone();
            async move { leases.take(&key("a"), Duration::from_secs(60)).await.is_some() }
        });
        drop(first);
        assert!(waiting.await.unwrap());
        drop(other);
        assert!(leases.is_empty());
    }
}
