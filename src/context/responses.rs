//! Responses as OpenAI names them, on contexts: a stored response is a version of a context.
//!
//! Its id says which: `resp_CONTEXT_VERSION`. A request that names it as the one before goes on with
//! that context; where later versions are there already, it begins another context with what was there
//! then, so that every response stays as it was. The response itself is kept in the context's `data`,
//! under `response`; the ids of those that were deleted, under `deleted_responses`, since later responses
//! still say what they built on.

use bytes::Bytes;
use serde_json::json;

use super::ask::{self, Asked};
use super::log::{Change, Entry, Log};
use super::resource::Shown;
use super::store::Key;
use super::{Contexts, Rules};
use crate::dialect::members::{Member, Members};
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::error::{Error, Kind, Result};
use crate::types::{ContextId, TenantId, Version};

/// How the ids of responses begin.
const PREFIX: &str = "resp_";

/// How the ids of conversations begin: what happens to those is not for their responses to decide.
pub(super) const CONVERSATION_PREFIX: &str = "conv_";

/// The id of the response that a version of a context is.
pub fn id(context: &ContextId, version: Version) -> String {
    format!("{PREFIX}{context}_{version}")
}

/// The context and the version that an id names.
fn place(id: &str) -> Option<(ContextId, Version)> {
    let (context, version) = id.strip_prefix(PREFIX)?.rsplit_once('_')?;
    let version = version.parse().ok().map(Version)?;
    Some((ask::id(context, "id").ok()?, version))
}

/// What a request asks by its own members; `stores` is what it means where it does not say `store`.
///
/// # Errors
/// `InvalidBody`, and `ContextNotFound` for what cannot be an id.
pub fn asked(members: &Members<'_>, stores: bool) -> Result<Option<Asked>> {
    let present = |name| members.get(name).filter(|member| !member.is_null());
    let store = present("store").and_then(Member::bool);
    let keeps = store.unwrap_or(stores);
    let mut asked = match (present("previous_response_id"), present("conversation")) {
        (Some(_), Some(_)) => {
            let text = "`previous_response_id` and `conversation` exclude each other: name one.";
            return Err(Error::new(Kind::InvalidBody, text).param("conversation"));
        }
        (Some(previous), None) => after(previous)?,
        (None, Some(conversation)) => within(members, conversation)?,
        (None, None) if keeps => Asked::default(),
        (None, None) => return Ok(None),
    };
    asked.read_only = store == Some(false);
    asked.names.push(("store", (!asked.read_only).to_string()));
    Ok(Some(asked))
}

fn after(previous: &Member<'_>) -> Result<Asked> {
    let named = previous.string().unwrap_or_default();
    let (id, version) = place(&named).ok_or_else(|| not_found(&named))?;
    let names = vec![("previous_response_id", json!(named).to_string())];
    Ok(Asked { id: Some(id), after: Some(version), must_exist: true, names, ..Asked::default() })
}

fn within(members: &Members<'_>, conversation: &Member<'_>) -> Result<Asked> {
    let object = members.within(conversation).ok();
    let inner = object.as_ref().and_then(|object| object.get("id")).and_then(Member::string);
    let named = conversation.string().or(inner).unwrap_or_default();
    let names = vec![("conversation", json!({ "id": named }).to_string())];
    let id = Some(ask::id(&named, "conversation")?);
    Ok(Asked { id, must_exist: true, names, ..Asked::default() })
}

/// The `data` of a context with a response in it.
pub(super) fn with_response(data: &str, response: &str) -> Result<String> {
    with_member(data, "response", response)
}

