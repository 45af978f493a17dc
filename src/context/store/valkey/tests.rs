//! The store in Valkey: what every store does, with a server of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Script;

use super::Valkey;
use crate::context::store::tests::{KEEP, entry, key, suite, what_expired_is_out_of_the_way};
use crate::context::store::{Failure, Keep, Limit, Store};
use crate::types::Version;
use crate::valkey::Settings;

/// A server in a directory of its own, reached over a socket there: no port is taken.
pub struct Server {
    child: Child,
    directory: tempfile::TempDir,
    /// Whether what it acknowledged survives it.
    is_durable: bool,
}

impl Server {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::run(false)
    }

    /// Starts a server that has on disk what it acknowledges.
    pub fn durable() -> Self {
        Self::run(true)
    }

    fn run(is_durable: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { child: spawn(directory.path(), is_durable), directory, is_durable }
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&mut self) {
        // SIGKILL, by its id; it may have left before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        !self.socket().exists()
    }

    /// Starts it again, with what is on disk.
    pub fn revive(&mut self) {
        self.child = spawn(self.directory.path(), self.is_durable);
    }

    /// Where it is reached.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// A store there, under a prefix.
    pub fn store(&self, prefix: &str) -> Valkey {
        store_at(&self.socket(), prefix)
    }

    /// Returns once it can be reached.
    pub async fn ready(&self) {
        let probe = key("probe", "probe");
        while self.store("probe").read(&probe, 0).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// Runs a script there.
    pub async fn eval(&self, script: &str, argument: i64) {
        let mut connection = self.store("eval").connection().unwrap();
        let script = Script::new(script);
        script.arg(argument).invoke_async::<()>(&mut connection).await.unwrap();
    }
}

/// A store at a server's socket, under a prefix.
pub fn store_at(socket: &Path, prefix: &str) -> Valkey {
    let settings = Settings {
        url: format!("redis+unix://{}", socket.display()).into(),
        prefix: prefix.into(),
        timeout: Duration::from_secs(10),
    };
    Valkey::new(settings, Duration::from_secs(60)).unwrap()
}

fn spawn(directory: &Path, is_durable: bool) -> Child {
    let kept = if is_durable { "yes" } else { "no" };
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket", "socket"])
        .args(["--appendonly", kept, "--appendfsync", "always"])
        .current_dir(directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server: {error}: run `make setup-tests`"))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn it_does_what_every_store_does() {
    let server = Server::start();
    server.ready().await;
    let store = server.store("suite");
    let now = crate::context::now();
    suite(&store, now).await;
    what_expired_is_out_of_the_way(&store, now).await;
    let keep = Keep { versions_max: 1, ..KEEP };
    for version in 1..=9 {
        store.append(&key("one", "a"), entry(version, now), &keep).await.unwrap();
    }
    let log = store.read(&key("one", "a"), now).await.unwrap().unwrap();
    assert_eq!((log.entries().len(), log.latest().messages.len()), (1, 9));
    // What has expired is gone, and off the account.
    let few = Keep { tenant_contexts_max: 1, ttl: Duration::from_millis(1), ..KEEP };
    store.append(&key("short", "a"), entry(1, now - 10), &few).await.unwrap();
    assert!(store.read(&key("short", "a"), now).await.unwrap().is_none());
    store.append(&key("short", "b"), entry(1, now), &few).await.unwrap();
    let bytes = entry(1, now).bytes();
    let little = Keep { tenant_bytes_max: bytes + 1, ..KEEP };
    store.append(&key("little", "a"), entry(1, now), &little).await.unwrap();
    let refused = store.append(&key("little", "a"), entry(2, now), &little).await;
    assert_eq!(refused, Err(Failure::Full(Limit::TenantBytes(bytes + 1))));
    store.remove(&key("little", "a")).await.unwrap();
    store.append(&key("little", "b"), entry(1, now), &little).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_gateway_noted_and_did_not_make_takes_no_room() {
    let server = Server::start();
    server.ready().await;
    let (store, now) = (server.store("audit"), crate::context::now());
    let few = Keep { tenant_contexts_max: 1, ..KEEP };
    let [lost, next] = ["lost", "next"].map(|id| key("t", id));
    let lease = store.lease(&lost, Duration::ZERO).await.unwrap();
    store.account(&lost, (now, Some(KEEP.expires(now))), 100, &few).await.unwrap();
    let refused = Err(Failure::Full(Limit::TenantContexts(1)));
    assert_eq!(store.room(&next, Version(0), now, &few).await, refused, "it may be made yet");
    std::mem::forget(lease);
    server.eval("redis.call('DEL', unpack(redis.call('KEYS', '*:lease')))", 0).await;
    store.append(&next, entry(1, now), &few).await.unwrap();
    assert_eq!(store.room(&lost, Version(0), now, &few).await, refused);
}

#[tokio::test]
async fn two_nodes_take_turns() {
    let server = Server::start();
    server.ready().await;
    let (one, two) = (server.store("nodes"), server.store("nodes"));
    let (key, now) = (key("t", "a"), crate::context::now());
    let lease = one.lease(&key, Duration::ZERO).await.unwrap();
    assert!(matches!(two.lease(&key, Duration::from_millis(1)).await, Err(Failure::Busy)));
    one.append(&key, entry(1, now), &KEEP).await.unwrap();
    drop(lease);
    let _lease = two.lease(&key, Duration::from_secs(60)).await.unwrap();
    let log = two.read(&key, now).await.unwrap().unwrap();
    assert_eq!(log.version(), Version(1));
    let late = one.append(&key, entry(1, now), &KEEP).await;
    assert_eq!(late, Err(Failure::Conflict(Some(Version(1)))), "without a lease, versions tell");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        url: format!("redis+unix://{}", directory.path().join("socket").display()).into(),
        prefix: "x".into(),
        timeout: Duration::from_millis(100),
    };
    let store = Valkey::new(settings, Duration::from_secs(1)).unwrap();
    let read = store.read(&key("t", "a"), 0).await;
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
    assert!(matches!(
        store.lease(&key("t", "a"), Duration::ZERO).await,
        Err(Failure::Unavailable(_))
    ));
}
