//! Many contexts in a store: its limit holds with each one that comes, and its figures are true.
//! (`cargo bench --bench contexts` does the same with a hundred thousand.)

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tollgate::context::log::{Change, Document, Entry};
use tollgate::context::message::Message;
use tollgate::context::store::embedded::Embedded;
use tollgate::context::store::memory::Memory;
use tollgate::context::store::{Keep, Key, Store};
use tollgate::types::Version;

const COUNT: usize = 1000;

const MESSAGE_BYTES: usize = 10 << 10;

/// A moment, in milliseconds since 1970.
const NOW: i64 = 1_800_000_000_000;

const KEEP: Keep = Keep {
    ttl: Duration::from_secs(3600),
    versions_max: 9,
    context_bytes_max: 1 << 20,
    tenant_contexts_max: COUNT,
    tenant_bytes_max: 1 << 30,
};

fn key(at: usize) -> Key {
    Key { tenant: "acme".into(), id: format!("c{at}").as_str().into() }
}

fn message() -> Message {
    let text = "x".repeat(MESSAGE_BYTES);
    Message::read(&format!(r#"{{"role":"user","content":"{text}"}}"#)).expect("a message")
}

async fn begin(store: &dyn Store, at: usize) {
    let document = Document { messages: vec![message()], data: "{}".into() };
    let entry = Entry { version: Version(1), at: NOW, change: Change::Whole(document) };
    store.append(&key(at), entry, &KEEP).await.expect("room");
}

async fn go_on(store: &dyn Store, at: usize) {
    let change = Change::Append { messages: vec![message()], data: None };
    let entry = Entry { version: Version(2), at: NOW, change };
    store.append(&key(at), entry, &KEEP).await.expect("room");
}

/// How many of the contexts are there, and their bytes.
async fn there(store: &dyn Store) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0);
    for at in 0..COUNT {
        if let Some(log) = store.read(&key(at), NOW).await.expect("a store that works") {
            (count, bytes) = (count + 1, bytes + log.bytes() as u64);
        }
    }
    (count, bytes)
}

#[tokio::test]
async fn memory_stays_within_its_bytes() {
    let bytes_max = 1 << 20;
    let store = Memory::new(bytes_max);
    for at in 0..COUNT {
        begin(&store, at).await;
        go_on(&store, at).await;
        let stock = store.stock().expect("it knows");
        assert!(stock.bytes <= bytes_max as u64, "{at}: {stock:?}");
    }
    let stock = store.stock().expect("it knows");
    assert_eq!(there(&store).await, (stock.contexts, stock.bytes), "the figures are true");
    let room = bytes_max / (2 * MESSAGE_BYTES + 1024);
    assert!(stock.contexts >= room as u64, "no more went than had to: {stock:?}");
    let last = store.read(&key(COUNT - 1), NOW).await.expect("a store that works");
    assert!(last.is_some(), "what was changed last stays");
}

#[tokio::test]
async fn the_store_on_disk_has_them_all_and_counts_them_when_it_is_opened() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || Embedded::open(directory.path(), Duration::from_millis(10)).expect("a store");
    let store = open();
    for at in 0..COUNT {
        begin(&store, at).await;
    }
    for at in (0..COUNT).step_by(3) {
        go_on(&store, at).await;
    }
    let stock = store.stock().expect("it knows");
    assert_eq!(stock.contexts, COUNT as u64);
    assert_eq!(there(&store).await, (stock.contexts, stock.bytes));
    drop(store);
    assert_eq!(open().stock(), Some(stock));
}
