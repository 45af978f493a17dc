//! What each policy promises, over ten thousand requests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::snapshot::Balance;
use crate::upstream::fixture::{Bed, HASHED, Row, assert_shares, bed, name, secs};

const MANY: usize = 10_000;
const THREE: &[Row] = &[("a", 0, 5), ("b", 0, 3), ("c", 0, 2)];

fn hash(number: u64) -> u64 {
    // Spread, as a caller's hash is.
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Where each of many hashes goes.
fn homes(bed: &Bed) -> Vec<String> {
    (0..MANY as u64).map(|number| name(&bed.hashed(hash(number)))).collect()
}

fn tally(homes: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    homes.iter().for_each(|home| *counts.entry(home.clone()).or_default() += 1);
    counts
}

#[test]
fn weights_hold_where_requests_come_one_by_one() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        let counts = bed(balance.clone(), &[THREE]).counts(MANY);
        println!("{balance:?}");
        assert_shares(&counts, &[("a", 5), ("b", 3), ("c", 2)]);
    }
}

#[test]
fn round_robin_holds_weights_exactly_from_many_threads() {
    let bed = bed(Balance::RoundRobin, &[THREE]);
    let picked: Vec<String> = std::thread::scope(|scope| {
        let thread = || scope.spawn(|| (0..1250).map(|_| name(&bed.pick())).collect::<Vec<_>>());
        let threads: Vec<_> = (0..8).map(|_| thread()).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let exactly = [("a", 5000), ("b", 3000), ("c", 2000)].map(|(id, n)| (id.to_owned(), n));
    assert_eq!(tally(&picked), BTreeMap::from(exactly));
}

#[test]
fn picks_from_many_threads_leave_nothing_in_flight() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::PeakEwma, HASHED] {
        let bed = bed(balance, &[THREE]);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let bed = &bed;
                scope.spawn(move || (0..1000).for_each(|n| drop(bed.hashed(hash(n + thread)))));
            }
        });
        for id in ["a", "b", "c"] {
            assert_eq!(bed.live(id).in_flight(), 0, "{id}");
        }
    }
}

#[test]
fn an_endpoint_that_is_out_gets_nothing_and_the_others_keep_their_weights() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        let bed = bed(balance, &[THREE]);
        bed.eject("a", secs(50));
        assert_shares(&bed.counts(MANY), &[("a", 0), ("b", 3), ("c", 2)]);
    }
    for balance in [Balance::PeakEwma, HASHED] {
        let bed = bed(balance, &[THREE]);
        bed.eject("a", secs(50));
        assert_eq!(bed.counts(MANY).get("a"), None);
        assert_eq!(tally(&homes(&bed)).get("a"), None);
    }
}

#[test]
fn round_robin_keeps_weights_where_the_heaviest_is_out() {
    let bed = bed(Balance::RoundRobin, &[&[("a", 0, 980), ("b", 0, 15), ("c", 0, 5)]]);
    bed.eject("a", secs(50));
    assert_shares(&bed.counts(MANY), &[("b", 3), ("c", 1)]);
}

#[test]
fn an_endpoint_that_comes_back_ramps_up() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        let mut bed = bed(balance, &[&[("a", 0, 1), ("b", 0, 1)]]);
        bed.eject("a", secs(5));
        bed.pass(secs(5));
        // A tenth, then a bit more than half, then all of its weight.
        assert_shares(&bed.counts(MANY), &[("a", 10), ("b", 100)]);
        bed.pass(secs(10));
        assert_shares(&bed.counts(MANY), &[("a", 55), ("b", 100)]);
        bed.pass(secs(10));
        assert_shares(&bed.counts(MANY), &[("a", 1), ("b", 1)]);
    }
}

#[test]
fn least_requests_levels_the_load_for_each_weight() {
    let bed = bed(Balance::LeastRequests, &[THREE]);
    bed.load("b", 30);
    let picks: Vec<_> = (0..70).map(|_| bed.pick()).collect();
    let loads = ["a", "b", "c"].map(|id| bed.live(id).in_flight());
    assert_eq!(loads, [50, 30, 20]);
    drop(picks);
}

