//! Whose tokens are accepted, and what their bearers may do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::Key;
use crate::types::{TeamId, TenantId};

/// Who may ask with a token.
#[derive(Clone, Default)]
pub struct Bearers {
    /// Whose tokens are accepted.
    pub issuers: Vec<Arc<Issuer>>,
    /// What a bearer gets from its tenant: a key that no text opens. Empty without issuers.
    pub tenants: HashMap<TenantId, Bearer>,
}

/// The rights of the bearers of one tenant.
#[derive(Clone)]
pub struct Bearer {
    /// Of those in no team.
    pub key: Arc<Key>,
    /// Of those in a team.
    pub teams: HashMap<TeamId, Arc<Key>>,
}

/// An issuer of tokens.
pub struct Issuer {
    /// What the claim `iss` must say.
    pub name: String,
    /// One of these must be in the claim `aud`. Never empty.
    pub audience: Vec<String>,
    /// Where its public keys are.
    pub jwks: Jwks,
    /// How tokens may be signed: asymmetric, each of them.
    pub algorithms: Vec<Algorithm>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// Where the tenant's name is found.
    pub tenant: Named,
    /// The claim that names the team.
    pub team: Option<Claim>,
    /// The claim that lists aliases.
    pub models: Option<Claim>,
    /// The claim that says whom logs name.
    pub key: Claim,
}

/// Where public keys are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Jwks {
    /// Asked in the background, and again after this time.
    Url(Box<str>, Duration),
    /// The text of a file, which was parsed once already.
    Text(Box<str>),
}

/// A set of keys (RFC 7517, section 5). Each is looked at by itself: a set may hold keys of kinds that
/// are of no use here.
#[derive(Deserialize)]
pub struct JwkSet {
    /// As the issuer wrote them.
    pub keys: Vec<serde_json::Value>,
}

/// Where a name is found.
pub enum Named {
    /// It is the same for all.
    Fixed(TenantId),
    /// In a claim.
    In(Claim),
}

/// A claim: its name, or a JSON Pointer.
pub struct Claim(pub Box<str>);

impl Bearers {
    /// Whether an issuer has this name.
    pub fn has_issuer(&self, name: &str) -> bool {
        self.issuers.iter().any(|issuer| issuer.name == name)
    }

    /// Every key in it.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.tenants
            .values()
            .flat_map(|bearer| std::iter::once(&bearer.key).chain(bearer.teams.values()))
    }
}
