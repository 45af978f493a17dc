//! What it costs to read and to append where there are many contexts, in each store, and what memory.
//!
//! Run with `cargo bench --bench contexts`. It fills a store with 100,000 contexts of 10 KiB (or as many as
//! the environment's `CONTEXTS` says), then reads and appends at random, one call at a time. The store on
//! disk lies in a directory of its own under `TMPDIR`; Valkey is asked where `VALKEY_URL` says where it is.

#![expect(clippy::expect_used, reason = "a bench that cannot run says why")]

use std::fs;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tollgate::context::log::{Change, Document, Entry};
use tollgate::context::message::Message;
use tollgate::context::store::embedded::Embedded;
use tollgate::context::store::memory::Memory;
use tollgate::context::store::valkey::Valkey;
use tollgate::context::store::{Failure, Keep, Key, Store};
use tollgate::types::Version;
use tollgate::valkey::Settings;

/// The limit of the store in memory: what it is where the configuration does not say.
const MEMORY_BYTES_MAX: usize = 256 << 20;

/// Reads, and as many appends, at random.
const CALLS: usize = 20_000;

/// Messages of a context, and the text of each: 10 KiB together.
const MESSAGES: usize = 10;
const MESSAGE_BYTES: usize = 1000;

/// Contexts of one tenant.
const OF_ONE_TENANT: usize = 10_000;

const KEEP: Keep = Keep {
    ttl: Duration::from_secs(86_400),
    versions_max: 100,
    context_bytes_max: 16 << 20,
    tenant_contexts_max: 100_000,
    tenant_bytes_max: 1 << 30,
};

/// The longest time that is told apart: a minute, in nanoseconds.
const NANOS_MAX: u64 = 60_000_000_000;

/// A moment, in milliseconds since 1970: nothing expires while this runs.
const NOW: i64 = 1_800_000_000_000;

fn main() {
    let count = std::env::var("CONTEXTS").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(100_000);
    let runtime = Runtime::new().expect("a runtime");
    println!("{count} contexts of 10 KiB; {CALLS} reads and {CALLS} appends at random\n");
    println!(
        "{:<10} {:<8} {:>9} {:>9} {:>9} {:>9}",
        "store", "call", "p50 µs", "p99 µs", "max µs", "each µs"
    );
    let memory = Memory::new(MEMORY_BYTES_MAX);
    runtime.block_on(measure("memory", &memory, count));
    let stock = memory.stock().expect("it knows");
    assert!(stock.bytes <= MEMORY_BYTES_MAX as u64, "the limit holds: {stock:?}");
    drop(memory);
    let directory = tempfile::tempdir().expect("a directory");
    let embedded = Embedded::open(directory.path(), Duration::from_millis(10));
    runtime.block_on(measure("embedded", &embedded.expect("a store"), count));
    if let Ok(url) = std::env::var("VALKEY_URL") {
        let timeout = Duration::from_secs(2);
        let settings = Settings { url: url.into(), prefix: "tollgate-bench".into(), timeout };
        let valkey = Valkey::new(settings, Duration::from_secs(15)).expect("an address");
        runtime.block_on(measure("valkey", &valkey, count));
    }
}

async fn measure(name: &str, store: &dyn Store, count: usize) {
    let mut random = Rng::with_seed(7);
    let mut versions = vec![Version(0); count];
    let before = resident();
    let mut fill = Calls::default();
    for (at, version) in versions.iter_mut().enumerate() {
        let messages = (0..MESSAGES).map(|_| message(&mut random)).collect();
        let document = Document { messages, data: "{}".into() };
        let entry = Entry { version: Version(1), at: NOW, change: Change::Whole(document) };
        fill.time(store.append(&key(at), entry, &KEEP)).await.expect("room");
        *version = Version(1);
    }
    fill.report(name, "fill");
    let (mut reads, mut appends, mut gone) = (Calls::default(), Calls::default(), 0);
    for _ in 0..CALLS {
        let at = random.usize(..count);
        let read = reads.time(store.read(&key(at), NOW)).await.expect("a store that works");
        gone += usize::from(read.is_none());
        let at = random.usize(..count);
        let version = versions.get_mut(at).expect("a context");
        let messages = vec![message(&mut random), message(&mut random)];
        let change = Change::Append { messages, data: None };
        let entry = Entry { version: version.next(), at: NOW, change };
        match appends.time(store.append(&key(at), entry, &KEEP)).await {
            Ok(()) => *version = version.next(),
            // The store in memory has forgotten it.
            Err(Failure::Conflict(None)) => gone += 1,
            other => other.expect("a store that works"),
        }
    }
    reads.report(name, "read");
    appends.report(name, "append");
    let grown = resident().saturating_sub(before) >> 20;
    match store.stock() {
        Some(stock) => println!(
            "{name}: {} contexts, {} MiB as limits count; {grown} MiB more resident memory; {gone} of {} \
             calls met a forgotten context\n",
            stock.contexts,
            stock.bytes >> 20,
            2 * CALLS
        ),
        None => println!("{name}: {grown} MiB more resident memory here\n"),
    }
}

/// The times of one kind of call, in nanoseconds.
struct Calls {
    times: Histogram<u64>,
    all: Duration,
}

impl Default for Calls {
    fn default() -> Self {
        let times = Histogram::new_with_max(NANOS_MAX, 3).expect("three digits");
        Self { times, all: Duration::ZERO }
    }
}

impl Calls {
    async fn time<T>(&mut self, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = call.await;
        let took = started.elapsed();
        self.all += took;
        self.times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        done
    }

    fn report(&self, store: &str, call: &str) {
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let [half, most] = [0.5, 0.99].map(|share| micros(self.times.value_at_quantile(share)));
        let each = self.all.as_secs_f64() * 1e6 / self.times.len() as f64;
        let max = micros(self.times.max());
        println!("{store:<10} {call:<8} {half:>9.1} {most:>9.1} {max:>9.1} {each:>9.1}");
    }
}

fn key(at: usize) -> Key {
    let tenant = format!("tenant-{}", at / OF_ONE_TENANT);
    Key { tenant: tenant.as_str().into(), id: format!("context-{at}").as_str().into() }
}

/// A message of the same length as any other, of letters at random: nothing to compress.
fn message(random: &mut Rng) -> Message {
    let text: String = (0..MESSAGE_BYTES).map(|_| random.alphanumeric()).collect();
    Message::read(&format!(r#"{{"role":"user","content":"{text}"}}"#)).expect("a message")
}

/// The process's resident memory, in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
