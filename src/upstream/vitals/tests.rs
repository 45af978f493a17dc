//! Passive health by a clock that the tests turn.

use std::time::Duration;

use super::{Out, SHARE_FLOOR, SHARE_FULL, Vitals};
use crate::config::snapshot::health::PassiveHealth;
use crate::upstream::moment::Moment;

const START: Moment = Moment(1_000_000_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn passive() -> PassiveHealth {
    PassiveHealth { failures: 3, eject: secs(10), eject_max: secs(60), slow_start: secs(20) }
}

fn share(vitals: &Vitals, now: Moment) -> u32 {
    vitals.share(passive().slow_start, now)
}

/// Fails as often as it takes to be ejected; says how long that is.
fn ejection(vitals: &Vitals, now: Moment) -> Duration {
    while !vitals.failed(&passive(), now, now) {}
    Duration::from_nanos(vitals.wait(now))
}

#[test]
fn a_new_endpoint_takes_its_full_share() {
    assert_eq!(share(&Vitals::default(), START), SHARE_FULL);
}

#[test]
fn failures_in_a_row_eject() {
    let vitals = Vitals::default();
    let ejected: Vec<bool> = (0..3).map(|_| vitals.failed(&passive(), START, START)).collect();
    assert_eq!(ejected, [false, false, true]);
    assert_eq!(share(&vitals, START), 0);
    assert_eq!(share(&vitals, START.after(secs(10) - Duration::from_nanos(1))), 0);
    assert_eq!(share(&vitals, START.after(secs(10))), SHARE_FLOOR);
}

#[test]
fn a_success_between_starts_the_row_anew() {
    let vitals = Vitals::default();
    for _ in 0..10 {
        assert!(!vitals.failed(&passive(), START, START));
        assert!(!vitals.failed(&passive(), START, START));
        vitals.succeeded(START);
    }
    assert_eq!(share(&vitals, START), SHARE_FULL);
}

#[test]
fn no_number_of_failures_ejects_where_that_is_switched_off() {
    let vitals = Vitals::default();
    let off = PassiveHealth { failures: 0, ..passive() };
    assert!((0..1000).all(|_| !vitals.failed(&off, START, START)));
    assert_eq!(share(&vitals, START), SHARE_FULL);
}

#[test]
fn ejections_double_up_to_the_longest_until_a_success() {
    let vitals = Vitals::default();
    let mut now = START;
    for expected in [10, 20, 40, 60, 60] {
        assert_eq!(ejection(&vitals, now), secs(expected));
        now = now.after(secs(expected));
    }
    vitals.succeeded(now);
    assert_eq!(ejection(&vitals, now), secs(10));
}

#[test]
fn the_first_failure_after_an_ejection_ejects_again() {
    let vitals = Vitals::default();
    let back = START.after(ejection(&vitals, START));
    assert!(vitals.failed(&passive(), back, back));
}

#[test]
fn what_began_before_the_ejection_says_nothing_after_it() {
    let vitals = Vitals::default();
    let back = START.after(ejection(&vitals, START));
    assert!(!vitals.failed(&passive(), START, back), "a slow failure from before");
    vitals.succeeded(START);
    let second = ejection(&vitals, back);
    assert_eq!(second, secs(20), "a slow success from before forgets nothing");
}

#[test]
fn the_share_ramps_from_a_tenth_to_full() {
    let vitals = Vitals::default();
    let back = START.after(ejection(&vitals, START));
    let half = u32::midpoint(SHARE_FLOOR, SHARE_FULL);
    for (after, expected) in [(0, SHARE_FLOOR), (10, half), (20, SHARE_FULL), (99, SHARE_FULL)] {
        assert_eq!(share(&vitals, back.after(secs(after))), expected, "{after} s");
    }
}

#[test]
fn without_a_slow_start_the_full_share_comes_at_once() {
    let vitals = Vitals::default();
    let back = START.after(ejection(&vitals, START));
    assert_eq!(vitals.share(Duration::ZERO, back), SHARE_FULL);
}

#[test]
fn a_rate_limit_ejects_for_as_long_as_it_says_and_no_longer_than_allowed() {
    for (asked, expected) in [(7, 7), (3600, 60)] {
        let vitals = Vitals::default();
        assert!(vitals.rate_limited(secs(asked), &passive(), START));
        assert_eq!(Duration::from_nanos(vitals.wait(START)), secs(expected));
        assert!(!vitals.rate_limited(secs(asked), &passive(), START), "it is out already");
    }
}

#[test]
fn a_shorter_rate_limit_does_not_shorten_a_longer_one() {
    let vitals = Vitals::default();
    vitals.rate_limited(secs(30), &passive(), START);
    vitals.rate_limited(secs(5), &passive(), START);
    assert_eq!(Duration::from_nanos(vitals.wait(START)), secs(30));
}

#[test]
fn reasons_to_be_out_stand_side_by_side() {
    let vitals = Vitals::default();
    assert!(vitals.take_out(Out::Check));
    assert!(!vitals.take_out(Out::Check), "not new");
    assert!(vitals.take_out(Out::Unresolved));
    assert!(vitals.let_in(Out::Check));
    assert_eq!(share(&vitals, START), 0);
    assert!(vitals.let_in(Out::Unresolved));
    assert!(!vitals.let_in(Out::Unresolved), "it did not stand");
    assert_eq!(share(&vitals, START), SHARE_FULL);
}

#[test]
fn waits_order_the_least_bad_first() {
    let (fine, ejected, failing, lost) =
        (Vitals::default(), Vitals::default(), Vitals::default(), Vitals::default());
    ejected.rate_limited(secs(5), &passive(), START);
    failing.take_out(Out::Check);
    lost.take_out(Out::Unresolved);
    let waits = [&fine, &ejected, &failing, &lost].map(|vitals| vitals.wait(START));
    assert!(waits.is_sorted_by(|a, b| a < b), "{waits:?}");
}
