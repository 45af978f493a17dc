//! What this gateway may use of each rule that holds across several: its share, as last leased.
//!
//! A share is a ceiling on what the gateway itself has used, so all that is counted is counted as it
//! is for a gateway alone; the ceilings of all gateways together are at most the limit. This
//! module knows neither network nor time: `lease` exchanges what is decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::NaiveDate;

use super::refusal::Wait;
use super::window::Micros;
use crate::config::snapshot::terms::Rule;

/// How the way to the shared server is.
pub struct Link {
    is_down: AtomicBool,
    allows_when_down: bool,
    /// What may be held beyond what is used, in percent of a limit.
    lease_percent: u64,
}

/// The shares of one scope, by rule.
pub struct Shares {
    link: Arc<Link>,
    rows: [Share; Rule::COUNT],
    /// Whether an exchange is wanted before the next sweep …
    is_due: bool,
    /// … and is on its way.
    is_listed: bool,
}

/// What may be used of one rule.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The most that this gateway may have used.
    ceiling: u64,
    /// The period of a budget that it holds for.
    period: NaiveDate,
    /// It holds until then.
    until: Micros,
    /// What requests that wait lack.
    wanted: u64,
    /// Whether any was asked for since the last sweep.
    is_busy: bool,
    /// What the other gateways hold.
    others: u64,
    /// Until then nobody asks again, and when there may be room.
    full: Option<(Micros, Option<Duration>)>,
}

/// What a request meets.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// What this gateway has used.
    pub used: u64,
    /// What the request asks for.
    pub amount: u64,
    /// The period of a budget.
    pub period: NaiveDate,
}

/// What is asked of the shared server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of which rule.
    pub rule: Rule,
    /// What all gateways together may use.
    pub limit: u64,
    /// What this one has used.
    pub used: u64,
    /// What it holds: at most `wanted`.
    pub held: u64,
    /// What it wants to hold.
    pub wanted: u64,
    /// The least that would be enough for the requests that wait.
    pub needed: u64,
    /// The period of a budget.
    pub period: NaiveDate,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The most that this gateway may have used.
    pub ceiling: u64,
    /// What the other gateways hold.
    pub others: u64,
    /// When the answer holds no longer.
    pub until: Micros,
    /// Where it is not enough: until then nobody asks again.
    pub again: Micros,
    /// How long until others' use leaves, where that is known.
    pub relief: Option<Duration>,
}

impl Link {
    /// A way that is taken to be there.
    pub fn new(lease_percent: u32, allows_when_down: bool) -> Self {
        let lease_percent = u64::from(lease_percent);
        Self { is_down: AtomicBool::new(false), allows_when_down, lease_percent }
    }

    /// Notes whether it is there; says whether that has changed.
    pub fn set_down(&self, is_down: bool) -> bool {
        self.is_down.swap(is_down, Ordering::Relaxed) != is_down
    }

    /// Whether the server cannot be reached, or has no memory yet.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    fn slice(&self, limit: u64) -> u64 {
        (u128::from(limit) * u128::from(self.lease_percent) / 100) as u64
    }
}

