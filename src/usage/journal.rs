//! The usage journal: a file a day, to which each request that went to an upstream adds a line.
//!
//! A thread of its own, `usage-journal`, writes; it waits for nothing but the next request, so what
//! has ended is in the kernel's hands at once, and a killed process loses at most what it was just
//! writing. Lines are only appended. One that was written in part, or twice after a failed write,
//! does no harm: readers pass over what is no entry and count each id once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::NaiveDate;

use super::entry::Entry;
use crate::telemetry::metrics::Metrics;
use crate::usage::UsageRecord;

/// Requests that may wait for the writer: the next ones are not journalled, but counted.
const WAITING_MAX: usize = 16_384;

/// Bytes that are kept while the disk takes none.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// How long until a failed write is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The handle that requests are journalled through.
pub struct Journal {
    directory: PathBuf,
    orders: SyncSender<Order>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Order {
    Write(Box<Entry>),
    /// Say when everything before it is written, or cannot be.
    Flush(SyncSender<()>),
    /// Write what there is and leave.
    Close,
}

/// The file of a day.
pub fn file_of(directory: &Path, day: NaiveDate) -> PathBuf {
    directory.join(format!("usage-{day}.jsonl"))
}

impl Journal {
    /// Starts the writer; the directory is made where there is none.
    ///
    /// # Errors
    /// Where the directory or the thread cannot be made.
    pub fn start(directory: &Path, metrics: Arc<Metrics>) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let (orders, receiver) = mpsc::sync_channel(WAITING_MAX);
        let writer = Writer {
            directory: directory.to_owned(),
            metrics: Arc::clone(&metrics),
            file: None,
            pending: Vec::new(),
            requests: 0,
            is_failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("usage-journal".to_owned())
            .spawn(move || writer.run(&receiver))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { directory: directory.to_owned(), orders, metrics, thread })
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Journals a request that has ended. Never waits: where the writer does not keep up, the request
    /// is counted as lost.
    pub fn write(&self, record: &UsageRecord) {
        let Some(entry) = Entry::of(record) else { return };
        match self.orders.try_send(Order::Write(Box::new(entry))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.admission.unwritten(1);
            }
        }
    }

    /// Waits until every request that has ended is written. Not for a worker's thread.
    pub fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            // An error means that the writer has left, and it writes everything before it does.
            let _left = written.recv();
        }
    }

    /// Writes what there is and stops the writer. A second call does nothing.
    pub fn close(&self) {
        // The writer is gone after `close` only.
        let _gone = self.orders.send(Order::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!("the usage journal's writer panicked; requests are missing");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    directory: PathBuf,
    metrics: Arc<Metrics>,
    file: Option<(NaiveDate, File)>,
    /// Lines of the file's day that are not written yet, and how many.
    pending: Vec<u8>,
    requests: u64,
    /// Whether the last write failed: the next begins a new line, and the log is not told again.
    is_failing: bool,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match orders.recv_timeout(TRY_AGAIN) {
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
                        return;
                    }
                }
            }
            self.write();
            for done in waiting {
                // Whoever waits may have left.
                let _gone = done.send(());
            }
        }
    }

    fn add(&mut self, entry: &Entry) {
        let Some(day) = entry.day() else { return };
        if self.file.as_ref().is_none_or(|(open, _)| *open != day) {
            self.write();
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::{Journal, file_of};
    use crate::telemetry::fixture::{record, refused};
    use crate::telemetry::metrics::Metrics;
    use crate::types::{MicroUsd, TokenUsage};
    use crate::usage::report::{Query, Report, read};
    use crate::usage::{UsageRecord, UsageSource};

    const DAY: &str = "1970-01-01";

    fn request(metrics: &Metrics, id: u32, cost: u64) -> UsageRecord {
        let mut request = record(metrics, "chat", "a/one");
        request.request_id = format!("{id:032x}").into();
        request.started = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1500);
        request.charge.tokens = TokenUsage { input: 10, output: 2, ..TokenUsage::default() };
        request.charge.source = Some(UsageSource::Reported);
        request.charge.cost = Some(MicroUsd(cost));
        request
    }

    fn report(directory: &std::path::Path) -> Report {
        let query = Query::parse(&format!("group_by=tenant,model&from={DAY}&to={DAY}")).unwrap();
        read(directory, &query).unwrap()
    }

    #[test]
    fn each_request_is_a_line_and_counts_once_whatever_happened_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("usage");
        let metrics = Arc::new(Metrics::new(1));
        let journal = Journal::start(&path, Arc::clone(&metrics)).unwrap();
        for id in 0..100 {
            journal.write(&request(&metrics, id, 7));
        }
        journal.write(&refused(&metrics, "/v1/nothing"));
        journal.flush();
        let file = file_of(&path, DAY.parse().unwrap());
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 100, "what went to no upstream has no line");
        drop(journal);
        // The last lines again, and one that was cut in the middle.
        let tail: Vec<_> = text.lines().skip(98).collect();
        fs::write(&file, format!("{text}{}\n{}\n{}", tail[0], tail[1], &tail[0][..40])).unwrap();
        let journal = Journal::start(&path, Arc::clone(&metrics)).unwrap();
        journal.write(&request(&metrics, 100, 9));
        journal.close();
        let report = report(&path);
        assert_eq!(report.unreadable_lines, 1);
        let [row] = report.rows.as_slice() else { panic!("{report:?}") };
        assert_eq!((row.names.join("/"), row.totals.requests), ("acme/chat".into(), 101));
        assert_eq!((row.totals.cost_micro_usd, row.totals.input), (709, 1010));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_refused_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Journal::start(&file.path().join("x"), Arc::new(Metrics::new(1))).is_err());
    }
}
