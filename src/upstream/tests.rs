//! Reloads: what survives, what starts anew, and what a bad one leaves alone.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use pingora::services::background::BackgroundService;
use pingora::upstreams::peer::{ALPN, Peer};
use tokio::sync::watch;

use super::fixture::{
    ALIAS, Row, bed, endpoint, name, over, registry, report, secs, snapshot, timeouts,
};
use super::{Resolver, Tried, http1};
use crate::config::snapshot::health::PassiveHealth;
use crate::config::snapshot::{Balance, Endpoint, Snapshot, UpstreamTls};
use crate::usage::Outcome;

const TWO: &[&[Row]] = &[&[("a", 0, 1), ("b", 0, 1)]];

fn two(change: impl Fn(&mut Endpoint)) -> Snapshot {
    let mut endpoints = vec![endpoint("a"), endpoint("b")];
    endpoints.iter_mut().for_each(change);
    snapshot(endpoints, Balance::RoundRobin, TWO)
}

fn tls() -> UpstreamTls {
    UpstreamTls { server_name: "models.test".into(), ca_file: None, verify: true, http2: true }
}

#[test]
fn an_unknown_alias_has_no_pool() {
    assert!(bed(Balance::RoundRobin, TWO).pools.get("other").is_none());
}

#[test]
fn a_reload_keeps_ejections_load_latency_and_the_retry_budget() {
    let mut bed = over(two(|_| {}));
    bed.eject("a", secs(50));
    bed.measure("b", secs(1));
    let budget = Arc::clone(&bed.pool().budget);
    let in_flight = bed.pick();
    bed.reload(&two(|endpoint| endpoint.weight = 7));
    assert!(!bed.live("a").is_in(bed.now));
    assert_eq!(bed.live("b").in_flight(), 1);
    assert!(bed.live("b").vitals().latency.seconds(bed.registry.origin.at(bed.now)).is_some());
    assert!(Arc::ptr_eq(&budget, &bed.pool().budget));
    drop(in_flight);
    assert_eq!(bed.live("b").in_flight(), 0);
}

#[test]
fn an_endpoint_that_is_reached_otherwise_starts_anew() {
    let changes: [fn(&mut Endpoint); 3] = [
        |endpoint| endpoint.port = 2,
        |endpoint| endpoint.host = "127.0.0.2".into(),
        |endpoint| endpoint.tls = Some(tls()),
    ];
    for change in changes {
        let mut bed = over(two(|_| {}));
        bed.eject("a", secs(50));
        bed.reload(&two(change));
        assert!(bed.live("a").is_in(bed.now));
    }
}

#[test]
fn a_reload_brings_new_rules_to_old_state() {
    let mut bed = over(two(|_| {}));
    bed.reload(&two(|endpoint| {
        endpoint.passive = PassiveHealth { failures: 3, ..endpoint.passive.clone() };
    }));
    let fail = |times| {
        for _ in 0..times {
            let mut tried = Tried::default();
            let pick = bed.pool().pick(None, &mut tried, bed.now).unwrap();
            report(pick, Outcome::Connect, bed.now);
        }
    };
    fail(4);
    assert!(bed.live("a").is_in(bed.now) && bed.live("b").is_in(bed.now));
    fail(2);
    assert!(!bed.live("a").is_in(bed.now) && !bed.live("b").is_in(bed.now));
}

#[test]
fn an_endpoint_that_is_gone_lives_until_its_last_request_ends() {
    let mut bed = over(two(|_| {}));
    let (one, two) = (bed.pick(), bed.pick());
    let picks = if name(&one) == "b" { [one, two] } else { [two, one] };
    let [on_b, on_a] = picks;
    let gone = Arc::downgrade(on_b.endpoint());
    bed.reload(&snapshot(vec![endpoint("a")], Balance::RoundRobin, &[&[("a", 0, 1)]]));
    drop(on_a);
    assert!(gone.upgrade().is_some());
    report(on_b, Outcome::Answered(200), bed.now);
    assert!(gone.upgrade().is_none());
}

