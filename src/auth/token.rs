//! Tokens (JWT): whose they are, and what their bearers may do.
//!
//! A token is verified once and then known by its digest until it expires, or until the configuration or
//! its issuer's keys change. A token's own header chooses nothing but which of the issuer's public keys
//! is tried: algorithms are those of the configuration, and none of them is symmetric.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::jwks::{KeySets, Keys, LiveSet};
use crate::config::snapshot::jwt::{Bearer, Bearers, Claim, Issuer, Named};
use crate::config::snapshot::{Key, KeyDigest, Snapshot};
use crate::error::{Error, Kind, Result, excerpt};
use crate::types::{KeyId, ModelAlias};

/// The longest token read, in bytes: with many groups in it, some have 8 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Verified tokens that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// The longest name taken from a claim, in bytes: it stands in every line of the log.
const NAME_BYTES_MAX: usize = 200;

/// The claims of a token that was verified.
type Claims = Map<String, Value>;

/// The tokens that one configuration accepts.
pub struct Tokens {
    issuers: Vec<(Arc<Issuer>, Arc<LiveSet>)>,
    verified: Option<Cache<KeyDigest, Arc<Verified>>>,
}

/// A token that was verified.
struct Verified {
    key: Arc<Key>,
    /// In seconds since 1970, leeway included.
    until: i64,
    set: Arc<LiveSet>,
    /// The keys by which it was verified: those of today may be others.
    keys: Arc<Keys>,
}

/// The part of a token that is read before it is verified: it only chooses who must have signed it.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl Tokens {
    /// The tokens that a configuration accepts.
    pub fn new(snapshot: &Snapshot, sets: &KeySets) -> Self {
        let issuers = &snapshot.bearers.issuers;
        let issuers: Vec<_> =
            issuers.iter().map(|issuer| (Arc::clone(issuer), sets.of(issuer))).collect();
        let verified = (!issuers.is_empty()).then(|| Cache::new(REMEMBERED_MAX));
        Self { issuers, verified }
    }

    /// Returns once the keys of each issuer were fetched, or could not be.
    pub async fn tried(&self) {
        for (_, set) in &self.issuers {
            set.tried().await;
        }
    }

    /// What the bearer of a token may do; `None` where the text is no token, or none is accepted.
    ///
    /// # Errors
    /// `InvalidToken`, `TokenExpired`, `TokenNotPermitted` and `TokenKeysUnavailable`.
    pub fn bearer(
        &self,
        credential: &[u8],
        digest: &KeyDigest,
        snapshot: &Snapshot,
        now: DateTime<Utc>,
    ) -> Option<Result<Arc<Key>>> {
        let remembered = self.verified.as_ref()?;
        if let Some(known) = remembered.get(digest)
            && known.until > now.timestamp()
            && known.set.keys().is_some_and(|keys| Arc::ptr_eq(&keys, &known.keys))
        {
            return Some(Ok(Arc::clone(&known.key)));
        }
        // A JSON object in base64 begins so; no key of ours does.
        let token = std::str::from_utf8(credential).ok().filter(|text| text.starts_with("ey"))?;
        let verified = self.verify(token, &snapshot.bearers);
        Some(verified.map(|verified| {
            let key = Arc::clone(&verified.key);
            remembered.insert(*digest, Arc::new(verified));
            key
        }))
    }

    fn verify(&self, token: &str, bearers: &Bearers) -> Result<Verified> {
        let (issuer, set) = self.issuer(token)?;
        let Some(keys) = set.keys() else {
            let text =
                "The public keys of the token's issuer are not there yet: try again in a moment.";
            return Err(Error::new(Kind::TokenKeysUnavailable, text)
                .retry_after(std::time::Duration::from_secs(1)));
        };
        let claims = verified_claims(token, issuer, (set, &keys))?;
        let key = Arc::new(permitted(&claims, issuer, bearers)?);
        let end = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
        let until = (end + issuer.leeway.as_secs_f64()) as i64;
        Ok(Verified { key, until, set: Arc::clone(set), keys })
    }

    /// Who must have signed a token.
    fn issuer(&self, token: &str) -> Result<&(Arc<Issuer>, Arc<LiveSet>)> {
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [_, payload, _] = parts.as_slice() else {
            return Err(invalid("it has not three parts"));
        };
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok();
        let claimed = payload.and_then(|json| serde_json::from_slice::<Claimed>(&json).ok());
        let claimed = claimed.ok_or_else(|| invalid("it names no issuer"))?;
        let mut issuers = self.issuers.iter();
        issuers.find(|(issuer, _)| issuer.name == claimed.iss).ok_or_else(|| {
            invalid(&format!("its issuer, `{}`, is not accepted here", excerpt(&claimed.iss)))
        })
    }
}

