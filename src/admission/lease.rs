//! Limits that hold across gateways: each leases its share of every rule from a server they share,
//! in the background, a little before it runs out.
//!
//! One task exchanges: it tells what this gateway uses and asks for what it will need, scope by
//! scope, at once for those on the list and for all in each sweep. A request touches no network;
//! one whose share does not suffice waits for the next exchange. What a gateway holds beyond its
//! use is at most `lease_percent` of the limit, and free after `lease_ms` if it is not heard of.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use redis::{RedisError, Script, ScriptInvocation};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::money::{Period, Periods};
use super::share::{Ask, Grant, Link};
use super::window::Micros;
use super::{Bound, Ledger};
use crate::config::snapshot::terms::{Rule, WINDOWS};
use crate::config::snapshot::valkey::Quotas;
use crate::valkey::{Settings, Valkey};

static EXCHANGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lease/exchange.lua")));

/// Sweeps in the time of a lease: a lease is renewed long before it runs out.
const SWEEPS: u32 = 10;

/// Scopes that exchange at the same time.
const BATCH_MAX: usize = 256;

/// A window's use counts so much longer than the window, in percent: see `window`.
const WINDOW_PERCENT: u64 = 102;

/// The leases of this process.
pub struct Leases {
    server: Valkey,
    quotas: Quotas,
    timeout: Duration,
    /// This process, among all.
    node: String,
    pub(super) link: Arc<Link>,
    listed: Mutex<Vec<Bound>>,
    due: Notify,
    /// Counts exchanges, and wakes who waits for one.
    rounds: watch::Sender<u64>,
    round: AtomicU64,
}

impl Leases {
    /// Leases of which none is taken yet.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(settings: &Settings, quotas: Quotas) -> io::Result<Self> {
        // What is said of the URL may quote a password.
        let unusable = |_| io::Error::other("`valkey.url` is no address of Valkey");
        Ok(Self {
            server: Valkey::new(settings.clone()).map_err(unusable)?,
            quotas,
            timeout: settings.timeout,
            node: format!("{:032x}", fastrand::u128(..)),
            link: Arc::new(Link::new(quotas.lease_percent, quotas.allows_when_down)),
            listed: Mutex::default(),
            due: Notify::new(),
            rounds: watch::Sender::new(0),
            round: AtomicU64::new(0),
        })
    }

    /// Whether waiting may help.
    pub fn can_help(&self) -> bool {
        !self.link.is_down()
    }

    /// When a request that came now has waited long enough.
    pub fn patience(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// The exchanges so far.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    /// Returns once there were more exchanges than this, or at the end of patience: then with false.
    pub async fn exchanged(&self, seen: u64, patience: Instant) -> bool {
        let mut rounds = self.rounds.subscribe();
        let next = rounds.wait_for(|round| *round > seen);
        matches!(tokio::time::timeout_at(patience, next).await, Ok(Ok(_)))
    }

    /// Puts a scope on the list.
    pub(super) fn list(&self, bound: Bound) {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).push(bound);
        self.due.notify_one();
    }

    fn take_listed(&self) -> Vec<Bound> {
        std::mem::take(&mut *self.listed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks nothing; gives for how long nothing new is granted.
    async fn greet(&self) -> Result<Duration, RedisError> {
        let reply = self.invoke(self.script("greeting")).await?;
        Ok(Duration::from_millis(whole(reply.first().copied().unwrap_or(0))))
    }

    /// The exchange, for a scope's place and without a rule yet. All quotas lie in one slot of a
    /// cluster, with the mark of when its memory began.
    fn script(&self, scope: &str) -> ScriptInvocation<'static> {
        let place = format!("{}:{{quotas}}", self.server.prefix());
        let mut script = EXCHANGE.prepare_invoke();
        script.key(&place).key(format!("{place}:{scope}"));
        script.arg(&self.node).arg(millis(self.quotas.lease));
        script
    }

    async fn invoke(&self, script: ScriptInvocation<'_>) -> Result<Vec<i64>, RedisError> {
        script.invoke_async(&mut self.server.connection()?).await
    }

    /// Exchanges for one scope; gives for how long nothing new is granted.
    async fn exchange(&self, ledger: &Ledger, bound: &Bound) -> Result<Duration, RedisError> {
        let (sent, utc) = (ledger.micros(), Utc::now());
        let rows = bound.account.lock().asks(&bound.rules, ledger.now(utc));
        if rows.is_empty() {
            return Ok(Duration::ZERO);
        }
        let lease = millis(self.quotas.lease);
        let scope = &bound.rules.scope;
        let mut script = self.script(&format!("{}:{}", scope.kind(), scope.name()));
        for (ask, leaves) in &rows {
            let counts = counts(ask.rule, utc).map_or(lease, |counts| millis(counts).max(lease));
            // Money that a killed gateway held is not given out again.
            let leased = if matches!(ask.rule, Rule::Budget(_)) { counts } else { lease };
            let leaves = leaves.map_or(counts, millis);
            script.arg(name(ask)).arg(ask.used).arg(ask.held).arg(ask.wanted).arg(ask.limit);
            script.arg(leased).arg(counts).arg(leaves);
        }
        let mut reply = self.invoke(script).await?.into_iter();
        let grace = Duration::from_millis(whole(reply.next().unwrap_or(0)));
        let sweep = micros(self.quotas.lease / SWEEPS);
        let mut state = bound.account.lock();
        for (ask, _) in &rows {
            let (Some(may), Some(relief), Some(others)) =
                (reply.next(), reply.next(), reply.next())
            else {
                break;
            };
            let relief = u64::try_from(relief).ok().map(Duration::from_millis);
            let grant = Grant {
                ceiling: whole(may),
                others: whole(others),
                until: Micros(sent.0.saturating_add(micros(self.quotas.lease))),
                again: Micros(ledger.micros().0.saturating_add(sweep)),
                relief: relief.map(|relief| relief.max(Duration::from_millis(1))),
            };
            state.granted(ask, grant);
        }
        let warnings = state.warnings(&bound.rules, &Periods::of(utc));
        drop(state);
        ledger.warn(scope, warnings);
        Ok(grace)
    }
}

