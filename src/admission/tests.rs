//! Admission as a whole: rules from a configuration's text, a clock of the test's own.

mod properties;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::{collection::vec, option};

use super::account::Now;
use super::estimate::Estimate;
use super::window::Micros;
use super::{Accounts, Applying, Demand, Ledger, Periods, Permit, Used};
use crate::config::snapshot::terms::Scope;
use crate::config::snapshot::{Key, Snapshot};
use crate::error::{Error, Kind};
use crate::telemetry::metrics::Metrics;
use crate::types::Revision;

/// A ledger under a configuration of one tenant with two keys, `a` and `b`, and the model `m`.
struct Bank {
    ledger: Arc<Ledger>,
    accounts: Accounts,
    snapshot: Snapshot,
    start: DateTime<Utc>,
}

fn snapshot(tenant: &str, key: &str, model: &str) -> Snapshot {
    let hash = |digit: char| digit.to_string().repeat(64);
    let text = format!(
        "providers: {{p: {{endpoints: [{{url: 'http://127.0.0.1:1'}}]}}}}
models: {{m: {{candidates: [{{provider: p}}], {model}}}, other: {{candidates: [{{provider: p}}]}}}}
tenants: {{t: {{{tenant}}}}}
keys:
  - {{id: a, hash: 'sha256:{}', tenant: t, {key}}}
  - {{id: b, hash: 'sha256:{}', tenant: t}}
",
        hash('1'),
        hash('2'),
    );
    crate::config::parse(&text, "test", Path::new("/"), Revision(1)).unwrap()
}

fn bank(tenant: &str, key: &str, model: &str) -> Bank {
    let ledger = Arc::new(Ledger::new(Arc::new(Metrics::new(1)), Instant::now()));
    let snapshot = snapshot(tenant, key, model);
    let accounts = ledger.accounts(&snapshot);
    Bank { ledger, accounts, snapshot, start: "2026-01-31T12:00:00Z".parse().unwrap() }
}

impl Bank {
    fn key(&self, id: &str) -> &Key {
        self.snapshot.keys.values().find(|key| key.id.as_str() == id).unwrap()
    }

    fn applying(&self, key: &str, model: &str) -> Option<Applying> {
        self.accounts.applying(self.key(key), &self.snapshot.models[model])
    }

    fn now(&self, seconds: i64) -> Now {
        let micros = Micros(seconds as u64 * 1_000_000);
        Now { micros, utc: self.start + Duration::seconds(seconds) }
    }

    fn ask_model(
        &self,
        key: &str,
        model: &str,
        asked: Asked,
        at: i64,
    ) -> Result<Box<Permit>, Error> {
        let applying = self.applying(key, model).expect("rules");
        Self::admit(applying, asked, self.now(at))
    }

    fn admit(applying: Applying, asked: Asked, now: Now) -> Result<Box<Permit>, Error> {
        let estimate = Estimate { prompt: asked.tokens, answer: 0, guessed: false };
        let demand = Demand { estimate, cost: asked.cost, began: Periods::of(now.utc) };
        applying.try_admit(demand, now, None).map_err(|refused| refused.error())
    }

    fn ask(&self, key: &str, asked: Asked, at: i64) -> Result<Box<Permit>, Error> {
        self.ask_model(key, "m", asked, at)
    }

    /// The key `a` at the model `m`, at a moment between seconds.
    fn ask_at(&self, asked: Asked, now: Now) -> Result<Box<Permit>, Error> {
        Self::admit(self.applying("a", "m").expect("rules"), asked, now)
    }

    fn settle_micros(&self, mut permit: Box<Permit>, tokens: u64, micros: u64) {
        permit.settle_at(Used { tokens, cost: 0, answer: None }, Micros(micros));
    }

    fn settle(&self, mut permit: Box<Permit>, tokens: u64, cost: u64, at: i64) {
        permit.settle_at(Used { tokens, cost, answer: None }, self.now(at).micros);
    }

    /// The refusal's kind, what it waits for in seconds, and its text.
    #[track_caller]
    fn refused(&self, key: &str, asked: Asked, at: i64) -> (Kind, Option<u64>, String) {
        let Err(error) = self.ask(key, asked, at) else { panic!("admitted") };
        (error.kind, error.retry_after.map(|after| after.as_secs()), error.public.into_owned())
    }
}

#[derive(Clone, Copy)]
struct Asked {
    tokens: u64,
    cost: u64,
}

const NOTHING: Asked = Asked { tokens: 0, cost: 0 };

const fn tokens(tokens: u64) -> Asked {
    Asked { tokens, cost: 0 }
}

