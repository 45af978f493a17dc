//! What a model costs at a place, day by day, and what a request came to.
//!
//! Everything is whole numbers: prices in millionths of a US dollar for a million tokens, amounts in
//! millionths of a US dollar. A request's cost is rounded once, up, so that sums are exact.

use std::sync::Arc;

use chrono::NaiveDate;

use crate::types::{MicroUsd, TokenUsage};

/// Tokens that a price is for.
const TOKENS: u128 = 1_000_000;

/// The prices of a model at a place, by the day from which they hold; none where it is unpriced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(pub Option<Arc<[Price]>>);

/// What a model costs from a day on: tokens by the million, the rest by the piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The first day, in UTC.
    pub from: NaiveDate,
    /// Prompt tokens.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to it.
    pub cache_write: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
    /// Each image made.
    pub image: u64,
    /// Each request answered.
    pub request: u64,
}

impl Prices {
    /// The price that holds on a day.
    pub fn on(&self, day: NaiveDate) -> Option<&Price> {
        self.0.as_deref()?.iter().rev().find(|price| price.from <= day)
    }
}

impl Price {
    /// What an answered request with this usage costs, at so many percent of the list price.
    pub fn cost(&self, used: &TokenUsage, images: u64, percent: u32) -> MicroUsd {
        let TokenUsage { input, cache_read, cache_write, output, reasoning } = *used;
        let by_token = [
            (input, self.input),
            (cache_read, self.cache_read),
            (cache_write, self.cache_write),
            (output, self.output),
            (reasoning, self.reasoning),
        ];
        let by_piece = [(images, self.image), (1, self.request)];
        let sum = |rows: &[(u64, u64)]| -> u128 {
            rows.iter().map(|(count, price)| u128::from(*count) * u128::from(*price)).sum()
        };
        let scaled = sum(&by_token).saturating_add(sum(&by_piece).saturating_mul(TOKENS));
        let charged = scaled.saturating_mul(u128::from(percent)).div_ceil(TOKENS * 100);
        MicroUsd(u64::try_from(charged).unwrap_or(u64::MAX))
    }

    /// The most that so many tokens can cost: each prompt token is of the dearest class, and so is
    /// each of the answer.
    pub fn most(&self, prompt: u64, answer: u64, images: u64, percent: u32) -> MicroUsd {
        let dearest = Price {
            input: self.input.max(self.cache_read).max(self.cache_write),
            output: self.output.max(self.reasoning),
            ..self.clone()
        };
        let used = TokenUsage { input: prompt, output: answer, ..TokenUsage::default() };
        dearest.cost(&used, images, percent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Arc, MicroUsd, NaiveDate, Price, Prices, TokenUsage};

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    fn price(from: NaiveDate, input: u64) -> Price {
        let (cache_read, cache_write) = (input / 10, input * 5 / 4);
        let (output, reasoning) = (input * 5, input * 5);
        Price { from, input, cache_read, cache_write, output, reasoning, image: 40_000, request: 7 }
    }

    #[test]
    fn each_class_has_its_price_and_the_sum_is_rounded_up_once() {
        let price = price(NaiveDate::MIN, 3_000_000);
        let none = TokenUsage::default();
        let rows = [
            (none, 0, 100, 7),
            (TokenUsage { input: 1_000_000, ..none }, 0, 100, 3_000_007),
            (TokenUsage { input: 9, output: 3, ..none }, 0, 100, 27 + 45 + 7),
            (TokenUsage { cache_read: 1, ..none }, 0, 100, 8),
            (TokenUsage { cache_read: 3, cache_write: 4, reasoning: 1, ..none }, 0, 100, 38),
            (none, 2, 100, 80_007),
            (TokenUsage { input: 10, ..none }, 0, 50, 19),
        ];
        for (used, images, percent, expected) in rows {
            assert_eq!(price.cost(&used, images, percent), MicroUsd(expected), "{used:?}");
        }
    }

    #[test]
    fn the_last_price_that_has_begun_holds() {
        let rows = [price(NaiveDate::MIN, 1), price(day(2026, 3, 1), 2), price(day(2027, 1, 1), 3)];
        let prices = Prices(Some(Arc::from(rows)));
        for (on, expected) in [
            (day(2025, 1, 1), 1),
            (day(2026, 2, 28), 1),
            (day(2026, 3, 1), 2),
            (day(2030, 1, 1), 3),
        ] {
            assert_eq!(prices.on(on).unwrap().input, expected, "{on}");
        }
        assert_eq!(Prices::default().on(day(2026, 1, 1)), None);
        let later = Prices(Some(Arc::from([price(day(2026, 3, 1), 2)])));
        assert_eq!(later.on(day(2026, 2, 28)), None, "unpriced before its first day");
    }

    proptest! {
        #[test]
        fn no_usage_costs_more_than_the_most(
            (input, read, write) in any::<(u32, u32, u32)>(),
            (output, reasoning) in any::<(u32, u32)>(),
            (unit, percent) in (0u64..100_000_000, 0u32..300),
        ) {
            let price = price(NaiveDate::MIN, unit);
            let [input, cache_read, cache_write, output, reasoning] =
                [input, read, write, output, reasoning].map(u64::from);
            let used = TokenUsage { input, cache_read, cache_write, output, reasoning };
            let most = price.most(input + cache_read + cache_write, output + reasoning, 1, percent);
            prop_assert!(price.cost(&used, 1, percent) <= most);
        }
    }
}
