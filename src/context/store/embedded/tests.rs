//! The store on disk: what every store does, what survives, and who has the directory.

use std::time::Duration;

use super::Embedded;
use crate::context::store::tests::{KEEP, entry, key, suite, what_expired_is_out_of_the_way};
use crate::context::store::{Failure, Keep, Stock, Store};
use crate::types::Version;

const SYNC: Duration = Duration::from_millis(1);

#[tokio::test]
async fn it_does_what_every_store_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("contexts");
    let store = Embedded::open(&path, SYNC).unwrap();
    suite(&store, 1_000_000).await;
    let stock = store.stock().unwrap();
    assert!(stock.contexts > 3);
    drop(store);
    let again = Embedded::open(&path, SYNC).unwrap();
    assert_eq!(again.stock(), Some(stock), "what is counted anew is the same");
    let kept = again.read(&key("limits", "long"), 1_000_000).await.unwrap().unwrap();
    assert_eq!((kept.version(), kept.latest().messages.len()), (Version(2), 2));
    what_expired_is_out_of_the_way(&again, 1_000_000).await;
}

#[tokio::test]
async fn what_expired_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), SYNC).unwrap();
    for number in 0..20 {
        let key = key("t", &format!("old-{number}"));
        store.append(&key, entry(1, 1000 + number), &KEEP).await.unwrap();
        store.append(&key, entry(2, 1000 + number), &KEEP).await.unwrap();
    }
    let later = KEEP.expires(5000);
    let refused = store.append(&key("t", "old-3"), entry(3, later), &KEEP).await;
    assert_eq!(refused, Err(Failure::Conflict(None)));
    for number in 0..3 {
        store.append(&key("t", &format!("new-{number}")), entry(1, later), &KEEP).await.unwrap();
    }
    assert_eq!(store.stock().unwrap().contexts, 3);
    assert!(store.read(&key("t", "old-9"), 2000).await.unwrap().is_none(), "nothing is left");
    for number in 0..3 {
        store.remove(&key("t", &format!("new-{number}"))).await.unwrap();
    }
    assert_eq!(store.stock(), Some(Stock::default()));
}

#[tokio::test]
async fn one_version_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), SYNC).unwrap();
    let keep = Keep { versions_max: 1, ..KEEP };
    for version in 1..=9 {
        store.append(&key("t", "a"), entry(version, 1000), &keep).await.unwrap();
    }
    let log = store.read(&key("t", "a"), 1000).await.unwrap().unwrap();
    assert_eq!((log.entries().len(), log.latest().messages.len()), (1, 9));
}

#[tokio::test]
async fn a_successor_waits_for_the_last_turn() {
    let directory = tempfile::tempdir().unwrap();
    let old = Embedded::open(directory.path(), SYNC).unwrap();
    let key = key("t", "a");
    let turn = old.lease(&key, Duration::ZERO).await.unwrap();
    let new = Embedded::open(directory.path(), SYNC).unwrap();
    assert!(matches!(new.read(&key, 0).await, Err(Failure::Unavailable(_))));
    assert!(new.lease(&key, Duration::from_millis(1)).await.is_err());
    old.leave();
    assert!(old.lease(&key, Duration::ZERO).await.is_err(), "no new turn begins here");
    old.append(&key, entry(1, 1000), &KEEP).await.unwrap();
    drop(turn);
    let lease = new.lease(&key, Duration::from_secs(60)).await.unwrap();
    let log = new.read(&key, 1000).await.unwrap().unwrap();
    assert_eq!(log.version(), Version(1));
    drop(lease);
    assert!(matches!(old.read(&key, 1000).await, Err(Failure::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_while_versions_are_folded_sees_each_version_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(Embedded::open(directory.path(), SYNC).unwrap());
    let keep = Keep { versions_max: 4, ..KEEP };
    store.append(&key("t", "a"), entry(1, 1000), &keep).await.unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for version in 2..=400 {
                store.append(&key("t", "a"), entry(version, 1000), &keep).await.unwrap();
            }
        }
    });
    let mut last = 1;
    while !writing.is_finished() {
        let log = store.read(&key("t", "a"), 1000).await.unwrap().expect("it is there");
        assert!(log.version().0 >= last, "{last} was there");
        last = log.version().0;
        assert_eq!(log.latest().messages.len() as u64, last);
    }
    writing.await.unwrap();
}
