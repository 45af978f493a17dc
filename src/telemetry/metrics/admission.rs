//! What limits, budgets and the usage journal did. Every label is of the configuration's making.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cells::{Counts, Histogram, REQUEST_BOUNDS, distribution};
use super::page::{Family, Page};
use crate::admission::{Spent, WaitEnd};
use crate::config::snapshot::terms::{PERIODS, Rule, Scope};
use crate::telemetry::shard::Sharded;

/// What came of a warning for the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it.
    Delivered,
    /// Another gateway delivered it.
    Elsewhere,
    /// The receiver will never take it.
    Refused,
    /// The receiver took it in no attempt.
    Failed,
    /// So many were waiting that there was no room for it.
    Dropped,
}

impl Delivery {
    const LABELS: [&str; Delivery::Dropped as usize + 1] =
        ["delivered", "elsewhere", "refused", "failed", "dropped"];
}

/// Counters, and how budgets stood when someone last looked.
#[derive(Default)]
pub struct AdmissionMetrics {
    /// By scope's rank, and within it by rule.
    refused: Counts<{ Scope::KINDS.len() * Rule::COUNT }>,
    /// By scope's rank, and within it by period.
    warned: Counts<{ Scope::KINDS.len() * PERIODS.len() }>,
    /// Streams that ended with a budget, by scope's rank, and within it by period.
    cut: Counts<{ Scope::KINDS.len() * PERIODS.len() }>,
    /// Warnings that a receiver was to be told, by what came of it.
    deliveries: Counts<{ Delivery::LABELS.len() }>,
    /// Requests that the journal could not take, and its syncs.
    journal: Counts<2>,
    /// Exchanges of leases that failed, and that went well.
    exchanged: Counts<2>,
    /// Waits for room, by how they ended.
    waits: Counts<{ WaitEnd::LABELS.len() }>,
    waited: Sharded<Histogram>,
    /// Requests that wait now: what is bounded is what is told.
    waiting: AtomicU64,
    budgets: Mutex<Vec<(Scope, Spent)>>,
}

impl AdmissionMetrics {
    /// Counts a refusal by a scope's rule.
    pub fn refused(&self, scope: &Scope, rule: Rule) {
        self.refused.add(scope.rank() * Rule::COUNT + rule.number(), 1);
    }

    /// Counts a warning of a scope's budget of a period.
    pub fn warned(&self, scope: &Scope, period: usize) {
        self.warned.add(scope.rank() * PERIODS.len() + period, 1);
    }

    /// Counts a stream that ended with a scope's budget of a period.
    pub fn cut(&self, scope: &Scope, period: usize) {
        self.cut.add(scope.rank() * PERIODS.len() + period, 1);
    }

    /// Counts a warning that a receiver was to be told.
    pub fn delivered(&self, end: Delivery) {
        self.deliveries.add(end as usize, 1);
    }

    /// Counts requests that the usage journal does not have.
    pub fn unwritten(&self, requests: u64) {
        self.journal.add(0, requests);
    }

    /// Counts a sync of the usage journal.
    pub fn synced(&self) {
        self.journal.add(1, 1);
    }

    /// Counts an exchange of leases with the server that several gateways share.
    pub fn exchanged(&self, went_well: bool) {
        self.exchanged.add(usize::from(went_well), 1);
    }

    /// Counts a request as waiting, if there are not so many already.
    pub fn waits(&self, queue_max: u64) -> bool {
        let more = |count: u64| (count < queue_max).then_some(count + 1);
        let begun = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if !begun {
            self.waits.add(WaitEnd::Full as usize, 1);
        }
        begun
    }

