//! Conversations as OpenAI has them: a conversation is a context, its items are the messages.
//!
//! An item's id is made of what the message says, so that it needs no place of its own and stays the
//! same whatever comes and goes before it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::log::{Change, Document, Log, View};
use super::responses::{CONVERSATION_PREFIX, with_member};
use super::store::Key;
use super::{Contexts, Rules, fresh_id, message, not_found};
use crate::context::message::Message;
use crate::dialect::ir::Dialect;
use crate::dialect::members::Members;
use crate::dialect::responses::items::{Item, of_message};
use crate::dialect::turns;
use crate::error::{Error, Kind, Result};
use crate::types::TenantId;

/// The most pairs of `metadata`, and the longest name and value of one, in characters (OpenAI's limits).
const METADATA_MAX: (usize, usize, usize) = (16, 64, 512);

/// The most items that are listed or added at once: the first is OpenAI's limit, the second too.
const LISTED_MAX: usize = 100;
const ADDED_MAX: usize = 20;

/// The letters of a message's digest in the ids of its items: 96 bits.
const DIGEST_LETTERS: usize = 24;

/// What a conversation is made of, or gets.
#[derive(Default, Deserialize)]
struct New<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    metadata: Option<HashMap<String, String>>,
}

/// Which items are listed.
pub struct Page<'a> {
    /// How many at most.
    pub limit: usize,
    /// Whether the oldest comes first.
    pub ascending: bool,
    /// The item behind which the list begins.
    pub after: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// Reads a query: `limit`, `order`, `after`.
    ///
    /// # Errors
    /// `InvalidBody`, naming what is wrong.
    pub fn read(query: &'a str) -> Result<Self> {
        let mut page = Self { limit: 20, ascending: false, after: None };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value) {
                ("limit", _) => {
                    let limit = value.parse().ok().filter(|limit| (1..=LISTED_MAX).contains(limit));
                    page.limit = limit.ok_or_else(|| {
                        invalid("limit", &format!("must be a number from 1 to {LISTED_MAX}"))
                    })?;
                }
                ("order", "asc") => page.ascending = true,
                ("order", "desc") => page.ascending = false,
                ("order", _) => return Err(invalid("order", "must be `asc` or `desc`")),
                ("after", _) => page.after = Some(value),
                _ => {}
            }
        }
        Ok(page)
    }
}

impl Contexts {
    /// Makes a conversation: `{"items"?, "metadata"?}`.
    ///
    /// # Errors
    /// `InvalidBody`, `ContextLimit`, `ContextStore`.
    pub async fn converse(&self, tenant: TenantId, body: &[u8], rules: &Rules) -> Result<String> {
        let new = read(body)?;
        let messages = new.items.map_or(Ok(Vec::new()), said)?;
        let metadata = metadata(new.metadata.unwrap_or_default())?;
        let data = json!({ "metadata": metadata }).to_string().into();
        let id = fresh_id()?.as_str().replacen("ctx_", CONVERSATION_PREFIX, 1);
        let key = Key { tenant, id: id.as_str().into() };
        self.begin_with(key.clone(), Document { messages, data }, rules).await?;
        self.conversation(&key).await
    }

    /// A conversation.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextStore`.
    pub async fn conversation(&self, key: &Key) -> Result<String> {
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        Ok(shown(key, &log))
    }

    /// Gives a conversation other metadata: `{"metadata": {…}}`.
    ///
    /// # Errors
    /// `ContextNotFound`, `InvalidBody`, `ContextBusy`, `ContextStore`.
    pub async fn annotate(&self, key: &Key, body: &[u8], rules: &Rules) -> Result<String> {
        let new = read(body)?.metadata;
        let new = metadata(new.ok_or_else(|| invalid("metadata", "is missing"))?)?;
        let make = |log: &Log| {
            let data = with_member(log.latest().data, "metadata", &json!(new).to_string())?;
            Ok(Change::Append { messages: Vec::new(), data: Some(data.into()) })
        };
        self.go_on(key, None, rules, make).await?;
        self.conversation(key).await
    }

    /// Items of a conversation.
    ///
    /// # Errors
    /// `ContextNotFound`, `InvalidBody` where the list is to begin behind an item that is not there.
    pub async fn items(&self, key: &Key, page: &Page<'_>) -> Result<String> {
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let mut items = items(&log.latest())?;
        if !page.ascending {
            items.reverse();
        }
        let from = match page.after {
            None => 0,
            Some(after) => {
                let place = items.iter().position(|(_, item)| item.id == after);
                place.ok_or_else(|| no_item(after))? + 1
            }
        };
        let rest = items.get(from..).unwrap_or_default();
        Ok(list(rest.iter().take(page.limit).map(|(_, item)| item), rest.len() > page.limit))
    }

