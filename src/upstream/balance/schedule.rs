//! Weights as a sequence: each target as often as its weight says, evenly spread.

use std::cmp::Ordering;

/// Places of a schedule. Weights whose sum is larger are scaled down to it, which costs
/// a precision that 10,000 requests do not show.
const PLACES_MAX: u64 = 1 << 14;

/// The schedule of weights: indices into them. A weight of 0 counts as 1.
///
/// The k-th turn of a target with weight w lies at (k + ½) / w of the way: a target of weight 2
/// comes at a quarter and at three quarters, never twice in a row while others wait.
pub(super) fn spread(weights: impl Iterator<Item = u32>) -> Box<[u32]> {
    let weights: Vec<u64> = weights.map(|weight| u64::from(weight.max(1))).collect();
    let common = weights.iter().copied().fold(0, gcd).max(1);
    let sum = weights.iter().sum::<u64>() / common;
    let scaled = |weight: u64| match sum <= PLACES_MAX {
        true => weight / common,
        false => (weight / common * PLACES_MAX / sum).max(1),
    };
    let mut places: Vec<(f64, u32)> = Vec::new();
    for (index, weight) in (0u32..).zip(weights.iter().copied().map(scaled)) {
        places.extend((0..weight).map(|turn| ((turn as f64 + 0.5) / weight as f64, index)));
    }
    // Stable: targets of one place keep their order.
    places.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    places.into_iter().map(|(_, index)| index).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{PLACES_MAX, spread};
    use proptest::collection::vec;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn turns_are_spread_evenly() {
        let table: [(&[u32], &[u32]); 6] = [
            (&[1], &[0]),
            (&[7], &[0]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[100, 100], &[0, 1]),
            (&[2, 1], &[0, 1, 0]),
            (&[5, 1, 1], &[0, 0, 0, 1, 2, 0, 0]),
        ];
        for (weights, expected) in table {
            assert_eq!(*spread(weights.iter().copied()), *expected, "{weights:?}");
        }
    }

    #[test]
    fn a_weight_of_none_is_a_weight_of_one() {
        assert_eq!(*spread([0, 1].into_iter()), [0, 1]);
    }

    proptest! {
        #[test]
        fn every_target_has_its_share_of_the_places(weights in vec(1u32..100_000, 1..50)) {
            let schedule = spread(weights.iter().copied());
            let sum: u64 = weights.iter().copied().map(u64::from).sum();
            prop_assert!(schedule.len() as u64 <= PLACES_MAX + weights.len() as u64);
            for (index, weight) in (0u32..).zip(weights) {
                let places = schedule.iter().filter(|place| **place == index).count();
                prop_assert!(places > 0);
                let actual = places as f64 / schedule.len() as f64;
                let expected = f64::from(weight) / sum as f64;
                prop_assert!((actual - expected).abs() < 0.005, "{actual} for {expected}");
            }
        }

        #[test]
        fn small_weights_are_kept_exactly(weights in vec(1u32..20, 1..20)) {
            let schedule = spread(weights.iter().copied().chain([1]));
            for (index, weight) in (0u32..).zip(weights) {
                let places = schedule.iter().filter(|place| **place == index).count();
                prop_assert_eq!(places, weight as usize);
            }
        }
    }
}
