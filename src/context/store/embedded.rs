//! Contexts on disk, in an embedded log-structured store: they survive the process.
//!
//! When [`Store::append`] returns, the version is with the operating system: it survives the end of
//! the process, however that ends. At most `sync` later it is on the disk and survives a power cut.
//!
//! One process at a time has the directory. In an upgrade the old one gives it up when its last turn
//! has ended ([`Store::leave`]); until then the new one's turns wait, as for any other turn.

mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use tokio::sync::watch;

use self::tree::Tree;
use super::{Failure, Keep, Key, Lease, Stock, Store};
use crate::context::log::{Entry, Log};
use crate::types::Version;

/// How often a process looks whether the one before it has given the directory up.
const REOPEN_EVERY: Duration = Duration::from_millis(20);

/// A store on disk.
pub struct Embedded {
    door: Arc<Door>,
}

/// Whether the directory is this process's.
struct Door {
    path: PathBuf,
    sync: Duration,
    state: Mutex<State>,
    /// Whether it has been opened.
    opened: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    tree: Option<Arc<Tree>>,
    leases: usize,
    leaving: bool,
}

/// Keeps the directory open while a turn is under way.
struct Counted(Arc<Door>);

impl Embedded {
    /// Opens a directory, or makes it. Where another process has it, this waits in the background.
    ///
    /// # Errors
    /// Where the directory cannot be used.
    pub fn open(path: &Path, sync: Duration) -> io::Result<Self> {
        let door = Arc::new(Door {
            path: path.to_owned(),
            sync,
            state: Mutex::default(),
            opened: watch::Sender::new(false),
        });
        if !door.open()? {
            info!("waiting for {}: another process has it", path.display());
            let waiting = door.clone();
            std::thread::Builder::new()
                .name("contexts".to_owned())
                .spawn(move || waiting.wait())?;
        }
        Ok(Self { door })
    }

    async fn with_tree<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let tree = self.door.state().tree.clone();
        let tree = tree.ok_or_else(|| self.door.elsewhere())?;
        // It may wait for the disk, which a worker thread must not.
        let done = tokio::task::spawn_blocking(move || work(&tree)).await;
        done.unwrap_or_else(|error| Err(Failure::Unavailable(error.to_string())))
    }
}

#[async_trait]
impl Store for Embedded {
    async fn read(&self, key: &Key, now: i64) -> Result<Option<Arc<Log>>, Failure> {
        let key = key.clone();
        self.with_tree(move |tree| tree.read(&key, now)).await.map(|log| log.map(Arc::new))
    }

    async fn append(&self, key: &Key, entry: Entry, keep: &Keep) -> Result<(), Failure> {
        let (key, keep) = (key.clone(), *keep);
        self.with_tree(move |tree| tree.append(&key, &entry, &keep)).await
    }

    async fn room(&self, key: &Key, base: Version, now: i64, keep: &Keep) -> Result<(), Failure> {
        let tree = self.door.state().tree.clone();
        if tree.is_none_or(|tree| tree.has_room(key, base, keep)) {
            return Ok(());
        }
        let (key, keep) = (key.clone(), *keep);
        self.with_tree(move |tree| tree.make_room(&key, base, now, &keep)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, Failure> {
        let key = key.clone();
        self.with_tree(move |tree| tree.remove(&key)).await
    }

    async fn lease(&self, _key: &Key, wait: Duration) -> Result<Option<Box<dyn Lease>>, Failure> {
        let mut opened = self.door.opened.subscribe();
        let opened = tokio::time::timeout(wait, opened.wait_for(|opened| *opened)).await;
        let mut state = self.door.state();
        if opened.is_err() || state.leaving {
            return Err(self.door.elsewhere());
        }
        state.leases += 1;
        Ok(Some(Box::new(Counted(self.door.clone()))))
    }

    fn stock(&self) -> Option<Stock> {
        self.door.state().tree.as_ref().map(|tree| tree.stock())
    }

    fn leave(&self) {
        let mut state = self.door.state();
        state.leaving = true;
        state.close_if_idle();
    }
}

impl Door {
    /// Opens the directory; false where another process has it.
    fn open(&self) -> io::Result<bool> {
        match Tree::open(&self.path, self.sync) {
            Ok(tree) => {
                self.state().tree = Some(Arc::new(tree));
                self.opened.send_replace(true);
                Ok(true)
            }
            Err(fjall::Error::Locked) => Ok(false),
            Err(error) => {
                Err(io::Error::other(format!("contexts in {}: {error}", self.path.display())))
            }
        }
    }

    fn wait(&self) {
        loop {
            std::thread::sleep(REOPEN_EVERY);
            match self.open() {
                Ok(false) => {}
                Ok(true) => return info!("{} is free: contexts are served", self.path.display()),
                Err(error) => return warn!("{error}"),
            }
        }
    }

    fn elsewhere(&self) -> Failure {
        Failure::Unavailable(format!("{} is with another process", self.path.display()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_if_idle(&mut self) {
        if self.leaving && self.leases == 0 && self.tree.take().is_some() {
            info!("contexts are given up to the next process");
        }
    }
}

impl Lease for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.leases -= 1;
        state.close_if_idle();
    }
}

#[cfg(test)]
mod tests;
