//! When a summary that failed is asked for again: each turn near the window would ask otherwise, and
//! pay for what fails as the last one did.
//!
//! The turn behind the first failure may ask at once; from then on it is waited, twice as long each time. What
//! time it is, is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::context::store::Key;

/// How long is waited behind the second failure, and at most.
const WAIT_MIN: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Contexts that are remembered; one that is forgotten is asked for again at once.
const REMEMBERED_MAX: usize = 10_000;

/// Contexts whose summaries failed.
#[derive(Default)]
pub struct Patience(HashMap<Key, Failed>);

#[derive(Clone, Copy)]
struct Failed {
    times: u32,
    until: Instant,
}

impl Patience {
    /// Whether the summary of this context may be asked for.
    pub fn is_over(&self, key: &Key, now: Instant) -> bool {
        self.0.get(key).is_none_or(|failed| failed.until <= now)
    }

    /// The summary of this context failed.
    pub fn failed(&mut self, key: &Key, now: Instant) {
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(key) {
            // Those that need not be waited for go first; where there are none, all do.
            self.0.retain(|_, failed| failed.until > now);
            if self.0.len() >= REMEMBERED_MAX {
                self.0.clear();
            }
        }
        let times = self.0.get(key).map_or(0, |failed| failed.times).saturating_add(1);
        let wait = match times.checked_sub(2) {
            None => Duration::ZERO,
            Some(doubled) => WAIT_MIN.saturating_mul(1 << doubled.min(16)).min(WAIT_MAX),
        };
        self.0.insert(key.clone(), Failed { times, until: now + wait });
    }

    /// The summary of this context was made, or the context is gone.
    pub fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Patience, REMEMBERED_MAX};
    use crate::context::store::Key;

    fn key(id: &str) -> Key {
        Key { tenant: "t".into(), id: id.into() }
    }

    #[test]
    fn failures_are_waited_for_twice_as_long_each_time() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        let (bad, good) = (key("bad"), key("good"));
        for seconds in [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert!(patience.is_over(&bad, now));
            patience.failed(&bad, now);
            let wait = Duration::from_secs(seconds);
            let early = wait.checked_sub(Duration::from_millis(1)).map(|early| now + early);
            assert!(early.is_none_or(|early| !patience.is_over(&bad, early)), "{seconds} s");
            assert!(patience.is_over(&good, now), "others are asked for");
            now += wait;
        }
        patience.forget(&bad);
        patience.failed(&bad, now);
        assert!(patience.is_over(&bad, now), "it begins anew");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        for id in 0..2 * REMEMBERED_MAX {
            let key = key(&id.to_string());
            patience.failed(&key, now);
            patience.failed(&key, now);
            assert!(!patience.is_over(&key, now));
            assert!(patience.0.len() <= REMEMBERED_MAX);
        }
    }
}
