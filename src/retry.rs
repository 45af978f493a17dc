//! Whether a failed attempt is followed by another: one pure table.
//!
//! [`decide`] reads a failure, the alias's policy and how far the request has come. It
//! knows no socket, no clock and no endpoint, so every row can be tested. How many retries
//! an alias may make in all is asked of its [`budget::Budget`] afterwards.

pub mod budget;

use std::time::Duration;

use crate::config::snapshot::Retry;
use crate::error::Kind;
use crate::usage::Outcome;

/// How often the wait before another attempt at most doubles.
const BACKOFF_DOUBLINGS_MAX: usize = 5;

/// How far a request has come when an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Attempts begun, the failed one included.
    pub attempts_made: usize,
    /// Whether a target is left that this request has not tried.
    pub untried_left: bool,
    /// Whether the failed upstream said when to come back (`Retry-After`).
    pub told_to_wait: bool,
    /// Whether anything of an answer went to the client: from then on there is no other attempt.
    pub bytes_sent_downstream: bool,
    /// Since the request's arrival.
    pub elapsed: Duration,
    /// How long another attempt would have to wait first.
    pub wait: Duration,
    /// What the request may take in all, over all attempts.
    pub total: Duration,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt, if the budget has one left.
    Again,
    /// None: this is what the client gets.
    Stop(Kind),
}

/// Decides what follows a failed attempt.
///
/// There is no other attempt once a byte went downstream, once the attempts are used up,
/// once the request's whole time is over or would be before it began, or where every target asked to be left alone.
pub fn decide(failure: Outcome, policy: &Retry, progress: Progress) -> Verdict {
    let over = progress.bytes_sent_downstream
        || progress.attempts_made >= policy.attempts_max
        || progress.elapsed.saturating_add(progress.wait) >= progress.total;
    // Who is over its limit, said when to come back or cannot be authorised need not be asked again.
    let unwilling =
        matches!(failure, Outcome::Status(429) | Outcome::NoCredential) || progress.told_to_wait;
    let limited = unwilling && !progress.untried_left;
    if over || limited || !retryable(failure, policy) {
        Verdict::Stop(kind(failure))
    } else {
        Verdict::Again
    }
}

