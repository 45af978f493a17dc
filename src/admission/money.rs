//! Money in one period of the calendar: what was spent, and what is set aside for requests under way.
//!
//! A period begins with nothing spent. What was set aside in one that is over is forgotten with it:
//! a request counts in the period in which it began. Everything is in UTC, and pure.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use smallvec::SmallVec;

/// The kinds of period, in the order of `PERIODS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last of the month.
    Month,
}

/// Which day, week or month: its first day.
pub type Number = NaiveDate;

/// The day, the week and the month that a moment lies in: found once a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods([Number; Period::ALL.len()]);

/// What is counted in one period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Money {
    period: NaiveDate,
    spent: u64,
    set_aside: u64,
    /// The highest share of the budget at which was warned, in percent.
    warned: u32,
}

/// A budget's state, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The period, by its place in `PERIODS`.
    pub period: usize,
    /// Micro-dollars.
    pub spent: u64,
    /// Micro-dollars.
    pub budget: u64,
}

/// A share of a budget that was just passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How the budget stands.
    pub spent: Spent,
    /// The share, in percent.
    pub percent: u32,
    /// The period's first day.
    pub begins: NaiveDate,
}

/// Those of one account at one time: seldom any.
pub type Warnings = SmallVec<[Warning; 1]>;

impl Period {
    /// Every kind.
    pub const ALL: [Period; 3] = [Period::Day, Period::Week, Period::Month];

    /// The period that a moment lies in.
    pub fn of(self, now: DateTime<Utc>) -> Number {
        let day = now.date_naive();
        let back = match self {
            Period::Day => 0,
            Period::Week => day.weekday().num_days_from_monday(),
            Period::Month => day.day0(),
        };
        day.checked_sub_days(Days::new(u64::from(back))).unwrap_or(day)
    }

    /// When the period that a moment lies in is over.
    pub fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let first = self.of(now);
        let next = match self {
            Period::Day => first.checked_add_days(Days::new(1)),
            Period::Week => first.checked_add_days(Days::new(7)),
            Period::Month => first.checked_add_months(Months::new(1)),
        };
        next.unwrap_or(first).and_time(NaiveTime::MIN).and_utc()
    }
}

impl Periods {
    /// Those of a moment.
    pub fn of(now: DateTime<Utc>) -> Self {
        Self(Period::ALL.map(|period| period.of(now)))
    }

    /// Each, in the order of `PERIODS`.
    pub fn iter(&self) -> impl Iterator<Item = Number> {
        self.0.into_iter()
    }

    /// One, by its place.
    pub fn get(&self, index: usize) -> Number {
        self.0.get(index).copied().unwrap_or_default()
    }
}

impl Money {
    /// What was spent in a period.
    pub fn spent(&mut self, period: Number) -> u64 {
        self.turn(period);
        if self.period == period { self.spent } else { 0 }
    }

    /// What is left of a budget.
    pub fn left(&mut self, period: Number, budget: u64) -> u64 {
        self.turn(period);
        budget.saturating_sub(self.spent).saturating_sub(self.set_aside)
    }

    /// Sets an amount aside.
    pub fn set_aside(&mut self, period: Number, amount: u64) {
        self.turn(period);
        self.set_aside = self.set_aside.saturating_add(amount);
    }

    /// Puts what was really spent in the place of what was set aside, if the period is not over.
    pub fn settle(&mut self, period: Number, aside: u64, spent: u64) {
        self.turn(period);
        if period == self.period {
            self.set_aside = self.set_aside.saturating_sub(aside);
            self.spent = self.spent.saturating_add(spent);
        }
    }

    /// The highest share of a budget that was passed in a period and not told yet, in percent, and what was
    /// spent in all: here, and by `others`.
    pub fn passed(
        &mut self,
        period: Number,
        (others, budget): (u64, u64),
        shares: &[u32],
    ) -> Option<(u32, u64)> {
        self.turn(period);
        if self.period != period {
            return None;
        }
        let spent = self.spent.saturating_add(others);
        let percent = spent.saturating_mul(100).checked_div(budget).unwrap_or(0);
        let passed = |share: &&u32| u64::from(**share) <= percent && **share > self.warned;
        self.warned = *shares.iter().rev().find(passed)?;
        Some((self.warned, spent))
    }

    /// A newer period begins with nothing; an older one is over.
    fn turn(&mut self, period: Number) {
        if period > self.period {
            *self = Self { period, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::{Money, Period};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn periods_follow_the_calendar() {
        let rows = [
            (Period::Day, "2026-02-28T23:59:59Z", "2026-02-28", "2026-03-01T00:00:00Z"),
            (Period::Week, "2026-03-01T23:59:59Z", "2026-02-23", "2026-03-02T00:00:00Z"),
            (Period::Week, "2026-03-02T00:00:00Z", "2026-03-02", "2026-03-09T00:00:00Z"),
            (Period::Month, "2026-12-31T12:00:00Z", "2026-12-01", "2027-01-01T00:00:00Z"),
        ];
        for (period, now, first, end) in rows {
            assert_eq!(period.of(at(now)).to_string(), first, "{period:?} {now}");
            assert_eq!(period.end(at(now)), at(end), "{period:?} {now}");
        }
    }

    #[test]
    fn what_is_set_aside_is_not_there_for_others_until_it_is_settled() {
        let mut money = Money::default();
        let today = Period::Day.of(at("2026-01-01T10:00:00Z"));
        money.set_aside(today, 60);
        assert_eq!(money.left(today, 100), 40);
        money.settle(today, 60, 25);
        assert_eq!((money.left(today, 100), money.spent(today)), (75, 25));
    }

    #[test]
    fn a_request_counts_in_the_period_in_which_it_began() {
        let mut money = Money::default();
        let today = Period::Day.of(at("2026-01-01T23:59:59Z"));
        let tomorrow = Period::Day.of(at("2026-01-02T00:00:00Z"));
        money.set_aside(today, 60);
        money.set_aside(tomorrow, 10);
        money.settle(today, 60, 60);
        assert_eq!((money.left(tomorrow, 100), money.spent(tomorrow)), (90, 0));
    }
}
