//! Limits, budgets and tiers: who may use how much.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{limits, name};
use crate::config::problems::unknown;
use crate::config::raw::terms as raw;
use crate::config::snapshot::terms::{Limit, Rule, Rules, Scope, Waiting};
use crate::config::spot::Spot;
use crate::types::ModelAlias;

/// The largest limit and the largest budget.
const LIMIT_MAX: u64 = 1 << 53;

/// Shares at which is warned where the file says none, in percent.
const WARN_PERCENT: [u32; 2] = [80, 100];

/// The highest priority.
const PRIORITY_MAX: u32 = 100;

/// The most requests that may wait.
const QUEUE_MAX: u64 = 1_000_000;

/// What a tier gives.
pub(super) struct Tier {
    pub(super) models: Option<Vec<ModelAlias>>,
    pub(super) price_percent: Option<u32>,
    pub(super) priority: Option<u32>,
    /// Its scope means nothing.
    rules: Rules,
}

/// The tiers, by name.
pub(super) type Tiers<'a> = BTreeMap<&'a str, Tier>;

/// Reads the tiers. `models` reads a list of aliases.
pub(super) fn tiers<'a>(
    raw: &'a BTreeMap<String, raw::Tier>,
    spot: &Spot<'_>,
    models: impl Fn(Option<&[String]>, &Spot<'_>) -> Option<Vec<ModelAlias>>,
) -> Tiers<'a> {
    let tier = |(id, raw): (&'a String, &raw::Tier)| {
        name(id, &spot.name_of(id));
        let place = spot.key(id);
        let asked = Asked { limits: &raw.limits, budget: &raw.budget };
        let price_percent = raw.price_percent.map(|percent| {
            limits::within(Some(percent), 100, 0..=1000, &place.key("price_percent"))
        });
        let tier = Tier {
            models: models(raw.models.as_deref(), &place.key("models")),
            price_percent,
            priority: raw.priority.map(|priority| {
                limits::within(Some(priority), 0, 0..=PRIORITY_MAX, &place.key("priority"))
            }),
            rules: read(Scope::Model(id.as_str().into()), &asked, &place),
        };
        (id.as_str(), tier)
    };
    raw.iter().map(tier).collect()
}

/// Reads the `waiting` part.
pub(super) fn waiting(raw: &raw::Waiting, spot: &Spot<'_>) -> Waiting {
    let queue = spot.key("queue_max");
    Waiting {
        wait_max: limits::millis(raw.wait_ms_max, 5000, &spot.key("wait_ms_max")),
        queue_max: limits::within(raw.queue_max, 1000, 1..=QUEUE_MAX, &queue),
    }
}

/// The tier of this name.
pub(super) fn tier<'t>(
    named: Option<&str>,
    tiers: &'t Tiers<'_>,
    spot: &Spot<'_>,
) -> Option<&'t Tier> {
    let named = named?;
    let found = tiers.get(named);
    if found.is_none() {
        let known: Vec<_> = tiers.keys().copied().collect();
        spot.refuse(unknown(&format!("no tier `{named}`"), named, &known));
    }
    found
}

/// What the file says of one scope.
pub(super) struct Asked<'a> {
    pub(super) limits: &'a raw::Limits,
    pub(super) budget: &'a raw::Budget,
}

/// The rules of a scope, those of its tier where it says nothing itself; none where nothing is
/// limited.
pub(super) fn rules(
    scope: Scope,
    asked: &Asked<'_>,
    tier: Option<&Tier>,
    spot: &Spot<'_>,
) -> Option<Arc<Rules>> {
    let mut rules = read(scope, asked, spot);
    if let Some(Tier { rules: general, .. }) = tier {
        let own: SmallVec<[Rule; 4]> = rules.limits.iter().map(|limit| limit.rule).collect();
        let missing = general.limits.iter().filter(|limit| !own.contains(&limit.rule));
        rules.limits.extend(missing.copied());
        rules.limits.sort_by_key(|limit| limit.rule.number());
        if asked.budget.warn_percent.is_none() {
            rules.warn_percent.clone_from(&general.warn_percent);
        }
        if asked.budget.at_end.is_none() {
            rules.cuts = general.cuts;
        }
    }
    (!rules.limits.is_empty()).then(|| Arc::new(rules))
}

