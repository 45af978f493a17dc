//! The access log: one JSON line a request, off the request path.
//!
//! [`AccessLog::write`] moves the record into a queue of the calling thread and returns; one
//! thread, `access-log`, takes the queues in turn, formats the lines and writes each batch at
//! once. It wakes every [`INTERVAL`] while there are requests and not at all while there are
//! none. A request never waits for the disk: when a queue is full its line is dropped, and
//! counted in `tollgate_access_log_dropped_total`. Lines of one thread keep their order.

mod json;
mod line;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::writer::{Destination, Writer};
use super::metrics::{LostLine, Metrics};
use super::shard::Sharded;
use crate::config::snapshot;
use crate::usage::UsageRecord;

/// The most lines that wait for the writer, for each thread. A thread that ends 40,000
/// requests a second makes 2,000 in one [`INTERVAL`].
pub const QUEUE_LINES_MAX: usize = 4096;

/// How long the writer gathers lines while there are any.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// The handle that requests are logged through, and everything else about the log.
pub struct AccessLog {
    queues: Arc<Queues>,
    orders: Sender<Order>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One queue a thread.
struct Queues(Sharded<Mutex<Queue>>);

/// Records on their way to the writer.
struct Queue {
    records: Vec<UsageRecord>,
    state: State,
    /// The writer sleeps until it is told to look.
    writer_sleeps: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No log is kept.
    Off,
    On,
    /// The writer has left.
    Closed,
}

/// What the writer is told. Records that were queued before an order are written before it.
enum Order {
    /// Look into the queues.
    Look,
    /// Open the same path again: the file has been moved away.
    Reopen,
    /// Write elsewhere from now on.
    Destination(Destination),
    /// Say when everything is written.
    Flush(SyncSender<()>),
    /// Write what there is and leave.
    Close,
}

/// What became of a record.
enum Pushed {
    Quietly,
    WakeWriter,
    Refused(State),
}

impl AccessLog {
    /// Opens the log and starts its writer, with a queue for each of `threads` threads.
    ///
    /// # Errors
    /// Where the file cannot be opened for appending, or no thread can be started.
    pub fn start(
        target: &snapshot::AccessLog,
        threads: usize,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let destination = Destination::open(target)?;
        let state = State::of(target);
        let queue = || Mutex::new(Queue { records: Vec::new(), state, writer_sleeps: false });
        let queues = Arc::new(Queues(Sharded::new(threads, queue)));
        let (orders, receiver) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&queues), destination, Arc::clone(&metrics));
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self { queues, orders, metrics, thread: Mutex::new(Some(thread)) })
    }

    /// Logs a request that has ended. Never waits; drops the line when the queue is full.
    pub fn write(&self, record: UsageRecord) {
        match self.queues.push(record) {
            Pushed::Quietly | Pushed::Refused(State::Off) => {}
            Pushed::WakeWriter => self.order(Order::Look),
            Pushed::Refused(State::On | State::Closed) => {
                self.metrics.lines_lost(LostLine::QueueFull, 1);
            }
        }
    }

    /// Opens the file again under its path, after it was moved away: soon, not at once. Lines
    /// of requests that ended before go to the file that was moved.
    pub fn reopen(&self) {
        self.order(Order::Reopen);
    }

    /// Writes to another target, or to none: soon, not at once. What was queued before goes
    /// to the old one.
    ///
    /// # Errors
    /// Where the new file cannot be opened: then everything stays as it was.
    pub fn retarget(&self, target: &snapshot::AccessLog) -> io::Result<()> {
        let destination = Destination::open(target)?;
        // Lines that are queued already are written first, and to the old destination.
        self.order(Order::Destination(destination));
        self.queues.set(State::of(target));
        Ok(())
    }

    /// Waits until every line of requests that have ended is written.
    pub fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        self.order(Order::Flush(done));
        // An error means that the writer has left, and it writes everything before it does.
        let _left = written.recv();
    }

    /// Writes every line of requests that have ended and stops the writer. Lines that come
    /// later are dropped and counted. A second call does nothing.
    pub fn close(&self) {
        self.order(Order::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!("the access log's writer panicked; lines are missing");
        }
    }

    fn order(&self, order: Order) {
        // The writer is gone after `close` only, and then there is nothing left to order.
        let _gone = self.orders.send(order);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn of(target: &snapshot::AccessLog) -> Self {
        match target {
            snapshot::AccessLog::Off => State::Off,
            snapshot::AccessLog::Stdout | snapshot::AccessLog::File(_) => State::On,
        }
    }
}

impl Queues {
    /// Queues a record for the writer, in the calling thread's queue.
    fn push(&self, record: UsageRecord) -> Pushed {
        let mut queue = lock(self.0.mine());
        if queue.state != State::On || queue.records.len() >= QUEUE_LINES_MAX {
            let state = queue.state;
            drop(queue);
            // The record is dropped here, outside the lock.
            return Pushed::Refused(state);
        }
        queue.records.push(record);
        let filling = queue.records.len() == QUEUE_LINES_MAX / 2;
        if std::mem::take(&mut queue.writer_sleeps) || filling {
            Pushed::WakeWriter
        } else {
            Pushed::Quietly
        }
    }

    /// Takes each queue's records in turn, leaving an empty buffer in their place.
    fn take(&self, buffer: &mut Vec<UsageRecord>, mut each: impl FnMut(&mut Vec<UsageRecord>)) {
        for queue in self.0.iter() {
            {
                let mut queue = lock(queue);
                queue.writer_sleeps = false;
                std::mem::swap(&mut queue.records, buffer);
            }
            each(buffer);
            buffer.clear();
        }
    }

    /// Asks every queue to wake the writer with its next record. False, if one holds records
    /// already.
    fn may_sleep(&self) -> bool {
        self.0.iter().all(|queue| {
            let mut queue = lock(queue);
            queue.writer_sleeps = true;
            queue.records.is_empty()
        })
    }

    /// Starts or stops taking records. A closed queue stays closed.
    fn set(&self, state: State) {
        for queue in self.0.iter() {
            let mut queue = lock(queue);
            if queue.state != State::Closed {
                queue.state = state;
            }
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // No code that can panic runs under the lock, so there is nothing broken to see.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