#[test]
fn peak_ewma_prefers_the_faster_and_the_less_loaded() {
    let bed = bed(Balance::PeakEwma, &[&[("a", 0, 1), ("b", 0, 1)]]);
    bed.measure("a", Duration::from_millis(100));
    bed.measure("b", Duration::from_millis(250));
    assert_eq!(name(&bed.pick()), "a");
    // Two more in flight at `a`: three times 100 ms are worse than 250 ms.
    bed.load("a", 2);
    assert_eq!(name(&bed.pick()), "b");
}

#[test]
fn peak_ewma_levels_the_load_by_latency_and_weight() {
    let bed = bed(Balance::PeakEwma, &[&[("a", 0, 2), ("b", 0, 1), ("c", 0, 1)]]);
    for (id, latency) in [("a", 100), ("b", 100), ("c", 200)] {
        bed.measure(id, Duration::from_millis(latency));
    }
    let picks: Vec<_> = (0..700).map(|_| bed.pick()).collect();
    let loads = ["a", "b", "c"].map(|id| bed.live(id).in_flight());
    for (load, expected) in loads.into_iter().zip([400, 200, 100]) {
        assert!(load.abs_diff(expected) <= 10, "{loads:?}");
    }
    drop(picks);
}

#[test]
fn peak_ewma_tries_an_unknown_endpoint_once_and_waits_for_its_answer() {
    let bed = bed(Balance::PeakEwma, &[&[("a", 0, 1), ("b", 0, 1)]]);
    bed.measure("a", Duration::from_millis(100));
    let first = bed.pick();
    assert_eq!(name(&first), "b");
    assert_eq!(name(&bed.pick()), "a");
}

#[test]
fn peak_ewma_spreads_over_equal_endpoints() {
    let rows: Vec<Row> = ["a", "b", "c", "d"].map(|id| (id, 0, 1)).into();
    let bed = bed(Balance::PeakEwma, &[&rows]);
    rows.iter().for_each(|(id, ..)| bed.measure(id, Duration::from_millis(100)));
    let equal: Vec<_> = rows.iter().map(|(id, ..)| (*id, 1)).collect();
    assert_shares(&bed.counts(MANY), &equal);
}

#[test]
fn a_hash_stays_where_it_is() {
    let bed = bed(HASHED, &[THREE]);
    assert_eq!(homes(&bed), homes(&bed));
}

#[test]
fn hashes_follow_the_weights_roughly() {
    let counts = tally(&homes(&bed(HASHED, &[THREE])));
    for (id, expected) in [("a", 5000), ("b", 3000), ("c", 2000)] {
        assert!(counts[id].abs_diff(expected) < 500, "{counts:?}");
    }
}

#[test]
fn only_the_hashes_of_a_removed_endpoint_move() {
    let before = homes(&bed(HASHED, &[THREE]));
    let after = homes(&bed(HASHED, &[&[("a", 0, 5), ("c", 0, 2)]]));
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || before == "b", "{before} moved to {after}");
    }
}

#[test]
fn only_the_hashes_of_an_ejected_endpoint_move_and_they_come_home_one_by_one() {
    let mut bed = bed(HASHED, &[THREE]);
    let home = homes(&bed);
    bed.eject("b", secs(5));
    let away = homes(&bed);
    for (home, away) in home.iter().zip(&away) {
        assert!(away != "b" && (home == away || home == "b"), "{home} moved to {away}");
    }
    bed.pass(secs(5));
    let (mut back, mut by_second) = (0, Vec::new());
    for _ in 0..=20 {
        let now = homes(&bed);
        let home_by_now = now.iter().filter(|place| *place == "b").count();
        assert!(home_by_now >= back, "who came home stays there");
        back = home_by_now;
        by_second.push(back);
        bed.pass(secs(1));
    }
    assert_eq!(homes(&bed), home);
    let share = |second: usize| by_second[second] as f64 / back as f64;
    assert!((0.05..0.15).contains(&share(0)), "a tenth at once: {by_second:?}");
    assert!((0.45..0.65).contains(&share(10)), "about half of the way: {by_second:?}");
}

