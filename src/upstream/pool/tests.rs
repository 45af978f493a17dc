//! The order of attempts, the guard, and what reports do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::snapshot::Balance;
use crate::upstream::Tried;
use crate::upstream::fixture::{Row, bed, name, report, secs, timeouts};
use crate::upstream::vitals::Out;
use crate::usage::Outcome;

const ONE: &[&[Row]] = &[&[("a", 0, 1)]];
const TWO: &[&[Row]] = &[&[("a", 0, 1), ("b", 0, 1)]];

/// Two candidates in the first level, one of them with two endpoints; one more in the second.
const TREE: &[&[Row]] = &[&[("a1", 0, 1), ("a2", 0, 1), ("b1", 1, 1)], &[("c1", 2, 1)]];

#[test]
fn a_retry_stays_with_its_candidate_then_its_level_then_goes_on() {
    let bed = bed(Balance::PeakEwma, TREE);
    for _ in 0..100 {
        let attempts = bed.attempts(4);
        match attempts[0].as_str() {
            "a1" => assert_eq!(attempts, ["a1", "a2", "b1", "c1"]),
            "a2" => assert_eq!(attempts, ["a2", "a1", "b1", "c1"]),
            first => {
                assert_eq!(first, "b1");
                assert!(attempts[1].starts_with('a') && attempts[2].starts_with('a'));
                assert_eq!(attempts[3], "c1");
            }
        }
    }
}

#[test]
fn the_second_level_waits_until_the_first_is_out() {
    let bed = bed(Balance::RoundRobin, TREE);
    assert_eq!(bed.counts(300).get("c1"), None);
    for id in ["a1", "a2", "b1"] {
        bed.eject(id, secs(50));
    }
    assert_eq!(bed.attempts(1), ["c1"]);
}

#[test]
fn when_all_are_out_the_one_that_is_back_first_is_tried_first() {
    let bed = bed(Balance::RoundRobin, &[&[("a", 0, 1), ("b", 0, 1), ("c", 0, 1)]]);
    bed.eject("a", secs(30));
    bed.live("b").vitals().take_out(Out::Check);
    bed.eject("c", secs(20));
    assert_eq!(bed.attempts(3), ["c", "a", "b"]);
}

#[test]
fn a_target_not_yet_tried_comes_before_one_that_was_even_if_it_is_out() {
    let bed = bed(Balance::RoundRobin, TWO);
    bed.eject("b", secs(30));
    assert_eq!(bed.attempts(3), ["a", "b", "a"]);
}

#[test]
fn a_single_endpoint_can_be_tried_again() {
    assert_eq!(bed(Balance::PeakEwma, ONE).attempts(3), ["a", "a", "a"]);
}

#[test]
fn when_all_were_tried_the_least_tried_comes_next() {
    let attempts = bed(Balance::LeastRequests, TWO).attempts(6);
    for round in attempts.chunks(2) {
        assert!(round.contains(&"a".to_owned()) && round.contains(&"b".to_owned()));
    }
}

#[test]
fn a_consistent_hash_walks_on_along_the_ring() {
    let rows: &[Row] = &[("a", 0, 1), ("b", 0, 1), ("c", 0, 1)];
    let bed = bed(crate::upstream::fixture::HASHED, &[rows]);
    for hash in (0..100u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
        let walk = || {
            let mut tried = Tried::default();
            let mut next = || bed.pool().pick(Some(hash), &mut tried, bed.now).unwrap();
            [next(), next(), next()].map(|pick| name(&pick))
        };
        let mut order = walk();
        assert_eq!(order, walk());
        order.sort();
        assert_eq!(order, ["a", "b", "c"]);
    }
}

#[test]
fn a_pick_is_in_flight_until_it_is_reported_or_dropped() {
    let bed = bed(Balance::RoundRobin, ONE);
    let (one, two) = (bed.pick(), bed.pick());
    assert_eq!(bed.live("a").in_flight(), 2);
    drop(one);
    assert_eq!(bed.live("a").in_flight(), 1);
    report(two, Outcome::Answered(200), bed.now);
    assert_eq!(bed.live("a").in_flight(), 0);
}

#[test]
fn a_failure_ejects_and_a_client_that_left_does_not() {
    let table = [
        (Outcome::Answered(200), true),
        (Outcome::Answered(404), true),
        (Outcome::ClientGone, true),
        (Outcome::Internal, true),
        (Outcome::Status(503), false),
        (Outcome::Connect, false),
        (Outcome::FirstByteTimeout, false),
        (Outcome::Broken, false),
    ];
    for (outcome, stays_in) in table {
        let bed = bed(Balance::RoundRobin, ONE);
        report(bed.pick(), outcome, bed.now);
        assert_eq!(bed.live("a").is_in(bed.now), stays_in, "{outcome:?}");
    }
}

#[test]
fn a_429_ejects_for_its_retry_after() {
    let mut bed = bed(Balance::RoundRobin, TWO);
    let pick = bed.pick();
    let limited = name(&pick);
    pick.report(Outcome::Status(429), Some(secs(7)), bed.now);
    assert_eq!(bed.counts(100).get(&limited), None);
    bed.pass(secs(7) - Duration::from_nanos(1));
    assert_eq!(bed.counts(100).get(&limited), None);
    bed.pass(Duration::from_nanos(1));
    assert!(bed.live(&limited).is_in(bed.now));
}

#[test]
fn latency_is_the_time_to_a_good_answer_or_to_the_end_of_patience() {
    let latency = |act: &dyn Fn(crate::upstream::Pick, std::time::Instant)| {
        let bed = bed(Balance::RoundRobin, ONE);
        act(bed.pick(), bed.now + secs(3));
        let origin = bed.registry.origin;
        bed.live("a").vitals().latency.seconds(origin.at(bed.now + secs(3)))
    };
    let answered = |status| {
        latency(&move |mut pick, now| {
            pick.answered(status, now);
            report(pick, Outcome::Answered(status), now + secs(60));
        })
    };
    assert_eq!(answered(200), Some(3.0));
    assert_eq!(answered(404), Some(3.0));
    assert_eq!(answered(500), None);
    assert_eq!(answered(429), None);
    assert_eq!(latency(&|pick, now| report(pick, Outcome::FirstByteTimeout, now)), Some(3.0));
    assert_eq!(latency(&|pick, now| report(pick, Outcome::Connect, now)), None);
    assert_eq!(latency(&|pick, now| report(pick, Outcome::ClientGone, now)), None);
}

#[test]
fn a_peer_has_the_address_and_no_time_beyond_what_is_left() {
    let bed = bed(Balance::RoundRobin, ONE);
    let mut pick = bed.pick();
    let peer = pick.peer(&timeouts(), secs(60), bed.now).unwrap();
    let address = peer._address.as_inet().copied();
    assert_eq!(address, Some(SocketAddr::from(([127, 0, 0, 1], 1))));
    assert_eq!(peer.options.connection_timeout, Some(secs(2)));
    assert_eq!(peer.options.total_connection_timeout, Some(secs(2)));
    assert_eq!(peer.options.write_timeout, Some(secs(60)));
    // The times of an answer are the proxy's to keep: one timer for a whole request.
    assert_eq!(peer.options.read_timeout, None);
    assert_eq!(peer.options.idle_timeout, Some(secs(60)));
    let late = pick.peer(&timeouts(), secs(1), bed.now).unwrap();
    assert_eq!(late.options.total_connection_timeout, Some(secs(1)));
}
