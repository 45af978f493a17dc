//! The usage journal: a file a day, to which each request that went to an upstream adds a line.
//!
//! A thread of its own, `usage-journal`, writes; it waits for nothing but the next request, so what
//! has ended is in the kernel's hands at once, and a killed process loses at most what it was just
//! writing. A power cut loses at most what was written within the time of the configuration. Lines are
//! only appended. One that was written in part, or twice after a failed write, does no harm: readers
//! pass over what is no entry and count each id once.

mod upkeep;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use chrono::NaiveDate;

use self::upkeep::Upkeep;
use self::writer::Writer;
use super::entry::Entry;
use crate::config::snapshot::terms;
use crate::telemetry::metrics::Metrics;
use crate::usage::UsageRecord;

/// Requests that may wait for the writer: the next ones are not journalled, but counted.
const WAITING_MAX: usize = 65_536;

/// The handle that requests are journalled through.
pub struct Journal {
    directory: PathBuf,
    orders: SyncSender<Order>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while a report is made: one at a time is enough for a disk and for memory.
    pub reports: tokio::sync::Mutex<()>,
    /// Dropped, it ends the upkeep.
    _upkeep: Option<Sender<()>>,
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
    /// Starts the writer, and the upkeep where some is asked for; directories are made where there are
    /// none.
    ///
    /// # Errors
    /// Where a directory or a thread cannot be made.
    pub fn start(settings: &terms::Journal, metrics: Arc<Metrics>) -> io::Result<Self> {
        let directory = settings.directory.clone();
        fs::create_dir_all(&directory)?;
        let (orders, receiver) = mpsc::sync_channel(WAITING_MAX);
        let writer = Writer::new(settings, Arc::clone(&metrics));
        let thread = std::thread::Builder::new()
            .name("usage-journal".to_owned())
            .spawn(move || writer.run(&receiver))?;
        let thread = Mutex::new(Some(thread));
        let reports = tokio::sync::Mutex::default();
        Ok(Self { directory, orders, metrics, thread, reports, _upkeep: Upkeep::start(settings)? })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Journal, file_of};
    use crate::config::snapshot::terms;
    use crate::telemetry::fixture::{record, refused};
    use crate::telemetry::metrics::Metrics;
    use crate::types::{MicroUsd, TokenUsage};
    use crate::usage::report::{Query, Report, read};
    use crate::usage::{UsageRecord, UsageSource};

    const DAY: &str = "1970-01-01";

    /// A journal that is synced at the end only.
    fn kept(directory: &Path) -> terms::Journal {
        let (directory, sync) = (directory.to_owned(), Duration::from_secs(3600));
        terms::Journal { directory, sync, keep_days: None, export: None }
    }

    fn request(metrics: &Metrics, id: u32, cost: u64) -> UsageRecord {
        let mut request = record(metrics, "chat", "a/one");
        request.request_id = format!("{id:032x}").into();
        request.started = std::time::UNIX_EPOCH + Duration::from_millis(1500);
        request.charge.tokens = TokenUsage { input: 10, output: 2, ..TokenUsage::default() };
        request.charge.source = Some(UsageSource::Reported);
        request.charge.cost = Some(MicroUsd(cost));
        request
    }

    fn report(directory: &Path) -> Report {
        let query = Query::parse(&format!("group_by=tenant,model&from={DAY}&to={DAY}")).unwrap();
        read(directory, &query).unwrap()
    }

    #[test]
    fn each_request_is_a_line_and_counts_once_whatever_happened_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("usage");
        let metrics = Arc::new(Metrics::new(1));
        let journal = Journal::start(&kept(&path), Arc::clone(&metrics)).unwrap();
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
        let journal = Journal::start(&kept(&path), Arc::clone(&metrics)).unwrap();
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
        let settings = kept(&file.path().join("x"));
        assert!(Journal::start(&settings, Arc::new(Metrics::new(1))).is_err());
    }

    #[test]
    fn what_was_written_is_synced_when_its_time_has_come_and_at_the_end() {
        let metrics = Arc::new(Metrics::new(1));
        let syncs = || {
            let page = metrics.render().unwrap();
            let line = page.lines().find(|line| line.starts_with("tollgate_usage_journal_syncs"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let at_once = terms::Journal { sync: Duration::ZERO, ..kept(directory.path()) };
        let journal = Journal::start(&at_once, Arc::clone(&metrics)).unwrap();
        for id in 0..3 {
            journal.write(&request(&metrics, id, 1));
            journal.flush();
        }
        assert_eq!(syncs(), 3);
        drop(journal);
        assert_eq!(syncs(), 3, "there was nothing left");
        let journal = Journal::start(&kept(directory.path()), Arc::clone(&metrics)).unwrap();
        journal.write(&request(&metrics, 3, 1));
        journal.flush();
        assert_eq!(syncs(), 3, "not for an hour");
        drop(journal);
        assert_eq!(syncs(), 4);
    }
}
