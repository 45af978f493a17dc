//! What one scope has used, under one lock: its windows, its requests in flight, its money.
//!
//! All of a scope's rules are looked at and taken together, so none can be exceeded by requests that
//! come at once. The lock is the scope's own: keys do not wait for each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::money::{Money, Period, Periods, Spent, Warning, Warnings};
use super::queue::{Queue, Waiter};
use super::refusal::{Refusal, Wait};
use super::share::{Ask, Grant, Link, Meeting, Shares};
use super::window::{Micros, Place, Window};
use super::{Demand, Used};
use crate::config::snapshot::terms::{Limit, PERIODS, Rule, Rules, WINDOWS};
use crate::types::{Left, Quota};

/// The state of one scope.
#[derive(Default)]
pub struct Account(Mutex<State>);

/// What is counted. A window exists once a rule has asked for it.
#[derive(Default)]
pub struct State {
    /// By the numbers of their rules.
    windows: [Option<Window>; 2 * WINDOWS.len()],
    in_flight: u64,
    money: [Money; PERIODS.len()],
    /// What of it this gateway may use, where several share the rules.
    shares: Option<Box<Shares>>,
    /// Those who wait for room here; never an empty queue.
    queue: Option<Box<Queue>>,
}

/// Where a request was noted in one account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    tokens: [Place; WINDOWS.len()],
}

/// A moment on both clocks: the one that limits go by, and the calendar's.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never goes back.
    pub micros: Micros,
    /// Of the calendar.
    pub utc: DateTime<Utc>,
}

impl Account {
    /// An account under rules that several gateways share.
    pub fn shared(link: Arc<Link>) -> Self {
        let shares = Some(Box::new(Shares::new(link)));
        Self(Mutex::new(State { shares, ..State::default() }))
    }

    /// Locks the account. Whoever locks several locks them in the order of their scopes' ranks, and
    /// no two of one rank.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The rule that makes the request wait longest, if one does.
    pub fn refusal(&mut self, rules: &Rules, demand: &Demand, now: Now) -> Option<Refusal> {
        let waits = rules.limits.iter().map(|limit| (self.wait(*limit, demand, now), limit.rule));
        let mut longest = longest(waits);
        if longest.is_none() && self.shares.is_some() {
            longest = self.lacking(rules, demand, now);
        }
        longest.map(|(wait, rule)| Refusal::new(rules, rule, wait, demand))
    }

    /// How long a rule makes the request wait.
    fn wait(&mut self, Limit { rule, amount: limit }: Limit, demand: &Demand, now: Now) -> Wait {
        let asked = demand.amount(rule, limit);
        match rule {
            Rule::Requests(_) | Rule::Tokens(_) => {
                let window = self.window(rule);
                Wait::of(window.and_then(|window| window.wait(now.micros, asked, limit)))
            }
            Rule::InFlight if self.in_flight < limit => Wait::None,
            Rule::InFlight if limit == 0 => Wait::Never,
            Rule::InFlight => Wait::Unknown,
            Rule::Budget(index) => {
                let began = demand.began.get(index);
                let left = self.money.get_mut(index).map_or(0, |money| money.left(began, limit));
                let end = || Period::ALL.get(index).map_or(now.utc, |period| period.end(now.utc));
                if left < asked { Wait::until(end(), now.utc, asked <= limit) } else { Wait::None }
            }
        }
    }

    /// Where the limits have room: the rule of which this gateway's share has none.
    fn lacking(&mut self, rules: &Rules, demand: &Demand, now: Now) -> Option<(Wait, Rule)> {
        let waits = rules.limits.iter().map(|&Limit { rule, amount: limit }| {
            let period = began(rule, demand);
            let used = self.used(rule, period, now.micros);
            let meeting = Meeting { used, amount: demand.amount(rule, limit), period };
            let Some(shares) = &mut self.shares else { return (Wait::None, rule) };
            let wait = match (rule, shares.wait(rule, meeting, now.micros)) {
                (Rule::Budget(index), Wait::For(_) | Wait::Unknown) => {
                    let end = Period::ALL.get(index).map_or(now.utc, |period| period.end(now.utc));
                    Wait::until(end, now.utc, true)
                }
                (_, wait) => wait,
            };
            (wait, rule)
        });
        longest(waits)
    }

    /// Refuses, while others wait here, whoever comes (`None`) or is not the first of them.
    pub fn behind(
        &self,
        rules: &Rules,
        demand: &Demand,
        waiter: Option<&Arc<Waiter>>,
    ) -> Option<Refusal> {
        let queue = self.queue.as_ref()?;
        let is_first =
            waiter.zip(queue.first()).is_some_and(|(own, first)| Arc::ptr_eq(own, first));
        (!is_first).then(|| Refusal::new(rules, queue.rule, Wait::Unknown, demand))
    }

