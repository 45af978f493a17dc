//! Accounting that takes its time: on a thread of its own, behind the request's end.
//!
//! To count tokens may take milliseconds, and the first time a tenth of a second, which a worker's other
//! requests would wait for. A request whose usage was not reported is settled and accounted here. Where
//! so many wait that there is no room, whoever brings one more does it at once, so nothing is lost.

use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// Requests that may wait.
const WAITING_MAX: usize = 4096;

/// What is left to do for a request that has ended.
pub type Work = Box<dyn FnOnce() + Send>;

/// The thread that does it.
pub struct Later {
    work: Option<SyncSender<Work>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Later {
    /// Starts the thread. Where there is none to be had, everything is done at once.
    pub fn start() -> Self {
        let (work, receiver) = mpsc::sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("usage-measure".to_owned());
        match thread.spawn(move || run(&receiver)) {
            Ok(thread) => Self { work: Some(work), thread: Mutex::new(Some(thread)) },
            Err(error) => {
                log::error!("no thread can be started to count tokens on, so workers do: {error}");
                Self { work: None, thread: Mutex::default() }
            }
        }
    }

    /// Has work done soon.
    pub fn take(&self, work: Work) {
        let Some(sender) = &self.work else { return work() };
        match sender.try_send(work) {
            Ok(()) => {}
            Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) => work(),
        }
    }

    /// Waits until everything that was taken is done. Not for a worker's thread.
    pub fn flush(&self) {
        let (done, is_done) = mpsc::sync_channel(1);
        let tell: Work = Box::new(move || {
            // Whoever waits may have left.
            let _gone = done.send(());
        });
        if self.work.as_ref().is_some_and(|sender| sender.send(tell).is_ok()) {
            // An error means that the thread has left, behind everything that it had.
            let _left = is_done.recv();
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.work = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic was told when it happened.
        let _ended = thread.map(JoinHandle::join);
    }
}

fn run(work: &Receiver<Work>) {
    for work in work {
        work();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Later, WAITING_MAX};

    #[test]
    fn all_that_is_taken_is_done_though_there_is_no_room() {
        let (later, done) = (Later::start(), Arc::new(AtomicUsize::new(0)));
        let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
        later.take(Box::new(move || {
            let _closed = held.recv();
        }));
        for _ in 0..2 * WAITING_MAX {
            let done = Arc::clone(&done);
            later.take(Box::new(move || {
                done.fetch_add(1, Ordering::Relaxed);
            }));
        }
        assert!(
            done.load(Ordering::Relaxed) >= WAITING_MAX - 1,
            "what has no room is done at once"
        );
        drop(hold);
        later.flush();
        assert_eq!(done.load(Ordering::Relaxed), 2 * WAITING_MAX);
    }
}
