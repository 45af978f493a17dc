//! What several gateways share: the server, and how limits hold across them.

use super::limits::{millis, within};
use super::{Surroundings, secret};
use crate::config::raw::SecretRef;
use crate::config::raw::valkey as raw;
use crate::config::snapshot::valkey::Quotas;
use crate::config::spot::Spot;
use crate::types::Secret;
use crate::valkey::Settings;
use crate::valkey::address::Address;

/// Reads the `valkey` part.
pub(super) fn valkey(
    raw: &raw::Valkey,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<Settings> {
    let Some(url) = &raw.url else {
        for (name, is_there) in
            [("prefix", raw.prefix.is_some()), ("timeout_ms", raw.timeout_ms.is_some())]
        {
            if is_there {
                spot.key(name).refuse("has no effect without `url`");
            }
        }
        return None;
    };
    Some(settings(url, (raw.prefix.as_deref(), raw.timeout_ms), spot, around))
}

/// Reads a server's address, and its `prefix` and `timeout_ms`.
pub(super) fn settings(
    url: &SecretRef,
    (prefix, timeout_ms): (Option<&str>, Option<u64>),
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Settings {
    let prefix = prefix.unwrap_or("tollgate");
    super::name(prefix, &spot.key("prefix"));
    Settings {
        url: self::url(url, &spot.key("url"), around),
        prefix: prefix.into(),
        timeout: millis(timeout_ms, 2000, &spot.key("timeout_ms")),
    }
}

/// Reads the `quotas` part.
pub(super) fn quotas(raw: &raw::Quotas, spot: &Spot<'_>) -> Quotas {
    let or = Quotas::default();
    let place = spot.key("lease_percent");
    let lease = spot.key("lease_ms");
    Quotas {
        lease_percent: within(raw.lease_percent, or.lease_percent, 0..=100, &place),
        lease: millis(raw.lease_ms, 5000, &lease),
        allows_when_down: raw.valkey_down == raw::ValkeyDown::Allow,
    }
}

/// An address of Valkey.
fn url(raw: &SecretRef, spot: &Spot<'_>, around: &Surroundings<'_>) -> Secret {
    let url = secret::secret(raw, spot, around).unwrap_or_else(|| String::new().into());
    if !url.expose().is_empty()
        && let Err(why) = Address::parse(url.expose())
    {
        spot.refuse(why);
    }
    url
}
