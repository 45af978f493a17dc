//! Streams that end where a budget does (`at_end: cut`).
//!
//! What a stream has cost so far is estimated from its bytes. A chunk costs a comparison; the accounts are asked
//! when so much has come that half of what was left may be used up, and never for less than [`STEP_BYTES`].

use super::bill::Bill;
use crate::admission::PassedBudget;
use crate::config::snapshot::prices::Prices;
use crate::types::TokenUsage;
use crate::usage::measure::{self, Head};

/// The fewest bytes between two looks: some ten tokens.
const STEP_BYTES: u64 = 2 << 10;

/// The most: what other requests spend in the meantime is seen then.
const STEP_BYTES_MAX: u64 = 64 << 10;

/// What a stream comes to while it passes.
pub struct Course {
    /// Bytes after which the accounts are asked again.
    next: u64,
    /// The budget that ended it.
    pub over: Option<PassedBudget>,
}

impl Course {
    /// The start of a stream that budgets may end; `None` where none does.
    pub fn of(bill: &Bill) -> Option<Self> {
        bill.cuts().then_some(Self { next: STEP_BYTES, over: None })
    }

    /// Looks at a stream of which so many bytes have come: what it used, and the budget that it passes.
    pub fn look(
        &mut self,
        bill: &Bill,
        prices: &Prices,
        (head, bytes): (&Head, u64),
    ) -> Option<(TokenUsage, PassedBudget)> {
        if bytes < self.next || self.over.is_some() {
            return None;
        }
        let output = measure::so_far(head, bytes);
        let (used, cost, room) = bill.under_way(prices, output)?;
        match room {
            Err(over) => Some((used, over)),
            Ok(left) => {
                let enough = u128::from(left) * u128::from(bytes) / u128::from(cost.max(1)) / 2;
                let step = u64::try_from(enough).unwrap_or(STEP_BYTES_MAX);
                self.next = bytes + step.clamp(STEP_BYTES, STEP_BYTES_MAX);
                None
            }
        }
    }
}
