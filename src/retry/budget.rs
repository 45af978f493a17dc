//! How many retries an alias may make: a share of its requests, so that an outage makes no storm.
//!
//! Requests and retries are counted in a ring of whole seconds. A retry is granted while the
//! retries of the last [`WINDOW_SECONDS`] stay within a percentage of the requests of the same
//! seconds, or while those of this second stay within a fixed number, which keeps a quiet
//! alias able to retry. So in any window the retries are at most the percentage of the requests
//! of that window and the one before it, and the fixed number for each of its seconds.
//!
//! There is no lock: each second is one atomic word that holds its own number, so a second that
//! comes round again starts from nothing. The clock is the caller's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::config::snapshot::Retry;

/// The seconds that are looked back on, the current one included.
pub const WINDOW_SECONDS: u32 = 10;

/// Requests and retries of one alias.
pub struct Budget {
    origin: Instant,
    requests: Window,
    retries: Window,
}

impl Budget {
    /// An empty budget; seconds are counted from `origin`.
    pub fn new(origin: Instant) -> Self {
        Self { origin, requests: Window::default(), retries: Window::default() }
    }

    /// Counts a request: once, however many attempts it takes.
    pub fn deposit(&self, now: Instant) {
        self.requests.add(self.second(now));
    }

    /// Takes one retry out, or says that there is none left.
    ///
    /// The retry is counted before the sum is looked at and given back if it was one too
    /// many: callers in parallel may refuse each other the last one, but never exceed it.
    pub fn withdraw(&self, policy: &Retry, now: Instant) -> bool {
        let second = self.second(now);
        let this_second = self.retries.add(second);
        if this_second <= policy.budget_min_per_second {
            return true;
        }
        let allowed = self.requests.sum(second).saturating_mul(u64::from(policy.budget_percent));
        if self.retries.sum(second).saturating_mul(100) <= allowed {
            return true;
        }
        self.retries.take_back(second);
        false
    }

    /// The number of the second, from 1: 0 marks a word that was never used.
    fn second(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.origin).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// Counts of the last seconds: one word each, its second in the upper half, its count in the lower.
#[derive(Default)]
struct Window([AtomicU64; WINDOW_SECONDS as usize]);

impl Window {
    /// Adds one to a second and returns its count.
    fn add(&self, second: u32) -> u32 {
        self.change(second, |count| count.saturating_add(1))
    }

    /// Takes one from a second.
    fn take_back(&self, second: u32) {
        self.change(second, |count| count.saturating_sub(1));
    }

    fn change(&self, second: u32, change: impl Fn(u32) -> u32) -> u32 {
        let Some(word) = self.0.get((second % WINDOW_SECONDS) as usize) else { return 0 };
        // A caller whose clock was read long ago must not wipe out a newer second.
        let next = |word| {
            let newer = unpack(word).0 > second;
            if newer { word } else { pack(second, change(count_of(word, second))) }
        };
        // The closure never refuses, so both arms hold the word before the change.
        let (Ok(before) | Err(before)) =
            word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(next(word)));
        change(count_of(before, second))
    }

    /// The sum of the window that ends with a second.
    fn sum(&self, second: u32) -> u64 {
        let counts = self.0.iter().map(|word| {
            let (of, count) = unpack(word.load(Ordering::Acquire));
            let recent = of <= second && second - of < WINDOW_SECONDS;
            if recent { u64::from(count) } else { 0 }
        });
        counts.sum()
    }
}

/// The count in a word, if the word is of this second; one of an older second counts nothing.
fn count_of(word: u64, second: u32) -> u32 {
    let (of, count) = unpack(word);
    if of == second { count } else { 0 }
}

