//! Who is calling: a credential in one of four headers, or in a query as Google's clients may send it,
//! becomes the key it names.
//!
//! Where issuers are configured, what is no key may be a token (JWT) of theirs: see [`token`]. Where a
//! listener asks for certificates, a caller may have one instead: see [`certificate`].
//!
//! Keys are kept as SHA-256 digests of random texts, so a configuration that leaks opens
//! nothing. The digest is compared in constant time; a caller learns only whether a key is
//! unknown, disabled or expired, the latter two only when it holds the key.

pub mod approval;
pub mod certificate;
pub mod jwks;
pub mod token;

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use self::certificate::Shown;
use self::token::{TOKEN_BYTES_MAX, Tokens};
use crate::config::snapshot::{Key, Snapshot};
use crate::error::{Error, Kind, Result};

/// Where clients of OpenAI, Anthropic, Azure and Google put their key beside `authorization`.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// The caller's key: by the first credential found, and where it names none, by the certificate.
/// The query is looked at where it is given.
///
/// # Errors
/// `Unauthenticated` without a credential, `InvalidKey` for an unknown one, `KeyDisabled`
/// and `KeyExpired` for a known one that may not be used; for tokens, those of [`Tokens::bearer`];
/// `InvalidCertificate`.
pub fn authenticate(
    headers: &HeaderMap,
    query: Option<&str>,
    certificate: Option<&Shown>,
    known: (&Snapshot, &Tokens),
    now: DateTime<Utc>,
) -> Result<Arc<Key>> {
    certificate.map_or(Ok(()), Shown::check)?;
    let caller = by_credential(headers, query, known, now);
    let (snapshot, _) = known;
    // Clients of OpenAI and its like cannot but send a key: one that nobody knows is no objection.
    match (caller, certificate) {
        (Err(error), Some(shown)) if error.kind == Kind::Unauthenticated => {
            shown.key(snapshot, now).and_then(|key| usable(key, now))
        }
        (Err(error), Some(shown)) if error.kind == Kind::InvalidKey => {
            shown.key(snapshot, now).map_err(|_| error).and_then(|key| usable(key, now))
        }
        (caller, _) => caller,
    }
}

fn by_credential(
    headers: &HeaderMap,
    query: Option<&str>,
    (snapshot, tokens): (&Snapshot, &Tokens),
    now: DateTime<Utc>,
) -> Result<Arc<Key>> {
    let credential = credential(headers, query)?;
    let digest: [u8; 32] = Sha256::digest(&*credential).into();
    match snapshot.keys.get(&digest) {
        Some(key) => usable(key, now),
        None => {
            tokens.bearer(&credential, &digest, snapshot, now).unwrap_or_else(|| Err(unknown()))
        }
    }
}

/// A key that was found, where it may be used.
fn usable(key: &Arc<Key>, now: DateTime<Utc>) -> Result<Arc<Key>> {
    if !key.enabled {
        return Err(Error::new(
            Kind::KeyDisabled,
            format!("The API key `{}` is disabled.", key.id),
        ));
    }
    if let Some(end) = key.expires_at.filter(|end| *end <= now) {
        return Err(Error::new(
            Kind::KeyExpired,
            format!("The API key `{}` expired at {}.", key.id, end.format("%Y-%m-%dT%H:%M:%SZ")),
        ));
    }
    Ok(Arc::clone(key))
}

fn unknown() -> Error {
    Error::new(
        Kind::InvalidKey,
        "The API key is not known here. Check that it is a key of this gateway, whole and \
         without quotes; a provider's own key is not accepted.",
    )
}

/// The credential's bytes, from `Authorization: Bearer`, one of [`KEY_HEADERS`], or the query's `key`.
fn credential<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Cow<'a, [u8]>> {
    let value = match headers.get(AUTHORIZATION) {
        Some(value) => Some(bearer(value.as_bytes())?),
        None => KEY_HEADERS.iter().find_map(|name| headers.get(*name)).map(|v| v.as_bytes()),
    };
    let in_query = || query.and_then(in_query);
    let value = value.map(|value| Cow::Borrowed(value.trim_ascii())).or_else(in_query);
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "No API key was sent. Send one as `Authorization: Bearer KEY` (or in `x-api-key`, \
             `api-key` or `x-goog-api-key`).",
        )
    })?;
    if value.len() > TOKEN_BYTES_MAX {
        return Err(Error::new(
            Kind::InvalidKey,
            format!(
                "The API key is longer than {TOKEN_BYTES_MAX} bytes: no key and no token may be."
            ),
        ));
    }
    Ok(value)
}

/// The query's `key`, decoded.
fn in_query(query: &str) -> Option<Cow<'_, [u8]>> {
    let key = query.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some(percent_encoding::percent_decode_str(key).into())
}

/// What follows `Bearer`, in any case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Result<&[u8]> {
    match value.split_first_chunk::<6>() {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case(b"bearer")
                && rest.first().is_none_or(|b| *b == b' ') =>
        {
            Ok(rest)
        }
        _ => Err(Error::new(
            Kind::Unauthenticated,
            "The `Authorization` header holds no bearer token: send `Authorization: Bearer KEY`.",
        )),
    }
}
