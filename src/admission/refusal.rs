//! Which rule refused a request, for how long, and what its sender reads.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Demand;
use crate::config::snapshot::terms::{PERIODS, Rule, Rules, Scope};
use crate::error::{Error, Kind};

/// How long a client waits for one of its own requests to end, where nobody knows.
const UNKNOWN_WAIT: Duration = Duration::from_secs(1);

/// How long a request has to wait. Longer ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Not at all.
    None,
    /// Until this gateway has leased more of what it shares with others.
    Lease,
    /// Until another request ends.
    Unknown,
    /// So long.
    For(Duration),
    /// Until the server that several gateways share can be reached.
    Down,
    /// It will never be admitted as it is.
    Never,
}

impl Wait {
    /// By a window's answer, in microseconds.
    pub fn of(micros: Option<u64>) -> Self {
        match micros {
            None => Wait::Never,
            Some(0) => Wait::None,
            Some(micros) => Wait::For(Duration::from_micros(micros)),
        }
    }

    /// Until a budget is renewed, if that helps.
    pub fn until(end: DateTime<Utc>, now: DateTime<Utc>, helps: bool) -> Self {
        if helps { Wait::For((end - now).to_std().unwrap_or_default()) } else { Wait::Never }
    }
}

/// A request was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Whose rule it was.
    pub scope: Scope,
    /// Which.
    pub rule: Rule,
    /// For how long.
    pub wait: Wait,
    limit: u64,
    asked: u64,
}

impl Refusal {
    /// A refusal by one of these rules.
    pub fn new(rules: &Rules, rule: Rule, wait: Wait, demand: &Demand) -> Self {
        let limit = rules.limit(rule).unwrap_or(0);
        let asked = demand.amount(rule, limit);
        Self { scope: rules.scope.clone(), rule, wait, limit, asked }
    }

    /// Whether room may come in a while: that of a budget comes with the calendar.
    pub fn may_wait(&self) -> bool {
        match self.wait {
            Wait::Lease => true,
            Wait::Unknown | Wait::For(_) => !matches!(self.rule, Rule::Budget(_)),
            Wait::None | Wait::Down | Wait::Never => false,
        }
    }

    /// As the client is told.
    pub fn error(&self) -> Error {
        let kind = match (self.rule, self.wait) {
            (_, Wait::Lease | Wait::Down) => Kind::QuotaUnavailable,
            (Rule::Budget(_), _) => Kind::BudgetExceeded,
            (_, Wait::Never) => Kind::BeyondLimit,
            _ => Kind::LimitExceeded,
        };
        if kind == Kind::QuotaUnavailable {
            let text = format!(
                "How much is left for {} (`{}`) cannot be known now. Try again shortly.",
                self.scope,
                self.rule.label()
            );
            return Error::new(kind, text).retry_after(UNKNOWN_WAIT);
        }
        let error = Error::new(kind, self.text());
        match self.wait {
            Wait::None | Wait::Never => error,
            Wait::Unknown | Wait::Lease | Wait::Down => error.retry_after(UNKNOWN_WAIT),
            Wait::For(wait) => error.retry_after(wait),
        }
    }

    fn text(&self) -> String {
        let Self { scope, limit, asked, .. } = self;
        let usd = |micros: u64| format!("{}.{:06} USD", micros / 1_000_000, micros % 1_000_000);
        let by = self.rule.label();
        let what = match self.rule {
            Rule::Budget(index) => {
                let period = PERIODS.get(index).copied().unwrap_or("");
                format!(
                    "The budget of {scope}, {} a {period} (`{by}`), does not suffice: this request \
                     may cost {}.",
                    usd(*limit),
                    usd(*asked)
                )
            }
            Rule::Tokens(_) => format!(
                "The limit of {scope}, {limit} tokens (`{by}`), leaves no room for this request's \
                 {asked}."
            ),
            Rule::Requests(_) => {
                format!("The limit of {scope}, {limit} requests (`{by}`), is reached.")
            }
            Rule::InFlight => {
                format!("The limit of {scope}, {limit} requests at a time (`{by}`), is reached.")
            }
        };
        let then = match self.wait {
            Wait::Never => "It will not be admitted as it is: ask for less, or ask whoever runs \
                            the gateway for more."
                .to_owned(),
            Wait::Unknown | Wait::Lease | Wait::Down => {
                "Try again when one of them has ended.".to_owned()
            }
            Wait::None => String::new(),
            Wait::For(wait) => format!("Try again in {} s.", wait.as_secs_f64().ceil()),
        };
        format!("{what} {then}")
    }
}