fn pack(second: u32, count: u32) -> u64 {
    u64::from(second) << 32 | u64::from(count)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::{Budget, Retry, WINDOW_SECONDS};
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
    use proptest::{collection::vec, proptest};
    use std::time::{Duration, Instant};

    const WINDOW: u64 = WINDOW_SECONDS as u64;

    fn policy(percent: u32, min: u32) -> Retry {
        Retry {
            attempts_max: 3,
            statuses: Vec::new(),
            budget_percent: percent,
            budget_min_per_second: min,
            backoff: Duration::ZERO,
        }
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let start = Instant::now();
        let budget = Budget::new(start);
        (0..100).for_each(|_| budget.deposit(start));
        let granted = (0..100).filter(|_| budget.withdraw(&policy(20, 0), start)).count();
        assert_eq!(granted, 20);
    }

    #[test]
    fn a_quiet_alias_may_still_retry_some_times_a_second() {
        let start = Instant::now();
        let budget = Budget::new(start);
        for second in 0..3 {
            let now = start + Duration::from_secs(second);
            let granted = (0..10).filter(|_| budget.withdraw(&policy(0, 4), now)).count();
            assert_eq!(granted, 4, "second {second}");
        }
    }

    #[test]
    fn requests_leave_the_window() {
        let start = Instant::now();
        let budget = Budget::new(start);
        (0..100).for_each(|_| budget.deposit(start));
        let inside = start + Duration::from_secs(WINDOW - 1);
        assert!(budget.withdraw(&policy(20, 0), inside));
        let outside = start + Duration::from_secs(WINDOW);
        assert!(!budget.withdraw(&policy(20, 0), outside));
    }

    #[test]
    fn a_deposit_with_an_old_clock_takes_nothing_away() {
        let start = Instant::now();
        let budget = Budget::new(start);
        let now = start + Duration::from_secs(60);
        (0..100).for_each(|_| budget.deposit(now));
        budget.deposit(start);
        let granted = (0..100).filter(|_| budget.withdraw(&policy(20, 0), now)).count();
        assert_eq!(granted, 20);
    }

    #[test]
    fn threads_together_never_exceed_it() {
        let start = Instant::now();
        let budget = Budget::new(start);
        (0..1000).for_each(|_| budget.deposit(start));
        let granted: usize = std::thread::scope(|scope| {
            let thread = || {
                scope.spawn(|| (0..1000).filter(|_| budget.withdraw(&policy(20, 0), start)).count())
            };
            let threads: Vec<_> = (0..8).map(|_| thread()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(granted <= 200, "{granted}");
        let rest = (0..200).filter(|_| budget.withdraw(&policy(20, 0), start)).count();
        assert_eq!(granted + rest, 200, "what the threads refused each other is still there");
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Pass(u64),
        Request,
        Retry,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            1 => (0u64..4_000).prop_map(Event::Pass),
            4 => Just(Event::Request),
            4 => Just(Event::Retry),
        ]
    }

    proptest! {
        /// Against a model that remembers every event: a retry is granted exactly when the
        /// window that ends with it keeps the bound.
        #[test]
        fn in_every_window_the_bound_holds(
            events in vec(event(), 1..400),
            percent in 0u32..=100,
            min in 0u32..5,
            offset in any::<u16>(),
        ) {
            let origin = Instant::now();
            let budget = Budget::new(origin);
            let policy = policy(percent, min);
            let mut millis = u64::from(offset);
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            for event in events {
                let second = millis / 1000;
                let now = origin + Duration::from_millis(millis);
                match event {
                    Event::Pass(by) => millis += by,
                    Event::Request => {
                        budget.deposit(now);
                        requests.push(second);
                    }
                    Event::Retry => {
                        let recent = |at: &&u64| second - **at < WINDOW;
                        let made = retries.iter().filter(recent).count() as u64 + 1;
                        let asked = requests.iter().filter(recent).count() as u64;
                        let share = made * 100 <= asked * u64::from(percent);
                        let this_second = retries.iter().filter(|at| **at == second).count();
                        let floor = this_second < min as usize;
                        let granted = budget.withdraw(&policy, now);
                        prop_assert_eq!(granted, share || floor);
                        if granted {
                            retries.push(second);
                            let two_windows = |at: &&u64| second - **at < 2 * WINDOW - 1;
                            let asked = requests.iter().filter(two_windows).count() as u64;
                            let most = asked * u64::from(percent) / 100 + u64::from(min) * WINDOW;
                            prop_assert!(made <= most, "{} retries, at most {}", made, most);
                        }
                    }
                }
            }
        }
    }
}