#[test]
fn an_endpoint_that_cannot_be_used_changes_nothing_and_says_why() {
    let mut bed = over(two(|_| {}));
    bed.eject("a", secs(50));
    let empty = tempfile::NamedTempFile::new().unwrap();
    let mut garbage = tempfile::NamedTempFile::new().unwrap();
    let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    garbage.write_all(block.as_bytes()).unwrap();
    let table = [
        ("/nowhere/ca.pem", "cannot be read"),
        (empty.path().to_str().unwrap(), "holds no certificate"),
        (garbage.path().to_str().unwrap(), "no X.509 certificate"),
    ];
    for (file, expected) in table {
        let bad = two(|endpoint| {
            endpoint.tls = Some(UpstreamTls { ca_file: Some(file.into()), ..tls() });
        });
        let error = bed.registry.pools(&bad).err().unwrap().to_string();
        assert!(error.starts_with("endpoint `a`: ca_file `"), "{error}");
        assert!(error.contains(expected) && error.contains(file), "{error}");
        assert!(!bed.live("a").is_in(bed.now), "the state is the old one");
    }
    bed.reload(&two(|_| {}));
    assert!(!bed.live("a").is_in(bed.now));
}

#[test]
fn a_peer_carries_the_endpoints_tls_settings() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["models.test".into()]).unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let peer = |tls: Option<UpstreamTls>| {
        let bed = over(two(|endpoint| endpoint.tls = tls.clone()));
        bed.live("a").peer(&timeouts(), secs(60), bed.now).unwrap()
    };
    let clear = peer(None);
    assert!(!clear.is_tls());
    assert_eq!(clear.options.alpn, http1::protocol());
    let checked = peer(Some(tls()));
    assert!(checked.is_tls() && checked.verify_cert() && checked.verify_hostname());
    assert_eq!(checked.sni(), "models.test");
    assert!(matches!(checked.options.alpn, ALPN::H2H1));
    assert!(checked.options.ca.is_none());
    let plain = peer(Some(UpstreamTls { http2: false, verify: false, ..tls() }));
    assert!(!plain.verify_cert() && !plain.verify_hostname());
    assert!(matches!(plain.options.alpn, ALPN::H1));
    let rooted = peer(Some(UpstreamTls { ca_file: Some(file.path().into()), ..tls() }));
    assert_eq!(rooted.options.ca.as_ref().unwrap().len(), 1);
    assert_ne!(rooted.reuse_hash(), checked.reuse_hash(), "connections are not shared");
}

#[tokio::test]
async fn an_endpoint_is_out_until_its_name_is_resolved() {
    let registry = registry(Instant::now());
    let mut named = endpoint("a");
    named.host = "localhost".into();
    let mut lost = endpoint("b");
    lost.host = "nowhere.invalid".into();
    let pools = registry.pools(&snapshot(vec![named, lost], Balance::RoundRobin, TWO)).unwrap();
    let now = Instant::now();
    let states = || registry.endpoints().iter().map(|live| live.is_in(now)).collect::<Vec<_>>();
    assert_eq!(states(), [false, false]);
    let mut pick = pools.get(ALIAS).unwrap().pick(None, &mut Tried::default(), now).unwrap();
    assert!(pick.peer(&timeouts(), secs(60), now).is_none(), "no worker waits for a name");
    registry.resolve().await;
    assert_eq!(states(), [true, false]);
}

#[tokio::test]
async fn the_resolver_finds_what_a_reload_brings() {
    let mut bed = over(two(|_| {}));
    let (stop, shutdown) = watch::channel(false);
    let resolver = Resolver::new(Arc::clone(&bed.registry));
    let service = tokio::spawn(async move { resolver.start(shutdown).await });
    bed.reload(&two(|endpoint| endpoint.host = "localhost".into()));
    let found = async {
        while !bed.live("a").is_in(bed.now) || !bed.live("b").is_in(bed.now) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(secs(10), found).await.unwrap();
    stop.send(true).unwrap();
    service.await.unwrap();
}
