//! Taking a changed configuration into use: whole, or not at all.
//!
//! Requests in flight keep the snapshot they began with. Listeners, threads and files of the
//! process cannot change under it; such changes are reported and need `run --upgrade`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{error, info, warn};
use tokio::sync::Mutex;

use super::tls::Certificates;
use crate::config;
use crate::config::reload::{Outcome, ReloadReport};
use crate::config::snapshot::Snapshot;
use crate::config::snapshot::tls::TlsFiles;
use crate::state::State;
use crate::types::Revision;

/// Reads the configuration file again.
pub struct Reloader {
    file: PathBuf,
    state: Arc<State>,
    certificates: Arc<Certificates>,
    /// One reload at a time: the revisions must follow each other.
    turn: Mutex<()>,
    /// The files as they were when the process started.
    at_start: Vec<Mark>,
}

impl Reloader {
    /// A reloader of the file that the process was started with.
    pub fn new(file: PathBuf, state: Arc<State>, certificates: Arc<Certificates>) -> Self {
        let at_start = fingerprint(&file, &state);
        Self { file, state, certificates, turn: Mutex::new(()), at_start }
    }

    /// Reads the file and takes it into use, if nothing is wrong with it.
    pub async fn reload(&self, cause: &'static str) -> ReloadReport {
        let _turn = self.turn.lock().await;
        let old = self.state.active();
        let revision = Revision(old.snapshot.revision.0 + 1);
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&file, revision)).await;
        let report = match read {
            Ok(Ok(snapshot)) => self.apply(&old.snapshot, snapshot).await,
            Ok(Err(problems)) => refused(&old.snapshot, problems.lines().collect()),
            Err(panic) => refused(&old.snapshot, vec![format!("reading failed: {panic}")]),
        };
        self.tell(cause, &report);
        report
    }

    /// Looks at the files at every interval, and reloads when one has changed.
    pub async fn watch(&self) {
        let mut seen = self.at_start.clone();
        loop {
            let reload = self.state.active().snapshot.reload.clone();
            tokio::time::sleep(reload.interval).await;
            let now = fingerprint(&self.file, &self.state);
            if reload.watch && now != seen {
                self.reload("file").await;
            }
            seen = now;
        }
    }

    async fn apply(&self, old: &Snapshot, new: Snapshot) -> ReloadReport {
        if let Err(error) = self.certificates.reload(&new.server.listeners) {
            return refused(old, vec![error.to_string()]);
        }
        let needs_upgrade = config::listener_changes(old, &new);
        let (revision, access_log) = (new.revision, new.access_log.clone());
        if let Err(unusable) = self.state.activate(new).await {
            return refused(old, vec![unusable.to_string()]);
        }
        if old.access_log != access_log
            && let Err(error) = self.state.access_log.retarget(&access_log)
        {
            warn!("the access log stays where it was: {error}");
        }
        ReloadReport { revision, outcome: Outcome::Applied, problems: Vec::new(), needs_upgrade }
    }

    fn tell(&self, cause: &str, report: &ReloadReport) {
        let Revision(revision) = report.revision;
        self.state.metrics.reloaded(report.outcome);
        if report.outcome == Outcome::Applied {
            info!("configuration revision {revision} is in use ({cause})");
        } else {
            error!("configuration refused ({cause}); revision {revision} stays in use:");
        }
        for problem in &report.problems {
            error!("  {problem}");
        }
        for change in &report.needs_upgrade {
            warn!("  {change} needs `tollgate run --upgrade` to take effect");
        }
    }
}

/// What tells one state of a watched file from another; `None` where it cannot be seen.
type Mark = Option<(u64, u64, i64, i64)>;

/// The state of the configuration file, and of the certificates, prices and secrets it names.
fn fingerprint(file: &Path, state: &State) -> Vec<Mark> {
    let active = state.active();
    let snapshot = &active.snapshot;
    let certificates = snapshot.server.listeners.iter().filter_map(|l| l.tls.as_ref());
    let endpoints = snapshot.endpoints.iter().filter_map(|endpoint| endpoint.tls.as_ref());
    std::iter::once(file)
        .chain(certificates.flat_map(TlsFiles::paths))
        .chain(endpoints.filter_map(|tls| tls.ca_file.as_deref()))
        .chain(snapshot.terms.price_file.as_deref())
        .chain(snapshot.secret_files.iter().map(PathBuf::as_path))
        .map(mark)
        .collect()
}

/// A file's identity, length and time of change.
fn mark(file: &Path) -> Mark {
    let data = fs::metadata(file).ok()?;
    Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

fn refused(old: &Snapshot, problems: Vec<String>) -> ReloadReport {
    ReloadReport {
        revision: old.revision,
        outcome: Outcome::Refused,
        problems,
        needs_upgrade: Vec::new(),
    }
}
