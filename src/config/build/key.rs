//! Tenants and their virtual keys.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeFrom;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::terms::{self, Asked, Tier, Tiers};
use super::{Surroundings, jwt, name, rewrite};
use crate::config::problems::unknown;
use crate::config::raw::{Raw, owner as raw};
use crate::config::snapshot::certificate::CertificateName;
use crate::config::snapshot::jwt::{Bearer, Bearers};
use crate::config::snapshot::prompt::PromptMessage;
use crate::config::snapshot::terms::{KeyTerms, Rules, Scope};
use crate::config::snapshot::{Key, KeyDigest};
use crate::config::spot::Spot;
use crate::keys;
use crate::types::{KeyId, ModelAlias, TeamId, TenantId};

/// The tenant of a key that names none.
const DEFAULT_TENANT: &str = "default";

/// Tenants and tiers, and the aliases that they and keys may name.
pub(super) struct Tenants<'a> {
    by_name: BTreeMap<&'a str, Tenant>,
    tiers: Tiers<'a>,
    /// Sorted.
    aliases: &'a [&'a str],
}

/// What a tenant gives to each of its keys.
#[derive(Default)]
pub(super) struct Tenant {
    models: Option<Vec<ModelAlias>>,
    prompt: Arc<[PromptMessage]>,
    rules: Option<Arc<Rules>>,
    model_rules: Vec<(ModelAlias, Arc<Rules>)>,
    price_percent: Option<u32>,
    priority: Option<u32>,
    teams: BTreeMap<String, Team>,
}

/// What a team gives to each of its keys.
struct Team {
    models: Option<Vec<ModelAlias>>,
    rules: Option<Arc<Rules>>,
}

