//! How fast an endpoint answers: an average that jumps up at once and comes down with time.
//!
//! It is the peak EWMA of Finagle and linkerd2: a sample above the average replaces it, one
//! below pulls it down by the weight of the time since the last; without samples it decays, so
//! that an endpoint once slow is tried again. Average and time share one atomic word, so that
//! neither is ever read without the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::moment::Moment;

/// After this time a sample counts for a third.
const DECAY: Duration = Duration::from_secs(10);
/// Times are kept in steps of 2^24 ns, about 17 ms: 32 bits of them last for two years.
const TICK_BITS: u32 = 24;
const TICKS_PER_SECOND: f32 = 1e9 / (1u64 << TICK_BITS) as f32;

/// The average, or nothing before the first sample.
#[derive(Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Takes a sample in.
    pub(super) fn observe(&self, sample: Duration, now: Moment) {
        // At least a nanosecond: a word of 0 means that there was no sample.
        let sample = sample.as_secs_f32().max(1e-9);
        let next = |word| {
            let average = match word {
                0 => sample,
                word => {
                    let (average, weight) = decayed(word, now);
                    let mixed = average * weight + sample * (1.0 - weight);
                    if sample > average { sample } else { mixed }
                }
            };
            Some(u64::from(average.to_bits()) << 32 | u64::from(tick(now)))
        };
        // The closure never refuses.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Seconds, decayed to this moment; `None` before the first sample.
    pub(super) fn seconds(&self, now: Moment) -> Option<f32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            word => {
                let (average, weight) = decayed(word, now);
                Some(average * weight)
            }
        }
    }
}

/// The average in a word, and what is left of its weight.
fn decayed(word: u64, now: Moment) -> (f32, f32) {
    let ticks = tick(now).wrapping_sub(low(word));
    // A clock read a little earlier on another thread: no time has passed.
    if ticks == 0 || ticks > u32::MAX / 2 {
        return (high(word), 1.0);
    }
    (high(word), (-(ticks as f32) / (TICKS_PER_SECOND * DECAY.as_secs_f32())).exp())
}

fn high(word: u64) -> f32 {
    f32::from_bits(u32::try_from(word >> 32).unwrap_or_default())
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
fn low(word: u64) -> u32 {
    word as u32
}

/// Steps since the origin; it wraps after two years, which differences survive.
#[expect(clippy::cast_possible_truncation, reason = "differences of ticks wrap")]
fn tick(now: Moment) -> u32 {
    (now.0 >> TICK_BITS) as u32
}

#[cfg(test)]
mod tests {
    use super::{DECAY, Latency, Moment};
    use std::time::Duration;

    const START: Moment = Moment(1);

    fn close(actual: Option<f32>, expected: f32) {
        let actual = actual.unwrap();
        assert!((actual - expected).abs() < expected * 0.02, "{actual} is not about {expected}");
    }

    #[test]
    fn nothing_is_known_before_the_first_sample() {
        assert_eq!(Latency::default().seconds(START), None);
    }

    #[test]
    fn a_peak_counts_at_once() {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(100), START);
        latency.observe(Duration::from_millis(900), START);
        close(latency.seconds(START), 0.9);
    }

    #[test]
    fn a_lower_sample_counts_by_the_time_that_passed() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(1), START);
        latency.observe(Duration::from_millis(100), START);
        close(latency.seconds(START), 1.0);
        let later = START.after(DECAY);
        latency.observe(Duration::from_millis(100), later);
        close(latency.seconds(later), 0.1 + 0.9 / std::f32::consts::E);
    }

    #[test]
    fn silence_lets_it_decay() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(1), START);
        close(latency.seconds(START.after(DECAY)), 1.0 / std::f32::consts::E);
        close(latency.seconds(START.after(DECAY * 2)), (-2.0f32).exp());
    }

    #[test]
    fn an_older_clock_changes_nothing() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(1), START.after(DECAY));
        close(latency.seconds(START), 1.0);
    }
}
