//! When a credential is fetched again: plain numbers, no clock.

use std::time::Duration;

/// How long before its end a credential is replaced, at the most. AWS gives out new keys five minutes before the old ones end.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// The shortest time between two fetches, whatever a service says of lifetimes.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest time between two fetches that fail.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The longest lifetime that is believed.
pub(super) const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shortest time between two fetches because an upstream refused the credential.
pub(super) const DOUBT_PAUSE: Duration = Duration::from_secs(10);

/// From a fetch to the next one: when a fifth of the lifetime is left, or five minutes of a long one.
pub(super) fn refresh_in(lifetime: Duration) -> Duration {
    let ahead = (lifetime / 5).min(AHEAD_MAX);
    (lifetime - ahead).max(PAUSE_MIN)
}

/// From a fetch that failed, so many in a row, to the next one: a second, doubled each time.
pub(super) fn retry_in(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1);
    PAUSE_MIN.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, refresh_in, retry_in};

    #[test]
    fn a_credential_is_replaced_before_it_ends() {
        for (lifetime, expected) in
            [(3600, 3300), (1500, 1200), (300, 240), (10, 8), (1, 1), (0, 1)]
        {
            let refresh = refresh_in(Duration::from_secs(lifetime));
            assert_eq!(refresh, Duration::from_secs(expected), "{lifetime}");
        }
    }

    #[test]
    fn failures_are_repeated_ever_later() {
        let seconds = [1, 2, 3, 4, 5, 6, 7, 8, 99, u32::MAX].map(|n| retry_in(n).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }
}