/// Reads the tenants. `aliases` is sorted.
pub(super) fn tenants<'a>(file: &'a Raw, root: &Spot<'_>, aliases: &'a [&'a str]) -> Tenants<'a> {
    let tiers =
        terms::tiers(&file.tiers, &root.key("tiers"), |list, spot| models(list, aliases, spot));
    let spot = root.key("tenants");
    let read = |(id, raw): (&'a String, &raw::Tenant)| {
        name(id, &spot.name_of(id));
        (id.as_str(), tenant(id, raw, &spot.key(id), (&tiers, aliases)))
    };
    let by_name = file.tenants.iter().map(read).collect();
    Tenants { by_name, tiers, aliases }
}

impl<'a> Tenants<'a> {
    /// Reads one more tenant.
    pub(super) fn read(&self, id: &str, raw: &raw::Tenant, spot: &Spot<'_>) -> Tenant {
        tenant(id, raw, spot, (&self.tiers, self.aliases))
    }

    /// Adds a tenant.
    pub(super) fn insert(&mut self, id: &'a str, tenant: Tenant) {
        self.by_name.insert(id, tenant);
    }
}

fn tenant(
    id: &str,
    raw: &raw::Tenant,
    spot: &Spot<'_>,
    (tiers, aliases): (&Tiers<'_>, &[&str]),
) -> Tenant {
    let tier = terms::tier(raw.tier.as_deref(), tiers, &spot.key("tier"));
    let asked = Asked { limits: &raw.limits, budget: &raw.budget };
    let scope = TenantId::from(id);
    let of_model = |alias| Scope::TenantModel(scope.clone(), alias);
    let place = spot.key("model_limits");
    let teams = spot.key("teams");
    let own = models(raw.models.as_deref(), aliases, &spot.key("models"));
    Tenant {
        models: intersection(tier.and_then(|tier| tier.models.as_deref()), own),
        prompt: rewrite::prompt(&raw.prompt, &spot.key("prompt")).into(),
        rules: terms::rules(Scope::Tenant(scope.clone()), &asked, tier, spot),
        model_rules: terms::model_rules(&raw.model_limits, of_model, aliases, &place),
        price_percent: tier.and_then(|tier| tier.price_percent),
        priority: tier.and_then(|tier| tier.priority),
        teams: raw
            .teams
            .iter()
            .map(|(name, raw)| (name.clone(), team((&scope, name), raw, &teams, aliases)))
            .collect(),
    }
}

fn team(
    (tenant, id): (&TenantId, &str),
    raw: &raw::Team,
    teams: &Spot<'_>,
    aliases: &[&str],
) -> Team {
    name(id, &teams.name_of(id));
    let spot = teams.key(id);
    let asked = Asked { limits: &raw.limits, budget: &raw.budget };
    let scope = Scope::Team(tenant.clone(), TeamId::from(id));
    Team {
        models: models(raw.models.as_deref(), aliases, &spot.key("models")),
        rules: terms::rules(scope, &asked, None, &spot),
    }
}

/// Keys, by what they are found by.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) by_digest: HashMap<KeyDigest, Arc<Key>>,
    pub(super) by_certificate: HashMap<CertificateName, Arc<Key>>,
}

/// Reads the keys. Certificates are of no use where no listener asks for one.
pub(super) fn keys(
    raw: &[raw::Key],
    root: &Spot<'_>,
    tenants: &Tenants<'_>,
    certificates_asked: bool,
) -> Keys {
    let spot = root.key("keys");
    let mut ids = HashMap::new();
    let mut keys = Keys::default();
    for (index, raw) in raw.iter().enumerate() {
        let place = spot.item(index);
        name(&raw.id, &place.key("id"));
        if let Some(other) = ids.insert(raw.id.as_str(), index) {
            place.key("id").refuse(format!("the id `{}` is that of keys[{other}]", raw.id));
        }
        let mut key = key(raw, &place, tenants);
        key.terms.number = index;
        let key = Arc::new(key);
        if raw.hash.is_none() && raw.certificate.is_none() {
            place.refuse("needs a `hash`, a `certificate`, or both");
        }
        if let Some(digest) = raw.hash.as_deref().and_then(|hash| digest(hash, &place))
            && let Some(other) = keys.by_digest.insert(digest, Arc::clone(&key))
        {
            let other = other.terms.number;
            place.key("hash").refuse(format!("is the hash of keys[{other}]: it is the same key"));
        }
        let Some(name) = certificate(raw, &place) else { continue };
        let at = place.key("certificate");
        if !certificates_asked {
            at.refuse("no listener asks for certificates: one needs a `tls.client_ca_file`");
        }
        if let Some(other) = keys.by_certificate.insert(name, key) {
            at.refuse(format!("is the name of keys[{}]", other.terms.number));
        }
    }
    keys
}

/// The name in certificates that a key is found by.
pub(super) fn certificate(raw: &raw::Key, spot: &Spot<'_>) -> Option<CertificateName> {
    let name = raw.certificate.as_deref()?.parse();
    name.map_err(|why: String| spot.key("certificate").refuse(why)).ok()
}

/// Reads the issuers of tokens. What their bearers may do is what a key of their tenant and team may that
/// says nothing of its own; their numbers follow those of the keys.
pub(super) fn bearers(
    raw: &Raw,
    root: &Spot<'_>,
    tenants: &Tenants<'_>,
    around: &Surroundings<'_>,
) -> Bearers {
    let known =
        |name: &str| (!tenants.by_name.is_empty()).then(|| tenants.by_name.contains_key(name));
    let issuers = jwt::issuers(&raw.jwt, &root.key("jwt"), known, around);
    if issuers.is_empty() {
        return Bearers::default();
    }
    let mut numbers = raw.keys.len()..;
    let spot = root.key("jwt");
    let of_tenant =
        |name: &&str| Some((TenantId::from(*name), bearer(name, tenants, &spot, &mut numbers)?));
    Bearers { issuers, tenants: tenants.by_name.keys().filter_map(of_tenant).collect() }
}

/// What the bearers of one tenant get; `None` where there is no such tenant.
pub(super) fn bearer(
    name: &str,
    tenants: &Tenants<'_>,
    spot: &Spot<'_>,
    numbers: &mut RangeFrom<usize>,
) -> Option<Bearer> {
    let mut of = |team: Option<&String>| {
        let mut key = key(&raw::Key::of(name, team), spot, tenants);
        key.terms.number = numbers.next().unwrap_or_default();
        Arc::new(key)
    };
    let teams = tenants.by_name.get(name)?.teams.keys();
    let teams = teams.map(|team| (TeamId::from(team.as_str()), of(Some(team)))).collect();
    Some(Bearer { key: of(None), teams })
}

fn digest(hash: &str, spot: &Spot<'_>) -> Option<KeyDigest> {
    let place = spot.key("hash");
    let digest = keys::parse(hash).map_err(|error| place.refuse(error.to_string())).ok()?;
    if digest == keys::digest(b"") {
        place.refuse("is the hash of an empty key");
    }
    Some(digest)
}

/// Reads a key; its number is its maker's matter.
pub(super) fn key(raw: &raw::Key, spot: &Spot<'_>, tenants: &Tenants<'_>) -> Key {
    let tenant = raw.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let owner = owner(raw.tenant.as_deref(), &spot.key("tenant"), tenants);
    let team = part(raw.team.as_deref(), owner, &spot.key("team"));
    let tier = terms::tier(raw.tier.as_deref(), &tenants.tiers, &spot.key("tier"));
    let own = models(raw.models.as_deref(), tenants.aliases, &spot.key("models"));
    let bounds = [
        owner.and_then(|owner| owner.models.as_deref()),
        team.and_then(|team| team.models.as_deref()),
        tier.and_then(|tier| tier.models.as_deref()),
    ];
    let expires = raw.expires_at.as_deref();
    let mut terms = key_terms(raw, spot, tier, tenants.aliases);
    terms.rules.extend(team.and_then(|team| team.rules.clone()));
    if let Some(owner) = owner {
        terms.rules.extend(owner.rules.clone());
        terms.model_rules.extend(owner.model_rules.iter().cloned());
        if tier.is_none_or(|tier| tier.price_percent.is_none()) {
            terms.price_percent = owner.price_percent.unwrap_or(terms.price_percent);
        }
        if tier.is_none_or(|tier| tier.priority.is_none()) {
            terms.priority = owner.priority.unwrap_or(terms.priority);
        }
    }
    Key {
        id: KeyId::from(raw.id.as_str()),
        tenant: TenantId::from(tenant),
        enabled: raw.enabled.unwrap_or(true),
        expires_at: expires.and_then(|text| moment(text, &spot.key("expires_at"))),
        models: bounds.into_iter().fold(own, |own, bound| intersection(bound, own)),
        prompt: owner.map(|owner| owner.prompt.clone()).unwrap_or_default(),
        labels: raw.labels.clone(),
        terms,
    }
}

/// What the key's own entry and its tier say.
fn key_terms(raw: &raw::Key, spot: &Spot<'_>, tier: Option<&Tier>, aliases: &[&str]) -> KeyTerms {
    let id = KeyId::from(raw.id.as_str());
    let asked = Asked { limits: &raw.limits, budget: &raw.budget };
    let of_model = |alias| Scope::KeyModel(id.clone(), alias);
    let place = spot.key("model_limits");
    KeyTerms {
        team: raw.team.as_deref().map(TeamId::from),
        price_percent: tier.and_then(|tier| tier.price_percent).unwrap_or(100),
        priority: tier.and_then(|tier| tier.priority).unwrap_or(0),
        rules: terms::rules(Scope::Key(id.clone()), &asked, tier, spot).into_iter().collect(),
        model_rules: terms::model_rules(&raw.model_limits, of_model, aliases, &place),
        ..KeyTerms::default()
    }
}

/// The team that a key names.
fn part<'t>(named: Option<&str>, owner: Option<&'t Tenant>, spot: &Spot<'_>) -> Option<&'t Team> {
    let named = named?;
    let found = owner.and_then(|owner| owner.teams.get(named));
    if found.is_none() {
        let known: Vec<_> =
            owner.iter().flat_map(|owner| owner.teams.keys()).map(String::as_str).collect();
        spot.refuse(unknown(&format!("its tenant has no team `{named}`"), named, &known));
    }
    found
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
