//! Where warnings of budgets are posted.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::types::Secret;

/// A receiver of warnings.
pub struct Webhook {
    /// The receiver. It may hold what only the two should know.
    pub url: Secret,
    /// The bytes by which documents are signed; none is without.
    pub signing: Option<Box<[u8]>>,
    /// Fixed headers, its credential among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Attempts in all, the first included; at least 1.
    pub attempts_max: u32,
    /// The longest wait before the second attempt.
    pub backoff: Duration,
}