    /// Lets a request wait here that was refused by this rule.
    pub fn join(&mut self, waiter: &Arc<Waiter>, rule: Rule) {
        let queue = self.queue.get_or_insert_with(|| Box::new(Queue::new(rule)));
        queue.rule = rule;
        queue.join(waiter);
    }

    /// One that waited here does so no longer: the next one may try.
    pub fn leave(&mut self, waiter: &Arc<Waiter>, was_served: bool) {
        let Some(queue) = &mut self.queue else { return };
        queue.leave(waiter, was_served);
        match queue.first() {
            Some(_) => queue.call(),
            None => self.queue = None,
        }
    }

    /// There may be room now.
    fn call(&self) {
        if let Some(queue) = &self.queue {
            queue.call();
        }
    }

    /// The window of a rule, made where it is asked for the first time; `None` where it has none.
    fn window(&mut self, rule: Rule) -> Option<&mut Window> {
        let length = match rule {
            Rule::Requests(index) | Rule::Tokens(index) => WINDOWS.get(index)?.1,
            Rule::InFlight | Rule::Budget(_) => return None,
        };
        let window = self.windows.get_mut(rule.number())?;
        Some(window.get_or_insert_with(|| Window::new(length)))
    }

    /// What this gateway has used of a rule, requests under way included.
    fn used(&mut self, rule: Rule, of: NaiveDate, now: Micros) -> u64 {
        match rule {
            Rule::Requests(_) | Rule::Tokens(_) => {
                self.window(rule).map_or(0, |window| window.total(now))
            }
            Rule::InFlight => self.in_flight,
            Rule::Budget(index) => {
                self.money.get_mut(index).map_or(0, |m| u64::MAX - m.left(of, u64::MAX))
            }
        }
    }

    /// Whether the scope is to be put on the list of those that exchange leases at once.
    pub fn list(&mut self) -> bool {
        self.shares.as_mut().is_some_and(|shares| shares.list())
    }

    /// What this gateway asks of those it shares the rules with, each with how long until some of its
    /// own use leaves; `now` ends a sweep's stretch for what was not asked for.
    pub fn asks(&mut self, rules: &Rules, now: Now) -> Vec<(Ask, Option<Duration>)> {
        let rows = rules.limits.iter().filter_map(|&Limit { rule, amount: limit }| {
            let period = match rule {
                Rule::Budget(index) => period(index, now.utc),
                _ => NaiveDate::default(),
            };
            let used = self.used(rule, period, now.micros);
            let ask = self.shares.as_mut()?.ask(rule, limit, used, period)?;
            let leaves = match rule {
                Rule::Requests(_) | Rule::Tokens(_) => self.window(rule)?.leaves(now.micros),
                Rule::InFlight | Rule::Budget(_) => None,
            };
            Some((ask, leaves.map(Duration::from_micros)))
        });
        rows.collect()
    }

    /// Takes an answer in.
    pub fn granted(&mut self, ask: &Ask, grant: Grant) {
        if let Some(shares) = &mut self.shares {
            shares.granted(ask, grant);
        }
        self.call();
    }

    /// What nobody asked for since the last call is no longer held in stock.
    pub fn rest(&mut self) {
        if let Some(shares) = &mut self.shares {
            shares.rest();
        }
    }

    /// Notes in the shares what was taken.
    fn took(&mut self, rules: &Rules, demand: &Demand, now: Now) {
        if self.shares.is_none() {
            return;
        }
        for &Limit { rule, amount: limit } in &rules.limits {
            let used = self.used(rule, began(rule, demand), now.micros);
            if let Some(shares) = &mut self.shares {
                shares.took(rule, used, limit, now.micros);
            }
        }
    }

    /// Takes what the request may use, and says what is left.
    pub fn take(&mut self, rules: &Rules, demand: &Demand, now: Now, quota: &mut Quota) -> Places {
        let mut places = Places::default();
        for &Limit { rule, amount: limit } in &rules.limits {
            let asked = demand.amount(rule, limit);
            let taken = self.window(rule).map(|window| window.take(now.micros, asked));
            if let (Rule::Tokens(index), Some(taken)) = (rule, taken)
                && let Some(place) = places.tokens.get_mut(index)
            {
                *place = taken;
            }
        }
        self.in_flight += 1;
        if demand.cost > 0 {
            for (money, period) in self.money.iter_mut().zip(demand.began.iter()) {
                money.set_aside(period, demand.cost);
            }
        }
        self.took(rules, demand, now);
        self.left(rules, now, quota);
        places
    }

    /// Says what is left of the limits, where less of one is left than the quota knows.
    pub fn left(&mut self, rules: &Rules, now: Now, quota: &mut Quota) {
        for &Limit { rule, amount: limit } in &rules.limits {
            let (known, window) = match rule {
                Rule::Requests(index) => (&mut quota.requests, index),
                Rule::Tokens(index) => (&mut quota.tokens, index),
                Rule::InFlight | Rule::Budget(_) => continue,
            };
            let used = self.used(rule, NaiveDate::default(), now.micros);
            let used = used.saturating_add(self.others(rule));
            let remaining = limit.saturating_sub(used);
            tighten(known, Left { limit, remaining, window });
        }
    }

