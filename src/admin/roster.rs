//! The pages of tenants and keys that are made at run time, and of the audit log.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use pingora::protocols::http::ServerSession;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{answer, body};
use crate::config::objects::{Members, Objects, SetAside, Sort};
use crate::config::snapshot::made::Names;
use crate::config::snapshot::{Key, Snapshot};
use crate::roster::access::{self, Verdict};
use crate::roster::edit::{Edit, Edited, Refusal, shown_key, shown_tenant};
use crate::roster::{Author, Query};
use crate::state::State;

/// Entries of one page of a list, where the question does not say.
const LIMIT: usize = 100;

/// Entries of one page of a list, at most.
const LIMIT_MAX: usize = 1000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `GET /admin/audit`
    Audit,
    /// `GET /admin/tenants`, `GET /admin/keys`
    List(Sort),
    /// `POST` there
    Create(Sort),
    /// `GET /admin/keys/{id}` and its like
    Show(Sort),
    /// `PATCH` there
    Change(Sort),
    /// `DELETE` there
    Delete(Sort),
    /// `POST /admin/keys/{id}/rotate`
    Rotate,
    /// `POST /admin/access-requests/{id}/approve` and its like
    Decide(Verdict),
}

/// What a path names, and what each method does there.
pub(super) type Place = (String, Vec<(Method, Action)>);

/// What is at a path; `None` where nothing of this is meant.
pub(super) fn at(path: &str) -> Option<Place> {
    let rest = path.strip_prefix("/admin/")?;
    if rest == "audit" {
        return Some((String::new(), vec![(Method::GET, Action::Audit)]));
    }
    let (kind, rest) = rest.split_once('/').map_or((rest, None), |(kind, rest)| (kind, Some(rest)));
    let sort = match kind {
        "tenants" => Sort::Tenant,
        "keys" => Sort::Key,
        "access-requests" => Sort::Access,
        _ => return None,
    };
    let Some(rest) = rest else {
        if sort == Sort::Access {
            return Some((String::new(), vec![(Method::GET, Action::List(sort))]));
        }
        let actions = vec![(Method::GET, Action::List(sort)), (Method::POST, Action::Create(sort))];
        return Some((String::new(), actions));
    };
    let (name, below) =
        rest.split_once('/').map_or((rest, None), |(name, rest)| (name, Some(rest)));
    let actions = match (sort, below) {
        (Sort::Access, None) => vec![(Method::GET, Action::Show(sort))],
        (Sort::Access, Some(verdict)) => {
            let verdict = match verdict {
                "approve" => Verdict::Approve,
                "refuse" => Verdict::Refuse,
                "revoke" => Verdict::Revoke,
                _ => return None,
            };
            vec![(Method::POST, Action::Decide(verdict))]
        }
        (_, None) => vec![
            (Method::GET, Action::Show(sort)),
            (Method::PATCH, Action::Change(sort)),
            (Method::DELETE, Action::Delete(sort)),
        ],
        (Sort::Key, Some("rotate")) => vec![(Method::POST, Action::Rotate)],
        _ => return None,
    };
    let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    (!name.is_empty()).then_some((name, actions))
}

/// Answers what is asked for.
pub(super) async fn serve(
    state: Option<&Arc<State>>,
    (name, action): (String, Action),
    session: &mut ServerSession,
    author: &Author,
) -> Response<Vec<u8>> {
    let answered = match state {
        Some(state) => answer_to(state, (&name, action), session, author).await,
        None => Err(Refusal::Nowhere),
    };
    answered.unwrap_or_else(|refusal| refused(&refusal))
}

