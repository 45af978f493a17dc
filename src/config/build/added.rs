//! Tenants and keys that are made at run time, laid over what the file says.
//!
//! Each is built by itself, by the code that builds the file's own. One that cannot be built is set
//! aside: the file may be changed without regard to what was made beside it, and nothing that was made
//! ever opens more than it says.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use ahash::AHashSet;
use chrono::DateTime;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::key::{self, Tenants};
use super::{Surroundings, name};
use crate::config::objects::{AccessRequest, Decision, MadeKey, Members, Objects, SetAside, Sort};
use crate::config::problems::Report;
use crate::config::raw::{Raw, owner as raw};
use crate::config::shape;
use crate::config::snapshot::certificate::CertificateName;
use crate::config::snapshot::made::{Made, Names};
use crate::config::snapshot::{Key, KeyDigest, Snapshot};
use crate::config::spot::Spot;
use crate::config::yaml::Node;
use crate::keys;
use crate::types::{ModelAlias, TenantId};

static TENANT: LazyLock<Json> = LazyLock::new(schema::<raw::Tenant>);
static KEY: LazyLock<Json> = LazyLock::new(schema::<raw::Key>);

/// What the configuration has before anything is laid over it.
pub(super) fn nothing_yet(raw: &Raw, root: &Spot<'_>, around: &Surroundings<'_>) -> Made {
    let place = root.key("state").key("path");
    let ground = Raw { tiers: raw.tiers.clone(), tenants: raw.tenants.clone(), ..Raw::default() };
    Made {
        path: raw.state.path.as_ref().map(|path| around.directory(path, &place)),
        ground: Arc::new(ground),
        guarded: guarded(raw, &root.key("models")),
        ..Made::default()
    }
}

/// The models that need approval, which something must keep.
fn guarded(raw: &Raw, models: &Spot<'_>) -> AHashSet<ModelAlias> {
    let keeps = raw.state.path.is_some() || raw.valkey.url.is_some();
    let guarded = raw.models.iter().filter(|(_, model)| model.approval).map(|(alias, _)| {
        if !keeps {
            models.key(alias).key("approval").refuse(
                "needs a place where approvals are kept: set `state.path`, or `valkey.url` for several gateways",
            );
        }
        ModelAlias::from(alias.as_str())
    });
    guarded.collect()
}

/// A configuration with what was made at run time. `file` is the file's alone: what it says is never
/// changed, and what it names cannot be made.
pub fn lay_over(file: &Snapshot, objects: &Objects) -> Snapshot {
    let mut aliases: Vec<&str> = file.models.keys().map(|alias| alias.as_str()).collect();
    aliases.sort_unstable();
    let (nothing, report) = (Node::from(&Json::Null), Report::default());
    let tenants = key::tenants(&file.made.ground, &Spot::root(&nothing, &report), &aliases);
    let mut over = Over {
        taken: Names::of(file),
        tenants,
        number: file.numbered_keys().len(),
        snapshot: file.clone(),
    };
    for (name, made) in &objects.tenants {
        let added = over.add_tenant(name, &made.members);
        over.note(Sort::Tenant, name, added);
    }
    for (id, made) in &objects.keys {
        let added = over.add_key(id, made, objects);
        over.note(Sort::Key, id, added);
    }
    over.add_bearers(objects);
    over.add_grants(objects);
    over.snapshot
}

/// A configuration in the making.
struct Over<'a> {
    snapshot: Snapshot,
    tenants: Tenants<'a>,
    taken: Names,
    /// Of the next key.
    number: usize,
}

/// Everything that is wrong with one object.
type Wrong = Vec<String>;

impl<'a> Over<'a> {
    fn note(&mut self, sort: Sort, name: &str, added: Result<(), Wrong>) {
        if let Err(why) = added {
            self.snapshot.made.set_aside.push(SetAside { sort, name: name.to_owned(), why });
        }
    }

    fn add_tenant(&mut self, id: &'a str, members: &Members) -> Result<(), Wrong> {
        if self.taken.has_tenant(id) {
            return Err(vec!["the configuration file has a tenant of this name".to_owned()]);
        }
        let tenants = &mut self.tenants;
        built(&TENANT, members, |raw: &raw::Tenant, spot| {
            name(id, &spot.key("name"));
            tenants.read(id, raw, spot)
        })
        .map(|tenant| self.tenants.insert(id, tenant))
    }

