//! Who may use how much: the rules, as plain data. What is counted against them lies in
//! `admission`, under the rules' scopes, and survives a reload.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::webhook::Webhook;
use crate::types::{KeyId, ModelAlias, TeamId, TenantId};

/// The windows in which requests and tokens are counted.
pub const WINDOWS: [(&str, Duration); 4] = [
    ("second", Duration::from_secs(1)),
    ("minute", Duration::from_secs(60)),
    ("hour", Duration::from_secs(3600)),
    ("day", Duration::from_secs(24 * 3600)),
];

/// The periods in which money is counted, by the calendar in UTC.
pub const PERIODS: [&str; 3] = ["day", "week", "month"];

/// What holds for no key alone.
#[derive(Clone, Default)]
pub struct Terms {
    /// The rules of models that have some.
    pub models: HashMap<ModelAlias, Arc<Rules>>,
    /// Whether any model has a price.
    pub is_priced: bool,
    /// Whether a model without a price is refused.
    pub refuses_unpriced: bool,
    /// How requests wait that a limit would refuse; `None` where they do not.
    pub waiting: Option<Waiting>,
    /// Where warnings of budgets are posted, if they are.
    pub webhook: Option<Arc<Webhook>>,
    /// The list of prices, to be watched.
    pub price_file: Option<PathBuf>,
    /// By which tokens are counted that no upstream reports.
    pub tokenizer: Tokenizer,
    /// How the usage journal is kept, if it is. Taken into use at start only.
    pub journal: Option<Journal>,
}

/// By which tokens are counted that no upstream reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// By the vocabulary of the model's family, where its name tells it; else by an estimate.
    #[default]
    Auto,
    /// By an estimate, whatever the model.
    Estimate,
    /// By OpenAI's vocabulary of that name, whatever the model.
    O200k,
    /// By OpenAI's vocabulary of that name, whatever the model.
    Cl100k,
}

/// How the usage journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Where its files lie.
    pub directory: PathBuf,
    /// How long until what was written is on the disk.
    pub sync: Duration,
    /// How many days are kept; all without.
    pub keep_days: Option<u32>,
    /// Where days that are over are exported to.
    pub export: Option<Export>,
}

/// Where days that are over are exported to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Where the files lie.
    pub directory: PathBuf,
    /// How they are written.
    pub format: Format,
}

/// How exported files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180.
    Csv,
    /// A line of JSON for each request.
    Jsonl,
}

impl Format {
    /// What the files' names end with, and what the configuration calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
        }
    }
}

/// How requests wait for room under a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How long one waits at most.
    pub wait_max: Duration,
    /// How many may wait at the same time.
    pub queue_max: u64,
}

/// What holds for a key.
#[derive(Clone)]
pub struct KeyTerms {
    /// The key's place among all: live state is found by it.
    pub number: usize,
    /// The part of its tenant that it belongs to.
    pub team: Option<TeamId>,
    /// What it is charged of the list price.
    pub price_percent: u32,
    /// Whose requests go first among those that wait: the higher.
    pub priority: u32,
    /// Its own rules, its team's and its tenant's, where they have some.
    pub rules: Vec<Arc<Rules>>,
    /// Those for one model alone.
    pub model_rules: Vec<(ModelAlias, Arc<Rules>)>,
}

impl Default for KeyTerms {
    fn default() -> Self {
        Self {
            number: 0,
            team: None,
            price_percent: 100,
            priority: 0,
            rules: Vec::new(),
            model_rules: Vec::new(),
        }
    }
}

/// Whom a rule is about. The order is that in which accounts are locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A key at one model.
    KeyModel(KeyId, ModelAlias),
    /// A key.
    Key(KeyId),
    /// A part of a tenant.
    Team(TenantId, TeamId),
    /// A tenant at one model.
    TenantModel(TenantId, ModelAlias),
    /// A tenant.
    Tenant(TenantId),
    /// A model, for all keys together.
    Model(ModelAlias),
}