async fn answer_to(
    state: &State,
    (name, action): (&str, Action),
    session: &mut ServerSession,
    author: &Author,
) -> Result<Response<Vec<u8>>, Refusal> {
    let roster = state.runtime()?.roster();
    let query = session.req_header().uri.query().unwrap_or_default().to_owned();
    match action {
        Action::Audit => {
            let query = Query::parse(&query).map_err(Refusal::Malformed)?;
            let entries = roster.entries(query).await.map_err(Refusal::Failed)?;
            return Ok(answer::json(StatusCode::OK, &json!({ "entries": entries })));
        }
        Action::List(sort) => {
            let page = Page::parse(&query).map_err(Refusal::Malformed)?;
            return Ok(answer::json(StatusCode::OK, &page.of(&Shown::of(state), sort)));
        }
        Action::Show(sort) => {
            let shown = Shown::of(state).one(sort, name);
            let unknown = || Refusal::Unknown(format!("there is no {} `{name}`", sort.name()));
            return Ok(answer::json(StatusCode::OK, &shown.ok_or_else(unknown)?));
        }
        Action::Create(_)
        | Action::Change(_)
        | Action::Delete(_)
        | Action::Rotate
        | Action::Decide(_) => {}
    }
    let body = body::members(session).await?;
    let edit = |edit: Edit<'_>| edited(edit, action, name, &body);
    let changed = state.change(author, edit).await?;
    let mut after = changed.after;
    if let (Some(secret), Value::Object(after)) = (&changed.secret, &mut after) {
        after.insert("secret".to_owned(), secret.expose().into());
    }
    let status = match action {
        Action::Create(_) => StatusCode::CREATED,
        Action::Delete(_) => return Ok(answer::json(StatusCode::OK, &json!({ "deleted": name }))),
        _ => StatusCode::OK,
    };
    Ok(answer::json(status, &after))
}

fn edited(edit: Edit<'_>, action: Action, name: &str, body: &Members) -> Result<Edited, Refusal> {
    match action {
        Action::Create(Sort::Tenant) => edit.create_tenant(body.clone()),
        Action::Create(Sort::Key) => edit.create_key(body.clone()),
        Action::Change(Sort::Tenant) => edit.change_tenant(name, body),
        Action::Change(Sort::Key) => edit.change_key(name, body),
        Action::Delete(Sort::Tenant) => edit.delete_tenant(name),
        Action::Delete(Sort::Key) => edit.delete_key(name),
        Action::Rotate => edit.rotate_key(name, body),
        Action::Decide(verdict) => edit.decide(name, verdict, body),
        Action::Create(Sort::Access)
        | Action::Change(Sort::Access)
        | Action::Delete(Sort::Access)
        | Action::Audit
        | Action::List(_)
        | Action::Show(_) => Err(Refusal::Malformed("nothing is changed there".to_owned())),
    }
}

/// A refusal as an answer: what is wrong, and what would be right.
pub(super) fn refused(refusal: &Refusal) -> Response<Vec<u8>> {
    let (status, code) = match refusal {
        Refusal::Nowhere => (StatusCode::NOT_IMPLEMENTED, "no_state"),
        Refusal::Failed(_) | Refusal::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, "state_unavailable")
        }
        Refusal::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
        Refusal::Taken(_) => (StatusCode::CONFLICT, "already_exists"),
        Refusal::InFile(_) => (StatusCode::CONFLICT, "defined_in_file"),
        Refusal::InUse(_) => (StatusCode::CONFLICT, "in_use"),
        Refusal::Malformed(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
        Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_object"),
    };
    let message = match refusal {
        Refusal::Nowhere => {
            "nothing keeps what is made at run time: set `state.path` in the configuration, or \
             `valkey.url` for several gateways"
                .to_owned()
        }
        Refusal::Failed(failure) => failure.to_string(),
        Refusal::Busy => "others change it all the time: ask again".to_owned(),
        Refusal::Unknown(text)
        | Refusal::Taken(text)
        | Refusal::InFile(text)
        | Refusal::InUse(text)
        | Refusal::Malformed(text) => text.clone(),
        Refusal::Invalid(wrong) => wrong.join("; "),
    };
    answer::error(status, code, &message)
}

/// Everything that can be shown: what the file says, and what was made.
struct Shown {
    file: Arc<Snapshot>,
    objects: Arc<Objects>,
    set_aside: Vec<SetAside>,
}

impl Shown {
    fn of(state: &State) -> Self {
        let (file, objects) = state.sources();
        Self { file, objects, set_aside: state.active().snapshot.made.set_aside.clone() }
    }

