//! What a request may use and what it comes to: opened before the upstream is asked, settled when the
//! request ends. Dropped unsettled, it gives back what was taken.

use chrono::{DateTime, NaiveDate, Utc};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use tokio::time::Instant;

use super::reply;
use crate::admission::{Demand, PassedBudget, Periods, Permit, Refused, Used};
use crate::config::snapshot::prices::Prices;
use crate::config::snapshot::terms::{Terms, Tokenizer};
use crate::config::snapshot::{Key, Model, Target};
use crate::error::{Error, Kind};
use crate::request::Draft;
use crate::state::Active;
use crate::types::{Operation, Quota, TokenUsage};
use crate::upstream::Pool;
use crate::usage::measure::Unreported;
use crate::usage::{Charge, UsageRecord, UsageSource};

/// A client that sends this header is told what a whole answer cost.
const X_TOLLGATE_COST: HeaderName = HeaderName::from_static("x-tollgate-cost");

/// What a whole answer cost, in millionths of a US dollar.
const X_TOLLGATE_COST_MICRO_USD: HeaderName = HeaderName::from_static("x-tollgate-cost-micro-usd");

/// A request's account with the gateway.
pub struct Bill {
    permit: Option<Box<Permit>>,
    /// Set while it waits for room, of which it has a permit then.
    pub refused: Option<Box<Refused>>,
    /// Whether anybody wants to know what the request used.
    is_wanted: bool,
    /// Whether the client is told what the answer cost.
    pub tells_cost: bool,
    day: NaiveDate,
    price_percent: u32,
    images: u64,
    /// The most that the client allows the answer, where anybody had to know.
    answer_max: u64,
    /// By which tokens are counted that no upstream reports.
    tokenizer: Tokenizer,
    /// What the client was told.
    told: Option<Charge>,
}

/// What an answer is charged by.
pub struct Answer {
    /// What the model costs where it came from.
    pub prices: Prices,
    /// As the upstream reported.
    pub tokens: Option<TokenUsage>,
    /// What they are counted in where it did not.
    pub unreported: Option<Box<Unreported>>,
}

/// A bill whose tokens are still to be counted: no upstream reported them.
pub struct Open {
    bill: Bill,
    answer: Answer,
    operation: Operation,
}