impl Scope {
    /// The kinds of scope, by [`Scope::rank`].
    pub const KINDS: [&'static str; 6] =
        ["key_model", "key", "team", "tenant_model", "tenant", "model"];

    /// The place of the scope's kind in the order.
    pub const fn rank(&self) -> usize {
        match self {
            Scope::KeyModel(..) => 0,
            Scope::Key(_) => 1,
            Scope::Team(..) => 2,
            Scope::TenantModel(..) => 3,
            Scope::Tenant(_) => 4,
            Scope::Model(_) => 5,
        }
    }

    /// The metric label: bounded.
    pub fn kind(&self) -> &'static str {
        Self::KINDS.get(self.rank()).copied().unwrap_or_default()
    }

    /// The names alone, for labels.
    pub fn name(&self) -> String {
        match self {
            Scope::KeyModel(key, model) => format!("{key}/{model}"),
            Scope::Key(key) => key.to_string(),
            Scope::Team(tenant, team) => format!("{tenant}/{team}"),
            Scope::TenantModel(tenant, model) => format!("{tenant}/{model}"),
            Scope::Tenant(tenant) => tenant.to_string(),
            Scope::Model(model) => model.to_string(),
        }
    }
}

impl fmt::Display for Scope {
    /// As an error names it: ``the key `a` ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::KeyModel(key, model) => write!(f, "the key `{key}` at the model `{model}`"),
            Scope::Key(key) => write!(f, "the key `{key}`"),
            Scope::Team(tenant, team) => write!(f, "the team `{team}` of the tenant `{tenant}`"),
            Scope::TenantModel(tenant, model) => {
                write!(f, "the tenant `{tenant}` at the model `{model}`")
            }
            Scope::Tenant(tenant) => write!(f, "the tenant `{tenant}`"),
            Scope::Model(model) => write!(f, "the model `{model}`"),
        }
    }
}

/// One rule of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Requests, by the place of their window.
    Requests(usize),
    /// Tokens, by the place of their window.
    Tokens(usize),
    /// Requests at the same time.
    InFlight,
    /// Money, by the place of its period.
    Budget(usize),
}

impl Rule {
    /// How many there are.
    pub const COUNT: usize = 2 * WINDOWS.len() + 1 + PERIODS.len();

    /// The rule's place among all.
    pub const fn number(self) -> usize {
        match self {
            Rule::Requests(window) => window,
            Rule::Tokens(window) => WINDOWS.len() + window,
            Rule::InFlight => 2 * WINDOWS.len(),
            Rule::Budget(period) => 2 * WINDOWS.len() + 1 + period,
        }
    }

    /// Every rule, by number.
    pub fn all() -> impl Iterator<Item = Rule> {
        let windows = 0..WINDOWS.len();
        windows
            .clone()
            .map(Rule::Requests)
            .chain(windows.map(Rule::Tokens))
            .chain([Rule::InFlight])
            .chain((0..PERIODS.len()).map(Rule::Budget))
    }

    /// The rule's name: that of its key in the configuration.
    pub fn label(self) -> String {
        let window = |index: usize| WINDOWS.get(index).map_or("", |(name, _)| *name);
        match self {
            Rule::Requests(index) => format!("requests_per_{}", window(index)),
            Rule::Tokens(index) => format!("tokens_per_{}", window(index)),
            Rule::InFlight => "in_flight".to_owned(),
            Rule::Budget(index) => {
                format!("{}_micro_usd", PERIODS.get(index).copied().unwrap_or(""))
            }
        }
    }
}

/// How much a rule allows: requests, tokens or micro-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The rule.
    pub rule: Rule,
    /// The most there may be.
    pub amount: u64,
}

/// The rules of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whom they are about.
    pub scope: Scope,
    /// What is limited, by the rules' numbers.
    pub limits: SmallVec<[Limit; 4]>,
    /// Shares of a budget at which is warned, ascending, in percent.
    pub warn_percent: Vec<u32>,
    /// Whether a stream by which a budget is passed ends there.
    pub cuts: bool,
}

impl Rules {
    /// Whether money is limited.
    pub fn has_budget(&self) -> bool {
        self.limits.last().is_some_and(|last| matches!(last.rule, Rule::Budget(_)))
    }

    /// How much a rule allows, where it is one of these.
    pub fn limit(&self, rule: Rule) -> Option<u64> {
        self.limits.iter().find(|limit| limit.rule == rule).map(|limit| limit.amount)
    }
}
