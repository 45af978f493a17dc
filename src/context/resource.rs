//! What clients do with contexts apart from turns: make, read, change, roll back, fork, delete.
//!
//! Each change takes the lease and builds on the version that is there, as a turn does. What is
//! answered is JSON text, in which messages stand as they are kept.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::delta::{self, Delta};
use super::log::{Change, Document, Entry, Log, NO_DATA};
use super::store::Key;
use super::{Contexts, Rules, bounds, expect, fresh_id, keep, message, not_found, now};
use crate::context::ask::id;
use crate::error::{Error, Kind, Result};
use crate::types::{ContextId, TenantId, Version};

/// A context as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which context.
    pub id: ContextId,
    /// Which version.
    pub version: Version,
    /// JSON.
    pub body: String,
}

/// What a context is made of.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct New<'a> {
    id: Option<String>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What a rollback and a fork name.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    version: Option<u64>,
    id: Option<String>,
}

impl Contexts {
    /// Makes a context: `{"id"?, "messages"?, "data"?}`.
    ///
    /// # Errors
    /// `InvalidBody`, `ContextConflict` where the id is taken, `ContextLimit`, `ContextStore`.
    pub async fn create(&self, tenant: TenantId, body: &[u8], rules: &Rules) -> Result<Shown> {
        let new: New<'_> = read(body)?;
        let messages = new.messages.map_or(Ok(Vec::new()), |list| message::read_all(list.get()))?;
        let checked = |data: &RawValue| delta::data(data.get(), bounds(rules));
        let data = new.data.map_or_else(|| Ok(NO_DATA.into()), checked)?;
        let id = new.id.map_or_else(fresh_id, |text| id(&text, "id"))?;
        self.begin_with(Key { tenant, id }, Document { messages, data }, rules).await
    }

    /// A context, whole; at its latest version where none is named.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextStore`.
    pub async fn show(&self, key: &Key, version: Option<Version>, rules: &Rules) -> Result<Shown> {
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let version = version.unwrap_or(log.version());
        let view =
            log.at(version, rules.versions_max).ok_or_else(|| no_version(key, &log, rules))?;
        let mut body = head(key, &log, version);
        body.push_str(",\"messages\":[");
        for (index, message) in view.messages.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            message.write_public(&mut body);
        }
        let _written = write!(body, "],\"data\":{}}}", view.data);
        Ok(Shown { id: key.id.clone(), version, body })
    }

    /// The versions that can be read, newest first.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextStore`.
    pub async fn versions(&self, key: &Key, rules: &Rules) -> Result<Shown> {
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let mut body = String::from("{\"object\":\"list\",\"data\":[");
        for (index, (entry, messages)) in log.versions(rules.versions_max).iter().rev().enumerate()
        {
            let comma = if index > 0 { "," } else { "" };
            let (version, at) = (entry.version, date(entry.at));
            let _written = write!(
                body,
                r#"{comma}{{"version":{version},"created_at":"{at}","message_count":{messages}}}"#
            );
        }
        body.push_str("]}");
        Ok(Shown { id: key.id.clone(), version: log.version(), body })
    }

    /// Changes a context.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextPrecondition`, `DeltaRefused`, `ContextLimit`, `ContextBusy`,
    /// `ContextStore`.
    pub async fn change(
        &self,
        key: &Key,
        expected: Option<Version>,
        delta: &Delta,
        rules: &Rules,
    ) -> Result<Shown> {
        let make = |log: &Log| {
            let changed = delta.apply(&log.latest().to_document(), bounds(rules))?;
            Ok(match changed {
                delta::Change::Data(data) => {
                    Change::Append { messages: Vec::new(), data: Some(data) }
                }
                delta::Change::Whole(document) => Change::Whole(document),
            })
        };
        self.go_on(key, expected, rules, make).await
    }

    /// Makes a new version that says what an earlier one said: `{"version": N}`.
    ///
    /// # Errors
    /// As [`Self::change`], and `InvalidBody`.
    pub async fn rollback(
        &self,
        key: &Key,
        expected: Option<Version>,
        body: &[u8],
        rules: &Rules,
    ) -> Result<Shown> {
        let chosen: Chosen = read(body)?;
        let (Some(to), None) = (chosen.version, chosen.id) else {
            let text = "A rollback is `{\"version\": N}`.";
            return Err(Error::new(Kind::InvalidBody, text).param("version"));
        };
        let make = |log: &Log| {
            let view = log.at(Version(to), rules.versions_max);
            let view = view.ok_or_else(|| no_version(key, log, rules))?;
            Ok(Change::Whole(view.to_document()))
        };
        self.go_on(key, expected, rules, make).await
    }

    /// Makes another context that begins as this one was: `{"version"?: N, "id"?}`.
    ///
    /// # Errors
    /// As [`Self::create`], and `ContextNotFound`.
    pub async fn fork(&self, key: &Key, body: &[u8], rules: &Rules) -> Result<Shown> {
        let chosen: Chosen = read(body)?;
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let version = chosen.version.map_or(log.version(), Version);
        let view = log.at(version, rules.versions_max);
        let document = view.ok_or_else(|| no_version(key, &log, rules))?.to_document();
        let id = chosen.id.map_or_else(fresh_id, |text| id(&text, "id"))?;
        self.begin_with(Key { tenant: key.tenant.clone(), id }, document, rules).await
    }

    /// Removes a context with all its versions.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextPrecondition`, `ContextBusy`, `ContextStore`.
    pub async fn delete(
        &self,
        key: &Key,
        expected: Option<Version>,
        rules: &Rules,
    ) -> Result<Shown> {
        let _lease = self.lease(key, rules.turn_wait).await?;
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        check_match(key, &log, expected)?;
        self.unfold(key).await;
        self.remove(key).await?;
        let body = format!(r#"{{"id":"{}","object":"context.deleted","deleted":true}}"#, key.id);
        Ok(Shown { id: key.id.clone(), version: log.version(), body })
    }

    /// Makes a context of a document.
    pub(super) async fn begin_with(
        &self,
        key: Key,
        document: Document,
        rules: &Rules,
    ) -> Result<Shown> {
        let _lease = self.lease(&key, rules.turn_wait).await?;
        let current = self.read(&key).await?.map_or(Version(0), |log| log.version());
        expect(&key, current, Some(Version(0)))?;
        self.keep_version(&key, None, Change::Whole(document), rules).await
    }

    /// Makes the version behind the latest one.
    pub(super) async fn go_on(
        &self,
        key: &Key,
        expected: Option<Version>,
        rules: &Rules,
        make: impl FnOnce(&Log) -> Result<Change>,
    ) -> Result<Shown> {
        let _lease = self.lease(key, rules.turn_wait).await?;
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        check_match(key, &log, expected)?;
        let change = make(&log)?;
        self.keep_version(key, Some(&log), change, rules).await
    }

    /// Keeps a version behind those of the log. The caller holds the lease.
    pub(super) async fn keep_version(
        &self,
        key: &Key,
        log: Option<&Log>,
        change: Change,
        rules: &Rules,
    ) -> Result<Shown> {
        if let Change::Whole(document) = &change
            && document.messages.len() > rules.messages_max
        {
            let text = format!("A context has at most {} messages.", rules.messages_max);
            return Err(Error::new(Kind::ContextLimit, text).param("messages"));
        }
        let version = log.map_or(Version(0), Log::version).next();
        let entry = Entry { version, at: now(), change };
        self.append(key, entry, &keep(rules)).await?;
        let kept = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let body = head(key, &kept, version) + "}";
        Ok(Shown { id: key.id.clone(), version, body })
    }
}

