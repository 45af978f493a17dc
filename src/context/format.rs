//! How contexts are written down: JSON, MessagePack, Protocol Buffers.
//!
//! JSON is what the gateway works on. A body in another format is read into it, and an answer written
//! from it, so that there is one meaning. In MessagePack a body has the members that it has in JSON; in
//! Protocol Buffers those of `proto/context.proto`.

mod proto;

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::delta::{Bounds, Delta};
use crate::error::{Error, Kind, Result};
use crate::request::is_media_type;
use crate::route::contexts::Action;

/// The messages of Protocol Buffers, as they are served.
pub const PROTO: &str = include_str!("../../proto/context.proto");

/// JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";

/// JSON Merge Patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// How deep a body in MessagePack may nest: as JSON may.
const DEPTH_MAX: usize = 128;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/msgpack`
    MessagePack,
    /// `application/protobuf`
    Protobuf,
}

/// What a change is, in MessagePack: the members that a turn has for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changing<'a> {
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    merge: Option<&'a RawValue>,
}

impl Format {
    /// All of them; the first is the one where nothing else is said.
    pub const ALL: [Self; 3] = [Self::Json, Self::MessagePack, Self::Protobuf];

    /// The names of its media type; the first is the one that is answered.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/json"],
            Self::MessagePack => {
                &["application/msgpack", "application/vnd.msgpack", "application/x-msgpack"]
            }
            Self::Protobuf => &["application/protobuf", "application/x-protobuf"],
        }
    }

    /// The media type that is answered.
    pub fn name(self) -> &'static str {
        self.names().first().copied().unwrap_or_default()
    }

    /// What a request's body is in; JSON where it does not say.
    ///
    /// # Errors
    /// `UnsupportedMediaType`.
    pub fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Self::Json) };
        let is_meant = |format: &Self| format.names().iter().any(|name| is_media_type(value, name));
        Self::ALL.into_iter().find(is_meant).ok_or_else(|| unsupported(&Self::list(&[])))
    }

    /// What the client wants most among what it accepts; JSON where none of it is written here.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let value = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        let mut best = (0.0, Self::Json);
        for (name, weight) in weighed(value) {
            let is_meant = |format: &Self| format.names().iter().any(|known| *known == name);
            let format = match name.as_str() {
                "*/*" | "application/*" => Some(Self::Json),
                _ => Self::ALL.into_iter().find(is_meant),
            };
            if let Some(format) = format.filter(|_| weight > best.0) {
                best = (weight, format);
            }
        }
        best.1
    }

    /// A body for this action, as JSON.
    ///
    /// # Errors
    /// `InvalidBody`.
    pub fn read(self, body: &[u8], action: Action) -> Result<Vec<u8>> {
        let read = match self {
            _ if body.is_empty() => Ok(Vec::new()),
            Self::Json => Ok(body.to_vec()),
            Self::MessagePack => unpacked(body),
            Self::Protobuf => proto::read(body, action),
        };
        read.map_err(|why| {
            let text = format!("The request cannot be read as {}: {why}.", self.name());
            Error::new(Kind::InvalidBody, text)
        })
    }

    /// An answer to this action, from JSON; `None` where the format cannot say it, as half a surrogate pair
    /// in MessagePack.
    pub fn write(self, json: &str, action: Action) -> Option<Vec<u8>> {
        let written = match self {
            Self::Json => Ok(json.as_bytes().to_vec()),
            Self::MessagePack => packed(json),
            Self::Protobuf => proto::write(json, action),
        };
        written.ok()
    }

    /// Media types for a sentence.
    fn list(more: &[&'static str]) -> String {
        let own = Self::ALL.map(Self::name);
        more.iter().chain(&own).copied().collect::<Vec<_>>().join(", ")
    }
}

/// Reads a change: by its own media type, or as the members `delta` and `merge` in the other formats.
///
/// # Errors
/// `UnsupportedMediaType`, `InvalidBody`, `DeltaRefused`.
pub fn delta(headers: &HeaderMap, body: &[u8], bounds: Bounds) -> Result<Delta> {
    let is = |name| headers.get(CONTENT_TYPE).is_some_and(|value| is_media_type(value, name));
    if is(JSON_PATCH) {
        return Delta::patch(body, bounds);
    }
    if is(MERGE_PATCH) {
        return Delta::merge(body);
    }
    let right =
        || unsupported(&Format::list(&[JSON_PATCH, MERGE_PATCH]).replace("application/json, ", ""));
    let format = Format::of(headers).ok().filter(|format| *format != Format::Json);
    let body = format.ok_or_else(right)?.read(body, Action::Change)?;
    let wrong = "A change is either `delta` or `merge`.";
    let wrong = || Error::new(Kind::InvalidBody, wrong).param("delta");
    let changing: Changing<'_> = serde_json::from_slice(&body).map_err(|_| wrong())?;
    match (changing.delta, changing.merge) {
        (Some(delta), None) => Delta::patch(delta.get().as_bytes(), bounds),
        (None, Some(merge)) => Delta::merge(merge.get().as_bytes()),
        _ => Err(wrong()),
    }
}

/// The elements of a header such as `Accept`, with their weights (RFC 9110, section 12.4.2).
pub fn weighed(value: &str) -> impl Iterator<Item = (String, f32)> {
    value.split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        (name, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
    })
}

fn unpacked(body: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let mut rest = body;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(DEPTH_MAX);
    let value = Value::deserialize(&mut reader).map_err(|error| error.to_string())?;
    match rest.is_empty() {
        true => serde_json::to_vec(&value).map_err(|error| error.to_string()),
        false => Err(format!("{} bytes follow its value", rest.len())),
    }
}

fn packed(json: &str) -> std::result::Result<Vec<u8>, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    rmp_serde::to_vec_named(&value).map_err(|error| error.to_string())
}

fn unsupported(right: &str) -> Error {
    let text = format!("The content type is not read here: send one of {right}.");
    Error::new(Kind::UnsupportedMediaType, text).param("Content-Type")
}

#[cfg(test)]
mod tests;