fn read(scope: Scope, asked: &Asked<'_>, spot: &Spot<'_>) -> Rules {
    let (money, place) = (asked.budget, spot.key("budget"));
    let budgets = [money.day_micro_usd, money.week_micro_usd, money.month_micro_usd];
    let mut rules = limited(scope, asked.limits, &spot.key("limits"));
    rules.limits.extend(limits_of(Rule::Budget, budgets, &place));
    rules.warn_percent = warnings(money.warn_percent.as_deref(), &place.key("warn_percent"));
    rules.cuts = matches!(money.at_end, Some(raw::AtEnd::Cut));
    rules
}

/// The rules of a model, for all keys together.
pub(super) fn of_model(alias: &str, raw: &raw::Limits, spot: &Spot<'_>) -> Option<Arc<Rules>> {
    let rules = limited(Scope::Model(alias.into()), raw, &spot.key("limits"));
    (!rules.limits.is_empty()).then(|| Arc::new(rules))
}

/// Limits for one model alone, by alias.
pub(super) fn model_rules(
    raw: &BTreeMap<String, raw::Limits>,
    scope: impl Fn(ModelAlias) -> Scope,
    aliases: &[&str],
    spot: &Spot<'_>,
) -> Vec<(ModelAlias, Arc<Rules>)> {
    let rules = |(alias, limits): (&String, &raw::Limits)| {
        let place = spot.key(alias);
        if aliases.binary_search(&alias.as_str()).is_err() {
            let text = unknown(&format!("no model `{alias}`"), alias, aliases);
            spot.name_of(alias).refuse(text);
        }
        let alias = ModelAlias::from(alias.as_str());
        let rules = limited(scope(alias.clone()), limits, &place);
        (!rules.limits.is_empty()).then(|| (alias, Arc::new(rules)))
    };
    raw.iter().filter_map(rules).collect()
}

fn limited(scope: Scope, raw: &raw::Limits, spot: &Spot<'_>) -> Rules {
    let requests = [
        raw.requests_per_second,
        raw.requests_per_minute,
        raw.requests_per_hour,
        raw.requests_per_day,
    ];
    let tokens =
        [raw.tokens_per_second, raw.tokens_per_minute, raw.tokens_per_hour, raw.tokens_per_day];
    let limits = limits_of(Rule::Requests, requests, spot)
        .chain(limits_of(Rule::Tokens, tokens, spot))
        .chain(limits_of(|_| Rule::InFlight, [raw.in_flight], spot))
        .collect();
    Rules { scope, limits, warn_percent: Vec::new(), cuts: false }
}

/// The limits among these amounts, each of the rule that its place makes; 0 forbids.
fn limits_of<const N: usize>(
    rule: impl Fn(usize) -> Rule,
    amounts: [Option<u64>; N],
    spot: &Spot<'_>,
) -> impl Iterator<Item = Limit> {
    amounts.into_iter().enumerate().filter_map(move |(index, amount)| {
        let rule = rule(index);
        let amount = limits::within(Some(amount?), 0, 0..=LIMIT_MAX, &spot.key(&rule.label()));
        Some(Limit { rule, amount })
    })
}

fn warnings(raw: Option<&[u32]>, spot: &Spot<'_>) -> Vec<u32> {
    let mut shares = raw.unwrap_or(&WARN_PERCENT).to_vec();
    for (index, share) in shares.iter().enumerate() {
        limits::within(Some(*share), 100, 1..=100, &spot.item(index));
    }
    shares.sort_unstable();
    shares.dedup();
    shares
}
