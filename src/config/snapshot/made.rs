//! What is made at run time, as far as a configuration is concerned.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use chrono::{DateTime, Utc};

use crate::config::objects::SetAside;
use crate::config::raw::Raw;
use crate::config::snapshot::Snapshot;
use crate::types::{ModelAlias, TenantId};

/// What is made at run time.
#[derive(Clone, Default)]
pub struct Made {
    /// The directory where it is kept on this node. Taken into use at start only.
    pub path: Option<PathBuf>,
    /// Tenants and tiers as the file says them: what is made at run time is built on them.
    pub ground: Arc<Raw>,
    /// Models that a tenant may use once that was approved.
    pub guarded: AHashSet<ModelAlias>,
    /// For which of them that was, by tenant, and until when.
    pub grants: AHashMap<TenantId, AHashMap<ModelAlias, Option<i64>>>,
    /// What is not in effect, and why.
    pub set_aside: Vec<SetAside>,
}

impl Made {
    /// Whether a tenant may use a model at this moment, as far as approval goes.
    pub fn is_open(&self, tenant: &TenantId, alias: &str, now: DateTime<Utc>) -> bool {
        if self.guarded.is_empty() || !self.guarded.contains(alias) {
            return true;
        }
        let end = self.grants.get(tenant).and_then(|grants| grants.get(alias));
        end.is_some_and(|end| end.is_none_or(|end| now.timestamp() < end))
    }
}

/// The names that a file has taken: they cannot be made.
pub struct Names {
    keys: HashSet<String>,
    tenants: BTreeSet<String>,
}

impl Names {
    /// Those of the file alone.
    pub fn of(file: &Snapshot) -> Self {
        let keys = file.keys.values().chain(file.certificates.values());
        // A tenant that only keys name is the file's too: to make it would change those keys.
        let owners = keys.clone().map(|key| key.tenant.as_str().to_owned());
        Self {
            tenants: owners.chain(file.made.ground.tenants.keys().cloned()).collect(),
            keys: keys.map(|key| key.id.as_str().to_owned()).collect(),
        }
    }

    /// Whether the file has a key of this id.
    pub fn has_key(&self, id: &str) -> bool {
        self.keys.contains(id)
    }

    /// Whether the file has a tenant of this name.
    pub fn has_tenant(&self, name: &str) -> bool {
        self.tenants.contains(name)
    }

    /// The tenants, in order.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.tenants.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_holds_for_its_tenant_and_model_until_it_ends() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let (acme, other) = (TenantId::from("acme"), TenantId::from("other"));
        let mut made = Made::default();
        assert!(made.is_open(&acme, "large", at(0)), "nothing is guarded");
        made.guarded = ["large", "huge"].map(ModelAlias::from).into_iter().collect();
        let granted = [("large".into(), Some(100)), ("huge".into(), None)];
        made.grants.insert(acme.clone(), granted.into_iter().collect());
        for (tenant, alias, now, open) in [
            (&acme, "small", 0, true),
            (&acme, "large", 99, true),
            (&acme, "large", 100, false),
            (&acme, "huge", i64::from(u32::MAX), true),
            (&other, "large", 99, false),
            (&other, "small", 99, true),
        ] {
            assert_eq!(made.is_open(tenant, alias, at(now)), open, "{tenant} {alias} at {now}");
        }
    }
}
