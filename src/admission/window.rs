//! One sliding window: how much was taken in the time that ends now.
//!
//! The window is cut into [`SLOTS`] slots, and what was taken within one slot leaves together. The
//! slot that is only partly within the window counts whole. So in no span of the window's length
//! is more taken than the limit, and a refusal means that the limit was reached within the last
//! 102 % of that length. The clock is the caller's, in microseconds.

/// The slots of a window: each is a whole number of microseconds for every window there is.
const SLOTS: u64 = 50;

/// The slots that count: those of the window, and the one that it begins in.
const KEPT: usize = SLOTS as usize + 1;

/// A moment, in microseconds since the process began to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

/// What was taken in the last while.
pub struct Window {
    /// What was taken in the newest slot: most requests look at no other, so the rest lies elsewhere.
    current: u64,
    total: u64,
    /// The newest slot that was looked at.
    newest: u64,
    /// When it ends, in microseconds: most looks come before, and change nothing.
    ends: u64,
    /// Microseconds of a slot.
    width: u64,
    /// What was taken in the slots before the newest.
    older: Box<[u64; KEPT]>,
}

/// Where a take was noted: needed to take it back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(u64);

impl Window {
    /// An empty window of this length.
    pub fn new(length: std::time::Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let width = (micros / SLOTS).max(1);
        Self { current: 0, total: 0, newest: 0, ends: width, width, older: Box::new([0; KEPT]) }
    }

    /// What counts now.
    pub fn total(&mut self, now: Micros) -> u64 {
        self.advance(now);
        self.total
    }

    /// Takes an amount, whatever the limit.
    pub fn take(&mut self, now: Micros, amount: u64) -> Place {
        self.advance(now);
        let newest = self.newest;
        self.change(newest, |slot| slot.saturating_add(amount));
        Place(newest)
    }

    /// Gives an amount back, if its place still counts.
    pub fn give_back(&mut self, place: Place, amount: u64, now: Micros) {
        self.advance(now);
        if self.counts(place.0) {
            self.change(place.0, |slot| slot.saturating_sub(amount));
        }
    }

    /// How long until an amount may be taken; zero where it may be now, `None` where it is over the
    /// limit by itself.
    pub fn wait(&mut self, now: Micros, amount: u64, limit: u64) -> Option<u64> {
        self.advance(now);
        let room = limit.checked_sub(amount)?;
        let mut over = self.total.saturating_sub(room);
        if over == 0 {
            return Some(0);
        }
        let oldest = self.newest.saturating_sub(SLOTS);
        for slot in oldest..=self.newest {
            over = over.saturating_sub(self.slot(slot));
            if over == 0 {
                let leaves = (slot + SLOTS + 1).saturating_mul(self.width);
                return Some(leaves.saturating_sub(now.0).max(1));
            }
        }
        None
    }

    /// How long until some of it leaves; `None` where nothing counts.
    pub fn leaves(&mut self, now: Micros) -> Option<u64> {
        self.advance(now);
        let oldest = self.newest.saturating_sub(SLOTS);
        let slot = (oldest..=self.newest).find(|slot| self.slot(*slot) > 0)?;
        Some((slot + SLOTS + 1).saturating_mul(self.width).saturating_sub(now.0))
    }

    /// Moves on: what has left the window is forgotten. A clock read long ago changes nothing.
    fn advance(&mut self, now: Micros) {
        if now.0 >= self.ends {
            self.move_to(now.0 / self.width);
        }
    }

    /// Makes this slot the newest. Seldom: once in the width of a slot.
    #[cold]
    fn move_to(&mut self, slot: u64) {
        let passed = slot - self.newest;
        if let Some(cell) = self.older.get_mut(place(self.newest)) {
            *cell = std::mem::take(&mut self.current);
        }
        if passed >= KEPT as u64 {
            *self.older = [0; KEPT];
            self.total = 0;
        } else {
            for cleared in self.newest + 1..=slot {
                self.change(cleared, |_| 0);
            }
        }
        self.newest = slot;
        self.ends = (slot + 1).saturating_mul(self.width);
    }

    fn counts(&self, slot: u64) -> bool {
        slot <= self.newest && self.newest - slot <= SLOTS
    }

    fn slot(&self, slot: u64) -> u64 {
        if slot == self.newest {
            return self.current;
        }
        self.older.get(place(slot)).copied().unwrap_or(0)
    }

    fn change(&mut self, slot: u64, change: impl FnOnce(u64) -> u64) {
        let older = self.older.get_mut(place(slot));
        let cell = if slot == self.newest { Some(&mut self.current) } else { older };
        if let Some(cell) = cell {
            let changed = change(*cell);
            self.total = self.total.saturating_sub(*cell).saturating_add(changed);
            *cell = changed;
        }
    }
}