/// JSON text of an object, with one member set.
pub(super) fn with_member(data: &str, name: &str, json: &str) -> Result<String> {
    let broken = |why: String| Error::new(Kind::Internal, super::FAILED).because(why);
    let members = Members::parse(data.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let mut edit = ObjectEdit::new(&members);
    edit.set(name, json.as_bytes());
    let mut splice = Splice::default();
    splice.object(&edit).map_err(|error| broken(error.to_string()))?;
    let text = splice.apply(&Bytes::copy_from_slice(data.as_bytes()));
    String::from_utf8(text.to_vec()).map_err(|error| broken(error.to_string()))
}

/// The id and the text of the response in a context's `data`.
fn own(data: &str) -> Option<(String, String)> {
    let members = Members::parse(data.as_bytes()).ok()?;
    let response = members.get("response")?;
    let id = members.within(response).ok()?.get("id")?.string()?.into_owned();
    Some((id, response.raw.to_owned()))
}

/// The ids of a context's responses that were deleted.
fn deleted(data: &str) -> Vec<String> {
    let members = Members::parse(data.as_bytes()).ok();
    let list = members.as_ref().and_then(|members| members.get("deleted_responses"));
    list.and_then(|list| serde_json::from_str(list.raw).ok()).unwrap_or_default()
}

/// Whether a response of this context was deleted.
pub(super) fn is_deleted(log: &Log, id: &str) -> bool {
    deleted(log.data()).iter().any(|deleted| deleted == id)
}

/// The response of that id is not there: never kept, deleted, another tenant's, or no longer kept.
pub(super) fn not_found(id: &str) -> Error {
    let text = format!(
        "There is no response `{}`. One is kept where its request says `\"store\": true`, or where \
         the gateway's configuration does (`contexts.store_responses`).",
        crate::error::excerpt(id)
    );
    Error::new(Kind::ContextNotFound, text).param("response_id")
}

impl Contexts {
    /// A response as it was answered.
    ///
    /// # Errors
    /// `ContextNotFound`, `ContextStore`.
    pub async fn response(&self, tenant: TenantId, named: &str, rules: &Rules) -> Result<Shown> {
        let absent = || not_found(named);
        let (id, version) = place(named).ok_or_else(absent)?;
        let log = self.read(&Key { tenant, id: id.clone() }).await?.ok_or_else(absent)?;
        let view = log.at(version, rules.versions_max).ok_or_else(absent)?;
        // A later version that is no response still holds the last one.
        let own = own(view.data).filter(|(own, _)| own == named && !is_deleted(&log, named));
        let (_, body) = own.ok_or_else(absent)?;
        Ok(Shown { id, version, body })
    }

    /// Removes a response. Others that went on from it stay, as they were answered, and so does the
    /// conversation that it is part of; with the last response of a context the context goes.
    ///
    /// # Errors
    /// Those of [`Self::response`], `ContextBusy`, `ContextLimit`.
    pub async fn forget_response(
        &self,
        tenant: TenantId,
        named: &str,
        rules: &Rules,
    ) -> Result<String> {
        let id = self.response(tenant.clone(), named, rules).await?.id;
        let key = Key { tenant, id };
        let _lease = self.lease(&key, rules.turn_wait).await?;
        let log = self.read(&key).await?.ok_or_else(|| not_found(named))?;
        let mut deleted = deleted(log.data());
        deleted.push(named.to_owned());
        let all = log.versions(rules.versions_max);
        let all: Vec<String> =
            all.iter().map(|(entry, _)| self::id(&key.id, entry.version)).collect();
        // What can no longer be named need not be remembered.
        deleted.retain(|id| all.contains(id));
        let is_left = |(entry, _): &(&Entry, usize)| {
            let said = entry.change.data().and_then(|data| own(data));
            said.is_some_and(|(id, _)| {
                id == self::id(&key.id, entry.version) && !deleted.contains(&id)
            })
        };
        let is_conversation = key.id.as_str().starts_with(CONVERSATION_PREFIX);
        if is_conversation || log.versions(rules.versions_max).iter().any(is_left) {
            let data = with_member(log.data(), "deleted_responses", &json!(deleted).to_string())?;
            let change = Change::Append { messages: Vec::new(), data: Some(data.into()) };
            self.keep_version(&key, Some(&log), change, rules).await?;
        } else {
            self.unfold(&key).await;
            self.remove(&key).await?;
        }
        Ok(json!({"id": named, "object": "response", "deleted": true}).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Members, Version, asked, id, place};
    use crate::error::Result;

    fn read(body: &str, stores: bool) -> Result<Option<super::Asked>> {
        asked(&Members::parse(body.as_bytes()).unwrap(), stores)
    }

    #[test]
    fn an_id_says_its_context_and_version() {
        let context = "conv_a_1.b:c-".into();
        let named = id(&context, Version(12));
        assert_eq!(place(&named), Some((context, Version(12))));
        for id in ["", "resp_", "resp_a", "resp_a_x", "resp__1", "msg_a_1", "resp_a b_1"] {
            assert_eq!(place(id), None, "{id}");
        }
    }

    #[test]
    fn a_request_keeps_state_where_it_or_the_gateway_says_so() {
        for (body, stores, expected) in [
            ("{}", false, None),
            ("{}", true, Some((None, None, false))),
            (r#"{"store":true}"#, false, Some((None, None, false))),
            (r#"{"store":false}"#, true, None),
            (r#"{"store":null,"conversation":null}"#, false, None),
            (r#"{"previous_response_id":"resp_c_3"}"#, false, Some((Some("c"), Some(3), false))),
            (
                r#"{"previous_response_id":"resp_c_3","store":false}"#,
                true,
                Some((Some("c"), Some(3), true)),
            ),
            (r#"{"conversation":"c"}"#, false, Some((Some("c"), None, false))),
            (r#"{"conversation":{"id":"c"}}"#, false, Some((Some("c"), None, false))),
        ] {
            let got = read(body, stores).unwrap().map(|asked| {
                let id = asked.id.map(|id| id.as_str().to_owned());
                (id, asked.after.map(|version| version.0), asked.read_only)
            });
            let expected = expected.map(|(id, after, only)| (id.map(str::to_owned), after, only));
            assert_eq!(got, expected, "{body}");
        }
        for (body, kind) in [
            (r#"{"previous_response_id":"resp_c_3","conversation":"c"}"#, Kind::InvalidBody),
            (r#"{"previous_response_id":"resp_1"}"#, Kind::ContextNotFound),
            (r#"{"previous_response_id":7}"#, Kind::ContextNotFound),
            (r#"{"conversation":{"id":7}}"#, Kind::InvalidBody),
        ] {
            assert_eq!(read(body, false).unwrap_err().kind, kind, "{body}");
        }
    }
}
