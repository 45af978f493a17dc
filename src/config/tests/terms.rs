//! Who may use how much: prices, limits, budgets, tiers and teams.

use super::{messages, parse_in, snapshot};
use crate::config::snapshot::terms::{Rule, Rules, Scope};
use crate::config::snapshot::{Key, Snapshot};

const BASE: &str = "
providers: {p: {endpoints: [{url: 'http://h'}]}, q: {endpoints: [{url: 'http://g'}]}}
models: {m: {candidates: [{provider: p, model: up}, {provider: q, model: up}]}, n: {candidates: [{provider: p}]}}
";

fn with(more: &str) -> String {
    format!("{}{more}", BASE.trim_start())
}

fn key(id: &str, members: &str) -> String {
    let digit = if id == "a" { '1' } else { '2' };
    format!("keys: [{{id: {id}, hash: 'sha256:{}', {members}}}]\n", digit.to_string().repeat(64))
}

fn only_key(snapshot: &Snapshot) -> &Key {
    snapshot.keys.values().next().unwrap()
}

fn rules<'s>(key: &'s Key, scope: &Scope) -> Option<&'s Rules> {
    key.terms.rules.iter().map(AsRef::as_ref).find(|rules| rules.scope == *scope)
}

fn limits(rules: &Rules) -> Vec<(Rule, u64)> {
    rules.limits.iter().map(|limit| (limit.rule, limit.amount)).collect()
}

#[test]
fn a_key_has_its_own_rules_its_teams_and_its_tenants() {
    let text = with(&format!(
        "tiers:
  gold: {{limits: {{requests_per_minute: 10, in_flight: 4}}, budget: {{day_micro_usd: 5, at_end: cut}}, price_percent: 80, models: [m]}}
tenants:
  t:
    tier: gold
    limits: {{in_flight: 9}}
    model_limits: {{m: {{tokens_per_day: 7}}}}
    teams: {{x: {{budget: {{week_micro_usd: 3, warn_percent: [50, 20]}}}}}}
{}",
        key("a", "tenant: t, team: x, limits: {requests_per_second: 1}, model_limits: {m: {requests_per_hour: 2}}"),
    ));
    let snapshot = snapshot(&text);
    let key = only_key(&snapshot);
    let own = rules(key, &Scope::Key("a".into())).unwrap();
    assert_eq!(limits(own), [(Rule::Requests(0), 1)]);
    let tenant = rules(key, &Scope::Tenant("t".into())).unwrap();
    let both = [(Rule::Requests(1), 10), (Rule::InFlight, 9), (Rule::Budget(0), 5)];
    assert_eq!(limits(tenant), both, "its own goes first");
    assert_eq!(tenant.warn_percent, [80, 100]);
    let team = rules(key, &Scope::Team("t".into(), "x".into())).unwrap();
    assert!(tenant.cuts && !team.cuts, "a tier's word is its tenant's, not the team's");
    assert_eq!((limits(team), &*team.warn_percent), (vec![(Rule::Budget(1), 3)], &[20, 50][..]));
    let pairs: Vec<_> = key.terms.model_rules.iter().map(|(_, rules)| &rules.scope).collect();
    assert_eq!(
        pairs,
        [&Scope::KeyModel("a".into(), "m".into()), &Scope::TenantModel("t".into(), "m".into())]
    );
    assert_eq!(key.terms.price_percent, 80);
    assert!(key.may_use("m") && !key.may_use("n"), "the tier's models bound the key's");
}

#[test]
fn a_keys_tier_goes_before_its_tenants() {
    let tiers = "tiers: {gold: {price_percent: 80}, free: {price_percent: 0}, plain: {}}\n";
    for (own, percent) in [("", 80), ("tier: free, ", 0), ("tier: plain, ", 80)] {
        let key = key("a", &format!("{own}tenant: t"));
        let text = with(&format!("{tiers}tenants: {{t: {{tier: gold}}}}\n{key}"));
        assert_eq!(only_key(&snapshot(&text)).terms.price_percent, percent, "{own}");
    }
}