#[test]
fn a_hash_finds_the_one_that_is_left_among_many() {
    let ids: Vec<String> = (0..200).map(|number| format!("e{number}")).collect();
    let rows: Vec<Row> =
        ids.iter().map(|id| (&*Box::leak(id.clone().into_boxed_str()), 0, 1)).collect();
    let bed = bed(HASHED, &[&rows]);
    ids.iter().skip(1).for_each(|id| bed.eject(id, secs(50)));
    assert!(homes(&bed).iter().all(|home| home == "e0"));
}

#[test]
fn without_a_hash_consistent_hashing_balances_by_load() {
    let bed = bed(HASHED, &[&[("a", 0, 1), ("b", 0, 1)]]);
    let picks: Vec<_> = (0..100).map(|_| bed.pick()).collect();
    let loads = ["a", "b"].map(|id| bed.live(id).in_flight());
    assert_eq!(loads, [50, 50]);
    drop(picks);
}

const BY_CONTEXT: Balance = Balance::Context { load_percent: 125 };

#[test]
fn contexts_without_load_are_where_a_plain_hash_would_have_them() {
    assert_eq!(homes(&bed(BY_CONTEXT, &[THREE])), homes(&bed(HASHED, &[THREE])));
    assert!(bed(BY_CONTEXT, &[THREE]).hashed(hash(1)).at_home() == Some(true));
    assert_eq!(bed(HASHED, &[THREE]).hashed(hash(1)).at_home(), None);
    assert_eq!(bed(BY_CONTEXT, &[THREE]).pick().at_home(), None);
}

#[test]
fn a_context_goes_elsewhere_while_its_home_has_too_much_to_do() {
    let bed = bed(BY_CONTEXT, &[&[("a", 0, 1), ("b", 0, 1), ("c", 0, 1)]]);
    let home = name(&bed.hashed(hash(1)));
    // With one to come there are 13 in flight, of which an endpoint may have 1.25 × 13 / 3.
    let mut held: Vec<_> = (0..12).map(|_| bed.hashed(hash(1))).collect();
    let loads = ["a", "b", "c"].map(|id| bed.live(id).in_flight());
    assert!(bed.live(&home).in_flight() == 5 && loads.iter().all(|load| *load <= 5), "{loads:?}");
    assert_eq!(held.iter().filter(|pick| pick.at_home() == Some(true)).count(), 5);
    held.clear();
    assert_eq!(bed.hashed(hash(1)).at_home(), Some(true), "it comes home");
}

#[test]
fn no_endpoint_is_ever_above_its_bound_or_idle_for_its_sake() {
    let bed = bed(BY_CONTEXT, &[THREE]);
    let mut held = Vec::new();
    for number in 0..1000 {
        // Two contexts in three are one and the same.
        held.push(bed.hashed(hash(if number % 3 == 0 { number } else { 7 })));
        for (id, weight) in [("a", 5_u64), ("b", 3), ("c", 2)] {
            let bound = (held.len() as u64 * 125 * weight).div_ceil(1000);
            assert!(bed.live(id).in_flight() as u64 <= bound, "{id} of {}", held.len());
        }
    }
}

#[test]
fn an_ejected_home_is_no_home() {
    let mut bed = bed(BY_CONTEXT, &[&[("a", 0, 1), ("b", 0, 1)]]);
    let home = name(&bed.hashed(hash(1)));
    bed.eject(&home, secs(5));
    let away = bed.hashed(hash(1));
    assert!(name(&away) != home && away.at_home() == Some(false));
    bed.pass(secs(60));
    assert_eq!(bed.hashed(hash(1)).at_home(), Some(true));
}
