//! Which slot of a counter array stands for which label value.
//!
//! Every array is indexed by an exhaustive match or by an enum's own order, so a new
//! variant cannot be forgotten, and no label value is made from what a client sent.

use crate::config::reload;
use crate::error::Kind;
use crate::types::Operation;
use crate::upstream::Ejection;
use crate::usage::Outcome;

/// Why a line is missing from the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostLine {
    /// The writer did not keep up, or had been closed.
    QueueFull,
    /// The file did not take it.
    WriteFailed,
}

/// `operation`: the path's, and none for a path that is not served.
pub(super) const OPERATIONS: usize = Operation::ALL.len() + 1;

/// The slot of a request's operation.
pub(super) fn operation(operation: Option<Operation>) -> usize {
    operation.map_or(Operation::ALL.len(), |operation| operation as usize)
}

/// The label of an operation's slot.
pub(super) fn operation_label(slot: usize) -> &'static str {
    Operation::ALL.get(slot).map_or("", |operation| operation.label())
}

/// `status`: the class, but 429 and 499 by themselves: they are no fault of the request.
pub(super) const STATUSES: [&str; 6] = ["2xx", "3xx", "4xx", "429", "499", "5xx"];

/// The slot of a status sent to a client.
pub(super) const fn status(status: u16) -> usize {
    match status {
        0..=299 => 0,
        300..=399 => 1,
        429 => 3,
        499 => 4,
        400..=498 => 2,
        500.. => 5,
    }
}

/// `outcome` and `reason` of an attempt, as `Outcome::label` has them.
pub(super) const OUTCOMES: [&str; 15] = [
    "1xx",
    "2xx",
    "3xx",
    "429",
    "4xx",
    "5xx",
    "connect",
    "connect_timeout",
    "first_byte_timeout",
    "between_bytes_timeout",
    "total_timeout",
    "broken",
    "client_gone",
    "internal",
    "no_credential",
];

/// The slot of an attempt's outcome.
pub(super) const fn outcome(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Answered(status) | Outcome::Status(status) => match status {
            100..=199 => 0,
            200..=299 => 1,
            300..=399 => 2,
            429 => 3,
            400..=499 => 4,
            _ => 5,
        },
        Outcome::Connect => 6,
        Outcome::ConnectTimeout => 7,
        Outcome::FirstByteTimeout => 8,
        Outcome::BetweenBytesTimeout => 9,
        Outcome::TotalTimeout => 10,
        Outcome::Broken => 11,
        Outcome::ClientGone => 12,
        Outcome::Internal => 13,
        Outcome::NoCredential => 14,
    }
}

/// `code` of an error, as `Kind::code` has it.
pub(super) const ERRORS: usize = Kind::ALL.len();

/// `class` of tokens, in the order of `TokenUsage`'s members.
pub(super) const TOKENS: [&str; 5] = ["input", "cache_read", "cache_write", "output", "reasoning"];

/// `reason` of an ejection.
pub(super) const EJECTIONS: [&str; 3] = ["failures", "rate_limited", "check"];

/// The slot of an ejection.
pub(super) const fn ejection(reason: Ejection) -> usize {
    match reason {
        Ejection::Failures => 0,
        Ejection::RateLimited => 1,
        Ejection::Check => 2,
    }
}

/// `outcome` of a reload.
pub(super) const RELOADS: [&str; 2] = ["applied", "refused"];

/// The slot of a reload's outcome.
pub(super) const fn reload(outcome: reload::Outcome) -> usize {
    match outcome {
        reload::Outcome::Applied => 0,
        reload::Outcome::Refused => 1,
    }
}

/// `reason` of a line that is missing from the access log.
pub(super) const LOSSES: [&str; 2] = ["queue_full", "write_failed"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_lies_in_the_slot_of_its_label() {
        let by_status = (0..=999).flat_map(|s| [Outcome::Answered(s), Outcome::Status(s)]);
        let others = [
            Outcome::Connect,
            Outcome::ConnectTimeout,
            Outcome::FirstByteTimeout,
            Outcome::BetweenBytesTimeout,
            Outcome::TotalTimeout,
            Outcome::Broken,
            Outcome::ClientGone,
            Outcome::Internal,
            Outcome::NoCredential,
        ];
        for seen in by_status.chain(others) {
            assert_eq!(OUTCOMES[outcome(seen)], seen.label(), "{seen:?}");
        }
    }

    #[test]
    fn statuses_fall_into_their_class() {
        let cases = [
            (200, "2xx"),
            (204, "2xx"),
            (301, "3xx"),
            (400, "4xx"),
            (404, "4xx"),
            (429, "429"),
            (498, "4xx"),
            (499, "499"),
            (500, "5xx"),
            (529, "5xx"),
            (999, "5xx"),
        ];
        for (sent, label) in cases {
            assert_eq!(STATUSES[status(sent)], label, "{sent}");
        }
    }

    #[test]
    fn kinds_and_operations_lie_at_their_own_index() {
        for (slot, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, slot, "{kind:?}");
        }
        for (slot, asked) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation(Some(asked)), slot);
            assert_eq!(operation_label(slot), asked.label());
        }
        assert_eq!(operation_label(operation(None)), "");
    }
}