/// The claims of a token that one of the issuer's keys has signed, for us and for now.
fn verified_claims(token: &str, issuer: &Issuer, (set, keys): (&LiveSet, &Keys)) -> Result<Claims> {
    let header = decode_header(token).map_err(|_| invalid("its header cannot be read"))?;
    if !issuer.algorithms.contains(&header.alg) {
        return Err(invalid(&format!("the algorithm {:?} is not accepted", header.alg)));
    }
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[&issuer.name]);
    validation.set_audience(&issuer.audience);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    validation.leeway = issuer.leeway.as_secs();
    let mut refused = None;
    for key in keys.named(header.kid.as_deref()) {
        match decode::<Claims>(token, key, &validation) {
            Ok(token) => return Ok(token.claims),
            // A set may hold several keys without names: the next one may have signed it.
            Err(error) => refused = Some(error.into_kind()),
        }
    }
    Err(match refused {
        None => {
            set.doubt();
            invalid("it is signed with a key that its issuer does not list")
        }
        Some(ErrorKind::ExpiredSignature) => {
            Error::new(Kind::TokenExpired, "The token has expired: get a new one from its issuer.")
        }
        Some(ErrorKind::ImmatureSignature) => invalid("it is not valid yet (`nbf`)"),
        Some(ErrorKind::InvalidAudience) => invalid("it was made for another audience (`aud`)"),
        Some(ErrorKind::MissingRequiredClaim(claim)) => invalid(&format!("it has no `{claim}`")),
        Some(_) => invalid("its signature is wrong"),
    })
}

/// What the claims allow: never more than the configuration gives to their tenant and team.
fn permitted(claims: &Claims, issuer: &Issuer, bearers: &Bearers) -> Result<Key> {
    let tenant = match &issuer.tenant {
        Named::Fixed(tenant) => tenant.as_str(),
        Named::In(claim) => name(claims, claim)?,
    };
    let Some(Bearer { key, teams }) = bearers.tenants.get(tenant) else {
        return Err(not_permitted(format!("its tenant, `{}`, is unknown", excerpt(tenant))));
    };
    let key = match &issuer.team {
        None => key,
        Some(claim) => {
            let team = name(claims, claim)?;
            teams.get(team).ok_or_else(|| {
                not_permitted(format!("its tenant has no team `{}`", excerpt(team)))
            })?
        }
    };
    let mut key =
        Key { id: KeyId::from(&*format!("jwt:{}", name(claims, &issuer.key)?)), ..(**key).clone() };
    if let Some(claim) = &issuer.models {
        let mut models = aliases(claims, claim)?;
        models.retain(|alias| key.may_use(alias.as_str()));
        key.models = Some(models);
    }
    Ok(key)
}

fn name<'c>(claims: &'c Claims, claim: &Claim) -> Result<&'c str> {
    let text = found(claims, claim)?.as_str();
    let fits = |text: &&str| {
        !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
    };
    text.filter(fits).ok_or_else(|| {
        not_permitted(format!(
            "its claim `{}` is not a name of at most {NAME_BYTES_MAX} bytes",
            claim.0
        ))
    })
}

fn aliases(claims: &Claims, claim: &Claim) -> Result<Vec<ModelAlias>> {
    match found(claims, claim)? {
        Value::String(text) => Ok(text.split_whitespace().map(ModelAlias::from).collect()),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            Ok(list.iter().filter_map(Value::as_str).map(ModelAlias::from).collect())
        }
        _ => Err(not_permitted(format!("its claim `{}` is not a list of models", claim.0))),
    }
}

fn found<'c>(claims: &'c Claims, claim: &Claim) -> Result<&'c Value> {
    let found = match claim.0.strip_prefix('/').map(|path| path.split_once('/')) {
        None => claims.get(&*claim.0),
        Some(None) => claims.get(claim.0.get(1..).unwrap_or_default()),
        Some(Some((first, _))) => {
            let rest = claim.0.get(1 + first.len()..).unwrap_or_default();
            claims.get(first).and_then(|value| value.pointer(rest))
        }
    };
    found.ok_or_else(|| not_permitted(format!("it has no claim `{}`", claim.0)))
}

fn invalid(why: &str) -> Error {
    Error::new(Kind::InvalidToken, format!("The token is not accepted: {why}."))
}

fn not_permitted(why: String) -> Error {
    Error::new(
        Kind::TokenNotPermitted,
        format!("The token is genuine, but {why}: ask whoever runs the gateway."),
    )
}