const fn cost(cost: u64) -> Asked {
    Asked { tokens: 0, cost }
}

#[test]
fn without_rules_nothing_applies() {
    let bank = bank("", "", "limits: {requests_per_day: 1}");
    assert!(bank.applying("a", "other").is_none());
    assert!(bank.applying("a", "m").is_some());
}

#[test]
fn the_rule_that_waits_longest_decides_and_is_named() {
    let bank = bank(
        "limits: {requests_per_hour: 2}",
        "limits: {requests_per_minute: 2, tokens_per_second: 100}",
        "limits: {requests_per_day: 2}, ",
    );
    let first = bank.ask("a", tokens(10), 0).unwrap();
    let second = bank.ask("a", tokens(10), 0).unwrap();
    let (kind, after, text) = bank.refused("a", tokens(10), 30);
    assert_eq!((kind, after), (Kind::LimitExceeded, Some(51 * 1728 - 30)));
    assert_eq!(
        text,
        "The limit of the model `m`, 2 requests (`requests_per_day`), is reached. Try again in \
         88098 s."
    );
    drop((first, second));
    let elsewhere = bank.ask_model("b", "other", NOTHING, 30);
    assert_eq!(elsewhere.err().unwrap().retry_after.unwrap().as_secs(), 51 * 72 - 30);
}

#[test]
fn pairs_limit_a_key_at_one_model_alone() {
    let bank = bank(
        "model_limits: {m: {requests_per_minute: 3}}",
        "model_limits: {m: {requests_per_minute: 1}}",
        "",
    );
    let _held = bank.ask("a", NOTHING, 0).unwrap();
    let (_, _, text) = bank.refused("a", NOTHING, 0);
    assert!(text.contains("the key `a` at the model `m`, 1 requests"), "{text}");
    assert!(bank.applying("a", "other").is_none());
    let _two = (bank.ask("b", NOTHING, 0).unwrap(), bank.ask("b", NOTHING, 0).unwrap());
    let (_, _, text) = bank.refused("b", NOTHING, 0);
    assert!(text.contains("the tenant `t` at the model `m`, 3 requests"), "{text}");
}

#[test]
fn a_refused_request_takes_nothing_anywhere() {
    let bank = bank("limits: {requests_per_day: 2}", "limits: {requests_per_day: 1}", "");
    let _held = bank.ask("a", NOTHING, 0).unwrap();
    for _ in 0..10 {
        bank.refused("a", NOTHING, 0);
    }
    assert!(bank.ask("b", NOTHING, 0).is_ok());
}

#[test]
fn in_flight_is_counted_until_the_end() {
    let bank = bank("", "limits: {in_flight: 2}", "");
    let (first, second) = (bank.ask("a", NOTHING, 0).unwrap(), bank.ask("a", NOTHING, 0).unwrap());
    let (kind, after, _) = bank.refused("a", NOTHING, 0);
    assert_eq!((kind, after), (Kind::LimitExceeded, Some(1)));
    bank.settle(first, 0, 0, 1);
    let _third = bank.ask("a", NOTHING, 1).unwrap();
    drop(second);
    assert!(bank.ask("a", NOTHING, 1).is_ok());
}

#[test]
fn what_was_set_aside_makes_room_for_what_was_used() {
    let bank = bank("", "limits: {tokens_per_minute: 100}", "");
    let permit = bank.ask("a", tokens(90), 0).unwrap();
    assert_eq!(permit.quota.tokens.unwrap().remaining, 10);
    bank.refused("a", tokens(20), 1);
    bank.settle(permit, 30, 0, 2);
    let permit = bank.ask("a", tokens(70), 2).unwrap();
    assert_eq!(permit.quota.tokens.unwrap().remaining, 0);
    bank.settle(permit, 75, 0, 3);
    let (kind, ..) = bank.refused("a", tokens(1), 4);
    assert_eq!(kind, Kind::LimitExceeded, "what was used beyond the estimate counts too");
    let (kind, after, _) = bank.refused("a", tokens(101), 4);
    assert_eq!((kind, after), (Kind::BeyondLimit, None));
}

#[test]
fn a_guess_alone_refuses_nobody() {
    let bank = bank("", "limits: {tokens_per_minute: 100}", "");
    let applying = bank.applying("a", "m").unwrap();
    let estimate = Estimate { prompt: 60, answer: 1024, guessed: true };
    let now = bank.now(0);
    let demand = Demand { estimate, cost: 0, began: Periods::of(now.utc) };
    assert!(applying.try_admit(demand, now, None).is_ok());
}