impl Ledger {
    /// Exchanges leases for as long as the process runs.
    pub async fn keep_leases(&self) {
        let Some(leases) = &self.leases else { return };
        let mut sweeps = tokio::time::interval(leases.quotas.lease / SWEEPS);
        loop {
            let (bounds, is_sweep) = tokio::select! {
                () = leases.due.notified() => (leases.take_listed(), false),
                _ = sweeps.tick() => (self.all(), true),
            };
            self.exchange(leases, &bounds).await;
            if is_sweep {
                bounds.iter().for_each(|bound| bound.account.lock().rest());
            }
            leases.round.fetch_add(1, Ordering::Release);
            leases.rounds.send_modify(|round| *round += 1);
        }
    }

    async fn exchange(&self, leases: &Leases, bounds: &[Bound]) {
        let mut grace = match leases.greet().await {
            Ok(grace) => grace,
            Err(error) => return self.is_down(leases, true, &error.to_string()),
        };
        for batch in bounds.chunks(BATCH_MAX) {
            let told = join_all(batch.iter().map(|bound| leases.exchange(self, bound))).await;
            for told in told {
                match told {
                    Ok(more) => grace = grace.max(more),
                    Err(error) => return self.is_down(leases, true, &error.to_string()),
                }
            }
        }
        self.is_down(leases, !grace.is_zero(), "their server has no memory yet");
    }

    fn is_down(&self, leases: &Leases, is_down: bool, why: &str) {
        self.metrics.admission.exchanged(!is_down);
        if !leases.link.set_down(is_down) {
            return;
        }
        if is_down {
            log::warn!("limits across gateways cannot be leased: {why}");
        } else {
            log::info!("limits across gateways are leased again");
        }
    }
}

/// A rule's name there: a budget's has its period.
fn name(ask: &Ask) -> String {
    match ask.rule {
        Rule::Budget(_) => format!("{}@{}", ask.rule.label(), ask.period),
        rule => rule.label(),
    }
}

/// How long what was used counts at most; `None` where it counts while it lasts.
fn counts(rule: Rule, now: DateTime<Utc>) -> Option<Duration> {
    match rule {
        Rule::Requests(window) | Rule::Tokens(window) => {
            let (_, length) = WINDOWS.get(window)?;
            Some(Duration::from_millis(millis(*length) * WINDOW_PERCENT / 100))
        }
        Rule::InFlight => None,
        Rule::Budget(period) => (Period::ALL.get(period)?.end(now) - now).to_std().ok(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
