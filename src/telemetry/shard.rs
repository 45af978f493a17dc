//! State that every thread has its own copy of, so that counting never waits for another core.
//!
//! A shared atomic costs a few nanoseconds while one core uses it and a hundred when eight do.
//! Here each thread writes to cache lines of its own, and a reader puts the copies together.
//! More threads than shards is allowed: they share, and the sums stay right.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most shards kept, whatever number of threads is announced.
const SHARDS_MAX: usize = 128;

static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: usize = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
}

/// The calling thread's number: handed out in order of first use, so that the worker
/// threads, which are started once and stay, get numbers that fall on different shards.
pub(crate) fn thread_number() -> usize {
    NUMBER.with(|number| *number)
}

/// One `T` for each of a fixed number of threads, no two on one cache line.
pub(crate) struct Sharded<T> {
    /// There is always a first shard, so picking one cannot fail.
    first: OwnLine<T>,
    /// One less than a power of two.
    rest: Box<[OwnLine<T>]>,
}

/// Two cache lines, because x86 prefetches them in pairs.
#[repr(align(128))]
struct OwnLine<T>(T);

impl<T> Sharded<T> {
    /// At least one shard for each of `threads` threads.
    pub(crate) fn new(threads: usize, mut make: impl FnMut() -> T) -> Self {
        let shards = threads.clamp(1, SHARDS_MAX).next_power_of_two();
        Self { first: OwnLine(make()), rest: (1..shards).map(|_| OwnLine(make())).collect() }
    }

    /// The shard of the thread with this number.
    pub(crate) fn at(&self, thread_number: usize) -> &T {
        let index = thread_number & self.rest.len();
        match index.checked_sub(1).and_then(|index| self.rest.get(index)) {
            Some(shard) => &shard.0,
            None => &self.first.0,
        }
    }

    /// The calling thread's shard.
    pub(crate) fn mine(&self) -> &T {
        self.at(thread_number())
    }

    /// All shards.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first.0).chain(self.rest.iter().map(|shard| &shard.0))
    }
}

impl<T: Default> Default for Sharded<T> {
    /// One for all threads: for what happens seldom.
    fn default() -> Self {
        Self::new(1, T::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_shards_as_threads_rounded_up_to_a_power_of_two() {
        for (threads, shards) in [(0, 1), (1, 1), (2, 2), (3, 4), (8, 8), (1000, 128)] {
            assert_eq!(Sharded::new(threads, || ()).iter().count(), shards, "{threads} threads");
        }
    }

    #[test]
    fn consecutive_threads_get_different_shards_and_any_number_gets_one() {
        let mut next = 0..;
        let sharded = Sharded::new(8, || next.next());
        let mut seen: Vec<_> = (40..48).map(|number| sharded.at(number).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..8).collect::<Vec<i32>>());
        assert!(sharded.at(usize::MAX).is_some());
    }

    #[test]
    fn no_two_shards_lie_on_one_cache_line() {
        let sharded = Sharded::new(4, || 0u8);
        let mut lines: Vec<_> =
            sharded.iter().map(|s| std::ptr::from_ref(s).addr() / 128).collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 4);
    }
}
