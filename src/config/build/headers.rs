//! Fixed headers of a provider's requests: names and values, and which are the gateway's own.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::config::spot::Spot;

/// Headers in which a client may send its credential.
pub(super) const CREDENTIALS: [&str; 6] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"];

/// Headers that belong to one connection (RFC 9110, section 7.6.1, and RFC 2616, section 13.5.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that the gateway sets itself, for the body that it sends.
const OF_THE_GATEWAY: [&str; 5] =
    ["host", "content-length", "content-type", "content-encoding", "expect"];

/// Reads a provider's fixed headers. Their values may be credentials, so none is quoted, and all
/// are marked sensitive.
pub(super) fn headers(
    raw: &BTreeMap<String, String>,
    spot: &Spot<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(raw.len());
    for (key, value) in raw {
        match header(key, value) {
            Ok((name, _)) if headers.iter().any(|(other, _)| *other == name) => {
                let text = format!("the header `{name}` is there twice, in different spellings");
                spot.name_of(key).refuse(text);
            }
            Ok(header) => headers.push(header),
            Err(why) => spot.name_of(key).refuse(why),
        }
    }
    headers
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{name}` is not the name of a header"))?;
    if header == http::header::AUTHORIZATION {
        return Err("is set by `credential`, which also keeps it out of this file".into());
    }
    if HOP_BY_HOP.contains(&header.as_str()) {
        return Err(format!("`{header}` belongs to one connection and is never passed on"));
    }
    if OF_THE_GATEWAY.contains(&header.as_str()) {
        return Err(format!("`{header}` is set by the gateway itself"));
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| "its value holds a character that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok((header, value))
}