/// What is said of a context beside its messages and data; the object is left open.
fn head(key: &Key, log: &Log, version: Version) -> String {
    let view = log.at(version, usize::MAX);
    let (messages, tokens, at) = view.map_or((0, 0, 0), |view| {
        let tokens = view.messages.iter().map(|message| u64::from(message.tokens)).sum::<u64>();
        (view.messages.len(), tokens, view.at)
    });
    format!(
        r#"{{"object":"context","id":"{}","version":{version},"created_at":"{}","updated_at":"{}","expires_at":"{}","message_count":{messages},"tokens":{tokens}"#,
        key.id,
        date(log.created),
        date(at),
        date(log.expires),
    )
}

/// A moment as RFC 3339 writes it.
fn date(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis)
        .unwrap_or(DateTime::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn check_match(key: &Key, log: &Log, expected: Option<Version>) -> Result<()> {
    let current = log.version();
    match expected {
        Some(expected) if expected != current => {
            let text = format!(
                "The context `{}` is at version {current}, and `If-Match` names {expected}. \
                 Nothing was changed.",
                key.id
            );
            Err(Error::new(Kind::ContextPrecondition, text).param("If-Match"))
        }
        _ => Ok(()),
    }
}

fn no_version(key: &Key, log: &Log, rules: &Rules) -> Error {
    let kept = log.versions(rules.versions_max);
    let oldest = kept.first().map_or(Version(0), |(entry, _)| entry.version);
    let text = format!(
        "The context `{}` has no such version; {oldest} to {} are kept.",
        key.id,
        log.version()
    );
    Error::new(Kind::ContextNotFound, text).param("version")
}

/// Reads a body, of which nothing is as good as an empty object.
fn read<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        Error::new(Kind::InvalidBody, format!("The request cannot be read: {error}."))
    })
}
