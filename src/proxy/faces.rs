//! Stored responses and conversations in the request path: OpenAI's faces of contexts.

use pingora::proxy::Session;

use super::contexts;
use super::prepare::read_body;
use super::reply::Reply;
use crate::config::snapshot::Key as Caller;
use crate::context::ask;
use crate::context::conversations::Page;
use crate::context::store::Key;
use crate::error::Result;
use crate::route::faces::{Action, Place};
use crate::state::{Active, State};

/// Answers what is asked of stored responses and of conversations.
///
/// # Errors
/// Those of the operations in `context::responses` and `context::conversations`.
pub async fn serve(
    state: &State,
    active: &Active,
    (caller, place): (&Caller, Place),
    session: &mut Session,
) -> Result<Reply> {
    let rules = contexts::rules(active)?;
    let query = session.req_header().uri.query().unwrap_or_default().to_owned();
    let body = read_body(session, active).await?;
    let (contexts, tenant) = (&state.contexts, caller.tenant.clone());
    let key = || Ok(Key { tenant: tenant.clone(), id: ask::id(&place.id, "conversation_id")? });
    let text = match place.action {
        Action::ShowResponse => contexts.response(tenant, &place.id, rules).await?.body,
        Action::DeleteResponse => contexts.forget_response(tenant, &place.id, rules).await?,
        Action::Create => contexts.converse(tenant, &body, rules).await?,
        Action::Show => contexts.conversation(&key()?).await?,
        Action::Update => contexts.annotate(&key()?, &body, rules).await?,
        Action::Delete => {
            contexts.delete(&key()?, None, rules).await?;
            let id = &place.id;
            format!(r#"{{"id":"{id}","object":"conversation.deleted","deleted":true}}"#)
        }
        Action::Items => contexts.items(&key()?, &Page::read(&query)?).await?,
        Action::AddItems => contexts.add_items(&key()?, &body, rules).await?,
        Action::ShowItem => contexts.item(&key()?, &place.item).await?,
        Action::DeleteItem => contexts.remove_item(&key()?, &place.item, rules).await?,
    };
    Ok(Reply::ok(text.into()))
}
