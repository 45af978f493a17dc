//! What is made at run time, as it is kept: the members that the file's own entries have, under names.
//!
//! Nothing here is checked. [`super::lay_over`] builds it by the code that builds the file, so that a
//! member means the same in both, and says what cannot be in effect.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Members of a tenant or a key, as the file has them.
pub type Members = Map<String, Value>;

/// Everything that is made at run time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Objects {
    /// Tenants, by name.
    pub tenants: BTreeMap<String, MadeTenant>,
    /// Keys, by id.
    pub keys: BTreeMap<String, MadeKey>,
    /// What tenants asked for, by id.
    pub requests: BTreeMap<String, AccessRequest>,
}

/// A tenant that was made at run time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeTenant {
    /// What it has.
    pub members: Members,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// A key that was made at run time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeKey {
    /// What it has, but for its id and its hash.
    pub members: Members,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// The digest of its secret, `sha256:…`.
    pub hash: String,
    /// The secret before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

/// A secret that another one has replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its digest, `sha256:…`.
    pub hash: String,
    /// When it stops to open anything, in seconds since 1970.
    pub until: i64,
}

impl MadeKey {
    /// The tenant that it names.
    pub fn tenant(&self) -> Option<&str> {
        self.members.get("tenant").and_then(Value::as_str)
    }
}

/// A tenant's request for a model that needs approval: at most one for each of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Who asks.
    pub tenant: String,
    /// For what.
    pub model: String,
    /// The key by which it was asked.
    pub key: String,
    /// Why, in the caller's words.
    pub reason: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// What came of it.
    pub state: Decision,
    /// When that was decided, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<i64>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// When an approval ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl AccessRequest {
    /// Whether it gives access at a moment, in seconds since 1970.
    pub fn is_granted(&self, now: i64) -> bool {
        self.state == Decision::Approved && self.expires.is_none_or(|end| now < end)
    }
}

/// What came of a request for access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Nobody has decided.
    Pending,
    /// The tenant may use the model.
    Approved,
    /// It may not.
    Refused,
    /// It may no longer.
    Revoked,
}

/// The kinds of what is made at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A tenant.
    Tenant,
    /// A key.
    Key,
    /// A request for access.
    Access,
}

impl Sort {
    /// As paths and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Sort::Tenant => "tenant",
            Sort::Key => "key",
            Sort::Access => "access request",
        }
    }
}

/// Something that was made at run time and is not in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// What it is.
    pub sort: Sort,
    /// Its name.
    pub name: String,
    /// Everything that is wrong with it: `member: what is wrong`.
    pub why: Vec<String>,
}

/// A moment as JSON has it, RFC 3339.
pub fn moment(seconds: i64) -> Value {
    DateTime::<Utc>::from_timestamp(seconds, 0)
        .map_or(Value::Null, |moment| moment.format("%Y-%m-%dT%H:%M:%SZ").to_string().into())
}