    /// Adds items to a conversation: `{"items": […]}`.
    ///
    /// # Errors
    /// `ContextNotFound`, `InvalidBody`, `ContextLimit`, `ContextBusy`, `ContextStore`.
    pub async fn add_items(&self, key: &Key, body: &[u8], rules: &Rules) -> Result<String> {
        let added = read(body)?.items.ok_or_else(|| invalid("items", "is missing"))?;
        let added = said(added)?;
        let make = |_: &Log| Ok(Change::Append { messages: added.clone(), data: None });
        self.go_on(key, None, rules, make).await?;
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let view = log.latest();
        let before = view.messages.len().saturating_sub(added.len());
        let items = items(&view)?;
        Ok(list(items.iter().filter(|(at, _)| *at >= before).map(|(_, item)| item), false))
    }

    /// One item of a conversation.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextStore`.
    pub async fn item(&self, key: &Key, id: &str) -> Result<String> {
        let log = self.read(key).await?.ok_or_else(|| not_found(key))?;
        let found = items(&log.latest())?.into_iter().find(|(_, item)| item.id == id);
        found.map(|(_, item)| item.json).ok_or_else(|| no_item(id))
    }

    /// Removes an item, with what else its message says.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextBusy`, `ContextStore`.
    pub async fn remove_item(&self, key: &Key, id: &str, rules: &Rules) -> Result<String> {
        let make = |log: &Log| {
            let view = log.latest();
            let found = items(&view)?.into_iter().find(|(_, item)| item.id == id);
            let (place, _) = found.ok_or_else(|| no_item(id))?;
            let mut document = view.to_document();
            document.messages.remove(place);
            Ok(Change::Whole(document))
        };
        self.go_on(key, None, rules, make).await?;
        self.conversation(key).await
    }
}

/// A document's items, each with the place of its message.
fn items(view: &View<'_>) -> Result<Vec<(usize, Item)>> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut items = Vec::new();
    for (place, message) in view.messages.iter().enumerate() {
        let mut digest = hex::encode(Sha256::digest(message.text.as_bytes()));
        digest.truncate(DIGEST_LETTERS);
        let again = seen.entry(digest.clone()).or_default();
        let own = of_message(&message.text, &format!("{digest}_{again}"))?;
        *again += 1;
        items.extend(own.into_iter().map(|item| (place, item)));
    }
    Ok(items)
}

fn shown(key: &Key, log: &Log) -> String {
    let view = log.latest();
    let members = Members::parse(view.data.as_bytes()).ok();
    let metadata = members.as_ref().and_then(|members| members.get("metadata"));
    let metadata = metadata.map_or("{}", |metadata| metadata.raw);
    let (id, created) = (&key.id, log.created / 1000);
    format!(
        r#"{{"id":"{id}","object":"conversation","created_at":{created},"metadata":{metadata}}}"#
    )
}

fn list<'i>(items: impl Iterator<Item = &'i Item>, has_more: bool) -> String {
    let items: Vec<&Item> = items.collect();
    let json: Vec<&str> = items.iter().map(|item| item.json.as_str()).collect();
    let [first, last] =
        [items.first(), items.last()].map(|item| json!(item.map(|item| &item.id)).to_string());
    format!(
        r#"{{"object":"list","data":[{}],"first_id":{first},"last_id":{last},"has_more":{has_more}}}"#,
        json.join(",")
    )
}

fn said(items: &RawValue) -> Result<Vec<Message>> {
    let count = serde_json::from_str::<Vec<&RawValue>>(items.get()).map(|items| items.len());
    if !count.is_ok_and(|count| count <= ADDED_MAX) {
        return Err(invalid("items", &format!("must be an array of at most {ADDED_MAX}")));
    }
    let body = format!("{{\"input\":{}}}", items.get());
    let broken = |error| Error::new(Kind::InvalidBody, format!("`items`: {error}."));
    let members = Members::parse(body.as_bytes()).map_err(broken)?;
    let said = turns::said(Dialect::Responses, &members)?;
    said.map_or(Ok(Vec::new()), |said| message::read_all(&said.text))
}

fn metadata(pairs: HashMap<String, String>) -> Result<HashMap<String, String>> {
    let (pairs_max, name_max, value_max) = METADATA_MAX;
    let fits = |(name, value): (&String, &String)| {
        name.chars().count() <= name_max && value.chars().count() <= value_max
    };
    if pairs.len() > pairs_max || !pairs.iter().all(fits) {
        let rule = format!(
            "must be at most {pairs_max} pairs, of names of at most {name_max} and values of at most \
             {value_max} characters"
        );
        return Err(invalid("metadata", &rule));
    }
    Ok(pairs)
}

fn read(body: &[u8]) -> Result<New<'_>> {
    if body.trim_ascii().is_empty() {
        return Ok(New::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        Error::new(Kind::InvalidBody, format!("The request cannot be read: {error}."))
    })
}

fn invalid(param: &'static str, rule: &str) -> Error {
    Error::new(Kind::InvalidBody, format!("`{param}` {rule}.")).param(param)
}

fn no_item(id: &str) -> Error {
    let text = format!("The conversation has no item `{}`.", crate::error::excerpt(id));
    Error::new(Kind::ContextNotFound, text).param("item_id")
}
