//! A gate that holds an answer until the test opens it.

use tokio::sync::watch;

use crate::wait::within;

/// Closed when made; opened once, for everyone. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// A closed gate.
    #[expect(clippy::new_without_default, reason = "a gate is always made on purpose")]
    pub fn new() -> Self {
        Self { open: watch::Sender::new(false), waiting: watch::Sender::new(0) }
    }

    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns once the gate is open.
    pub async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Returns once `count` have come to the gate in all.
    pub async fn reached_by(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        within("the gate to be reached", async {
            let _ = waiting.wait_for(|waiting| *waiting >= count).await;
        })
        .await;
    }
}
