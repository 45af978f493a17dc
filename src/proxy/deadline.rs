//! The deadline of the attempt under way: one timer a request, moved by storing a number.
//!
//! Each chunk of an answer moves the deadline. Arming a timer for each would cost more than
//! the chunk; here the moment lies in an atomic, and the one timer, when it fires, looks
//! whether the moment has really come, or sleeps on until it does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// What the gateway is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The upstream's first byte.
    FirstByte,
    /// The upstream's next byte.
    BetweenBytes,
    /// The end of the request's whole time.
    Total,
}

impl Phase {
    /// What has run out, for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::FirstByte => "no first byte in time",
            Phase::BetweenBytes => "no further byte in time",
            Phase::Total => "the request's time is used up",
        }
    }
}

/// When the attempt under way has taken too long.
pub struct Deadline {
    /// When the request arrived.
    start: Instant,
    /// The end of the whole request, milliseconds after `start`.
    total_ms: u64,
    /// The end of the current wait, milliseconds after `start`.
    wait_ms: AtomicU64,
    /// `Phase::FirstByte` or `Phase::BetweenBytes`, as a number.
    wait_phase: AtomicU8,
}

const FIRST_BYTE: u8 = 0;
const BETWEEN_BYTES: u8 = 1;

impl Deadline {
    /// A deadline that is only the request's whole time, until a wait is set.
    pub fn new(start: Instant, total: Duration) -> Self {
        let total_ms = millis(total);
        Self {
            start,
            total_ms,
            wait_ms: AtomicU64::new(total_ms),
            wait_phase: AtomicU8::new(FIRST_BYTE),
        }
    }

    /// The time left to the whole request.
    pub fn left(&self, now: Instant) -> Duration {
        let gone = now.saturating_duration_since(self.start);
        Duration::from_millis(self.total_ms).saturating_sub(gone)
    }

    /// The first byte must arrive within `wait` from now.
    pub fn await_first_byte(&self, wait: Duration, now: Instant) {
        self.set(FIRST_BYTE, wait, now);
    }

    /// The next byte must arrive within `wait` from now.
    pub fn await_next_byte(&self, wait: Duration, now: Instant) {
        self.set(BETWEEN_BYTES, wait, now);
    }

    /// No further byte is waited for.
    pub fn expire(&self, now: Instant) {
        self.set(BETWEEN_BYTES, Duration::ZERO, now);
    }

    /// The end of the whole request.
    pub fn end(&self) -> Instant {
        self.start + Duration::from_millis(self.total_ms)
    }

    /// When to look next: the end of the current wait or of the whole time.
    fn next(&self) -> Instant {
        let ends_ms = self.wait_ms.load(Ordering::Relaxed).min(self.total_ms);
        self.start + Duration::from_millis(ends_ms)
    }

    /// What has run out at `now`, if anything has.
    pub fn check(&self, now: Instant) -> Option<Phase> {
        let now_ms = millis(now.saturating_duration_since(self.start));
        if now_ms >= self.total_ms {
            return Some(Phase::Total);
        }
        if now_ms < self.wait_ms.load(Ordering::Relaxed) {
            return None;
        }
        match self.wait_phase.load(Ordering::Relaxed) {
            FIRST_BYTE => Some(Phase::FirstByte),
            _ => Some(Phase::BetweenBytes),
        }
    }

    fn set(&self, phase: u8, wait: Duration, now: Instant) {
        let gone_ms = millis(now.saturating_duration_since(self.start));
        let ends_ms = gone_ms.saturating_add(millis(wait));
        self.wait_phase.store(phase, Ordering::Relaxed);
        self.wait_ms.store(ends_ms, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The one timer of a request, which follows its [`Deadline`].
pub struct Timer {
    deadline: Arc<Deadline>,
    /// Made at the first poll, so that an answer that is already there costs no timer.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// A timer that is not armed yet.
    pub fn new(deadline: Arc<Deadline>) -> Self {
        Self { deadline, sleep: None }
    }

    /// The end of the whole request.
    pub fn end(&self) -> Instant {
        self.deadline.end()
    }

    /// Ready once the current wait, or the whole time, is over.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            let next = self.deadline.next();
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
            // A later moment is found out when the timer fires; an earlier one must be set.
            if next < sleep.deadline() {
                sleep.as_mut().reset(next);
            }
            ready!(sleep.as_mut().poll(cx));
            if let Some(phase) = self.deadline.check(Instant::now()) {
                return Poll::Ready(phase);
            }
            sleep.as_mut().reset(self.deadline.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::{Arc, Deadline, Duration, Instant, Phase, Poll, Timer};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_moved_on_does_not_expire() {
        let deadline = Arc::new(Deadline::new(Instant::now(), 100 * SECOND));
        let mut timer = Timer::new(deadline.clone());
        deadline.await_next_byte(2 * SECOND, Instant::now());
        let chunks = async {
            for _ in 0..20 {
                tokio::time::sleep(SECOND).await;
                deadline.await_next_byte(2 * SECOND, Instant::now());
            }
            std::future::pending::<()>().await;
        };
        let started = Instant::now();
        let phase = tokio::select! {
            phase = poll_fn(|cx| timer.poll_expired(cx)) => phase,
            () = chunks => unreachable!(),
        };
        assert_eq!(phase, Phase::BetweenBytes);
        assert_eq!(started.elapsed().as_secs(), 22);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_wait_replaces_a_longer_one() {
        let deadline = Arc::new(Deadline::new(Instant::now(), 100 * SECOND));
        let mut timer = Timer::new(deadline.clone());
        deadline.await_first_byte(60 * SECOND, Instant::now());
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await.is_pending());
        deadline.await_next_byte(SECOND, Instant::now());
        let started = Instant::now();
        assert_eq!(poll_fn(|cx| timer.poll_expired(cx)).await, Phase::BetweenBytes);
        assert_eq!(started.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_time_ends_every_wait() {
        let deadline = Arc::new(Deadline::new(Instant::now(), 3 * SECOND));
        let mut timer = Timer::new(deadline.clone());
        deadline.await_first_byte(60 * SECOND, Instant::now());
        assert_eq!(poll_fn(|cx| timer.poll_expired(cx)).await, Phase::Total);
        assert_eq!(deadline.left(Instant::now()), Duration::ZERO);
    }
}
