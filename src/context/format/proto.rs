//! The messages of `proto/context.proto`, and JSON from and to them.
//!
//! They are written by hand: few, and without a compiler that everyone who builds the gateway needs.
//! A test reads the `.proto` and holds both together.

use prost::{Message, Oneof};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::route::contexts::Action;

type Read<T> = Result<T, String>;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Context {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(uint64, tag = "2")]
    pub version: u64,
    #[prost(string, tag = "3")]
    pub created_at: String,
    #[prost(string, tag = "4")]
    pub updated_at: String,
    #[prost(string, tag = "5")]
    pub expires_at: String,
    #[prost(uint64, tag = "6")]
    pub message_count: u64,
    #[prost(uint64, tag = "7")]
    pub tokens: u64,
    #[prost(string, repeated, tag = "8")]
    pub messages: Vec<String>,
    #[prost(string, optional, tag = "9")]
    pub data: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Create {
    #[prost(string, optional, tag = "1")]
    pub id: Option<String>,
    #[prost(string, repeated, tag = "2")]
    pub messages: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub data: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Change {
    #[prost(oneof = "OneChange", tags = "1, 2")]
    pub change: Option<OneChange>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum OneChange {
    #[prost(string, tag = "1")]
    Delta(String),
    #[prost(string, tag = "2")]
    Merge(String),
}

#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct Rollback {
    #[prost(uint64, tag = "1")]
    pub version: u64,
}

#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct Fork {
    #[prost(uint64, optional, tag = "1")]
    pub version: Option<u64>,
    #[prost(string, optional, tag = "2")]
    pub id: Option<String>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Versions {
    #[prost(message, repeated, tag = "1")]
    pub data: Vec<Version>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Version {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(string, tag = "2")]
    pub created_at: String,
    #[prost(uint64, tag = "3")]
    pub message_count: u64,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Deleted {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub deleted: bool,
}

/// A context in JSON.
#[derive(Deserialize)]
struct Shown<'a> {
    id: String,
    version: u64,
    created_at: String,
    updated_at: String,
    expires_at: String,
    message_count: u64,
    tokens: u64,
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// A creation in JSON.
#[derive(Serialize)]
struct New {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    messages: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

/// A body for this action, as JSON.
pub(super) fn read(body: &[u8], action: Action) -> Read<Vec<u8>> {
    match action {
        Action::Create => {
            let Create { id, messages, data } = decoded(body)?;
            let messages = messages.into_iter().map(|text| raw("messages", text));
            let new = New {
                id,
                messages: messages.collect::<Read<_>>()?,
                data: data.map(|text| raw("data", text)).transpose()?,
            };
            json(&new)
        }
        Action::Change => match decoded::<Change>(body)?.change {
            Some(OneChange::Delta(text)) => {
                json(&One { name: "delta", value: raw("delta", text)? })
            }
            Some(OneChange::Merge(text)) => {
                json(&One { name: "merge", value: raw("merge", text)? })
            }
            None => json(&()),
        },
        Action::Rollback => json(&decoded::<Rollback>(body)?),
        Action::Fork => json(&decoded::<Fork>(body)?),
        Action::Show | Action::Delete | Action::Versions => Ok(Vec::new()),
    }
}

/// An answer to this action, from JSON.
pub(super) fn write(json: &str, action: Action) -> Read<Vec<u8>> {
    let told = |error: serde_json::Error| error.to_string();
    Ok(match action {
        Action::Versions => serde_json::from_str::<Versions>(json).map_err(told)?.encode_to_vec(),
        Action::Delete => serde_json::from_str::<Deleted>(json).map_err(told)?.encode_to_vec(),
        Action::Create | Action::Show | Action::Change | Action::Rollback | Action::Fork => {
            let shown: Shown<'_> = serde_json::from_str(json).map_err(told)?;
            Context::from(shown).encode_to_vec()
        }
    })
}

impl From<Shown<'_>> for Context {
    fn from(shown: Shown<'_>) -> Self {
        Self {
            id: shown.id,
            version: shown.version,
            created_at: shown.created_at,
            updated_at: shown.updated_at,
            expires_at: shown.expires_at,
            message_count: shown.message_count,
            tokens: shown.tokens,
            messages: shown.messages.iter().map(|text| text.get().to_owned()).collect(),
            data: shown.data.map(|text| text.get().to_owned()),
        }
    }
}

/// An object with one member.
struct One {
    name: &'static str,
    value: Box<RawValue>,
}

impl Serialize for One {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.name, &self.value)])
    }
}

fn decoded<T: Message + Default>(body: &[u8]) -> Read<T> {
    T::decode(body).map_err(|error| error.to_string())
}

fn raw(name: &str, text: String) -> Read<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| format!("`{name}` is no JSON: {error}"))
}

fn json(value: &impl Serialize) -> Read<Vec<u8>> {
    let raw = to_raw_value(value).map_err(|error| error.to_string())?;
    Ok(raw.get().as_bytes().to_vec())
}