impl Bill {
    /// Admits a request.
    ///
    /// # Errors
    /// `Unpriced`, and what [`crate::admission::Applying::admit`] refuses, unless it is to wait.
    pub fn open(
        active: &Active,
        caller: &Key,
        pool: &Pool,
        (draft, header): (&Draft<'_>, &RequestHeader),
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let terms = &active.snapshot.terms;
        let (model, day) = (&*pool.model, now.date_naive());
        if terms.refuses_unpriced && targets(model).any(|target| target.prices.on(day).is_none()) {
            return Err(unpriced(model));
        }
        let mut bill = Self {
            permit: None,
            refused: None,
            is_wanted: terms.is_priced || terms.journal.is_some(),
            tells_cost: terms.is_priced && header.headers.contains_key(X_TOLLGATE_COST),
            day,
            price_percent: caller.terms.price_percent,
            images: if terms.is_priced { draft.images() } else { 0 },
            answer_max: u64::MAX,
            tokenizer: terms.tokenizer,
            told: None,
        };
        if let Some(applying) = active.accounts.applying(caller, model) {
            let estimate = draft.demand(&model.rewrite, applying.answer_tokens());
            let (prompt, answer) = (estimate.prompt, estimate.answer);
            let most = |target: &Target| {
                let price = target.prices.on(day)?;
                Some(price.most(prompt, answer, bill.images, bill.price_percent).0)
            };
            let dearest = || targets(model).filter_map(most).max().unwrap_or(0);
            let cost = if applying.has_budget() { dearest() } else { 0 };
            let demand = Demand { estimate, cost, began: Periods::of(now) };
            if !estimate.guessed {
                bill.answer_max = estimate.answer;
            }
            match applying.admit(demand, now) {
                Ok(permit) => bill.admitted(permit),
                Err(refused) if may_wait(terms, &refused) => bill.refused = Some(refused),
                Err(refused) => return Err(refused.error()),
            }
        }
        Ok(bill)
    }

    /// Whether a budget may end the request's stream.
    pub fn cuts(&self) -> bool {
        self.permit.as_ref().is_some_and(|permit| permit.cuts())
    }

    /// A budget has ended it.
    pub fn cut(&self, over: &PassedBudget) {
        self.permit.iter().for_each(|permit| permit.cut(over));
    }

    /// What a request has used whose answer has so many tokens by now, what of its cost is the answer's, and what is
    /// left of the budgets that may end it.
    pub fn under_way(
        &self,
        prices: &Prices,
        output: u64,
    ) -> Option<(TokenUsage, u64, Result<u64, PassedBudget>)> {
        let (permit, price) = (self.permit.as_ref()?, prices.on(self.day)?);
        // What the client allows the answer was set aside: a stream within it is not ended for its own sake.
        let output = output.min(self.answer_max);
        let used = TokenUsage { input: permit.prompt(), output, ..TokenUsage::default() };
        let cost = |used: &TokenUsage| price.cost(used, self.images, self.price_percent).0;
        let all = cost(&used);
        let answer = all.saturating_sub(cost(&TokenUsage { output: 0, ..used }));
        Some((used, answer, permit.room(all)))
    }

    /// The request has room.
    pub fn admitted(&mut self, permit: Box<Permit>) {
        self.permit = Some(permit);
        self.is_wanted = true;
    }

    /// What is left of the tightest limits.
    pub fn quota(&self) -> Quota {
        self.permit.as_ref().map(|permit| permit.quota).unwrap_or_default()
    }

    /// The header that tells what an answer costs, where the client asked for it and it has a price. What
    /// was told is what is charged.
    pub fn tell_cost(
        &mut self,
        operation: Operation,
        answer: &Answer,
    ) -> Option<(HeaderName, HeaderValue)> {
        let charge = self.charge(operation, answer);
        self.told = Some(charge);
        Some((X_TOLLGATE_COST_MICRO_USD, reply::number(charge.cost?.0)))
    }

    /// Whether tokens of such a request are counted where no upstream reports them.
    pub fn measures(&self, operation: Operation) -> bool {
        let is_counted =
            matches!(operation, Operation::Chat | Operation::Completion | Operation::Embedding);
        self.is_wanted && is_counted
    }

    /// Settles what the request came to; `None` is no good answer. Where its tokens have to be counted
    /// first, that is left to whoever has the time.
    pub fn close(
        mut self,
        operation: Operation,
        answer: Option<Answer>,
        now: Instant,
    ) -> (Charge, Option<Box<Open>>) {
        let known = match answer {
            None => Charge::default(),
            Some(answer) => match self.told.take() {
                Some(told) => told,
                None if answer.tokens.is_none() && self.measures(operation) => {
                    let open = Open { bill: self, answer, operation };
                    return (Charge::default(), Some(Box::new(open)));
                }
                None => self.charge(operation, &answer),
            },
        };
        self.settle(&known, now);
        (known, None)
    }

    /// What an answer comes to. Where its upstream reported no usage, its tokens are counted.
    fn charge(&self, operation: Operation, answer: &Answer) -> Charge {
        if !self.is_wanted || operation == Operation::CountTokens {
            return Charge::default();
        }
        let (tokens, source) = match (answer.tokens, &answer.unreported) {
            (Some(tokens), _) => (tokens, Some(UsageSource::Reported)),
            (None, Some(unreported)) if self.measures(operation) => {
                (self.measured(operation, unreported), Some(UsageSource::Estimated))
            }
            (None, _) => (TokenUsage::default(), None),
        };
        let price = answer.prices.on(self.day);
        let cost = price.map(|price| price.cost(&tokens, self.images, self.price_percent));
        Charge { tokens, source, cost }
    }

    fn measured(&self, operation: Operation, unreported: &Unreported) -> TokenUsage {
        if operation == Operation::Embedding {
            let input = unreported.prompt(self.tokenizer);
            return TokenUsage { input, ..TokenUsage::default() };
        }
        let tokens = unreported.measure(self.tokenizer);
        TokenUsage { output: tokens.output.min(self.answer_max), ..tokens }
    }

    /// Puts what the request came to in the place of what it might have.
    fn settle(self, charge: &Charge, now: Instant) {
        if let Some(permit) = self.permit {
            let reported = charge.source == Some(UsageSource::Reported);
            let used = Used {
                tokens: charge.tokens.total(),
                cost: charge.cost.unwrap_or_default().0,
                answer: reported.then(|| charge.tokens.generated()),
            };
            permit.settle(used, now.into_std());
        }
    }
}

impl Open {
    /// Counts, and settles what the request came to.
    pub fn settle(self, record: &mut UsageRecord) {
        let charge = self.bill.charge(self.operation, &self.answer);
        self.bill.settle(&charge, Instant::now());
        record.charge(charge);
    }
}

/// Whether the request waits for room: a lease is waited for in any case, and elsewhere.
fn may_wait(terms: &Terms, refused: &Refused) -> bool {
    terms.waiting.is_some() && refused.may_wait() && !refused.lacks_lease()
}

fn targets(model: &Model) -> impl Iterator<Item = &Target> {
    model.levels.iter().flat_map(|level| &level.targets)
}

fn unpriced(model: &Model) -> Error {
    let text = format!(
        "The model `{}` has no price today, and models without a price are not served here: ask \
         whoever runs the gateway for one.",
        model.alias
    );
    Error::new(Kind::Unpriced, text).param("model")
}
