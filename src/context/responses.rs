//! Responses as OpenAI names them, on contexts: a stored response is a version of a context.
//!
//! Its id says which: `resp_CONTEXT_VERSION`. A request that names it as the one before goes on with
//! that context; where later versions are there already, it begins another context with what was there
//! then, so that every response stays as it was. The response itself is kept in the context's `data`,
//! under `response`.

use bytes::Bytes;
use serde_json::json;

use super::ask::{self, Asked};
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
        let members = Members::parse(view.data.as_bytes()).map_err(|_| absent())?;
        let response = members.get("response").ok_or_else(absent)?;
        // A later version that is no response still holds the last one.
        let own = members.within(response).ok().and_then(|response| response.get("id")?.string());
        if own.as_deref() != Some(named) {
            return Err(absent());
        }
        Ok(Shown { id, version, body: response.raw.to_owned() })
    }

    /// Removes a response, with the chain of responses that it belongs to.
    ///
    /// # Errors
    /// Those of [`Self::response`], `ContextBusy`; `InvalidBody` where it is part of a conversation.
    pub async fn forget_response(
        &self,
        tenant: TenantId,
        named: &str,
        rules: &Rules,
    ) -> Result<String> {
        let id = self.response(tenant.clone(), named, rules).await?.id;
        if id.as_str().starts_with(CONVERSATION_PREFIX) {
            let text = format!(
                "The response is part of the conversation `{id}`: delete that, or items of it."
            );
            return Err(Error::new(Kind::InvalidBody, text).param("response_id"));
        }
        self.delete(&Key { tenant, id }, None, rules).await?;
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