    /// Each name once: where the file has it, it is the file's.
    fn list(&self, sort: Sort) -> BTreeMap<String, Value> {
        let Objects { tenants, keys, requests } = &*self.objects;
        let now = Utc::now().timestamp();
        match sort {
            Sort::Tenant => {
                let made = tenants.iter().map(|(name, made)| {
                    (name.clone(), self.made(sort, name, shown_tenant(name, made)))
                });
                let names = Names::of(&self.file);
                let file =
                    |name: &str| (name.to_owned(), json!({ "name": name, "source": "file" }));
                made.chain(names.tenants().map(file)).collect()
            }
            Sort::Key => {
                let made = keys
                    .iter()
                    .map(|(id, made)| (id.clone(), self.made(sort, id, shown_key(id, made))));
                let file = self.file.keys.values().chain(self.file.certificates.values());
                made.chain(file.map(|key| (key.id.to_string(), file_key(key)))).collect()
            }
            Sort::Access => requests
                .iter()
                .map(|(id, asked)| (id.clone(), access::shown(id, asked, now)))
                .collect(),
        }
    }

    fn one(&self, sort: Sort, name: &str) -> Option<Value> {
        self.list(sort).remove(name)
    }

    fn made(&self, sort: Sort, name: &str, mut shown: Value) -> Value {
        let set_aside =
            self.set_aside.iter().find(|other| other.sort == sort && other.name == name);
        if let Value::Object(shown) = &mut shown {
            shown.insert("source".to_owned(), "admin".into());
            shown.insert("in_effect".to_owned(), set_aside.is_none().into());
            if let Some(SetAside { why, .. }) = set_aside {
                shown.insert("problems".to_owned(), why.clone().into());
            }
        }
        shown
    }
}

/// A key of the file, as far as it is told here: the file itself says more.
fn file_key(key: &Key) -> Value {
    json!({
        "id": key.id.as_str(),
        "source": "file",
        "tenant": key.tenant.as_str(),
        "team": key.terms.team.as_ref().map(|team| team.as_str()),
        "enabled": key.enabled,
        "expires_at": key.expires_at.map(|end| end.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        "labels": key.labels,
    })
}

/// Which part of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// Behind this name.
    after: Option<String>,
    limit: usize,
    tenant: Option<String>,
    /// Of requests for access.
    state: Option<String>,
}

impl Page {
    fn parse(query: &str) -> Result<Self, String> {
        let mut page = Self { after: None, limit: LIMIT, tenant: None, state: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "after" => page.after = Some(value.into_owned()),
                "tenant" => page.tenant = Some(value.into_owned()),
                "state" => page.state = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    page.limit = limit.ok_or(format!("`limit` must be 1 to {LIMIT_MAX}"))?;
                }
                _ => {
                    return Err(
                        "there are `after`, `limit`, `tenant` and, of access requests, `state`"
                            .to_owned(),
                    );
                }
            }
        }
        Ok(page)
    }

    /// The part, and behind which name the next begins, where there is more.
    fn of(&self, shown: &Shown, sort: Sort) -> Value {
        let is_asked = |(name, value): &(String, Value)| {
            let is_behind = self.after.as_ref().is_none_or(|after| name > after);
            let fits = |asked: &Option<String>, member: &str| {
                asked.is_none() || value.get(member).and_then(Value::as_str) == asked.as_deref()
            };
            is_behind && fits(&self.tenant, "tenant") && fits(&self.state, "state")
        };
        let mut rest = shown.list(sort).into_iter().filter(is_asked);
        let page: Vec<_> = rest.by_ref().take(self.limit).collect();
        let next = rest.next().and(page.last()).map(|(name, _)| name.clone());
        let items: Vec<_> = page.into_iter().map(|(_, value)| value).collect();
        let list = match sort {
            Sort::Tenant => "tenants",
            Sort::Key => "keys",
            Sort::Access => "access_requests",
        };
        json!({ list: items, "next_after": next })
    }
}