impl Shares {
    /// Shares of which nothing is leased yet.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, rows: [Share::default(); Rule::COUNT], is_due: false, is_listed: false }
    }

    /// What a request that the whole limit has room for meets at the share.
    pub fn wait(&mut self, rule: Rule, meeting: Meeting, now: Micros) -> Wait {
        let Some(share) = self.rows.get_mut(rule.number()) else { return Wait::None };
        share.is_busy = true;
        let is_leased = now < share.until && share.period == meeting.period;
        if is_leased && meeting.used.saturating_add(meeting.amount) <= share.ceiling {
            return Wait::None;
        }
        if self.link.is_down() {
            return if self.link.allows_when_down { Wait::None } else { Wait::Down };
        }
        match share.full {
            Some((again, relief)) if is_leased && now < again => {
                relief.map_or(Wait::Unknown, Wait::For)
            }
            _ => {
                share.wanted = share.wanted.saturating_add(meeting.amount);
                self.is_due = true;
                Wait::Lease
            }
        }
    }

    /// Notes what has been taken: the next lease is asked for while half of this one is left.
    pub fn took(&mut self, rule: Rule, used: u64, limit: u64, now: Micros) {
        let slice = self.link.slice(limit);
        let Some(share) = self.rows.get(rule.number()) else { return };
        let is_full = share.full.is_some_and(|(again, _)| now < again);
        self.is_due |= !is_full && share.ceiling.saturating_sub(used) < slice / 2;
    }

    /// Whether to put the scope on the list of those that exchange at once: true once.
    pub fn list(&mut self) -> bool {
        let is_new = self.is_due && !self.is_listed;
        self.is_listed |= is_new;
        is_new
    }

    /// Begins an exchange: what a request may still take is lowered before anybody is told so.
    pub fn ask(&mut self, rule: Rule, limit: u64, used: u64, period: NaiveDate) -> Option<Ask> {
        (self.is_due, self.is_listed) = (false, false);
        let slice = self.link.slice(limit);
        let share = self.rows.get_mut(rule.number())?;
        if share.period != period {
            *share = Share { period, wanted: share.wanted, is_busy: share.is_busy, ..*share };
            share.ceiling = 0;
        }
        let needed = used.saturating_add(std::mem::take(&mut share.wanted)).min(limit.max(used));
        let more = if share.is_busy { slice } else { 0 };
        let wanted = needed.saturating_add(more).min(limit.max(used));
        share.ceiling = share.ceiling.min(wanted);
        let held = share.ceiling;
        let is_known = wanted > 0 || held > 0 || share.until > Micros(0);
        is_known.then_some(Ask { rule, limit, used, held, wanted, needed, period })
    }

    /// Ends an exchange.
    pub fn granted(&mut self, ask: &Ask, grant: Grant) {
        let Some(share) = self.rows.get_mut(ask.rule.number()) else { return };
        share.ceiling = grant.ceiling;
        share.until = grant.until;
        share.others = grant.others;
        let is_full = grant.ceiling < ask.needed;
        share.full = is_full.then_some((grant.again, grant.relief));
    }

    /// What the other gateways hold of a rule, as last heard.
    pub fn others(&self, rule: Rule) -> u64 {
        self.rows.get(rule.number()).map_or(0, |share| share.others)
    }

    /// What they hold of a budget in a period.
    pub fn of_others(&self, rule: Rule, period: NaiveDate) -> u64 {
        let share = self.rows.get(rule.number()).filter(|share| share.period == period);
        share.map_or(0, |share| share.others)
    }

    /// From now on, what is not asked for is not held in stock.
    pub fn rest(&mut self) {
        self.rows.iter_mut().for_each(|share| share.is_busy = false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::NaiveDate;

    use super::{Grant, Link, Meeting, Shares};
    use crate::admission::refusal::Wait;
    use crate::admission::window::Micros;
    use crate::config::snapshot::terms::Rule;

    const RULE: Rule = Rule::Requests(1);
    const LIMIT: u64 = 1000;

    fn meeting(used: u64, amount: u64) -> Meeting {
        Meeting { used, amount, period: NaiveDate::default() }
    }

    fn grant(ceiling: u64) -> Grant {
        let relief = Some(Duration::from_secs(7));
        Grant { ceiling, others: 40, until: Micros(100), again: Micros(10), relief }
    }

    fn shares(allows_when_down: bool) -> (Shares, Arc<Link>) {
        let link = Arc::new(Link::new(1, allows_when_down));
        (Shares::new(Arc::clone(&link)), link)
    }

    #[test]
    fn what_is_lacking_is_asked_for_with_a_stock_and_given_back_unasked() {
        let (mut shares, _) = shares(false);
        assert!(!shares.list() && shares.ask(RULE, LIMIT, 0, NaiveDate::default()).is_none());
        assert_eq!(shares.wait(RULE, meeting(0, 3), Micros(1)), Wait::Lease);
        assert!(shares.list() && !shares.list(), "once");
        let ask = shares.ask(RULE, LIMIT, 0, NaiveDate::default()).unwrap();
        assert_eq!((ask.needed, ask.wanted, ask.held), (3, 13, 0));
        shares.granted(&ask, grant(13));
        assert_eq!(shares.wait(RULE, meeting(0, 13), Micros(2)), Wait::None);
        assert_eq!(shares.others(RULE), 40);
        shares.took(RULE, 7, LIMIT, Micros(2));
        assert!(!shares.list(), "more than half of the stock is left");
        shares.took(RULE, 9, LIMIT, Micros(2));
        assert!(shares.list());
        shares.rest();
        let ask = shares.ask(RULE, LIMIT, 9, NaiveDate::default()).unwrap();
        assert_eq!((ask.wanted, ask.held), (9, 9), "nothing is held in stock");
        assert_eq!(shares.wait(RULE, meeting(9, 1), Micros(3)), Wait::Lease, "before it is told");
    }

    #[test]
    fn what_others_have_is_refused_until_it_is_asked_for_again() {
        let (mut shares, _) = shares(false);
        shares.wait(RULE, meeting(0, 5), Micros(1));
        let ask = shares.ask(RULE, LIMIT, 0, NaiveDate::default()).unwrap();
        shares.granted(&ask, grant(2));
        assert_eq!(shares.wait(RULE, meeting(0, 2), Micros(9)), Wait::None);
        let seven = Wait::For(Duration::from_secs(7));
        assert_eq!(shares.wait(RULE, meeting(0, 5), Micros(9)), seven);
        assert_eq!(shares.wait(RULE, meeting(0, 5), Micros(10)), Wait::Lease);
    }

    #[test]
    fn a_lease_that_has_run_out_is_worth_nothing_and_the_rule_decides() {
        for (allows, then) in [(false, Wait::Down), (true, Wait::None)] {
            let (mut shares, link) = shares(allows);
            shares.wait(RULE, meeting(0, 5), Micros(1));
            let ask = shares.ask(RULE, LIMIT, 0, NaiveDate::default()).unwrap();
            shares.granted(&ask, grant(5));
            assert!(link.set_down(true));
            assert_eq!(shares.wait(RULE, meeting(0, 5), Micros(99)), Wait::None);
            assert_eq!(shares.wait(RULE, meeting(0, 5), Micros(100)), then);
            let other = Meeting { period: NaiveDate::MAX, ..meeting(0, 1) };
            assert_eq!(shares.wait(RULE, other, Micros(99)), then, "of another period");
        }
    }
}
