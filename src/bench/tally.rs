//! What was measured: histograms, counts, and faults by kind.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::events::Arrivals;

/// The longest duration told apart, in nanoseconds: an hour. Longer ones count as this.
const NANOSECONDS_MAX: u64 = 3_600_000_000_000;
/// Durations below this many nanoseconds are one.
const NANOSECONDS_MIN: u64 = 100;
/// Significant digits that a histogram keeps.
const DIGITS: u8 = 3;

/// Why a request has no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection, or no TLS on it.
    Connect,
    /// No whole answer in time.
    Timeout,
    /// A status below 400 that is no success.
    Redirect,
    /// A status from 400 to 499.
    Client,
    /// A status from 500 on.
    Server,
    /// The connection ended before an answer began.
    Lost,
    /// An answer or a stream broke off.
    Broken,
    /// It was due and no connection was free before the run ended.
    Unsent,
}

impl Fault {
    /// Every kind, with the name it is reported by.
    pub(super) const ALL: [(Self, &'static str); 8] = [
        (Self::Connect, "connect"),
        (Self::Timeout, "timeout"),
        (Self::Redirect, "status 3xx"),
        (Self::Client, "status 4xx"),
        (Self::Server, "status 5xx"),
        (Self::Lost, "no answer"),
        (Self::Broken, "broken answer"),
        (Self::Unsent, "never sent"),
    ];

    /// Whether half an answer may lie on the connection.
    pub(super) fn breaks_connection(self) -> bool {
        !matches!(self, Self::Redirect | Self::Client | Self::Server)
    }
}

/// Durations in nanoseconds.
pub(super) struct Durations(Histogram<u64>);

impl Durations {
    fn new() -> Option<Self> {
        Histogram::new_with_bounds(NANOSECONDS_MIN, NANOSECONDS_MAX, DIGITS).ok().map(Self)
    }

    pub(super) fn add(&mut self, duration: Duration, count: u64) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record_n(nanoseconds, count);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that this share (0 to 1) of all stayed within, in microseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1000.0
    }

    /// In microseconds.
    pub(super) fn mean(&self) -> f64 {
        self.0.mean() / 1000.0
    }

    /// In microseconds.
    pub(super) fn max(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so this cannot fail.
        let _ = self.0.add(&other.0);
    }
}

/// One kind of request of a mix.
pub(super) struct Kind {
    pub(super) answered: u64,
    pub(super) latency: Durations,
}

/// What one thread, or a whole run, has measured.
pub(super) struct Tally {
    /// From when a request was due to the last byte of its answer. Requests without an answer in
    /// time count as well, with the time they were waited for.
    pub(super) latency: Durations,
    /// From when a request was due to the first text of its stream.
    pub(super) first_token: Durations,
    /// Between an event of a stream and the one before.
    pub(super) between_tokens: Durations,
    /// From when a request was due to when it was sent.
    pub(super) send_delay: Durations,
    pub(super) kinds: Vec<Kind>,
    pub(super) connections: u64,
    pub(super) body_bytes: u64,
    /// When the last answer was complete.
    pub(super) last: Option<Instant>,
    pub(super) first_fault: Option<String>,
    faults: [u64; Fault::ALL.len()],
}

impl Tally {
    /// An empty one; `None` never happens with the bounds above.
    pub(super) fn new(kinds: usize) -> Option<Self> {
        let kind = || Some(Kind { answered: 0, latency: Durations::new()? });
        Some(Self {
            latency: Durations::new()?,
            first_token: Durations::new()?,
            between_tokens: Durations::new()?,
            send_delay: Durations::new()?,
            kinds: (0..kinds).map(|_| kind()).collect::<Option<_>>()?,
            connections: 0,
            body_bytes: 0,
            last: None,
            first_fault: None,
            faults: [0; Fault::ALL.len()],
        })
    }

    /// A whole answer to a request that was due then.
    pub(super) fn answered(&mut self, kind: usize, due: Instant, body_bytes: u64) {
        let now = Instant::now();
        let latency = now.saturating_duration_since(due);
        self.last = Some(now);
        self.latency.add(latency, 1);
        self.body_bytes += body_bytes;
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.answered += 1;
            kind.latency.add(latency, 1);
        }
    }

    /// When the events of a whole stream arrived.
    pub(super) fn streamed(&mut self, due: Instant, arrivals: &Arrivals) {
        if let Some(first) = arrivals.first() {
            self.first_token.add(first.saturating_duration_since(due), 1);
        }
        for gap in arrivals.gaps() {
            self.between_tokens.add(gap.waited, 1);
            self.between_tokens.add(Duration::ZERO, gap.events - 1);
        }
    }

    /// A request without a good answer; `waited` where nothing came in time.
    pub(super) fn failed(&mut self, fault: Fault, waited: Option<Duration>, what: &str) {
        if let Some(waited) = waited {
            self.latency.add(waited, 1);
        }
        let counts = Fault::ALL.iter().zip(&mut self.faults);
        counts.filter(|((known, _), _)| *known == fault).for_each(|(_, count)| *count += 1);
        if self.first_fault.is_none() {
            self.first_fault = Some(what.to_owned());
        }
    }

    /// Requests with a good answer.
    pub(super) fn good(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.answered).sum()
    }

    /// Requests without one.
    pub(super) fn failures(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// How many requests met each kind of fault; kinds that none met are left out.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = Fault::ALL.iter().zip(self.faults);
        counts.filter(|(_, count)| *count > 0).map(|((_, name), count)| (*name, count))
    }

    /// Adds what another thread or round has measured.
    pub(super) fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.between_tokens.merge(&other.between_tokens);
        self.send_delay.merge(&other.send_delay);
        for (kind, other) in self.kinds.iter_mut().zip(&other.kinds) {
            kind.answered += other.answered;
            kind.latency.merge(&other.latency);
        }
        self.connections += other.connections;
        self.body_bytes += other.body_bytes;
        self.last = self.last.max(other.last);
        if self.first_fault.is_none() {
            self.first_fault.clone_from(&other.first_fault);
        }
        for (count, other) in self.faults.iter_mut().zip(other.faults) {
            *count += other;
        }
    }
}
