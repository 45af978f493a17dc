//! Waiting for an event, bounded: the only place of the harness that looks at the clock.
//!
//! A test must not sleep for a time that is "surely enough". It either awaits something inside
//! this process ([`within`]) or asks another process again and again ([`eventually`]).

use std::future::Future;
use std::time::Duration;

/// How long anything may take before a test gives up. Far longer than needed: a loaded machine
/// must not fail a test, and a test that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two questions to another process.
const POLL: Duration = Duration::from_millis(10);

/// The future's value; panics with `what` when it is not there within [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s for: {what}", PATIENCE.as_secs()),
    }
}

/// Asks until the answer is `Some`; panics with `what` when it is not within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut tick = tokio::time::interval(POLL);
    within(what, async {
        loop {
            tick.tick().await;
            if let Some(value) = ask().await {
                return value;
            }
        }
    })
    .await
}
