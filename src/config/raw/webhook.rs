//! Where warnings of budgets are posted, as the file says it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;

/// A receiver of warnings.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetWebhook {
    /// The receiver, `https://example.com/budgets`.
    #[schemars(extend("x-secret" = true))]
    pub url: String,
    /// By which each document is signed, as Standard Webhooks have it: `whsec_` and 24 to 64 bytes in base64. Nothing is signed without.
    pub secret: Option<SecretRef>,
    /// Sent as a bearer token; none without.
    pub credential: Option<SecretRef>,
    /// Further headers.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub headers: BTreeMap<String, String>,
    /// Milliseconds that an attempt may take. Default 5000.
    pub timeout_ms: Option<u64>,
    /// Attempts in all, the first included; 1 to 10. Default 6.
    pub attempts_max: Option<u32>,
    /// The longest wait before the second attempt, doubled each time, at most a minute. Default 1000.
    pub backoff_ms: Option<u64>,
}
