//! The guard: what a request allocates in the whole process, against `benches/allocations.json`.
//!
//! CPU time is noise on a shared machine; how often and how much a request allocates hardly changes
//! from run to run, and most of what makes a request slower shows in it: a copied body, a cloned map of
//! headers, a text made for a label. The gateway runs inside this process, on the path that
//! clients use, with everything on; the model server and its allocations are another process.
//!
//! This file has a single test, since an allocator counts for all threads.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::alloc::System;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::port::Port;
use support::tools::{Server, root};
use support::wait::eventually;
use tollgate::types::Revision;
use tollgate::{config, keys, server};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Set to accept what is measured as the new baseline.
const ACCEPT: &str = "TOLLGATE_ACCEPT_ALLOCATIONS";

/// How much more than the baseline is let pass.
const TOLERANCE: f64 = 0.03;

/// Requests that fill pools and caches first, then those that are counted.
const WARM_UP: u32 = 300;
const COUNTED: u32 = 1000;
/// Background work (health checks, the clock of the log) allocates too: the least of these counts.
const ROUNDS: u32 = 3;

const KEY: &str = "sk-guard";

/// What one request allocates.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Cost {
    allocations: f64,
    bytes: f64,
}

#[test]
fn a_request_allocates_no_more_than_the_baseline() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mock = runtime.block_on(Server::mock());
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, admin) = (Port::reserve(), Port::reserve());
    let file = configuration(directory.path(), [&listener, &admin], &mock.url());
    let snapshot = config::load(&file, Revision(1)).unwrap_or_else(|problems| panic!("{problems}"));
    thread::spawn(move || server::run(snapshot, &file, false).expect("the gateway serves"));
    runtime.block_on(eventually("the gateway to be ready", async || is_ready(admin.address())));

    let scenarios = [
        ("chat, 600 bytes", request(600, false)),
        ("chat, 32 KiB", request(32 * 1024, false)),
        ("stream of 20 tokens, 600 bytes", request(600, true)),
    ];
    let address = listener.address();
    let cost = |(name, request): &(&str, Vec<u8>)| ((*name).to_owned(), cost(address, request));
    let measured: BTreeMap<String, Cost> = scenarios.iter().map(cost).collect();
    compare(&measured, &root().join("benches/allocations.json"));
}

fn is_ready(admin: SocketAddr) -> Option<()> {
    let mut connection = TcpStream::connect(admin).ok()?;
    connection
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: guard\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(())
}

fn compare(measured: &BTreeMap<String, Cost>, baseline: &Path) {
    if std::env::var_os(ACCEPT).is_some() {
        let text = serde_json::to_string_pretty(measured).expect("plain data") + "\n";
        std::fs::write(baseline, text).expect("the baseline can be written");
    }
    let text = std::fs::read_to_string(baseline).expect("the baseline is committed");
    let known: BTreeMap<String, Cost> = serde_json::from_str(&text).expect("a baseline");
    assert!(known.keys().eq(measured.keys()), "the baseline is of other requests: {HOW}");
    for (name, now) in measured {
        let then = known[name];
        println!("{name}: {now:?}, baseline {then:?}");
        let more = |now: f64, then: f64| now > then * (1.0 + TOLERANCE);
        assert!(
            !more(now.allocations, then.allocations) && !more(now.bytes, then.bytes),
            "{name}: a request allocates more than it did:\n  now  {now:?}\n  then {then:?}\n{HOW}"
        );
    }
}

/// What to do about it.
const HOW: &str = "Where that is what the change is worth, accept it, and say so in the commit:\n  \
    TOLLGATE_ACCEPT_ALLOCATIONS=1 cargo test --test allocations";

/// The least that a request cost in a round, on one connection.
fn cost(address: SocketAddr, request: &[u8]) -> Cost {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_nodelay(true).expect("a TCP option");
    let mut buffer = vec![0; 64 * 1024];
    let mut ask = |times: u32| {
        for _ in 0..times {
            connection.write_all(request).expect("the request is sent");
            read_answer(&mut connection, &mut buffer);
        }
    };
    ask(WARM_UP);
    let mut least = Cost { allocations: f64::MAX, bytes: f64::MAX };
    for _ in 0..ROUNDS {
        let region = Region::new(ALLOCATOR);
        ask(COUNTED);
        let change = region.change();
        // Tenths are what a baseline needs, and what it can be read in.
        let each = |count: usize| (count as f64 * 10.0 / f64::from(COUNTED)).round() / 10.0;
        least.allocations = least.allocations.min(each(change.allocations + change.reallocations));
        least.bytes = least.bytes.min(each(change.bytes_allocated));
    }
    least
}

/// Reads one answer to its end, and allocates nothing.
fn read_answer(connection: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = connection.read(&mut buffer[filled..]).expect("an answer");
        assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = head.parse(&buffer[..filled]) else { continue };
        assert_eq!(head.code, Some(200), "{}", String::from_utf8_lossy(&buffer[..filled]));
        let length = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
        let whole = match length {
            Some(length) => {
                let text = std::str::from_utf8(length.value).expect("digits");
                filled >= len + text.parse::<usize>().expect("a number")
            }
            None => buffer[..filled].ends_with(b"\r\n0\r\n\r\n"),
        };
        if whole {
            return;
        }
    }
}

fn request(bytes: usize, stream: bool) -> Vec<u8> {
    let body = |content: String| {
        json!({"model": "demo", "stream": stream, "messages": [{"role": "user", "content": content}]})
            .to_string()
    };
    let body = body("x".repeat(bytes - body(String::new()).len()));
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// A configuration with everything on, as `conf/tollgate.yaml` has it.
fn configuration(directory: &Path, [listener, admin]: [&Port; 2], upstream: &str) -> PathBuf {
    let place = |name: &str| directory.join(name);
    let conf = json!({
        "server": {
            "listeners": [{"address": listener.address().to_string()}],
            "admin": {"address": admin.address().to_string()},
            "threads": 1,
            "pid_file": place("pid"),
            "upgrade_socket": place("socket"),
        },
        "reload": {"watch": false},
        "access_log": {"path": place("access.log")},
        "providers": {"local": {
            "credential": {"value": "sk-upstream"},
            "endpoints": [{"url": format!("{upstream}/v1")}],
        }},
        "models": {"demo": {
            "candidates": [{"provider": "local", "model": "gpt-mock"}],
            "rewrite": {"prompt": [{"content": "You help {{tenant}}. Today is {{date}}."}]},
        }},
        "tenants": {"guard": {"models": ["demo"]}},
        "keys": [{
            "id": "guard",
            "tenant": "guard",
            "hash": keys::render(&keys::digest(KEY.as_bytes())),
        }],
    });
    let file = place("tollgate.yaml");
    std::fs::write(&file, conf.to_string()).expect("the configuration file");
    file
}
