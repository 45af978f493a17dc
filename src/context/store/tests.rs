//! What every store must do alike, as one suite that each store's tests run.

use std::time::Duration;

use super::{Failure, Keep, Key, Limit, Store};
use crate::context::log::{Change, Document, Entry};
use crate::context::message::Message;
use crate::types::Version;

/// Limits that are not met.
pub const KEEP: Keep = Keep {
    ttl: Duration::from_secs(60),
    versions_max: 100,
    context_bytes_max: 1 << 20,
    tenant_contexts_max: 1000,
    tenant_bytes_max: 1 << 24,
};

pub fn key(tenant: &str, id: &str) -> Key {
    Key { tenant: tenant.into(), id: id.into() }
}

/// A version with one further message.
pub fn entry(version: u64, at: i64) -> Entry {
    let text = format!(r#"{{"role":"user","content":"message {version}"}}"#);
    let messages = vec![Message::read(&text).unwrap()];
    let change = match version {
        1 => Change::Whole(Document { messages, ..Document::empty() }),
        _ => Change::Append { messages, data: None },
    };
    Entry { version: Version(version), at, change }
}

/// Runs the suite on an empty store.
pub async fn suite(store: &dyn Store, now: i64) {
    versions_follow_each_other(store, now).await;
    tenants_do_not_meet(store, now).await;
    limits_are_refused(store, now).await;
}

async fn versions_follow_each_other(store: &dyn Store, now: i64) {
    let key = key("suite", "a");
    assert!(store.read(&key, now).await.unwrap().is_none());
    assert_eq!(store.append(&key, entry(2, now), &KEEP).await, Err(Failure::Conflict(None)));
    for version in 1..=10 {
        store.append(&key, entry(version, now), &KEEP).await.unwrap();
    }
    for wrong in [1, 10, 12] {
        let refused = store.append(&key, entry(wrong, now), &KEEP).await;
        assert_eq!(refused, Err(Failure::Conflict(Some(Version(10)))), "{wrong}");
    }
    let log = store.read(&key, now).await.unwrap().unwrap();
    assert_eq!(log.version(), Version(10));
    assert_eq!((log.created, log.expires), (now, KEEP.expires(now)));
    assert_eq!(log.latest().messages.len(), 10);
    assert_eq!(log.at(Version(3), 100).unwrap().messages.len(), 3);
    let whole = Entry {
        change: Change::Whole(log.at(Version(3), 100).unwrap().to_document()),
        ..entry(11, now)
    };
    store.append(&key, whole, &KEEP).await.unwrap();
    let log = store.read(&key, now).await.unwrap().unwrap();
    assert_eq!(log.latest().messages.len(), 3);
    assert_eq!(log.at(Version(10), 100).unwrap().messages.len(), 10);
    // Few versions are kept: the rest is folded, and the latest still reads.
    let keep = Keep { versions_max: 3, ..KEEP };
    for version in 12..=30 {
        store.append(&key, entry(version, now), &keep).await.unwrap();
    }
    let log = store.read(&key, now).await.unwrap().unwrap();
    assert!(log.entries().len() <= 4, "{}", log.entries().len());
    assert_eq!(log.latest().messages.len(), 22);
    assert!(store.remove(&key).await.unwrap());
    assert!(!store.remove(&key).await.unwrap());
    assert!(store.read(&key, now).await.unwrap().is_none());
    store.append(&key, entry(1, now), &KEEP).await.unwrap();
}

async fn tenants_do_not_meet(store: &dyn Store, now: i64) {
    let (mine, yours) = (key("t", "same"), key("u", "same"));
    store.append(&mine, entry(1, now), &KEEP).await.unwrap();
    assert!(store.read(&yours, now).await.unwrap().is_none());
    assert!(!store.remove(&yours).await.unwrap());
    store.append(&yours, entry(1, now), &KEEP).await.unwrap();
    assert!(store.remove(&yours).await.unwrap());
    assert!(store.read(&mine, now).await.unwrap().is_some());
    // Where one name ends and the other begins is no matter of their text.
    store.append(&key("ab", "c"), entry(1, now), &KEEP).await.unwrap();
    assert!(store.read(&key("a", "bc"), now).await.unwrap().is_none());
}

async fn limits_are_refused(store: &dyn Store, now: i64) {
    let small = Keep { context_bytes_max: 2 * entry(2, now).bytes() + 10, ..KEEP };
    let long = key("limits", "long");
    store.append(&long, entry(1, now), &small).await.unwrap();
    store.append(&long, entry(2, now), &small).await.unwrap();
    let refused = store.append(&long, entry(3, now), &small).await;
    assert_eq!(refused, Err(Failure::Full(Limit::ContextBytes(small.context_bytes_max))));
    let log = store.read(&long, now).await.unwrap().unwrap();
    assert_eq!(log.version(), Version(2), "what was refused has changed nothing");
    let few = Keep { tenant_contexts_max: 2, ..KEEP };
    store.append(&key("limits", "b"), entry(1, now), &few).await.unwrap();
    let refused = store.append(&key("limits", "c"), entry(1, now), &few).await;
    assert_eq!(refused, Err(Failure::Full(Limit::TenantContexts(2))));
    store.append(&key("limits", "b"), entry(2, now), &few).await.unwrap();
    store.remove(&key("limits", "b")).await.unwrap();
    store.append(&key("limits", "c"), entry(1, now), &few).await.unwrap();
}

/// What has expired takes no room, and its name is free.
pub async fn what_expired_is_out_of_the_way(store: &dyn Store, now: i64) {
    let few = Keep { tenant_contexts_max: 1, ..KEEP };
    let [old, new] = ["old", "new"].map(|id| key("expiry", id));
    let later = KEEP.expires(now);
    store.append(&old, entry(1, now), &few).await.unwrap();
    store.append(&old, entry(2, now), &few).await.unwrap();
    let refused = Err(Failure::Full(Limit::TenantContexts(1)));
    assert_eq!(store.room(&new, Version(0), later - 1, &few).await, refused);
    assert_eq!(store.room(&new, Version(0), later, &few).await, Ok(()));
    // Whatever clock the store itself goes by.
    assert_eq!(store.append(&old, entry(3, later), &few).await, Err(Failure::Conflict(None)));
    store.append(&old, entry(1, later), &few).await.unwrap();
    let log = store.read(&old, later).await.unwrap().unwrap();
    assert_eq!((log.created, log.entries().len()), (later, 1), "nothing is left of what expired");
}

#[tokio::test]
async fn memory() {
    let store = super::memory::Memory::new(1 << 24);
    suite(&store, 1000).await;
    what_expired_is_out_of_the_way(&store, 1000).await;
}