#[test]
fn a_budget_sets_aside_and_is_renewed_by_the_calendar() {
    let bank = bank("budget: {month_micro_usd: 1000}", "budget: {day_micro_usd: 300}", "");
    let permit = bank.ask("a", cost(200), 0).unwrap();
    let (kind, after, text) = bank.refused("a", cost(150), 0);
    assert_eq!((kind, after), (Kind::BudgetExceeded, Some(12 * 3600)));
    assert!(
        text.starts_with(
            "The budget of the key `a`, 0.000300 USD a day (`day_micro_usd`), does not suffice: \
             this request may cost 0.000150 USD. Try again in 43200 s."
        ),
        "{text}"
    );
    bank.settle(permit, 0, 120, 1);
    bank.settle(bank.ask("a", cost(150), 1).unwrap(), 0, 150, 2);
    let spent: Vec<_> = bank.ledger.spent(bank.now(2).utc).iter().map(|(_, s)| s.spent).collect();
    assert_eq!(spent, [270, 270]);
    let (kind, after, _) = bank.refused("a", cost(301), 3);
    assert_eq!((kind, after), (Kind::BudgetExceeded, None), "more than any day allows");
    assert!(bank.ask("a", cost(300), 12 * 3600).is_ok());
}

#[test]
fn accounts_go_on_over_reloads_and_restarts() {
    let bank = bank("", "limits: {requests_per_day: 1}, budget: {day_micro_usd: 100}", "");
    bank.settle(bank.ask("a", cost(60), 0).unwrap(), 0, 60, 0);
    let scopes = [Scope::Key("a".into()), Scope::Tenant("t".into())];
    for scope in &scopes {
        bank.ledger.restore(scope, bank.start, crate::types::MicroUsd(10));
        bank.ledger.restore(scope, bank.start - Duration::days(1), crate::types::MicroUsd(99));
    }
    let accounts = bank.ledger.accounts(&snapshot(
        "",
        "limits: {requests_per_day: 2}, budget: {day_micro_usd: 100}",
        "",
    ));
    let bank = Bank { accounts, ..bank };
    let (_, _, text) = bank.refused("a", cost(31), 0);
    assert!(text.contains("day_micro_usd"), "70 were spent: {text}");
    let permit = bank.ask("a", cost(30), 0).unwrap();
    assert_eq!(permit.quota.requests.unwrap().remaining, 0, "the first request still counts");
}

#[test]
fn requests_of_many_threads_never_exceed_a_budget() {
    let bank = bank("budget: {day_micro_usd: 1000000}", "limits: {in_flight: 64}", "");
    let start = bank.start;
    let thread = || -> u64 {
        let turn = |turn: u64| {
            let permit = bank.ask("a", cost(1000), 0).ok()?;
            let used = 900 + turn % 100;
            bank.settle(permit, 0, used, 0);
            Some(used)
        };
        (0..500).filter_map(turn).sum()
    };
    let admitted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(thread)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let (_, spent) = bank.ledger.spent(start)[0].clone();
    assert_eq!(spent.spent, admitted);
    assert!(spent.spent <= 1_000_000 && spent.spent > 998_000, "{}", spent.spent);
}

/// A request: how long after the one before it, its estimate, its real use (`None`: dropped).
fn request() -> impl Strategy<Value = (i64, u64, Option<u64>)> {
    (0i64..4000, 0u64..50, option::of(0u64..50))
}

proptest! {
    /// Over simulated days of requests whose real use is at most what was estimated: what the books
    /// say was spent is what was settled, to the micro-dollar, and never over the budget.
    #[test]
    fn the_books_are_exact_and_never_over_budget(requests in vec(request(), 1..300)) {
        let bank = bank("budget: {day_micro_usd: 200}", "", "");
        let (mut at, mut spent) = (0, std::collections::BTreeMap::new());
        for (pause, asked, used) in requests {
            at += pause;
            let today = bank.now(at).utc.date_naive();
            let sum: &mut u64 = spent.entry(today).or_default();
            match (bank.ask("a", cost(asked), at), used) {
                (Ok(permit), Some(used)) => {
                    bank.settle(permit, 0, used.min(asked), at);
                    *sum += used.min(asked);
                }
                (Ok(permit), None) => drop(permit),
                (Err(_), _) => prop_assert!(*sum + asked > 200),
            }
            prop_assert!(*sum <= 200);
            let (_, books) = bank.ledger.spent(bank.now(at).utc)[0].clone();
            prop_assert_eq!(books.spent, *sum);
        }
    }
}
