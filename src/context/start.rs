//! What a turn builds on: a context as it stands, or as it was at an earlier version.

use std::sync::Arc;

use super::ask::Asked;
use super::delta::{self, Bounds, Delta};
use super::log::{Document, Log, NO_DATA};
use super::store::Key;
use super::{Contexts, HeldLease, Rules, bounds, expect, fresh_id, not_found, responses};
use crate::error::Result;
use crate::types::{TenantId, Version};

/// What a turn builds on.
pub struct Start {
    /// The context that the turn changes.
    pub key: Key,
    /// The right to change it; `None` for a turn that is not kept.
    pub lease: Option<HeldLease>,
    /// What is kept of it; `None` where the turn makes it.
    pub log: Option<Arc<Log>>,
    /// What was changed before the turn; `None` where nothing was.
    pub changed: Option<delta::Change>,
}

impl Start {
    /// The context's `data` as the turn finds it, behind its deltas.
    pub fn data(&self) -> &str {
        match &self.changed {
            Some(delta::Change::Data(data)) => data,
            Some(delta::Change::Whole(document)) => &document.data,
            None => self.log.as_ref().map_or(NO_DATA, |log| log.data()),
        }
    }
}

impl Contexts {
    /// Takes the lease of a turn's context, or of a new one, and reads it.
    ///
    /// # Errors
    /// `ContextBusy`, `ContextConflict`, `ContextNotFound`, `DeltaRefused`, `ContextStore`.
    pub async fn start(&self, tenant: &TenantId, asked: &Asked, rules: &Rules) -> Result<Start> {
        let id = asked.id.clone().map_or_else(fresh_id, Ok)?;
        let key = Key { tenant: tenant.clone(), id };
        let lease = self.lease_for(&key, asked, rules).await?;
        let log = self.read(&key).await?;
        let base = log.as_ref().map_or(Version(0), |log| log.version());
        expect(&key, base, asked.version)?;
        let absent = || match asked.after {
            Some(after) => responses::not_found(&responses::id(&key.id, after)),
            None => not_found(&key),
        };
        let Some(kept) = &log else {
            if asked.must_exist {
                return Err(absent());
            }
            let changed = changed(Document::empty, &asked.deltas, bounds(rules))?;
            return Ok(Start { key, lease, log, changed });
        };
        let named = asked.after.map(|after| responses::id(&key.id, after));
        if named.is_some_and(|named| responses::is_deleted(kept, &named)) {
            return Err(absent());
        }
        let Some(after) = asked.after.filter(|after| *after != base) else {
            let latest = || kept.latest().to_document();
            let changed = changed(latest, &asked.deltas, bounds(rules))?;
            return Ok(Start { key, lease, log, changed });
        };
        // Others went on from there already: this turn begins a context of its own.
        let then = kept.at(after, rules.versions_max).ok_or_else(absent)?.to_document();
        drop(lease);
        let key = Key { tenant: key.tenant, id: fresh_id()? };
        let lease = self.lease_for(&key, asked, rules).await?;
        Ok(Start { key, lease, log: None, changed: Some(delta::Change::Whole(then)) })
    }

    async fn lease_for(
        &self,
        key: &Key,
        asked: &Asked,
        rules: &Rules,
    ) -> Result<Option<HeldLease>> {
        match asked.read_only {
            false => self.lease(key, rules.turn_wait).await.map(Some),
            true => Ok(None),
        }
    }
}

/// What the deltas make of the context; `None` where there are none.
fn changed(
    document: impl FnOnce() -> Document,
    deltas: &[Delta],
    bounds: Bounds,
) -> Result<Option<delta::Change>> {
    if deltas.is_empty() {
        return Ok(None);
    }
    let mut document = document();
    let mut whole = false;
    for delta in deltas {
        match delta.apply(&document, bounds)? {
            delta::Change::Data(data) => document.data = data,
            delta::Change::Whole(changed) => {
                whole = true;
                document = changed;
            }
        }
    }
    let change =
        if whole { delta::Change::Whole(document) } else { delta::Change::Data(document.data) };
    Ok(Some(change))
}
