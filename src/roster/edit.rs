//! What can be done to tenants and keys that are made at run time: pure changes of the document.
//!
//! Whether the result can be in effect is not looked at here; [`crate::config::lay_over`] says it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::Failure;
use crate::config::objects::{MadeKey, MadeTenant, Members, Objects, Replaced, Sort, moment};
use crate::config::raw::owner::Key as RawKey;
use crate::config::snapshot::made::Names;
use crate::keys;
use crate::types::Secret;

/// For how long a replaced secret may go on, at most: 30 days, in seconds.
const OVERLAP_SECONDS_MAX: i64 = 30 * 24 * 3600;

/// Why a change is not made.
#[derive(Debug)]
pub enum Refusal {
    /// Nothing keeps what is made at run time.
    Nowhere,
    /// What keeps it does not work.
    Failed(Failure),
    /// Others change it all the time.
    Busy,
    /// There is nothing of that name.
    Unknown(String),
    /// The name is taken.
    Taken(String),
    /// It is the configuration file's.
    InFile(String),
    /// Others need it as it is.
    InUse(String),
    /// The request's body is not what it should be.
    Malformed(String),
    /// It could not be in effect: everything that is wrong with it.
    Invalid(Vec<String>),
}

/// A change that was made to the document.
pub struct Edited {
    /// What it is, as the audit log says it.
    pub action: &'static str,
    /// What was changed.
    pub sort: Sort,
    /// Its name.
    pub name: String,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
    /// The secret that was made with it.
    pub secret: Option<Secret>,
}

/// A change to what is made, beside the file that has these names.
pub struct Edit<'a> {
    /// What is changed.
    pub objects: &'a mut Objects,
    /// The file's names.
    pub names: &'a Names,
    /// When.
    pub now: DateTime<Utc>,
}

impl<'a> Edit<'a> {
    /// Makes a tenant of a body's `name` and the other members.
    ///
    /// # Errors
    /// `Malformed`, `InFile` and `Taken`.
    pub fn create_tenant(self, mut members: Members) -> Result<Edited, Refusal> {
        let name = taken_out(&mut members, "name")?;
        if self.names.has_tenant(&name) {
            return Err(in_file(Sort::Tenant, &name));
        }
        if self.objects.tenants.contains_key(&name) {
            return Err(Refusal::Taken(format!("there is a tenant `{name}`")));
        }
        let made = MadeTenant { members, created: self.now.timestamp() };
        let after = shown_tenant(&name, &made);
        self.objects.tenants.insert(name.clone(), made);
        Ok(edited("tenant.create", Sort::Tenant, name, (Value::Null, after)))
    }

    /// Changes members of a tenant, as a JSON Merge Patch (RFC 7396).
    ///
    /// # Errors
    /// `InFile`, `Unknown` and `Malformed`.
    pub fn change_tenant(self, name: &str, patch: &Members) -> Result<Edited, Refusal> {
        if self.names.has_tenant(name) {
            return Err(in_file(Sort::Tenant, name));
        }
        refuse_member(patch, "name")?;
        let made = self.objects.tenants.get_mut(name);
        let made = made.ok_or_else(|| unknown(Sort::Tenant, name))?;
        let before = shown_tenant(name, made);
        merge(&mut made.members, patch);
        let after = shown_tenant(name, made);
        Ok(edited("tenant.change", Sort::Tenant, name.to_owned(), (before, after)))
    }

    /// Removes a tenant that no key names.
    ///
    /// # Errors
    /// `InFile`, `Unknown` and `InUse`.
    pub fn delete_tenant(self, name: &str) -> Result<Edited, Refusal> {
        let mut keys = self.objects.keys.iter();
        // Where the file has taken the name, the keys are of the file's tenant.
        let is_files = self.names.has_tenant(name);
        if let Some((id, _)) = keys.find(|(_, key)| key.tenant() == Some(name) && !is_files) {
            return Err(Refusal::InUse(format!(
                "the key `{id}` is of this tenant: delete it first"
            )));
        }
        let made = self.objects.tenants.remove(name).ok_or_else(|| {
            if is_files { in_file(Sort::Tenant, name) } else { unknown(Sort::Tenant, name) }
        })?;
        let before = shown_tenant(name, &made);
        Ok(edited("tenant.delete", Sort::Tenant, name.to_owned(), (before, Value::Null)))
    }

    /// Makes a key of a body's `id` and the other members, and its secret.
    ///
    /// # Errors
    /// `Malformed`, `InFile` and `Taken`, and `Failed` where the system has no randomness.
    pub fn create_key(self, mut members: Members) -> Result<Edited, Refusal> {
        let [id, hash] = RawKey::NAMES;
        let id = taken_out(&mut members, id)?;
        refuse_member(&members, hash)?;
        if self.names.has_key(&id) {
            return Err(in_file(Sort::Key, &id));
        }
        if self.objects.keys.contains_key(&id) {
            return Err(Refusal::Taken(format!("there is a key `{id}`")));
        }
        let secret = generate()?;
        let hash = keys::render(&secret.hash);
        let made = MadeKey { members, created: self.now.timestamp(), hash, replaced: None };
        let after = shown_key(&id, &made);
        self.objects.keys.insert(id.clone(), made);
        let edited = edited("key.create", Sort::Key, id, (Value::Null, after));
        Ok(Edited { secret: Some(secret.text), ..edited })
    }