    /// Counts a request as waiting no longer.
    pub fn waited(&self, end: WaitEnd, time: Duration) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waits.add(end as usize, 1);
        self.waited.mine().observe(&REQUEST_BOUNDS, time);
    }

    /// Says how budgets stand; called when metrics are asked for.
    pub fn publish(&self, budgets: Vec<(Scope, Spent)>) {
        *self.budgets.lock().unwrap_or_else(PoisonError::into_inner) = budgets;
    }

    pub(super) fn families(&self, page: &mut Page) {
        let mut refused = Family::counter(
            "tollgate_admission_refused_total",
            "Requests that a limit or a budget refused, by whose it was and which.",
        );
        let mut warned = Family::counter(
            "tollgate_budget_warnings_total",
            "Times that a budget passed a share of `warn_percent`.",
        );
        let mut cut = Family::counter(
            "tollgate_streams_cut_total",
            "Streams that ended because they passed a budget, by whose it was.",
        );
        for (rank, kind) in Scope::KINDS.into_iter().enumerate() {
            for rule in Rule::all() {
                let count = self.refused.get(rank * Rule::COUNT + rule.number());
                refused.nonzero(&[("scope", kind), ("rule", &rule.label())], count);
            }
            for (index, period) in PERIODS.into_iter().enumerate() {
                let count = self.warned.get(rank * PERIODS.len() + index);
                warned.nonzero(&[("scope", kind), ("period", period)], count);
                let count = self.cut.get(rank * PERIODS.len() + index);
                cut.nonzero(&[("scope", kind), ("period", period)], count);
            }
        }
        page.add(refused);
        page.add(warned);
        page.add(cut);
        let mut deliveries = Family::counter(
            "tollgate_budget_webhook_total",
            "Warnings of budgets for the webhook, by what came of them.",
        );
        for (index, end) in Delivery::LABELS.into_iter().enumerate() {
            deliveries.nonzero(&[("end", end)], self.deliveries.get(index));
        }
        page.add(deliveries);
        self.budgets(page);
        self.tell_waits(page);
        let mut unwritten = Family::counter(
            "tollgate_usage_journal_lost_total",
            "Requests that the usage journal could not take.",
        );
        unwritten.sample(&[], self.journal.get(0));
        page.add(unwritten);
        let mut synced = Family::counter(
            "tollgate_usage_journal_syncs_total",
            "Times that the usage journal was made to survive a power cut.",
        );
        synced.sample(&[], self.journal.get(1));
        page.add(synced);
        let mut exchanged = Family::counter(
            "tollgate_quota_exchanges_total",
            "Exchanges of leases with the Valkey that several gateways share.",
        );
        for (index, result) in ["failed", "ok"].into_iter().enumerate() {
            exchanged.nonzero(&[("result", result)], self.exchanged.get(index));
        }
        page.add(exchanged);
    }

    fn tell_waits(&self, page: &mut Page) {
        let mut waiting = Family::gauge("tollgate_waiting", "Requests that wait for room now.");
        waiting.sample(&[], self.waiting.load(Ordering::Relaxed));
        page.add(waiting);
        let mut waits =
            Family::counter("tollgate_waits_total", "Waits for room, by how they ended.");
        for (index, end) in WaitEnd::LABELS.into_iter().enumerate() {
            waits.nonzero(&[("end", end)], self.waits.get(index));
        }
        page.add(waits);
        let mut waited =
            Family::histogram("tollgate_wait_seconds", "How long requests waited for room.");
        let seen = distribution(&self.waited, |waited| waited, &REQUEST_BOUNDS);
        if seen.count > 0 {
            waited.distribution(&[], seen);
        }
        page.add(waited);
    }

    fn budgets(&self, page: &mut Page) {
        let mut spent = Family::gauge(
            "tollgate_budget_spent_micro_usd",
            "What was spent of a budget in its period, in millionths of a US dollar.",
        );
        let mut budget =
            Family::gauge("tollgate_budget_micro_usd", "The budget, in millionths of a US dollar.");
        for (scope, row) in self.budgets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let period = PERIODS.get(row.period).copied().unwrap_or_default();
            let name = scope.name();
            let labels = [("scope", scope.kind()), ("name", name.as_str()), ("period", period)];
            spent.sample(&labels, row.spent);
            budget.sample(&labels, row.budget);
        }
        page.add(spent);
        page.add(budget);
    }
}
