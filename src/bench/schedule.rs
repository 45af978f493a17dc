//! When each request is due: at once (closed loop), at a constant rate, or as recorded.
//!
//! In an open loop a request is due whether or not a connection is free, and its latency counts
//! from then. So a server that stalls is charged for every request that it kept waiting, not only
//! for the few that were on their way: there is no coordinated omission. A thread of its own
//! releases what is due, since the runtime's timers are a millisecond coarse.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The longest sleep of the pacer: an interrupt waits for it.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// What decides when the next request is due.
#[derive(Clone, Debug)]
pub(super) enum Pace {
    /// Each connection asks again as soon as it has its answer.
    Closed,
    /// So many requests a second.
    Rate(f64),
    /// The offsets of recorded requests, in ascending order.
    Trace(Vec<Duration>),
}

/// Where a run ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Nothing is due from here on.
    pub(super) time: Option<Duration>,
    /// The most requests.
    pub(super) requests: u64,
}

/// A request to be sent now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Counted from 0 over all connections.
    pub(super) number: u64,
    /// When it was to be sent: latency counts from here.
    pub(super) due: Instant,
}

/// The requests of a run, in order; shared by all connections.
pub(super) struct Schedule {
    pace: Pace,
    bounds: Bounds,
    started: OnceLock<Instant>,
    released: AtomicU64,
    taken: AtomicU64,
    closed: AtomicBool,
    all_released: OnceLock<Instant>,
    /// A permit is a request that is due and that no connection has taken.
    due: Semaphore,
}

impl Schedule {
    pub(super) fn new(pace: Pace, bounds: Bounds) -> Self {
        Self {
            pace,
            bounds,
            started: OnceLock::new(),
            released: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            all_released: OnceLock::new(),
            due: Semaphore::new(0),
        }
    }

    /// The run begins; whoever comes first says when.
    pub(super) fn start(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }

    /// Whether requests are due by the clock.
    pub(super) fn is_open_loop(&self) -> bool {
        !matches!(self.pace, Pace::Closed)
    }

    /// Waits for a request to be due and takes it; `None` when the run is over.
    pub(super) async fn next(&self) -> Option<Ticket> {
        if self.is_open_loop() {
            self.due.acquire().await.ok()?.forget();
        }
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let started = self.start();
        let due = if self.is_open_loop() {
            started + self.offset(number)?
        } else {
            let now = Instant::now();
            self.is_within(number, now - started).then_some(now)?
        };
        Some(Ticket { number, due })
    }

    /// Releases every request when it is due; returns behind the last one, or once closed.
    pub(super) fn release(&self) {
        sleep_precisely();
        let started = self.start();
        let mut number = 0;
        while let Some(offset) = self.offset(number) {
            while let Some(wait) = offset.checked_sub(started.elapsed()).filter(|w| !w.is_zero()) {
                if self.closed.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(wait.min(SLEEP_MAX));
            }
            let (now, first) = (started.elapsed(), number);
            number += 1;
            while self.offset(number).is_some_and(|offset| offset <= now) {
                number += 1;
            }
            self.released.store(number, Ordering::Relaxed);
            self.due.add_permits(usize::try_from(number - first).unwrap_or(usize::MAX));
        }
        self.all_released.get_or_init(Instant::now);
        self.end_if_done();
    }

    /// Ends an open loop whose last request was taken, or has waited for `patience`.
    pub(super) fn end_if_overdue(&self, patience: Duration) {
        if self.all_released.get().is_some_and(|at| at.elapsed() >= patience) {
            self.close();
        }
        self.end_if_done();
    }

    /// Nothing more is sent.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.due.close();
    }

    /// When each request was due that no connection was free for.
    pub(super) fn unsent(&self) -> impl Iterator<Item = Instant> {
        let (taken, released) =
            (self.taken.load(Ordering::Relaxed), self.released.load(Ordering::Relaxed));
        let started = self.start();
        (taken..released).filter_map(move |number| Some(started + self.offset(number)?))
    }

    fn end_if_done(&self) {
        let all_taken = self.taken.load(Ordering::Relaxed) >= self.released.load(Ordering::Relaxed);
        if self.all_released.get().is_some() && all_taken {
            self.close();
        }
    }

    /// When a request of an open loop is due, from the start on; `None` behind the last one.
    fn offset(&self, number: u64) -> Option<Duration> {
        let offset = match &self.pace {
            Pace::Closed => return None,
            Pace::Rate(rate) => Duration::from_secs_f64(number as f64 / rate),
            Pace::Trace(offsets) => *offsets.get(usize::try_from(number).ok()?)?,
        };
        self.is_within(number, offset).then_some(offset)
    }

    fn is_within(&self, number: u64, offset: Duration) -> bool {
        number < self.bounds.requests && self.bounds.time.is_none_or(|end| offset < end)
    }
}

/// Linux lets a sleep be late by 50 µs to save wake-ups: not in this thread.
#[cfg(target_os = "linux")]
fn sleep_precisely() {
    const SLACK_NANOSECONDS: u64 = 1;
    // Where it is refused, sleeps are as late as ever: the figures say by how much.
    let _refused = nix::sys::prctl::set_timerslack(SLACK_NANOSECONDS);
}

#[cfg(not(target_os = "linux"))]
fn sleep_precisely() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(pace: Pace, time_ms: Option<u64>, requests: u64) -> Schedule {
        let bounds = Bounds { time: time_ms.map(Duration::from_millis), requests };
        Schedule::new(pace, bounds)
    }

    async fn all(schedule: &Schedule) -> Vec<(u64, Duration)> {
        let started = schedule.start();
        let mut tickets = Vec::new();
        while let Some(ticket) = schedule.next().await {
            tickets.push((ticket.number, ticket.due - started));
        }
        tickets
    }

    #[tokio::test]
    async fn a_rate_is_a_grid_in_time_whenever_requests_are_taken() {
        let schedule = schedule(Pace::Rate(1000.0), Some(5), u64::MAX);
        schedule.start();
        thread::scope(|threads| threads.spawn(|| schedule.release()).join()).unwrap();
        let expected: Vec<_> = (0..5).map(|n| (n, Duration::from_millis(n))).collect();
        assert_eq!(schedule.unsent().count(), 5);
        let mut taken = Vec::new();
        for _ in 0..5 {
            let ticket = schedule.next().await.unwrap();
            taken.push((ticket.number, ticket.due - schedule.start()));
        }
        assert_eq!(taken, expected);
        schedule.end_if_overdue(Duration::from_secs(3600));
        assert!(schedule.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_due_and_not_taken_is_known_by_when_it_was_due() {
        let offsets = [0, 3, 3].map(Duration::from_millis).to_vec();
        let schedule = schedule(Pace::Trace(offsets), None, u64::MAX);
        thread::scope(|threads| threads.spawn(|| schedule.release()).join()).unwrap();
        schedule.next().await.unwrap();
        schedule.end_if_overdue(Duration::ZERO);
        assert!(schedule.next().await.is_none(), "nobody waits longer");
        let waited: Vec<_> = schedule.unsent().map(|due| due - schedule.start()).collect();
        assert_eq!(waited, [3, 3].map(Duration::from_millis));
    }

    #[tokio::test]
    async fn a_closed_loop_ends_with_its_last_request() {
        let tickets = all(&schedule(Pace::Closed, None, 3)).await;
        assert_eq!(tickets.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(tickets.is_sorted_by_key(|(_, due)| *due));
        assert_eq!(all(&schedule(Pace::Closed, Some(0), u64::MAX)).await, []);
    }
}