    /// Changes members of a key, as a JSON Merge Patch (RFC 7396): `enabled`, `expires_at`, all of them.
    ///
    /// # Errors
    /// `InFile`, `Unknown` and `Malformed`.
    pub fn change_key(self, id: &str, patch: &Members) -> Result<Edited, Refusal> {
        for name in RawKey::NAMES {
            refuse_member(patch, name)?;
        }
        let made = self.key(id)?;
        let before = shown_key(id, made);
        merge(&mut made.members, patch);
        let after = shown_key(id, made);
        Ok(edited("key.change", Sort::Key, id.to_owned(), (before, after)))
    }

    /// Gives a key a new secret; the one before goes on for `overlap_seconds`, by default not at all.
    ///
    /// # Errors
    /// `InFile`, `Unknown` and `Malformed`, and `Failed` where the system has no randomness.
    pub fn rotate_key(self, id: &str, body: &Members) -> Result<Edited, Refusal> {
        if let Some(name) = body.keys().find(|name| *name != "overlap_seconds") {
            return Err(Refusal::Malformed(format!("`{name}`: there is only `overlap_seconds`")));
        }
        let overlap = body.get("overlap_seconds").map_or(Some(0), Value::as_i64);
        let overlap = overlap.filter(|overlap| (0..=OVERLAP_SECONDS_MAX).contains(overlap));
        let overlap = overlap.ok_or_else(|| {
            Refusal::Malformed(format!("`overlap_seconds` must be 0 to {OVERLAP_SECONDS_MAX}"))
        })?;
        let now = self.now;
        let made = self.key(id)?;
        let before = shown_key(id, made);
        let secret = generate()?;
        let hash = std::mem::replace(&mut made.hash, keys::render(&secret.hash));
        let until = (now + TimeDelta::seconds(overlap)).timestamp();
        made.replaced = (overlap > 0).then_some(Replaced { hash, until });
        let after = shown_key(id, made);
        let edited = edited("key.rotate", Sort::Key, id.to_owned(), (before, after));
        Ok(Edited { secret: Some(secret.text), ..edited })
    }

    /// Removes a key.
    ///
    /// # Errors
    /// `InFile` and `Unknown`.
    pub fn delete_key(self, id: &str) -> Result<Edited, Refusal> {
        let made = self.objects.keys.remove(id).ok_or_else(|| {
            if self.names.has_key(id) { in_file(Sort::Key, id) } else { unknown(Sort::Key, id) }
        })?;
        let before = shown_key(id, &made);
        Ok(edited("key.delete", Sort::Key, id.to_owned(), (before, Value::Null)))
    }

    fn key(self, id: &str) -> Result<&'a mut MadeKey, Refusal> {
        if self.names.has_key(id) {
            return Err(in_file(Sort::Key, id));
        }
        self.objects.keys.get_mut(id).ok_or_else(|| unknown(Sort::Key, id))
    }
}

/// A tenant as answers and the audit log show it.
pub fn shown_tenant(name: &str, made: &MadeTenant) -> Value {
    let mut shown = made.members.clone();
    shown.insert("name".to_owned(), name.into());
    shown.insert("created_at".to_owned(), moment(made.created));
    shown.into()
}

/// A key as answers and the audit log show it: without its digests.
pub fn shown_key(id: &str, made: &MadeKey) -> Value {
    let mut shown = made.members.clone();
    shown.insert("id".to_owned(), id.into());
    shown.insert("created_at".to_owned(), moment(made.created));
    if let Some(replaced) = &made.replaced {
        shown.insert("old_secret_until".to_owned(), moment(replaced.until));
    }
    shown.into()
}

fn edited(
    action: &'static str,
    sort: Sort,
    name: String,
    (before, after): (Value, Value),
) -> Edited {
    Edited { action, sort, name, before, after, secret: None }
}

fn merge(members: &mut Members, patch: &Members) {
    let mut merged = Value::Object(std::mem::take(members));
    json_patch::merge(&mut merged, &Value::Object(patch.clone()));
    if let Value::Object(merged) = merged {
        *members = merged;
    }
}

fn taken_out(members: &mut Members, name: &str) -> Result<String, Refusal> {
    match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refusal::Malformed(format!("`{name}` must be text"))),
        None => Err(Refusal::Malformed(format!("`{name}` is missing"))),
    }
}

fn refuse_member(members: &Members, name: &str) -> Result<(), Refusal> {
    let refused = || Refusal::Malformed(format!("`{name}` cannot be set"));
    if members.contains_key(name) { Err(refused()) } else { Ok(()) }
}

fn generate() -> Result<keys::NewKey, Refusal> {
    keys::generate().map_err(|none| Refusal::Failed(Failure::Unavailable(none.to_string())))
}

fn in_file(sort: Sort, name: &str) -> Refusal {
    let sort = sort.name();
    Refusal::InFile(format!("the {sort} `{name}` is the configuration file's: change it there"))
}

fn unknown(sort: Sort, name: &str) -> Refusal {
    Refusal::Unknown(format!("there is no {} `{name}`", sort.name()))
}
