//! Issuers of tokens.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::{Surroundings, limits, secret, url};
use crate::config::raw::jwt as raw;
use crate::config::snapshot::jwt::{Claim, Issuer, JwkSet, Jwks, Named};
use crate::config::spot::Spot;
use crate::types::TenantId;

/// Beyond this, a clock is wrong and should be set.
const LEEWAY_SECONDS_MAX: u64 = 300;

/// A day: keys are also asked for when a token names one that is unknown.
const REFRESH_SECONDS_MAX: u64 = 86_400;

/// Reads the issuers. `has_tenant` knows the tenants; `None` where none is listed.
pub(super) fn issuers(
    raw: &[raw::Issuer],
    spot: &Spot<'_>,
    has_tenant: impl Fn(&str) -> Option<bool>,
    around: &Surroundings<'_>,
) -> Vec<Arc<Issuer>> {
    let mut issuers: Vec<Arc<Issuer>> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let place = spot.item(index);
        if issuers.iter().any(|other| other.name == raw.issuer) {
            place.key("issuer").refuse(format!("`{}` is listed twice", raw.issuer));
        }
        issuers.push(Arc::new(issuer(raw, &place, &has_tenant, around)));
    }
    issuers
}

fn issuer(
    raw: &raw::Issuer,
    spot: &Spot<'_>,
    has_tenant: &dyn Fn(&str) -> Option<bool>,
    around: &Surroundings<'_>,
) -> Issuer {
    if raw.issuer.is_empty() {
        spot.key("issuer").refuse("must not be empty");
    }
    if raw.audience.is_empty() || raw.audience.iter().any(String::is_empty) {
        spot.key("audience").refuse(
            "must name at least one audience, and none that is empty: \
             without it, tokens made for other services would be accepted",
        );
    }
    let algorithms = match &raw.algorithms {
        None => vec![Algorithm::RS256, Algorithm::ES256],
        Some(list) => list.iter().map(|algorithm| known(*algorithm)).collect(),
    };
    if algorithms.is_empty() {
        spot.key("algorithms").refuse("must name at least one");
    }
    let leeway = spot.key("leeway_seconds");
    let leeway = limits::within(raw.leeway_seconds, 30, 0..=LEEWAY_SECONDS_MAX, &leeway);
    let claims = spot.key("claims");
    let claim = |name: &str, raw: Option<&str>| raw.map(|text| claim(text, &claims.key(name)));
    Issuer {
        name: raw.issuer.clone(),
        audience: raw.audience.clone(),
        jwks: jwks(&raw.jwks, &spot.key("jwks"), around),
        algorithms,
        leeway: std::time::Duration::from_secs(leeway),
        tenant: tenant(raw, spot, has_tenant),
        team: claim("team", raw.claims.team.as_deref()),
        models: claim("models", raw.claims.models.as_deref()),
        key: claim("key", Some(raw.claims.key.as_deref().unwrap_or("sub")))
            .unwrap_or_else(|| Claim("sub".into())),
    }
}

fn tenant(raw: &raw::Issuer, spot: &Spot<'_>, has_tenant: &dyn Fn(&str) -> Option<bool>) -> Named {
    match (&raw.tenant, &raw.claims.tenant) {
        (Some(name), None) => {
            if has_tenant(name) != Some(true) {
                spot.key("tenant").refuse(format!("`tenants` lists no `{name}`"));
            }
            Named::Fixed(TenantId::from(name.as_str()))
        }
        (None, Some(text)) => {
            let place = spot.key("claims").key("tenant");
            if has_tenant("").is_none() {
                place.refuse("needs `tenants`: a token's tenant must be one of them");
            }
            Named::In(claim(text, &place))
        }
        _ => {
            spot.refuse("must have exactly one of `tenant` and `claims.tenant`");
            Named::Fixed(TenantId::from(""))
        }
    }
}

fn claim(text: &str, spot: &Spot<'_>) -> Claim {
    if text.is_empty() {
        spot.refuse("must not be empty");
    }
    Claim(text.into())
}

fn jwks(raw: &raw::Jwks, spot: &Spot<'_>, around: &Surroundings<'_>) -> Jwks {
    let place = spot.key("refresh_seconds");
    let refresh = limits::within(raw.refresh_seconds, 300, 1..=REFRESH_SECONDS_MAX, &place);
    let refresh = std::time::Duration::from_secs(refresh);
    match (&raw.url, &raw.file) {
        (Some(text), None) => {
            if let Err(why) = fetchable(text) {
                spot.key("url").refuse(why);
            }
            Jwks::Url(text.as_str().into(), refresh)
        }
        (None, Some(path)) => {
            let place = spot.key("file");
            let text = secret::text_of(path, around).and_then(|text| {
                let parsed = serde_json::from_str::<JwkSet>(&text);
                parsed.map(|_| text).map_err(|why| {
                    format!("`{}` is not a set of JSON Web Keys: {why}", path.display())
                })
            });
            let text = text.map_err(|why| place.refuse(why)).unwrap_or_default();
            Jwks::Text(text.into())
        }
        _ => {
            spot.refuse("must have exactly one of `url` and `file`");
            Jwks::Text(Box::default())
        }
    }
}

/// Whoever can change the keys on their way can make tokens: only this machine is asked without TLS.
fn fetchable(text: &str) -> Result<(), String> {
    let base = url::parse(text)?;
    let here = base.host == "localhost"
        || base.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if base.tls || here {
        return Ok(());
    }
    Err("the scheme must be `https` but for this machine's own addresses".into())
}

fn known(raw: raw::Algorithm) -> Algorithm {
    match raw {
        raw::Algorithm::RS256 => Algorithm::RS256,
        raw::Algorithm::RS384 => Algorithm::RS384,
        raw::Algorithm::RS512 => Algorithm::RS512,
        raw::Algorithm::PS256 => Algorithm::PS256,
        raw::Algorithm::PS384 => Algorithm::PS384,
        raw::Algorithm::PS512 => Algorithm::PS512,
        raw::Algorithm::ES256 => Algorithm::ES256,
        raw::Algorithm::ES384 => Algorithm::ES384,
        raw::Algorithm::EdDSA => Algorithm::EdDSA,
    }
}
