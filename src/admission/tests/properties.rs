//! What holds of every limiter, over simulated time: never more than the limit, no refusal below it,
//! no drift in a month. Each is held against a model that remembers everything.

use chrono::{DateTime, Datelike, Duration, Utc};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection::vec, option};

use super::{Asked, Bank, NOTHING, bank, cost, tokens};
use crate::admission::Permit;
use crate::admission::account::Now;
use crate::admission::refusal::Wait;
use crate::admission::share::{Ask, Grant, Link, Meeting, Shares};
use crate::admission::window::{Micros, Window};
use crate::config::snapshot::terms::Rule;
use crate::config::snapshot::terms::WINDOWS;

/// So much longer than its length a window may hold on to what was taken, in percent.
const GRAIN_PERCENT: u64 = 102;

const LIMIT: u64 = 40;

const DAY: u64 = 24 * 3600 * 1_000_000;

/// A bank whose key has one limit, and the length of its window in microseconds.
fn limited(what: &str, window: usize) -> (Bank, u64) {
    let (name, length) = WINDOWS[window];
    let bank = bank("", &format!("limits: {{{what}_per_{name}: {LIMIT}}}"), "");
    (bank, length.as_micros() as u64)
}

/// A moment of the bank's clock.
fn at(bank: &Bank, micros: u64) -> Now {
    Now { micros: Micros(micros), utc: bank.start + Duration::microseconds(micros as i64) }
}

/// A request that is or was served.
struct Served {
    at: u64,
    /// What counts of it now.
    counts: u64,
    permit: Option<Box<Permit>>,
}

/// What the requests of the last while count for.
fn within(served: &[Served], now: u64, span: u64) -> u64 {
    let recent = served.iter().filter(|served| now - served.at < span);
    recent.map(|served| served.counts).sum()
}

/// How long after the one before, in ten-thousandths of a window; the estimate; what it used of that, in
/// percent, or nothing where it is dropped; and how many more are asked before it ends.
type Step = (u64, u64, Option<u64>, usize);

fn step() -> impl Strategy<Value = Step> {
    let pause = prop_oneof![8 => 0u64..300, 2 => 0u64..15_000];
    (pause, 0..=LIMIT / 2, option::of(0u64..=100), 0usize..6)
}