    /// What other gateways hold of a rule, as last heard.
    fn others(&self, rule: Rule) -> u64 {
        self.shares.as_ref().map_or(0, |shares| shares.others(rule))
    }

    /// Puts what the request really used in the place of what it might have used.
    pub fn settle(
        &mut self,
        rules: &Rules,
        places: &Places,
        demand: &Demand,
        (used, now): (Used, Micros),
    ) -> Warnings {
        for &Limit { rule, amount: limit } in &rules.limits {
            let Rule::Tokens(index) = rule else { continue };
            let Some(window) = self.window(rule) else { continue };
            let taken = demand.tokens(limit);
            if used.tokens > taken {
                window.take(now, used.tokens - taken);
            } else if let Some(place) = places.tokens.get(index) {
                window.give_back(*place, taken - used.tokens, now);
            }
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.call();
        if demand.cost > 0 || used.cost > 0 {
            for (money, period) in self.money.iter_mut().zip(demand.began.iter()) {
                money.settle(period, demand.cost, used.cost);
            }
        }
        self.warnings(rules, &demand.began)
    }

    /// The shares of budgets that are passed and were not told yet. What other gateways hold is spent.
    pub fn warnings(&mut self, rules: &Rules, periods: &Periods) -> Warnings {
        let warnings = budgets(rules).filter_map(|(index, budget)| {
            let begins = periods.get(index);
            let others = self.spent_by_others(index, begins);
            let money = self.money.get_mut(index)?;
            let (percent, spent) = money.passed(begins, (others, budget), &rules.warn_percent)?;
            Some(Warning { spent: Spent { period: index, spent, budget }, percent, begins })
        });
        warnings.collect()
    }

    /// What is left of the budgets once a request under way has come to a cost; the one that this passes, by its
    /// place, is an error. What is set aside for requests is not spent.
    pub fn room(&mut self, rules: &Rules, periods: &Periods, cost: u64) -> Result<u64, usize> {
        let mut least = u64::MAX;
        for (index, budget) in budgets(rules) {
            let begins = periods.get(index);
            let own = self.money.get_mut(index).map_or(0, |money| money.spent(begins));
            let others = self.spent_by_others(index, begins);
            let spent = own.saturating_add(others).saturating_add(cost);
            least = least.min(budget.checked_sub(spent).ok_or(index)?);
        }
        Ok(least)
    }

    /// What other gateways hold of a budget counts as spent.
    fn spent_by_others(&self, index: usize, begins: NaiveDate) -> u64 {
        let shares = self.shares.as_ref();
        shares.map_or(0, |shares| shares.of_others(Rule::Budget(index), begins))
    }

    /// Counts money that was spent before the process began.
    pub fn restore(&mut self, began: DateTime<Utc>, cost: u64) {
        for (money, period) in self.money.iter_mut().zip(Period::ALL) {
            money.settle(period.of(began), 0, cost);
        }
    }

    /// How the budgets stand.
    pub fn spent(&mut self, rules: &Rules, now: DateTime<Utc>) -> Vec<Spent> {
        let rows = budgets(rules).filter_map(|(index, budget)| {
            let spent = self.money.get_mut(index)?.spent(period(index, now));
            Some(Spent { period: index, spent, budget })
        });
        rows.collect()
    }
}

fn period(index: usize, now: DateTime<Utc>) -> NaiveDate {
    Period::ALL.get(index).map(|period| period.of(now)).unwrap_or_default()
}

/// The period that a request counts in, where the rule is a budget.
fn began(rule: Rule, demand: &Demand) -> NaiveDate {
    match rule {
        Rule::Budget(index) => demand.began.get(index),
        Rule::Requests(_) | Rule::Tokens(_) | Rule::InFlight => NaiveDate::default(),
    }
}

/// The longest of the waits, if there is one; of two, the first.
fn longest(waits: impl Iterator<Item = (Wait, Rule)>) -> Option<(Wait, Rule)> {
    let longer = |a: (Wait, Rule), b: (Wait, Rule)| if b.0 > a.0 { b } else { a };
    waits.filter(|(wait, _)| *wait > Wait::None).reduce(longer)
}

/// The budgets there are, each with its place.
fn budgets(rules: &Rules) -> impl Iterator<Item = (usize, u64)> {
    rules.limits.iter().filter_map(|limit| match limit.rule {
        Rule::Budget(index) => Some((index, limit.amount)),
        _ => None,
    })
}

/// Keeps the limit of which the smaller share is left.
fn tighten(known: &mut Option<Left>, other: Left) {
    let share = |left: &Left, of: &Left| u128::from(left.remaining) * u128::from(of.limit);
    if known.as_ref().is_none_or(|known| share(&other, known) < share(known, &other)) {
        *known = Some(other);
    }
}
