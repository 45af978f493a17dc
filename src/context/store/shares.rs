//! What each tenant has in a store, and whether it may have more.

use std::collections::HashMap;

use super::{Keep, Limit};
use crate::types::TenantId;

/// The tenants' shares.
#[derive(Default)]
pub struct Shares(HashMap<TenantId, Share>);

#[derive(Default)]
struct Share {
    contexts: usize,
    bytes: usize,
}

impl Shares {
    /// Whether the limits allow the tenant so many more bytes, and a further context where it is new.
    pub fn admit(
        &self,
        tenant: &TenantId,
        is_new: bool,
        more: usize,
        keep: &Keep,
    ) -> Result<(), Limit> {
        let (contexts, bytes) =
            self.0.get(tenant).map_or((0, 0), |share| (share.contexts, share.bytes));
        if is_new && contexts >= keep.tenant_contexts_max {
            return Err(Limit::TenantContexts(keep.tenant_contexts_max));
        }
        if bytes + more > keep.tenant_bytes_max {
            return Err(Limit::TenantBytes(keep.tenant_bytes_max));
        }
        Ok(())
    }

    /// A context of so many bytes is there.
    pub fn add(&mut self, tenant: &TenantId, bytes: usize) {
        let share = self.0.entry(tenant.clone()).or_default();
        share.contexts += 1;
        share.bytes += bytes;
    }

    /// A context of so many bytes is gone.
    pub fn remove(&mut self, tenant: &TenantId, bytes: usize) {
        let Some(share) = self.0.get_mut(tenant) else { return };
        share.contexts = share.contexts.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(bytes);
        if share.contexts == 0 {
            self.0.remove(tenant);
        }
    }
}
