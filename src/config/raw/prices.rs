//! What models cost, as the file says it, and the list of prices that may lie in a file of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// What models cost.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// A file with the key `models`, as here; what stands here goes before it.
    pub file: Option<PathBuf>,
    /// What is done with a request whose model may be served at a place that has no price.
    /// Default allow.
    #[serde(default)]
    pub unpriced: Unpriced,
    /// Prices by the upstream's name of the model, or by `provider/model` for one provider alone.
    #[serde(default)]
    pub models: BTreeMap<String, Vec<Price>>,
}

/// What is done with a model without a price.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unpriced {
    /// It is served, and costs nothing.
    #[default]
    Allow,
    /// It is refused.
    Refuse,
}

/// A list of prices in a file of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// Prices by the upstream's name of the model, or by `provider/model` for one provider alone.
    #[serde(default)]
    pub models: BTreeMap<String, Vec<Price>>,
}

/// What a model costs from a day on, in millionths of a US dollar for a million tokens: 3000000 is
/// three dollars for a million.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The first day, in UTC, `2026-01-31`; it holds until the next one. Default: always.
    pub from: Option<String>,
    /// Prompt tokens. Default 0.
    pub input: Option<u64>,
    /// Prompt tokens read from the provider's cache. Default: as input.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to the provider's cache. Default: as input.
    pub cache_write: Option<u64>,
    /// Tokens of the answer. Default 0.
    pub output: Option<u64>,
    /// Tokens of reasoning. Default: as output.
    pub reasoning: Option<u64>,
    /// Each image that is made, in millionths of a US dollar. Default 0.
    pub image: Option<u64>,
    /// Each request that is answered, in millionths of a US dollar. Default 0.
    pub request: Option<u64>,
}
