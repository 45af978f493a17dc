//! Models: an alias with its candidates, in levels of priority.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;

use super::prices::PriceList;
use super::provider::Providers;
use super::shares::{Share, WEIGHT_MAX, whole};
use super::{limits, name, rewrite};
use crate::config::problems::unknown;
use crate::config::raw;
use crate::config::snapshot::{Balance, Endpoint, HashOn, Level, Model, Retry, Target, Timeouts};
use crate::config::spot::Spot;
use crate::dialect::ir::loss::Policy;
use crate::types::{ModelAlias, ModelName};

/// How much of its part of the load an endpoint may have before it gives contexts away, in percent.
const LOAD_PERCENT: u32 = 125;

/// What holds for a model that says nothing else.
pub(super) struct General {
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
    pub(super) prices: PriceList,
}

/// Builds one model. `models` is the place of all of them.
pub(super) fn model(
    alias: &str,
    raw: &raw::Model,
    models: &Spot<'_>,
    providers: &Providers<'_>,
    general: &General,
) -> Model {
    name(alias, &models.name_of(alias));
    let spot = models.key(alias);
    let timeouts = limits::timeouts(&raw.timeouts, &spot.key("timeouts"), &general.timeouts);
    Model {
        alias: ModelAlias::from(alias),
        number: 0,
        levels: levels(
            alias,
            &raw.candidates,
            &spot.key("candidates"),
            (providers, &general.prices),
        ),
        balance: balance(raw, &spot),
        rewrite: rewrite::rewrite(&raw.rewrite, &spot.key("rewrite")),
        window_tokens: raw.window_tokens.map(|tokens| {
            limits::within(Some(tokens), 1, 1..=u32::MAX, &spot.key("window_tokens"))
        }),
        losses: losses(raw.translation.losses),
        retry: limits::retry(&raw.retry, &spot.key("retry"), &general.retry),
        timeouts: limits::bounded(timeouts),
    }
}

fn losses(raw: raw::rewrite::Losses) -> Policy {
    match raw {
        raw::rewrite::Losses::Drop => Policy::Drop,
        raw::rewrite::Losses::Warn => Policy::Warn,
        raw::rewrite::Losses::Reject => Policy::Reject,
    }
}

fn levels(
    alias: &str,
    raw: &[raw::Candidate],
    spot: &Spot<'_>,
    (providers, prices): (&Providers<'_>, &PriceList),
) -> Vec<Level> {
    if raw.is_empty() {
        spot.refuse("must have at least one candidate");
    }
    let mut levels: BTreeMap<u32, Vec<(Target, Share)>> = BTreeMap::new();
    for (index, candidate) in raw.iter().enumerate() {
        let level = levels.entry(candidate.priority.unwrap_or(0)).or_default();
        let place = spot.item(index);
        let model = match &candidate.model {
            Some(model) => {
                name(model, &place.key("model"));
                ModelName::from(model.as_str())
            }
            None => ModelName::from(alias),
        };
        for (endpoint, share) in shares(candidate, &place, providers) {
            let (model, weight) = (model.clone(), share.weight);
            let prices = prices.of(&candidate.provider, &model);
            level.push((Target { endpoint, model, candidate: index, weight, prices }, share));
        }
    }
    levels.into_values().map(level).collect()
}

/// Each endpoint of a candidate's provider, with its share of the level.
fn shares(
    raw: &raw::Candidate,
    spot: &Spot<'_>,
    providers: &Providers<'_>,
) -> Vec<(Arc<Endpoint>, Share)> {
    let weight = limits::within(raw.weight, 1, 1..=WEIGHT_MAX, &spot.key("weight"));
    let Some(endpoints) = providers.get(raw.provider.as_str()) else {
        let known: Vec<_> = providers.keys().copied().collect();
        let text = unknown(&format!("no provider `{}`", raw.provider), &raw.provider, &known);
        spot.key("provider").refuse(text);
        return Vec::new();
    };
    let together = endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
    let share =
        |endpoint: &Endpoint| Share { weight, endpoint: endpoint.weight, endpoints: together };
    endpoints.iter().map(|endpoint| (endpoint.clone(), share(endpoint))).collect()
}

fn level(targets: Vec<(Target, Share)>) -> Level {
    let (targets, shares): (Vec<_>, Vec<_>) = targets.into_iter().unzip();
    let weighted = targets.into_iter().zip(whole(&shares));
    Level { targets: weighted.map(|(target, weight)| Target { weight, ..target }).collect() }
}

fn balance(raw: &raw::Model, spot: &Spot<'_>) -> Balance {
    let place = spot.key("hash_on");
    let hashed = matches!(raw.balance, raw::Balance::ConsistentHash);
    if raw.hash_on.is_some() && !hashed {
        place.refuse("has no effect: it is for `balance: consistent_hash`");
    }
    let in_context = matches!(raw.balance, raw::Balance::Context);
    if raw.load_percent.is_some() && !in_context {
        spot.key("load_percent").refuse("has no effect: it is for `balance: context`");
    }
    match raw.balance {
        raw::Balance::RoundRobin => Balance::RoundRobin,
        raw::Balance::LeastRequests => Balance::LeastRequests,
        raw::Balance::PeakEwma => Balance::PeakEwma,
        raw::Balance::ConsistentHash => {
            Balance::ConsistentHash(hash_on(raw.hash_on.as_deref().unwrap_or("key"), &place))
        }
        raw::Balance::Context => Balance::Context {
            load_percent: limits::within(
                raw.load_percent,
                LOAD_PERCENT,
                100..=10_000,
                &spot.key("load_percent"),
            ),
        },
    }
}

fn hash_on(text: &str, spot: &Spot<'_>) -> HashOn {
    let header = text.strip_prefix("header:");
    match (text, header.map(|name| HeaderName::from_bytes(name.trim().as_bytes()))) {
        ("key", _) => HashOn::Key,
        ("user", _) => HashOn::User,
        (_, Some(Ok(name))) => HashOn::Header(name),
        _ => {
            spot.refuse(format!(
                "`{text}` is none of `key`, `user` and `header:NAME`, such as `header:x-session`"
            ));
            HashOn::Key
        }
    }
}