/// Where a slot lies among those that are kept.
fn place(slot: u64) -> usize {
    (slot % KEPT as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof};
    use proptest::{collection::vec, proptest};

    use super::{Micros, Window};
    use crate::config::snapshot::terms::WINDOWS;

    const MINUTE: u64 = 60_000_000;

    /// Takes where it may be.
    fn ask(window: &mut Window, now: u64, amount: u64, limit: u64) -> bool {
        let granted = window.wait(Micros(now), amount, limit) == Some(0);
        if granted {
            window.take(Micros(now), amount);
        }
        granted
    }

    #[test]
    fn the_limit_may_be_taken_at_once_and_then_not_before_the_window_has_passed() {
        let mut window = Window::new(Duration::from_secs(60));
        let granted = (0..200).filter(|_| ask(&mut window, 5, 1, 100)).count();
        assert_eq!(granted, 100);
        let wait = window.wait(Micros(5), 1, 100).unwrap();
        assert_eq!(wait, 61_200_000 - 5, "the first slot leaves behind the window's 51st");
        assert!(!ask(&mut window, 5 + wait - 1, 1, 100));
        assert!(ask(&mut window, 5 + wait, 1, 100));
    }

    #[test]
    fn more_than_the_limit_is_never_granted() {
        let mut window = Window::new(Duration::from_secs(1));
        assert_eq!(window.wait(Micros(0), 11, 10), None);
        assert_eq!(window.wait(Micros(0), 10, 10), Some(0));
        assert_eq!(window.wait(Micros(0), 1, 0), None);
    }

    #[test]
    fn what_is_given_back_may_be_taken_again_while_it_counts() {
        let mut window = Window::new(Duration::from_secs(60));
        let place = window.take(Micros(0), 80);
        window.give_back(place, 50, Micros(MINUTE / 2));
        assert_eq!(window.total(Micros(MINUTE / 2)), 30);
        window.take(Micros(MINUTE), 7);
        window.give_back(place, 30, Micros(2 * MINUTE));
        assert_eq!(window.total(Micros(2 * MINUTE)), 7, "what has left is not given back again");
    }

    #[test]
    fn a_month_of_steady_use_does_not_drift() {
        let limit = 1000;
        let day = 24 * 3600 * 1_000_000;
        let mut window = Window::new(Duration::from_secs(24 * 3600));
        let step = day / 2000;
        let asked = 30 * 2000;
        let granted = (0..asked).filter(|turn| ask(&mut window, turn * step, 1, limit)).count();
        // A slot more than a day holds the limit: 51 of 50.
        assert!((30_000 * 50 / 51..=30 * 1000).contains(&granted), "{granted}");
        let rest = window.total(Micros(40 * day));
        assert_eq!(rest, 0);
    }

    fn step() -> impl Strategy<Value = (u64, u64)> {
        (prop_oneof![8 => 0u64..40_000, 2 => 0u64..2_000_000], 0u64..5)
    }

    proptest! {
        /// Against a model that remembers everything: no span of the window's length holds more than
        /// the limit, and a refusal means that the last 102 % did.
        #[test]
        fn no_window_holds_more_and_no_refusal_is_wrong(
            steps in vec(step(), 1..400),
            limit in 1u64..20,
            start in 0u64..10_000_000_000,
        ) {
            let length = 1_000_000;
            let mut window = Window::new(Duration::from_micros(length));
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let mut now = start;
            for (pause, amount) in steps {
                now += pause;
                let within = |span: u64, taken: &[(u64, u64)]| -> u64 {
                    taken.iter().filter(|(at, _)| now - at < span).map(|(_, amount)| amount).sum()
                };
                if ask(&mut window, now, amount, limit) {
                    taken.push((now, amount));
                    prop_assert!(within(length, &taken) <= limit);
                } else {
                    prop_assert!(within(length + length / 50, &taken) + amount > limit);
                }
            }
        }

        /// A refusal's wait is right to the microsecond: not granted before, granted then.
        #[test]
        fn the_wait_is_right(
            takes in vec((0u64..200_000, 1u64..4), 1..60),
            amount in 1u64..5,
            kind in 0usize..4,
        ) {
            let limit = 5;
            let mut window = Window::new(WINDOWS[kind].1);
            let mut now = 0;
            for (pause, amount) in takes {
                now += pause;
                ask(&mut window, now, amount, limit);
            }
            let wait = window.wait(Micros(now), amount, limit).unwrap();
            if wait > 0 {
                prop_assert!(window.wait(Micros(now + wait - 1), amount, limit).unwrap() > 0);
                prop_assert_eq!(window.wait(Micros(now + wait), amount, limit), Some(0));
            }
        }
    }
}
