//! Where tenants and keys that are made at run time are kept, as the file says it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where is kept what the admin API makes at run time: see docs/admin.md.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// A directory on this node's disk. Default: the Valkey of `valkey`; where there is none,
    /// nothing can be made at run time.
    #[schemars(extend("x-upgrade" = true))]
    pub path: Option<PathBuf>,
}