proptest! {
    /// Tokens and requests, in each window, through reserving, settling and dropping: what is under way
    /// or was used in any span of the window's length is within the limit, and who was refused would
    /// have been over it within the window and its grain.
    #[test]
    fn no_window_of_any_kind_is_exceeded_and_no_refusal_is_wrong(
        steps in vec(step(), 1..150),
        window in 0usize..4,
        of_tokens in proptest::bool::ANY,
        start in 0u64..100_000_000_000,
    ) {
        let (bank, length) = limited(if of_tokens { "tokens" } else { "requests" }, window);
        let (mut now, mut served) = (start, Vec::<Served>::new());
        let mut ends: Vec<(usize, usize, Option<u64>)> = Vec::new();
        for (turn, (pause, estimate, used, later)) in steps.into_iter().enumerate() {
            now += length * pause / 10_000;
            let due: Vec<_> = ends.extract_if(.., |(when, ..)| *when <= turn).collect();
            for (_, index, used) in due {
                let ended: &mut Served = &mut served[index];
                let permit = ended.permit.take().unwrap();
                let used = used.map_or(0, |percent: u64| ended.counts * percent / 100);
                bank.settle_micros(permit, used, now);
                ended.counts = if of_tokens { used } else { 1 };
            }
            let amount = if of_tokens { estimate } else { 1 };
            let asked = if of_tokens { tokens(amount) } else { NOTHING };
            match bank.ask_at(asked, at(&bank, now)) {
                Ok(permit) => {
                    ends.push((turn + 1 + later, served.len(), used));
                    served.push(Served { at: now, counts: amount, permit: Some(permit) });
                }
                Err(_) => {
                    let kept = within(&served, now, length * GRAIN_PERCENT / 100);
                    prop_assert!(kept + amount > LIMIT, "{kept} and {amount} were refused");
                }
            }
            let sum = within(&served, now, length);
            prop_assert!(sum <= LIMIT, "{sum}");
        }
    }

    /// `retry-after` is right to the microsecond, for requests and for tokens, in each window.
    #[test]
    fn who_waits_as_long_as_told_is_admitted_and_not_before(
        steps in vec((0u64..4000, 1u64..20), 1..60),
        window in 0usize..4,
        amount in 1..=LIMIT,
    ) {
        let (bank, length) = limited("tokens", window);
        let mut now = 0;
        for (pause, taken) in steps {
            now += length * pause / 10_000;
            if let Ok(permit) = bank.ask_at(tokens(taken), at(&bank, now)) {
                bank.settle_micros(permit, taken, now);
            }
        }
        if let Err(refused) = bank.ask_at(tokens(amount), at(&bank, now)) {
            let then = now + refused.retry_after.unwrap().as_micros() as u64;
            prop_assert!(bank.ask_at(tokens(amount), at(&bank, then - 1)).is_err());
            prop_assert!(bank.ask_at(tokens(amount), at(&bank, then)).is_ok());
        }
    }

    /// Requests in flight: exactly those that have not ended, whatever their order.
    #[test]
    fn in_flight_is_what_has_not_ended(
        turns in vec(option::of(0usize..100), 1..200),
        limit in 1usize..9,
    ) {
        let bank = bank("", &format!("limits: {{in_flight: {limit}}}"), "");
        let mut held: Vec<Box<Permit>> = Vec::new();
        for (turn, ends) in turns.into_iter().enumerate() {
            match ends.filter(|_| !held.is_empty()) {
                Some(which) => {
                    let permit = held.swap_remove(which % held.len());
                    if turn % 2 == 0 { bank.settle_micros(permit, 1, 0) } else { drop(permit) }
                }
                None => match bank.ask_at(NOTHING, at(&bank, 0)) {
                    Ok(permit) => held.push(permit),
                    Err(_) => prop_assert_eq!(held.len(), limit),
                },
            }
            prop_assert!(held.len() <= limit);
        }
    }

    /// Budgets of a day, a week and a month at the same time, over months: a request is admitted exactly
    /// where each of the three has room for what it may cost.
    #[test]
    fn budgets_of_each_period_hold_exactly(
        steps in vec((0i64..200_000, 1u64..60, 0u64..=100), 1..200),
    ) {
        let budgets = [100, 300, 700];
        let bank = bank(
            "",
            "budget: {day_micro_usd: 100, week_micro_usd: 300, month_micro_usd: 700}",
            "",
        );
        let mut paid: Vec<([(i32, u32); 3], u64)> = Vec::new();
        let mut now = 0;
        for (pause, most, percent) in steps {
            now += pause;
            let moment = bank.now(now);
            let periods = calendar(moment.utc);
            let spent = |index: usize, paid: &[([(i32, u32); 3], u64)]| -> u64 {
                let same = paid.iter().filter(|(of, _)| of[index] == periods[index]);
                same.map(|(_, cost)| cost).sum()
            };
            let fits = (0..3).all(|index| spent(index, &paid) + most <= budgets[index]);
            let permit = bank.ask_at(cost(most), moment);
            prop_assert_eq!(permit.is_ok(), fits);
            if let Ok(permit) = permit {
                bank.settle(permit, 0, most * percent / 100, now);
                paid.push((periods, most * percent / 100));
            }
            for (index, budget) in budgets.into_iter().enumerate() {
                prop_assert!(spent(index, &paid) <= budget);
            }
        }
    }

    /// Gateways that lease their shares of a window from one another: together never more than the limit
    /// in any span, whatever the order of their requests and exchanges; and where nobody else
    /// holds anything, one exchange gives a gateway what the limit has room for.
    #[test]
    fn leased_windows_hold_together(
        steps in vec((0usize..4, 0u64..300, 1u64..30, proptest::bool::ANY), 1..300),
        percent in 0u32..=10,
    ) {
        let mut fleet = Fleet::new(4, percent);
        let mut now = 0;
        for (node, pause, amount, exchanges) in steps {
            now += pause * 100;
            if exchanges {
                fleet.exchange(node, now);
            }
            if !fleet.ask(node, amount, now) {
                fleet.exchange(node, now);
                let alone = fleet.held_by_others(node) == 0;
                let had = fleet.nodes[node].1.total(Micros(now));
                let fits = had + amount <= FLEET_LIMIT;
                prop_assert!(!(alone && fits) || fleet.ask(node, amount, now));
            }
            prop_assert!(fleet.taken_within(now, FLEET_WINDOW) <= FLEET_LIMIT);
        }
    }
}

