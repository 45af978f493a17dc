//! One request in the usage journal: a line of JSON, written once and read by whoever adds up.

use std::borrow::Cow;
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::{UsageRecord, UsageSource};
use crate::config::snapshot::terms::Scope;
use crate::types::{MicroUsd, Operation, TenantId, TokenUsage};

/// The names of an entry's fields, in their order.
pub const COLUMNS: [&str; 17] = [
    "id",
    "began",
    "tenant",
    "team",
    "key",
    "model",
    "endpoint",
    "upstream_model",
    "operation",
    "status",
    "usage_source",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_micro_usd",
];

/// A request that went to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The request's id: what is written twice counts once.
    pub id: String,
    /// When it began, RFC 3339 in UTC: it counts on that day.
    pub began: String,
    /// Who asked.
    pub tenant: String,
    /// The part of the tenant, where the key is of one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// With which key.
    pub key: String,
    /// The alias asked for.
    pub model: String,
    /// Where the last attempt went.
    pub endpoint: String,
    /// What was asked for there.
    pub upstream_model: String,
    /// What was asked for.
    pub operation: String,
    /// The status sent to the client.
    pub status: u16,
    /// `reported` or `estimated`; empty where there was no answer to count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub usage_source: String,
    /// Prompt tokens, neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
    /// What was charged.
    pub cost_micro_usd: u64,
}

impl Entry {
    /// The entry of a request that has ended; `None` for one that went to no upstream.
    pub fn of(record: &UsageRecord) -> Option<Self> {
        let (caller, model) = (record.caller.as_deref()?, record.model.as_ref()?);
        let last = record.attempts.last()?;
        let TokenUsage { input, cache_read, cache_write, output, reasoning } = record.charge.tokens;
        let MicroUsd(cost_micro_usd) = record.charge.cost.unwrap_or_default();
        Some(Self {
            id: record.request_id.to_string(),
            began: moment(record.started),
            tenant: caller.tenant.to_string(),
            team: caller.terms.team.as_ref().map(ToString::to_string).unwrap_or_default(),
            key: caller.id.to_string(),
            model: model.alias().to_string(),
            endpoint: last.target.endpoint().id().to_string(),
            upstream_model: last.model.to_string(),
            operation: record.operation.map_or("", Operation::label).to_owned(),
            status: record.status,
            usage_source: record.charge.source.map_or("", UsageSource::label).to_owned(),
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            cost_micro_usd,
        })
    }

    /// What stands in its columns.
    pub fn fields(&self) -> [Cow<'_, str>; COLUMNS.len()] {
        [
            self.id.as_str().into(),
            self.began.as_str().into(),
            self.tenant.as_str().into(),
            self.team.as_str().into(),
            self.key.as_str().into(),
            self.model.as_str().into(),
            self.endpoint.as_str().into(),
            self.upstream_model.as_str().into(),
            self.operation.as_str().into(),
            self.status.to_string().into(),
            self.usage_source.as_str().into(),
            self.input.to_string().into(),
            self.cache_read.to_string().into(),
            self.cache_write.to_string().into(),
            self.output.to_string().into(),
            self.reasoning.to_string().into(),
            self.cost_micro_usd.to_string().into(),
        ]
    }

    /// When it began; `None` where its text is no time.
    pub fn moment(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.began).ok().map(|began| began.to_utc())
    }

    /// The day that it counts on.
    pub fn day(&self) -> Option<NaiveDate> {
        self.moment().map(|began| began.date_naive())
    }

    /// Whose budgets it counts against.
    pub fn scopes(&self) -> [Scope; 3] {
        let tenant = TenantId::from(self.tenant.as_str());
        let team = Scope::Team(tenant.clone(), self.team.as_str().into());
        [Scope::Key(self.key.as_str().into()), team, Scope::Tenant(tenant)]
    }
}

fn moment(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}
