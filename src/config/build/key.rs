//! Tenants and their virtual keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{name, rewrite};
use crate::config::problems::unknown;
use crate::config::raw;
use crate::config::snapshot::{Key, KeyDigest, PromptMessage};
use crate::config::spot::Spot;
use crate::keys;
use crate::types::{KeyId, ModelAlias, TenantId};

/// The tenant of a key that names none.
const DEFAULT_TENANT: &str = "default";

/// Tenants, and the aliases that keys may name.
pub(super) struct Tenants<'a> {
    by_name: BTreeMap<&'a str, Tenant>,
    /// Sorted.
    aliases: &'a [&'a str],
}

/// What a tenant gives to each of its keys.
#[derive(Default)]
struct Tenant {
    models: Option<Vec<ModelAlias>>,
    prompt: Arc<[PromptMessage]>,
}

/// Reads the tenants. `aliases` is sorted.
pub(super) fn tenants<'a>(
    raw: &'a BTreeMap<String, raw::Tenant>,
    root: &Spot<'_>,
    aliases: &'a [&'a str],
) -> Tenants<'a> {
    let spot = root.key("tenants");
    let tenant = |(id, raw): (&'a String, &raw::Tenant)| {
        name(id, &spot.name_of(id));
        let place = spot.key(id);
        let models = models(raw.models.as_deref(), aliases, &place.key("models"));
        let prompt = rewrite::prompt(&raw.prompt, &place.key("prompt")).into();
        (id.as_str(), Tenant { models, prompt })
    };
    Tenants { by_name: raw.iter().map(tenant).collect(), aliases }
}

/// Reads the keys.
pub(super) fn keys(
    raw: &[raw::Key],
    root: &Spot<'_>,
    tenants: &Tenants<'_>,
) -> HashMap<KeyDigest, Arc<Key>> {
    let spot = root.key("keys");
    let mut ids = HashMap::new();
    let mut hashes: HashMap<KeyDigest, usize> = HashMap::new();
    let mut keys = HashMap::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let place = spot.item(index);
        name(&raw.id, &place.key("id"));
        if let Some(other) = ids.insert(raw.id.as_str(), index) {
            place.key("id").refuse(format!("the id `{}` is that of keys[{other}]", raw.id));
        }
        let key = Arc::new(key(raw, &place, tenants));
        let Some(digest) = digest(raw, &place) else { continue };
        if let Some(other) = hashes.insert(digest, index) {
            place.key("hash").refuse(format!("is the hash of keys[{other}]: it is the same key"));
        }
        keys.insert(digest, key);
    }
    keys
}

fn digest(raw: &raw::Key, spot: &Spot<'_>) -> Option<KeyDigest> {
    let place = spot.key("hash");
    let digest = keys::parse(&raw.hash).map_err(|error| place.refuse(error.to_string())).ok()?;
    if digest == keys::digest(b"") {
        place.refuse("is the hash of an empty key");
    }
    Some(digest)
}

fn key(raw: &raw::Key, spot: &Spot<'_>, tenants: &Tenants<'_>) -> Key {
    let tenant = raw.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let owner = owner(raw.tenant.as_deref(), &spot.key("tenant"), tenants);
    let own = models(raw.models.as_deref(), tenants.aliases, &spot.key("models"));
    let expires = raw.expires_at.as_deref();
    Key {
        id: KeyId::from(raw.id.as_str()),
        tenant: TenantId::from(tenant),
        enabled: raw.enabled.unwrap_or(true),
        expires_at: expires.and_then(|text| moment(text, &spot.key("expires_at"))),
        models: intersection(owner.and_then(|owner| owner.models.as_deref()), own),
        prompt: owner.map(|owner| owner.prompt.clone()).unwrap_or_default(),
        labels: raw.labels.clone(),
    }
}

/// Where tenants are listed, a misspelt one would silently lift its restrictions: it is refused.
fn owner<'t>(named: Option<&str>, spot: &Spot<'_>, tenants: &'t Tenants<'_>) -> Option<&'t Tenant> {
    let found = tenants.by_name.get(named.unwrap_or(DEFAULT_TENANT));
    if let (None, Some(named)) = (found, named) {
        if tenants.by_name.is_empty() {
            name(named, spot);
        } else {
            let known: Vec<_> = tenants.by_name.keys().copied().collect();
            spot.refuse(unknown(&format!("no tenant `{named}`"), named, &known));
        }
    }
    found
}

fn models(raw: Option<&[String]>, aliases: &[&str], spot: &Spot<'_>) -> Option<Vec<ModelAlias>> {
    for (index, alias) in raw?.iter().enumerate() {
        if aliases.binary_search(&alias.as_str()).is_err() {
            let text = unknown(&format!("no model `{alias}`"), alias, aliases);
            spot.item(index).refuse(text);
        }
    }
    raw.map(|aliases| aliases.iter().map(|alias| ModelAlias::from(alias.as_str())).collect())
}

/// What both allow, where `None` allows all.
fn intersection(
    tenant: Option<&[ModelAlias]>,
    key: Option<Vec<ModelAlias>>,
) -> Option<Vec<ModelAlias>> {
    match (tenant, key) {
        (None, key) => key,
        (Some(tenant), None) => Some(tenant.to_vec()),
        (Some(tenant), Some(mut key)) => {
            key.retain(|alias| tenant.contains(alias));
            Some(key)
        }
    }
}

fn moment(text: &str, spot: &Spot<'_>) -> Option<DateTime<Utc>> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => Some(moment.with_timezone(&Utc)),
        Err(_) => {
            spot.refuse(format!(
                "`{text}` is not an RFC 3339 time, such as `2030-12-31T00:00:00Z`"
            ));
            None
        }
    }
}