/// Which day, week and month a moment lies in, in numbers of the calendar's own.
fn calendar(now: DateTime<Utc>) -> [(i32, u32); 3] {
    let (day, week) = (now.date_naive(), now.iso_week());
    [(day.year(), day.ordinal()), (week.year(), week.week()), (day.year(), day.month())]
}

const FLEET_LIMIT: u64 = 100;

const FLEET_WINDOW: u64 = 1_000_000;

const RULE: Rule = Rule::Requests(0);

/// Gateways, what the server knows that they hold, and all that they took.
struct Fleet {
    nodes: Vec<(Shares, Window, u64)>,
    taken: Vec<(u64, u64)>,
}

impl Fleet {
    fn new(nodes: usize, percent: u32) -> Self {
        let window = || Window::new(std::time::Duration::from_micros(FLEET_WINDOW));
        let node = |_| (Shares::new(Link::new(percent, false).into()), window(), 0);
        Self { nodes: (0..nodes).map(node).collect(), taken: Vec::new() }
    }

    /// As an account does it: its window first, then its share.
    fn ask(&mut self, node: usize, amount: u64, now: u64) -> bool {
        let (shares, window, _) = &mut self.nodes[node];
        let now = Micros(now);
        if window.wait(now, amount, FLEET_LIMIT) != Some(0) {
            return false;
        }
        let meeting = Meeting { used: window.total(now), amount, period: Default::default() };
        if shares.wait(RULE, meeting, now) != Wait::None {
            return false;
        }
        window.take(now, amount);
        let used = window.total(now);
        shares.took(RULE, used, FLEET_LIMIT, now);
        self.taken.push((now.0, amount));
        true
    }

    /// As the script at the server does it: all ceilings together are within the limit.
    fn exchange(&mut self, node: usize, now: u64) {
        let others = self.held_by_others(node);
        let (shares, window, held) = &mut self.nodes[node];
        let used = window.total(Micros(now));
        let Some(ask) = shares.ask(RULE, FLEET_LIMIT, used, Default::default()) else { return };
        let ceiling = ask.wanted.min(FLEET_LIMIT.saturating_sub(others));
        *held = ceiling.max(ask.used);
        shares.granted(&ask, grant(&ask, ceiling, now));
    }

    fn held_by_others(&self, node: usize) -> u64 {
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != node);
        others.map(|(_, (.., held))| held).sum()
    }

    fn taken_within(&self, now: u64, span: u64) -> u64 {
        let recent = self.taken.iter().filter(|(at, _)| now - at < span);
        recent.map(|(_, amount)| amount).sum()
    }
}

fn grant(ask: &Ask, ceiling: u64, now: u64) -> Grant {
    let others = ask.limit - ceiling;
    Grant { ceiling, others, until: Micros(u64::MAX), again: Micros(now), relief: None }
}

/// A month in which more is asked for than there is: of each kind and window, what was granted is the limit
/// times the windows of the month, less what the grain costs, and never more.
#[test]
fn a_month_does_not_drift() {
    for (what, asked) in [("requests", NOTHING), ("tokens", tokens(1))] {
        for (window, rounds) in [(0, 2000), (1, 2000), (2, 720), (3, 30)] {
            let (bank, length) = limited(what, window);
            // A burst in each round, over the limit; the rounds are spread over the month.
            let pause = 30 * DAY / rounds;
            for round in 0..rounds {
                let grain = if pause < length * GRAIN_PERCENT / 100 { length / 50 } else { 0 };
                let now = round * (pause + grain);
                let granted = burst(&bank, asked, now);
                assert_eq!(granted, LIMIT, "{what} in window {window}, round {round}");
            }
        }
    }
}

/// How many of more than the limit are granted.
fn burst(bank: &Bank, asked: Asked, now: u64) -> u64 {
    let mut granted = 0;
    for _ in 0..LIMIT + 3 {
        if let Ok(permit) = bank.ask_at(asked, at(bank, now)) {
            bank.settle_micros(permit, asked.tokens, now);
            granted += 1;
        }
    }
    granted
}
