//! Who may use how much, as the file says it: limits, budgets, tiers, and the record of usage.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// How much may be asked for. What is not named is not limited.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests in any second.
    pub requests_per_second: Option<u64>,
    /// Requests in any minute.
    pub requests_per_minute: Option<u64>,
    /// Requests in any hour.
    pub requests_per_hour: Option<u64>,
    /// Requests in any 24 hours.
    pub requests_per_day: Option<u64>,
    /// Tokens in any second, prompts and answers together.
    pub tokens_per_second: Option<u64>,
    /// Tokens in any minute.
    pub tokens_per_minute: Option<u64>,
    /// Tokens in any hour.
    pub tokens_per_hour: Option<u64>,
    /// Tokens in any 24 hours.
    pub tokens_per_day: Option<u64>,
    /// Requests at the same time.
    pub in_flight: Option<u64>,
}

/// How much may be spent, in millionths of a US dollar, by the calendar in UTC.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// From midnight to midnight.
    pub day_micro_usd: Option<u64>,
    /// From Monday to Sunday.
    pub week_micro_usd: Option<u64>,
    /// From the first to the last of the month.
    pub month_micro_usd: Option<u64>,
    /// Shares of the budget at which the log warns, once in its period. Default 80, 100.
    pub warn_percent: Option<Vec<u32>>,
}

/// A bundle of terms.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Aliases that may be used. Default: all.
    pub models: Option<Vec<String>>,
    /// How much may be asked for.
    #[serde(default)]
    pub limits: Limits,
    /// How much may be spent.
    #[serde(default)]
    pub budget: Budget,
    /// What is charged of the list price; a key's tier goes before its tenant's. Default 100.
    pub price_percent: Option<u32>,
    /// Among requests that wait for room, those of higher priorities go first; a key's tier goes before
    /// its tenant's. 0 to 100. Default 0.
    pub priority: Option<u32>,
}

/// Waiting for room: a request that a limit of requests, of tokens or of requests in flight would refuse
/// waits instead. Without this part nothing waits; budgets never wait.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// Milliseconds that a request waits at most, within its model's `total_ms`. Default 5000.
    pub wait_ms_max: Option<u64>,
    /// Requests that may wait at the same time. Default 1000.
    pub queue_max: Option<u64>,
}

/// Where the use of models is written down.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// A directory for one file a day, to which each request adds a line; none is kept without.
    /// From it budgets know, after a restart, what was spent.
    #[schemars(extend("x-upgrade" = true))]
    pub journal: Option<PathBuf>,
}
