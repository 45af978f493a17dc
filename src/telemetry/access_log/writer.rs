//! The thread that writes the access log, and the file it writes to.
//!
//! Nothing here stops the gateway: a file that takes no more is reported once, its lines are
//! counted as lost, and writing goes on as soon as it can.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::line::LineFormat;
use super::{INTERVAL, Order, Queues, State};
use crate::config::snapshot;
use crate::telemetry::metrics::{LostLine, Metrics};
use crate::usage::UsageRecord;

/// A batch is written when it has grown to this size, and at the end of each round.
const BATCH_BYTES: usize = 256 * 1024;

/// Where lines go.
pub(super) enum Destination {
    /// Nowhere.
    None,
    /// To standard output, which cannot be opened again.
    Stdout(File),
    /// To a file that can.
    File(File, PathBuf),
}

impl Destination {
    /// Opens what the configuration names; a file is created where it is absent.
    pub(super) fn open(target: &snapshot::AccessLog) -> io::Result<Self> {
        Ok(match target {
            snapshot::AccessLog::Off => Destination::None,
            snapshot::AccessLog::Stdout => {
                Destination::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?))
            }
            snapshot::AccessLog::File(path) => Destination::File(append_to(path)?, path.clone()),
        })
    }

    fn file(&mut self) -> Option<&mut File> {
        match self {
            Destination::None => None,
            Destination::Stdout(file) | Destination::File(file, _) => Some(file),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path).map_err(|error| {
        io::Error::new(error.kind(), format!("access log {}: {error}", path.display()))
    })
}

/// The state of the writing thread.
pub(super) struct Writer {
    queues: Arc<Queues>,
    destination: Destination,
    metrics: Arc<Metrics>,
    format: LineFormat,
    /// Records of one queue while they are formatted.
    records: Vec<UsageRecord>,
    batch: Batch,
}

/// Lines that are written together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    /// The last write failed, so the next failure is no news.
    failing: bool,
    /// The last write ended within a line, so the next one starts a new line first.
    torn: bool,
}

impl Writer {
    pub(super) fn new(
        queues: Arc<Queues>,
        destination: Destination,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            queues,
            destination,
            metrics,
            format: LineFormat::default(),
            records: Vec::new(),
            batch: Batch::default(),
        }
    }

    /// Writes until told to close, or until the log's handle is gone.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let mut idle = false;
        loop {
            let order = if idle && self.queues.may_sleep() {
                orders.recv().unwrap_or(Order::Close)
            } else {
                match orders.recv_timeout(INTERVAL) {
                    Ok(order) => order,
                    Err(RecvTimeoutError::Timeout) => Order::Look,
                    Err(RecvTimeoutError::Disconnected) => Order::Close,
                }
            };
            if matches!(order, Order::Close) {
                // From here on a queue refuses records, so the last look finds all there are.
                self.queues.set(State::Closed);
            }
            idle = self.look() == 0;
            match order {
                Order::Look => {}
                Order::Reopen => self.reopen(),
                Order::Destination(destination) => {
                    self.destination = destination;
                    self.batch.torn = false;
                }
                // Whoever asked may have stopped waiting.
                Order::Flush(done) => drop(done.send(())),
                Order::Close => return,
            }
        }
    }

    /// Writes what is queued; returns how many records there were.
    fn look(&mut self) -> usize {
        let Self { queues, destination, metrics, format, records, batch } = self;
        let mut seen = 0;
        queues.take(records, |records| {
            seen += records.len();
            for record in records {
                format.append(record, &mut batch.bytes);
                batch.lines += 1;
                if batch.bytes.len() >= BATCH_BYTES {
                    batch.write(destination.file(), metrics);
                }
            }
        });
        batch.write(destination.file(), metrics);
        seen
    }

    fn reopen(&mut self) {
        if let Destination::File(file, path) = &mut self.destination {
            match append_to(path) {
                Ok(opened) => {
                    *file = opened;
                    self.batch.torn = false;
                }
                Err(error) => log::error!("{error}; the file that was open stays in use"),
            }
        }
    }
}

impl Batch {
    /// Writes the lines and empties the batch, whether that went well or not.
    fn write(&mut self, file: Option<&mut File>, metrics: &Metrics) {
        if let Some(file) = file
            && self.lines > 0
        {
            match self.write_to(file) {
                Ok(()) if self.failing => {
                    self.failing = false;
                    log::info!("the access log can be written again");
                }
                Ok(()) => {}
                Err(error) => {
                    if !self.failing {
                        log::error!("the access log cannot be written, lines are lost: {error}");
                    }
                    self.failing = true;
                    metrics.lines_lost(LostLine::WriteFailed, self.lines);
                }
            }
        }
        self.bytes.clear();
        self.lines = 0;
    }

    /// Writes everything, and on failure leaves in `lines` only those that were not written.
    fn write_to(&mut self, file: &mut impl Write) -> io::Result<()> {
        if self.torn {
            self.bytes.insert(0, b'\n');
        }
        let mut written = 0;
        loop {
            let Some(rest) = self.bytes.get(written..).filter(|rest| !rest.is_empty()) else {
                self.torn = false;
                return Ok(());
            };
            let error = match file.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.forget(written);
            return Err(error);
        }
    }

    /// Takes the lines that were written whole out of the count.
    fn forget(&mut self, written: usize) {
        let done = self.bytes.get(..written).unwrap_or_default();
        let ends = memchr::memchr_iter(b'\n', done).count() as u64;
        let complete = ends - u64::from(self.torn && written > 0);
        self.lines = self.lines.saturating_sub(complete);
        if let Some(last) = done.last() {
            self.torn = *last != b'\n';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk {
        content: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.content.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch(torn: bool) -> Batch {
        Batch { bytes: b"{1}\n{2}\n{3}\n".to_vec(), lines: 3, failing: false, torn }
    }

    #[test]
    fn a_full_disk_costs_only_the_lines_that_did_not_fit() {
        // (already torn, room, lines lost, torn afterwards)
        let cases = [
            (false, 0, 3, false),
            (false, 2, 3, true),
            (false, 4, 2, false),
            (false, 9, 1, true),
            (true, 0, 3, true),
            (true, 1, 3, false),
            (true, 5, 2, false),
            (true, 6, 2, true),
        ];
        for (torn, room, lost, torn_after) in cases {
            let mut batch = batch(torn);
            let failed = batch.write_to(&mut Disk { content: Vec::new(), room });
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!((batch.lines, batch.torn), (lost, torn_after), "torn {torn}, room {room}");
        }
    }

    #[test]
    fn a_line_torn_by_a_full_disk_does_not_spoil_the_next_one() {
        let mut disk = Disk { content: Vec::new(), room: 6 };
        let mut first = batch(false);
        first.write_to(&mut disk).unwrap_err();
        disk.room = usize::MAX;
        let mut second = batch(first.torn);
        second.write_to(&mut disk).unwrap();
        assert_eq!(disk.content, b"{1}\n{2\n{1}\n{2}\n{3}\n");
        assert!(!second.torn);
    }
}
