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
    /// Shares of the budget at which the log warns, and the `budget_webhook`, once in its period. Default 80, 100.
    pub warn_percent: Option<Vec<u32>>,
    /// What becomes of a stream by which the budget is passed. Default finish.
    pub at_end: Option<AtEnd>,
}

/// What becomes of a stream by which a budget is passed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AtEnd {
    /// It goes on to its end.
    Finish,
    /// It ends there, as at the limit of its tokens.
    Cut,
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
    /// Milliseconds after which what was written survives a power cut; it survives the end of the process
    /// at once. 0 syncs each batch. Default 1000.
    #[schemars(extend("x-upgrade" = true))]
    pub sync_ms: Option<u64>,
    /// Days after which a day's file is removed, once it is exported where that is asked for; 32 at
    /// least, as budgets are restored from the files. All are kept without.
    #[schemars(extend("x-upgrade" = true))]
    pub keep_days: Option<u32>,
    /// Each day that is over as a file, for other programs.
    pub export: Option<Export>,
    /// By which tokens are counted where an upstream reports none, as of a stream that is cut. Default auto.
    #[serde(default)]
    pub tokenizer: Tokenizer,
}

/// By which tokens are counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tokenizer {
    /// The vocabulary of the model's family, where its name tells it; else an estimate.
    #[default]
    Auto,
    /// An estimate by kinds of characters: no vocabulary is loaded.
    Estimate,
    /// OpenAI's of gpt-4o and later, whatever the model.
    O200k,
    /// OpenAI's of gpt-4 and before, whatever the model.
    Cl100k,
}

/// Where days that are over are exported to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The directory. A file is there once it is whole, and replaced where its day gets a late line.
    #[schemars(extend("x-upgrade" = true))]
    pub dir: PathBuf,
    /// How the files are written. Default csv.
    #[serde(default)]
    #[schemars(extend("x-upgrade" = true))]
    pub format: ExportFormat,
}

/// How exported files are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// RFC 4180, with a line of names.
    #[default]
    Csv,
    /// As in the journal, each request once.
    Jsonl,
}
