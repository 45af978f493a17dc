//! The thread that writes the journal's lines: as they come, a day's file at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use chrono::NaiveDate;

use super::{Order, WAITING_MAX, file_of};
use crate::config::snapshot::terms;
use crate::telemetry::metrics::Metrics;
use crate::usage::entry::Entry;

/// Bytes that are kept while the disk takes none.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// How long until a failed write is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(super) struct Writer {
    directory: PathBuf,
    metrics: Arc<Metrics>,
    file: Option<(NaiveDate, File)>,
    /// Lines of the file's day that are not written yet, and how many.
    pending: Vec<u8>,
    requests: u64,
    /// Whether the last write failed: the next begins a new line, and the log is not told again.
    is_failing: bool,
    sync: Duration,
    /// Since when something is written that a power cut would take.
    unsynced: Option<Instant>,
}

impl Writer {
    /// A writer that has opened no file yet.
    pub(super) fn new(settings: &terms::Journal, metrics: Arc<Metrics>) -> Self {
        Self {
            directory: settings.directory.clone(),
            metrics,
            file: None,
            pending: Vec::new(),
            requests: 0,
            is_failing: false,
            sync: settings.sync,
            unsynced: None,
        }
    }

    /// Writes until it is told to leave.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match orders.recv_timeout(self.wait()) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Order::Close),
            };
            // What has come meanwhile is written at once.
            let mut waiting = Vec::new();
            for order in first.into_iter().chain(orders.try_iter().take(WAITING_MAX)) {
                match order {
                    Order::Write(entry) => self.add(&entry),
                    Order::Flush(done) => waiting.push(done),
                    Order::Close => {
                        self.write();
                        self.sync();
                        return;
                    }
                }
            }
            self.write();
            if self.unsynced.is_some_and(|since| since.elapsed() >= self.sync) {
                self.sync();
            }
            for done in waiting {
                // Whoever waits may have left.
                let _gone = done.send(());
            }
        }
    }

    /// How long to wait for the next request.
    fn wait(&self) -> Duration {
        let until_sync = self.unsynced.map(|since| self.sync.saturating_sub(since.elapsed()));
        until_sync.map_or(TRY_AGAIN, |left| left.min(TRY_AGAIN))
    }

    fn add(&mut self, entry: &Entry) {
        let Some(day) = entry.day() else { return };
        if self.file.as_ref().is_none_or(|(open, _)| *open != day) {
            self.write();
            self.sync();
            self.open(day);
        }
        let before = self.pending.len();
        let fits = serde_json::to_writer(&mut self.pending, entry).is_ok()
            && self.pending.len() < PENDING_BYTES_MAX;
        if fits && self.file.is_some() {
            self.pending.push(b'\n');
            self.requests += 1;
        } else {
            self.pending.truncate(before);
            self.metrics.admission.unwritten(1);
        }
    }

    fn open(&mut self, day: NaiveDate) {
        if !self.pending.is_empty() {
            // The day's file takes nothing any more, and the next day's begins.
            self.metrics.admission.unwritten(self.requests);
            self.pending.clear();
            self.requests = 0;
        }
        self.file = match open(&file_of(&self.directory, day)) {
            Ok(file) => Some((day, file)),
            Err(error) => {
                log::error!("the usage journal of {day} cannot be opened: {error}");
                None
            }
        };
    }

    fn write(&mut self) {
        let Some((day, file)) = &mut self.file else { return };
        if self.pending.is_empty() {
            return;
        }
        let start: &[u8] = if self.is_failing { b"\n" } else { b"" };
        let written = file.write_all(start).and_then(|()| file.write_all(&self.pending));
        if let Err(error) = &written
            && !self.is_failing
        {
            log::error!("the usage journal of {day} takes nothing: {error}; it is tried again");
        }
        self.is_failing = written.is_err();
        if !self.is_failing {
            self.pending.clear();
            self.requests = 0;
            self.unsynced.get_or_insert_with(Instant::now);
        }
    }

    /// Has the disk keep what is written. A failure is told and not tried again: what the disk did not
    /// take then, the kernel has given up.
    fn sync(&mut self) {
        let (Some(_), Some((day, file))) = (self.unsynced.take(), &self.file) else { return };
        match file.sync_data() {
            Ok(()) => self.metrics.admission.synced(),
            Err(error) => log::error!("the usage journal of {day} cannot be synced: {error}"),
        }
    }
}

/// Opens a file for appending, behind a whole line.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}
