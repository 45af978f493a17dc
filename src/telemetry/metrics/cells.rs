//! The numbers themselves: counters and histograms as plain relaxed atomics.
//!
//! They know no names and no labels; a slot is an index that the handles agree on. Each
//! lies in a shard, so an addition touches a cache line that no other thread writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::shard::Sharded;

/// `N` counters that only grow.
pub(super) struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Counts<N> {
    /// Adds to one counter; a slot that does not exist is not counted.
    pub(super) fn add(&self, slot: usize, count: u64) {
        if let Some(cell) = self.0.get(slot)
            && count > 0
        {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// One counter, of this shard alone.
    pub(super) fn get(&self, slot: usize) -> u64 {
        self.0.get(slot).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

/// One counter, over all shards of `T`.
pub(super) fn sum<T, const N: usize>(
    shards: &Sharded<T>,
    counts: impl Fn(&T) -> &Counts<N>,
    slot: usize,
) -> u64 {
    shards.iter().map(|shard| counts(shard).get(slot)).sum()
}

/// Upper bounds of a histogram's buckets, in nanoseconds, ascending.
pub(super) type Bounds = [u64; 17];

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// For whole requests and for upstreams: 1 ms to 5 minutes.
pub(super) const REQUEST_BOUNDS: Bounds = [
    MILLI,
    2_500 * MICRO,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
];

/// For the gateway's own time: 10 µs to 1 s.
pub(super) const OVERHEAD_BOUNDS: Bounds = [
    10 * MICRO,
    20 * MICRO,
    30 * MICRO,
    50 * MICRO,
    75 * MICRO,
    100 * MICRO,
    150 * MICRO,
    200 * MICRO,
    300 * MICRO,
    500 * MICRO,
    MILLI,
    2_500 * MICRO,
    5 * MILLI,
    10 * MILLI,
    50 * MILLI,
    100 * MILLI,
    SECOND,
];

/// Every bound's bucket and the one above them all.
const BUCKETS: usize = REQUEST_BOUNDS.len() + 1;

/// How often each range of durations was seen, and their sum.
#[derive(Default)]
pub(super) struct Histogram {
    buckets: Counts<BUCKETS>,
    nanos: Counts<1>,
}

impl Histogram {
    /// Counts one duration, in the bucket of the first bound that is not below it.
    pub(super) fn observe(&self, bounds: &Bounds, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets.add(bounds.partition_point(|bound| *bound < nanos), 1);
        self.nanos.add(0, nanos);
    }
}

/// A histogram over all shards, in Prometheus' shape: each bucket holds all below it too.
pub(super) struct Distribution {
    /// Upper bound in seconds, and how many were not above it.
    pub(super) cumulative: Vec<(f64, u64)>,
    /// How many there were.
    pub(super) count: u64,
    /// Their sum, in seconds.
    pub(super) seconds: f64,
}

/// One histogram, over all shards of `T`.
pub(super) fn distribution<T>(
    shards: &Sharded<T>,
    histogram: impl Fn(&T) -> &Histogram,
    bounds: &Bounds,
) -> Distribution {
    let mut count = 0;
    let mut cumulative = Vec::with_capacity(bounds.len());
    for (slot, bound) in bounds.iter().enumerate() {
        count += sum(shards, |shard| &histogram(shard).buckets, slot);
        cumulative.push((seconds(*bound), count));
    }
    count += sum(shards, |shard| &histogram(shard).buckets, bounds.len());
    let nanos = sum(shards, |shard| &histogram(shard).nanos, 0);
    Distribution { cumulative, count, seconds: seconds(nanos) }
}

#[expect(clippy::cast_precision_loss, reason = "a sum that is off by one part in 2^52 is right")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn bounds_are_ascending(bounds: &Bounds) {
        assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
    }

    #[test]
    fn buckets_ascend() {
        bounds_are_ascending(&REQUEST_BOUNDS);
        bounds_are_ascending(&OVERHEAD_BOUNDS);
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let shards = Sharded::new(1, Histogram::default);
        shards.mine().observe(&REQUEST_BOUNDS, Duration::from_millis(5));
        let seen = distribution(&shards, |h| h, &REQUEST_BOUNDS);
        let at = |le: f64| seen.cumulative.iter().find(|(bound, _)| *bound == le).unwrap().1;
        assert_eq!((at(0.0025), at(0.005), at(0.01)), (0, 1, 1));
    }

    #[test]
    fn a_slot_that_does_not_exist_is_not_counted() {
        let shards = Sharded::new(1, Counts::<2>::default);
        shards.mine().add(2, 7);
        assert_eq!((0..4).map(|slot| sum(&shards, |c| c, slot)).sum::<u64>(), 0);
    }

    proptest! {
        #[test]
        fn a_distribution_counts_every_duration(micros in proptest::collection::vec(0u64..400_000_000, 0..50)) {
            let shards = Sharded::new(4, Histogram::default);
            for (thread, micros) in micros.iter().enumerate() {
                shards.at(thread).observe(&REQUEST_BOUNDS, Duration::from_micros(*micros));
            }
            let seen = distribution(&shards, |h| h, &REQUEST_BOUNDS);
            prop_assert_eq!(seen.count, micros.len() as u64);
            for (bound, count) in seen.cumulative {
                let expected = micros.iter().filter(|m| Duration::from_micros(**m).as_secs_f64() <= bound);
                prop_assert_eq!(count, expected.count() as u64);
            }
            let sum = Duration::from_micros(micros.iter().sum()).as_secs_f64();
            prop_assert!((seen.seconds - sum).abs() < 1e-6);
        }
    }
}