    fn add_key(&mut self, id: &str, made: &MadeKey, objects: &Objects) -> Result<(), Wrong> {
        if self.taken.has_key(id) {
            return Err(vec!["the configuration file has a key of this id".to_owned()]);
        }
        let is_out = |tenant: &&str| {
            let mut set_aside = self.snapshot.made.set_aside.iter();
            objects.tenants.contains_key(*tenant)
                && !self.taken.has_tenant(tenant)
                && set_aside.any(|other| other.sort == Sort::Tenant && other.name == *tenant)
        };
        if let Some(tenant) = made.tenant().filter(is_out) {
            return Err(vec![format!("tenant: `{tenant}` is set aside itself")]);
        }
        let mut members = made.members.clone();
        let [id_name, hash_name] = raw::Key::NAMES;
        members.insert(id_name.to_owned(), id.into());
        members.insert(hash_name.to_owned(), made.hash.clone().into());
        let (built, certificate) = built(&KEY, &members, |raw: &raw::Key, spot| {
            name(id, &spot.key("id"));
            (key::key(raw, spot, &self.tenants), key::certificate(raw, spot))
        })?;
        let taken = |name: &CertificateName| self.snapshot.certificates.get(name);
        if let Some(other) = certificate.as_ref().and_then(taken) {
            return Err(vec![format!("certificate: is the name of the key `{}`", other.id)]);
        }
        let digest = |hash: &str| keys::parse(hash).map_err(|wrong| vec![format!("hash: {wrong}")]);
        if let Some(replaced) = &made.replaced {
            let until = DateTime::from_timestamp(replaced.until, 0);
            let mut old = built.clone();
            old.expires_at = until.into_iter().chain(built.expires_at).min();
            self.insert(digest(&replaced.hash)?, old);
        }
        let key = self.insert(digest(&made.hash)?, built);
        if let (Some(name), Some(key)) = (certificate, key) {
            self.snapshot.certificates.insert(name, key);
        }
        Ok(())
    }

    /// Each secret is a key of its own, with the rules, and so the accounts, of one.
    fn insert(&mut self, digest: KeyDigest, mut key: Key) -> Option<Arc<Key>> {
        if self.snapshot.keys.contains_key(&digest) {
            return None;
        }
        key.terms.number = self.number;
        self.number += 1;
        let key = Arc::new(key);
        self.snapshot.keys.insert(digest, Arc::clone(&key));
        Some(key)
    }

    fn add_bearers(&mut self, objects: &Objects) {
        if self.snapshot.bearers.issuers.is_empty() {
            return;
        }
        let (nothing, report) = (Node::from(&Json::Null), Report::default());
        let spot = Spot::root(&nothing, &report);
        let made = objects.tenants.keys().filter(|name| !self.taken.has_tenant(name));
        let mut numbers = self.number..;
        let bearers: HashMap<_, _> = made
            .filter_map(|name| {
                let bearer = key::bearer(name, &self.tenants, &spot, &mut numbers)?;
                Some((TenantId::from(name.as_str()), bearer))
            })
            .collect();
        self.snapshot.bearers.tenants.extend(bearers);
    }
}

impl Over<'_> {
    fn add_grants(&mut self, objects: &Objects) {
        let approved = |request: &&AccessRequest| request.state == Decision::Approved;
        for request in objects.requests.values().filter(approved) {
            let of_tenant = self.snapshot.made.grants.entry(TenantId::from(&*request.tenant));
            of_tenant.or_default().insert(ModelAlias::from(&*request.model), request.expires);
        }
    }
}

/// One object, if nothing is wrong with it.
fn built<T: DeserializeOwned, B>(
    schema: &Json,
    members: &Members,
    build: impl FnOnce(&T, &Spot<'_>) -> B,
) -> Result<B, Wrong> {
    let node = Node::from(&Json::Object(members.clone()));
    let report = Report::default();
    let spot = Spot::root(&node, &report);
    let repaired = shape::check(schema, &spot);
    let built = match serde_json::from_value(repaired) {
        Ok(raw) => Some(build(&raw, &spot)),
        // As for the file: the shape was checked, and what serde says may quote what is secret.
        Err(_) => {
            spot.refuse("cannot be read: the program and its schema disagree");
            None
        }
    };
    let worded = |problem: &crate::config::Problem| match &*problem.path {
        "" => problem.text.clone(),
        path => format!("{path}: {}", problem.text),
    };
    report.finish("").map_err(|problems| problems.iter().map(worded).collect::<Vec<_>>())?;
    built.ok_or_else(Vec::new)
}

fn schema<T: JsonSchema>() -> Json {
    schemars::schema_for!(T).to_value()
}
