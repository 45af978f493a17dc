//! Who may ask, as the file says it: tenants, their teams, their keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rewrite::PromptMessage;
use super::terms::{Budget, Limits};

/// An owner of keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Aliases its keys may use. Default: all.
    pub models: Option<Vec<String>>,
    /// Messages put into its chats, before the model's own.
    #[serde(default)]
    pub prompt: Vec<PromptMessage>,
    /// The bundle of terms that it has.
    pub tier: Option<String>,
    /// How much its keys together may ask for; instead of its tier's, key by key.
    #[serde(default)]
    pub limits: Limits,
    /// How much of a model its keys together may ask for, by alias.
    #[serde(default)]
    pub model_limits: BTreeMap<String, Limits>,
    /// How much its keys together may spend; instead of its tier's, key by key.
    #[serde(default)]
    pub budget: Budget,
    /// Its parts, by name.
    #[serde(default)]
    pub teams: BTreeMap<String, Team>,
}

/// A part of a tenant: some of its keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Aliases its keys may use, of those its tenant may. Default: all.
    pub models: Option<Vec<String>>,
    /// How much its keys together may ask for.
    #[serde(default)]
    pub limits: Limits,
    /// How much its keys together may spend.
    #[serde(default)]
    pub budget: Budget,
}

/// A virtual key.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its public name: shown in logs and metrics.
    pub id: String,
    /// `sha256:` and 64 hexadecimal digits, from `tollgate key new` or `tollgate key hash`.
    #[schemars(extend("x-secret" = true))]
    pub hash: Option<String>,
    /// A name in the client certificates that it is used with, beside or instead of `hash`: `URI:spiffe://example.com/app`, `DNS:`, `email:` or `CN:` and a name.
    pub certificate: Option<String>,
    /// Its owner. Default `default`.
    pub tenant: Option<String>,
    /// The part of its tenant that it belongs to.
    pub team: Option<String>,
    /// Aliases it may use, of those its tenant and team may. Default: all.
    pub models: Option<Vec<String>>,
    /// RFC 3339; from then on the key is refused.
    pub expires_at: Option<String>,
    /// Whether it may be used. Default true.
    pub enabled: Option<bool>,
    /// For whoever reads logs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The bundle of terms that it has.
    pub tier: Option<String>,
    /// How much it may ask for; instead of its tier's, key by key.
    #[serde(default)]
    pub limits: Limits,
    /// How much of a model it may ask for, by alias.
    #[serde(default)]
    pub model_limits: BTreeMap<String, Limits>,
    /// How much it may spend; instead of its tier's, key by key.
    #[serde(default)]
    pub budget: Budget,
}

impl Key {
    /// The names of what an entry of the file says and one made at run time does not: it has them by
    /// other ways.
    pub const NAMES: [&'static str; 2] = ["id", "hash"];

    /// A key of a tenant, and of a team of it, that says nothing of its own.
    pub fn of(tenant: &str, team: Option<&String>) -> Self {
        Self { tenant: Some(tenant.to_owned()), team: team.cloned(), ..Self::default() }
    }
}
