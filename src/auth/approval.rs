//! Models that a tenant may use only once that was approved.

use chrono::{DateTime, Utc};

use crate::config::snapshot::Key;
use crate::config::snapshot::made::Made;
use crate::error::{Error, Kind, Result};

/// Nothing, where the caller's tenant may use a model.
///
/// # Errors
/// `ModelNeedsApproval`, which says how to ask.
pub fn check(made: &Made, caller: &Key, alias: &str, now: DateTime<Utc>) -> Result<()> {
    if made.is_open(&caller.tenant, alias, now) {
        return Ok(());
    }
    let alias = crate::error::excerpt(alias);
    let text = format!(
        "The model `{alias}` needs an approval, which your tenant does not have. Ask for it: POST \
         /v1/access-requests with {{\"model\": \"{alias}\", \"reason\": \"…\"}}; GET /v1/access-requests \
         shows what came of it."
    );
    Err(Error::new(Kind::ModelNeedsApproval, text).param("model"))
}
