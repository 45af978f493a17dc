//! Shares as whole numbers: a candidate's weight is split over its provider's endpoints.

/// The largest weight in a file.
pub(super) const WEIGHT_MAX: u32 = 1_000_000;

/// One endpoint's part of a level: `weight × endpoint / endpoints`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The candidate's weight.
    pub(super) weight: u32,
    /// The endpoint's weight.
    pub(super) endpoint: u32,
    /// The weights of all endpoints of the provider together; at least 1.
    pub(super) endpoints: u64,
}

/// Whole numbers in the same proportion, as small as they can be, at least 1. Where they would not
/// fit, the largest becomes a million and the others are rounded.
pub(super) fn whole(shares: &[Share]) -> Vec<u32> {
    exact(shares).unwrap_or_else(|| rounded(shares))
}

fn exact(shares: &[Share]) -> Option<Vec<u32>> {
    let denominator = shares.iter().try_fold(1_u128, |common, share| {
        let own = u128::from(share.endpoints.max(1));
        (common / gcd(common, own)).checked_mul(own)
    })?;
    let numerators: Option<Vec<u128>> = shares
        .iter()
        .map(|share| {
            let factor = denominator / u128::from(share.endpoints.max(1));
            let weight = u128::from(share.weight.max(1)) * u128::from(share.endpoint.max(1));
            weight.checked_mul(factor)
        })
        .collect();
    let numerators = numerators?;
    let common = numerators.iter().copied().fold(0, gcd).max(1);
    numerators.into_iter().map(|numerator| u32::try_from(numerator / common).ok()).collect()
}

fn rounded(shares: &[Share]) -> Vec<u32> {
    let fractions: Vec<f64> = shares
        .iter()
        .map(|share| {
            let endpoint = f64::from(share.endpoint.max(1)) / share.endpoints.max(1) as f64;
            f64::from(share.weight.max(1)) * endpoint
        })
        .collect();
    let largest = fractions.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(WEIGHT_MAX) / largest;
    fractions.into_iter().map(|fraction| ((fraction * scale).round() as u32).max(1)).collect()
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::Strategy;
    use proptest::{collection, prop_assert, prop_assert_eq, proptest};

    use super::{Share, WEIGHT_MAX, whole};

    fn share(weight: u32, endpoint: u32, endpoints: u64) -> Share {
        Share { weight, endpoint, endpoints }
    }

    #[test]
    fn shares_become_small_whole_numbers() {
        for (shares, expected) in [
            (vec![share(1, 1, 1)], vec![1]),
            (vec![share(7, 5, 5)], vec![1]),
            // Nine parts to a provider with one server, one part to a provider with two.
            (vec![share(9, 1, 1), share(1, 1, 2), share(1, 1, 2)], vec![18, 1, 1]),
            (vec![share(1, 3, 4), share(1, 1, 4), share(1, 1, 1)], vec![3, 1, 4]),
            (vec![share(50, 1, 1), share(50, 1, 1)], vec![1, 1]),
        ] {
            assert_eq!(whole(&shares), expected, "{shares:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_rounded() {
        let shares = [share(WEIGHT_MAX, 1, 1), share(1, 1, 999_983), share(1, 999_982, 999_983)];
        assert_eq!(whole(&shares), [1_000_000, 1, 1]);
    }

    proptest! {
        #[test]
        fn proportions_hold(shares in collection::vec(any_share(), 1..12)) {
            let whole = whole(&shares);
            prop_assert_eq!(whole.len(), shares.len());
            prop_assert!(whole.iter().all(|weight| *weight >= 1));
            let fraction =
                |s: &Share| f64::from(s.weight) * f64::from(s.endpoint) / s.endpoints as f64;
            let wanted: f64 = shares.iter().map(fraction).sum();
            let given: f64 = whole.iter().map(|weight| f64::from(*weight)).sum();
            for (share, weight) in shares.iter().zip(&whole) {
                let error = fraction(share) / wanted - f64::from(*weight) / given;
                prop_assert!(error.abs() < 1e-5, "{} of {}", error, weight);
            }
        }
    }

    fn any_share() -> impl Strategy<Value = Share> {
        (1..100_u32, 1..100_u32, 0..1000_u64).prop_map(|(weight, endpoint, others)| {
            share(weight, endpoint, u64::from(endpoint) + others)
        })
    }
}