#[test]
fn what_limits_nothing_is_no_rule() {
    let text = with(&key("a", "limits: {}, budget: {warn_percent: [10]}, model_limits: {m: {}}"));
    let snapshot = snapshot(&text);
    let terms = &only_key(&snapshot).terms;
    assert!(terms.rules.is_empty() && terms.model_rules.is_empty());
    assert!(snapshot.terms.models.is_empty());
}

#[test]
fn prices_are_found_by_provider_and_by_model() {
    let directory = tempfile::tempdir().unwrap();
    let list = "models: {up: [{input: 1}], q/up: [{input: 2}, {from: '2026-01-01', input: 3}]}";
    std::fs::write(directory.path().join("prices.yaml"), list).unwrap();
    let prices = "prices: {file: prices.yaml, unpriced: refuse, models: {n: [{output: 4}]}}\n";
    let snapshot = parse_in(directory.path(), &with(prices)).unwrap_or_else(|e| panic!("{e}"));
    let input = |alias: &str, place: usize, day: &str| {
        let target = &snapshot.models[alias].levels[0].targets[place];
        target.prices.on(day.parse().unwrap()).map(|price| (price.input, price.reasoning))
    };
    assert_eq!(input("m", 0, "2026-06-01"), Some((1, 0)));
    assert_eq!(input("m", 1, "2025-12-31"), Some((2, 0)));
    assert_eq!(input("m", 1, "2026-01-01"), Some((3, 0)));
    assert_eq!(input("n", 0, "2026-01-01"), Some((0, 4)), "reasoning costs what output does");
    assert!(snapshot.terms.is_priced && snapshot.terms.refuses_unpriced);
}

#[test]
fn what_is_wrong_is_named() {
    let rows = [
        ("prices: {models: {m: []}}", "prices.models.m: must have at least one price"),
        (
            "prices: {models: {m: [{from: soon}]}}",
            "prices.models.m[0].from: `soon` is not a day, such as `2026-01-31`",
        ),
        (
            "prices: {models: {m: [{from: '2026-01-02'}, {from: '2026-01-01'}]}}",
            "prices.models.m[1].from: must be later than that of the price before it",
        ),
        ("prices: {file: none.yaml}", "prices.file: `none.yaml` cannot be read"),
        ("prices: {unpriced: ignore}", "no choice `ignore`: there are `allow`, `refuse`"),
        ("tenants: {t: {tier: gold}}", "tenants.t.tier: no tier `gold`: there is none"),
        (
            "tenants: {t: {model_limits: {mm: {in_flight: 1}}}}",
            "tenants.t.model_limits.mm: no model `mm`: did you mean `m`?",
        ),
        (
            "tiers: {g: {budget: {warn_percent: [0]}}}",
            "tiers.g.budget.warn_percent[0]: must be from 1 to 100, not 0",
        ),
        ("tiers: {g: {price_percent: 1001}}", "tiers.g.price_percent: must be from 0 to 1000"),
        ("usage: {journal: /nowhere/at/all}", "usage.journal: there is no directory `/nowhere/at`"),
        ("usage: {sync_ms: 5}", "usage.sync_ms: has no effect without `journal`"),
        (
            "usage: {journal: /tmp/usage, keep_days: 31}",
            "usage.keep_days: must be from 32 to 3660, not 31",
        ),
        (
            "usage: {journal: /tmp/usage, export: {dir: /nowhere/at/all}}",
            "usage.export.dir: there is no directory `/nowhere/at`",
        ),
        (
            "usage: {journal: /tmp/usage, export: {dir: /tmp, format: xml}}",
            "no choice `xml`: there are `csv`, `jsonl`",
        ),
    ];
    for (text, expected) in rows {
        let found = messages(&with(&format!("{text}\n")));
        assert!(found.contains(expected), "{text}:\n{found}");
    }
    let found =
        messages(&with(&format!("tenants: {{t: {{}}}}\n{}", key("a", "tenant: t, team: x"))));
    assert!(found.contains("keys[0].team: its tenant has no team `x`: there is none"), "{found}");
}
