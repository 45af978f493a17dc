//! Numbers: their bounds, and the defaults where the file says nothing.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::raw;
use crate::config::snapshot::{Retry, Timeouts};
use crate::config::spot::Spot;

/// The longest time that may be set: seven days.
const TIME_MS_MAX: u64 = 7 * 24 * 3600 * 1000;

/// The longest first wait before another attempt at the same endpoint, in milliseconds.
const BACKOFF_MS_MAX: u64 = 10_000;

/// Times where the file says nothing.
pub(super) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(3000),
    first_byte: Duration::from_millis(120_000),
    between_bytes: Duration::from_millis(60_000),
    total: Duration::from_millis(600_000),
};

/// Attempts where the file says nothing. Status 529 is Anthropic's "overloaded".
pub(super) fn default_retry() -> Retry {
    Retry {
        attempts_max: 3,
        statuses: vec![408, 429, 500, 502, 503, 504, 529],
        budget_percent: 20,
        budget_min_per_second: 10,
        backoff: Duration::from_millis(100),
    }
}

/// A number within bounds, or its default.
pub(super) fn within<T>(
    value: Option<T>,
    default: T,
    bounds: RangeInclusive<T>,
    spot: &Spot<'_>,
) -> T
where
    T: Copy + PartialOrd + Display,
{
    let Some(value) = value else { return default };
    if bounds.contains(&value) {
        return value;
    }
    spot.refuse(format!("must be from {} to {}, not {value}", bounds.start(), bounds.end()));
    default
}

/// A time in milliseconds, at least one.
pub(super) fn millis(value: Option<u64>, default: u64, spot: &Spot<'_>) -> Duration {
    Duration::from_millis(within(value, default, 1..=TIME_MS_MAX, spot))
}

/// A time in seconds, at least one.
pub(super) fn seconds(value: Option<u64>, default: u64, spot: &Spot<'_>) -> Duration {
    Duration::from_secs(within(value, default, 1..=TIME_MS_MAX / 1000, spot))
}

/// A time in milliseconds, which may be none at all.
pub(super) fn millis_or_zero(value: Option<u64>, default: u64, spot: &Spot<'_>) -> Duration {
    Duration::from_millis(within(value, default, 0..=TIME_MS_MAX, spot))
}

/// A time in seconds, which may be none at all.
pub(super) fn seconds_or_zero(value: Option<u64>, default: u64, spot: &Spot<'_>) -> Duration {
    Duration::from_secs(within(value, default, 0..=TIME_MS_MAX / 1000, spot))
}

/// Attempts: what the file says here, else `general`.
pub(super) fn retry(raw: &raw::Retry, spot: &Spot<'_>, general: &Retry) -> Retry {
    let mut statuses = raw.statuses.clone().unwrap_or_else(|| general.statuses.clone());
    for (index, status) in raw.statuses.iter().flatten().enumerate() {
        within(Some(*status), 500, 400..=599, &spot.key("statuses").item(index));
    }
    statuses.sort_unstable();
    statuses.dedup();
    Retry {
        attempts_max: within(
            raw.attempts_max,
            general.attempts_max,
            1..=16,
            &spot.key("attempts_max"),
        ),
        statuses,
        budget_percent: within(
            raw.budget_percent,
            general.budget_percent,
            0..=100,
            &spot.key("budget_percent"),
        ),
        budget_min_per_second: within(
            raw.budget_min_per_second,
            general.budget_min_per_second,
            0..=1_000_000,
            &spot.key("budget_min_per_second"),
        ),
        backoff: raw.backoff_ms.map_or(general.backoff, |backoff| {
            let most = 0..=BACKOFF_MS_MAX;
            Duration::from_millis(within(Some(backoff), 0, most, &spot.key("backoff_ms")))
        }),
    }
}

/// Times: what the file says here, else `general`. A part that says more than the whole is refused
/// where both stand in one place; [`bounded`] cuts it where one of them was inherited.
pub(super) fn timeouts(raw: &raw::Timeouts, spot: &Spot<'_>, general: &Timeouts) -> Timeouts {
    let time = |key: &str, value: Option<u64>, general: Duration| {
        let place = spot.key(key);
        if let (Some(part), Some(total)) = (value, raw.total_ms)
            && part > total
        {
            place.refuse(format!("must be at most `total_ms`, which is {total}, not {part}"));
        }
        value.map_or(general, |_| millis(value, 1, &place))
    };
    Timeouts {
        connect: time("connect_ms", raw.connect_ms, general.connect),
        first_byte: time("first_byte_ms", raw.first_byte_ms, general.first_byte),
        between_bytes: time("between_bytes_ms", raw.between_bytes_ms, general.between_bytes),
        total: time("total_ms", raw.total_ms, general.total),
    }
}

/// No part is longer than the whole.
pub(super) fn bounded(timeouts: Timeouts) -> Timeouts {
    let Timeouts { connect, first_byte, between_bytes, total } = timeouts;
    Timeouts {
        connect: connect.min(total),
        first_byte: first_byte.min(total),
        between_bytes: between_bytes.min(total),
        total,
    }
}