/// How long to wait before an endpoint that failed is asked again: a random time between half of a wait and
/// the whole, so that requests that failed together do not come back together. The wait doubles with each
/// attempt. `draw` is uniform from 0 to 1.
pub fn backoff(first: Duration, attempts_made: usize, draw: f64) -> Duration {
    let doublings = attempts_made.saturating_sub(1).min(BACKOFF_DOUBLINGS_MAX);
    let whole = first.saturating_mul(1 << doublings);
    whole.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

/// What the client gets where a failure is the last word: also when the budget is empty.
pub const fn kind(failure: Outcome) -> Kind {
    match failure {
        Outcome::Answered(status) | Outcome::Status(status) => match status {
            401 | 403 => Kind::UpstreamCredential,
            429 => Kind::UpstreamRateLimited,
            _ => Kind::UpstreamStatus,
        },
        Outcome::NoCredential => Kind::CredentialUnavailable,
        Outcome::Connect | Outcome::ConnectTimeout => Kind::UpstreamUnreachable,
        Outcome::FirstByteTimeout | Outcome::BetweenBytesTimeout | Outcome::TotalTimeout => {
            Kind::UpstreamTimeout
        }
        Outcome::Broken => Kind::UpstreamBroken,
        Outcome::ClientGone => Kind::ClientGone,
        Outcome::Internal => Kind::Internal,
    }
}

/// Whether a failure is worth another attempt at all.
fn retryable(failure: Outcome, policy: &Retry) -> bool {
    match failure {
        Outcome::Status(status) => policy.statuses.binary_search(&status).is_ok(),
        // Another provider has a credential of its own; the same one has none for all its endpoints.
        Outcome::NoCredential
        | Outcome::Connect
        | Outcome::ConnectTimeout
        | Outcome::FirstByteTimeout
        | Outcome::BetweenBytesTimeout
        | Outcome::Broken => true,
        // An answer that was passed on is the client's already; without time or without a
        // client another attempt serves nobody; our own fault would only be repeated.
        Outcome::Answered(_) | Outcome::TotalTimeout | Outcome::ClientGone | Outcome::Internal => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Outcome, Progress, Retry, Verdict, backoff, decide};
    use std::time::Duration;

    use Outcome::{
        Answered, BetweenBytesTimeout, Broken, ClientGone, Connect, ConnectTimeout,
        FirstByteTimeout, Internal, NoCredential, Status, TotalTimeout,
    };

    fn policy() -> Retry {
        Retry {
            attempts_max: 3,
            statuses: vec![429, 500, 502, 503, 504],
            budget_percent: 20,
            budget_min_per_second: 10,
            backoff: Duration::ZERO,
        }
    }

    fn early() -> Progress {
        Progress {
            attempts_made: 1,
            untried_left: true,
            told_to_wait: false,
            bytes_sent_downstream: false,
            elapsed: Duration::from_secs(1),
            wait: Duration::ZERO,
            total: Duration::from_secs(60),
        }
    }

    /// Every outcome, whether it is worth another attempt, and what the client gets without one.
    const TABLE: [(Outcome, bool, Kind); 18] = [
        (Answered(200), false, Kind::UpstreamStatus),
        (Answered(500), false, Kind::UpstreamStatus),
        (Status(400), false, Kind::UpstreamStatus),
        (Status(401), false, Kind::UpstreamCredential),
        (Status(403), false, Kind::UpstreamCredential),
        (Status(404), false, Kind::UpstreamStatus),
        (Status(429), true, Kind::UpstreamRateLimited),
        (Status(500), true, Kind::UpstreamStatus),
        (Status(503), true, Kind::UpstreamStatus),
        (NoCredential, true, Kind::CredentialUnavailable),
        (Connect, true, Kind::UpstreamUnreachable),
        (ConnectTimeout, true, Kind::UpstreamUnreachable),
        (FirstByteTimeout, true, Kind::UpstreamTimeout),
        (BetweenBytesTimeout, true, Kind::UpstreamTimeout),
        (TotalTimeout, false, Kind::UpstreamTimeout),
        (Broken, true, Kind::UpstreamBroken),
        (ClientGone, false, Kind::ClientGone),
        (Internal, false, Kind::Internal),
    ];

    #[test]
    fn a_failure_worth_it_is_tried_again_and_any_other_stops() {
        for (failure, again, kind) in TABLE {
            let expected = if again { Verdict::Again } else { Verdict::Stop(kind) };
            assert_eq!(decide(failure, &policy(), early()), expected, "{failure:?}");
        }
    }

    #[test]
    fn nothing_is_tried_again_after_the_first_byte_the_last_attempt_or_the_deadline() {
        let ends = [
            Progress { bytes_sent_downstream: true, ..early() },
            Progress { attempts_made: 3, ..early() },
            Progress { attempts_made: 4, ..early() },
            Progress { elapsed: Duration::from_secs(60), ..early() },
            Progress { elapsed: Duration::from_secs(61), ..early() },
            Progress { wait: Duration::from_secs(59), ..early() },
            Progress { wait: Duration::MAX, ..early() },
        ];
        for progress in ends {
            for (failure, _, kind) in TABLE {
                let verdict = decide(failure, &policy(), progress);
                assert_eq!(verdict, Verdict::Stop(kind), "{failure:?} at {progress:?}");
            }
        }
    }

    #[test]
    fn the_policy_says_which_statuses() {
        let none = Retry { statuses: Vec::new(), ..policy() };
        assert_eq!(decide(Status(503), &none, early()), Verdict::Stop(Kind::UpstreamStatus));
        let teapot = Retry { statuses: vec![418], ..policy() };
        assert_eq!(decide(Status(418), &teapot, early()), Verdict::Again);
    }

    #[test]
    fn who_asked_to_be_left_alone_is_not_asked_again_but_another_is() {
        for (failure, told_to_wait) in [(Status(429), false), (Status(503), true)] {
            let progress = Progress { told_to_wait, ..early() };
            assert_eq!(decide(failure, &policy(), progress), Verdict::Again);
            let alone = Progress { untried_left: false, ..progress };
            let stop = Verdict::Stop(super::kind(failure));
            assert_eq!(decide(failure, &policy(), alone), stop, "{failure:?}");
        }
        let alone = Progress { untried_left: false, ..early() };
        assert_eq!(decide(Status(503), &policy(), alone), Verdict::Again);
    }

    #[test]
    fn a_wait_doubles_up_to_a_limit_and_is_drawn_from_its_second_half() {
        let ms = Duration::from_millis;
        for (first, attempts, draw, expected) in [
            (100, 1, 1.0, 100),
            (100, 1, 0.0, 50),
            (100, 1, 0.5, 75),
            (100, 2, 1.0, 200),
            (100, 3, 0.0, 200),
            (100, 6, 1.0, 3200),
            (100, 16, 1.0, 3200),
            (100, usize::MAX, 1.0, 3200),
            (100, 0, 1.0, 100),
            (0, 9, 1.0, 0),
            (100, 1, 7.0, 100),
        ] {
            let wait = backoff(ms(first), attempts, draw);
            assert_eq!(wait, ms(expected), "{first} ms, attempt {attempts}, draw {draw}");
        }
    }

    #[test]
    fn the_last_attempt_but_one_still_has_one_left() {
        let progress = Progress { attempts_made: 2, ..early() };
        assert_eq!(decide(Connect, &policy(), progress), Verdict::Again);
    }
}
