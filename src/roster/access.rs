//! Requests for access to models that need approval: what can be done to them, and how they are shown.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::edit::{Edit, Edited, Refusal};
use crate::config::objects::{AccessRequest, Decision, Members, Sort, moment};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 2000;

/// Random digits of an id.
const ID_DIGITS: usize = 16;

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The caller's tenant.
    pub tenant: String,
    /// The caller's key.
    pub key: String,
    /// The model.
    pub model: String,
    /// Why.
    pub reason: String,
}

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tenant may use the model.
    Approve,
    /// It may not.
    Refuse,
    /// It may no longer.
    Revoke,
}

impl Edit<'_> {
    /// Asks for access. What is asked for already, or granted, is not asked for again: see [`standing`].
    ///
    /// # Errors
    /// `Malformed` where the reason is too long.
    pub fn ask(self, asked: Asked) -> Result<Edited, Refusal> {
        if asked.reason.len() > REASON_BYTES_MAX {
            let text = format!("`reason` must have at most {REASON_BYTES_MAX} bytes");
            return Err(Refusal::Malformed(text));
        }
        let now = self.now.timestamp();
        let mut requests = self.objects.requests.iter();
        let before =
            requests.find(|(_, old)| old.tenant == asked.tenant && old.model == asked.model);
        let (id, shown_before) = match before {
            Some((id, old)) => (id.clone(), shown(id, old, now)),
            None => (format!("ar_{:0ID_DIGITS$x}", fastrand::u64(..)), Value::Null),
        };
        let request = AccessRequest {
            tenant: asked.tenant,
            model: asked.model,
            key: asked.key,
            reason: asked.reason,
            created: now,
            state: Decision::Pending,
            decided: None,
            answer: None,
            expires: None,
        };
        let after = shown(&id, &request, now);
        self.objects.requests.insert(id.clone(), request);
        Ok(edited("access.ask", id, (shown_before, after)))
    }

    /// Decides a request: `expires_at` ends an approval, `reason` is told to the tenant.
    ///
    /// # Errors
    /// `Unknown`, `Malformed`, and `InUse` where the request is not in a state in which that can be.
    pub fn decide(self, id: &str, verdict: Verdict, body: &Members) -> Result<Edited, Refusal> {
        let now = self.now;
        let expires = expires(body, verdict, now)?;
        let answer = reason(body)?;
        let request = self.objects.requests.get_mut(id);
        let request = request
            .ok_or_else(|| Refusal::Unknown(format!("there is no access request `{id}`")))?;
        let before = shown(id, request, now.timestamp());
        let (action, state, fits) = match verdict {
            Verdict::Approve => ("access.approve", Decision::Approved, true),
            Verdict::Refuse => {
                ("access.refuse", Decision::Refused, request.state == Decision::Pending)
            }
            Verdict::Revoke => {
                ("access.revoke", Decision::Revoked, request.state == Decision::Approved)
            }
        };
        if !fits {
            let text = "what is pending can be refused, what is approved can be revoked";
            return Err(Refusal::InUse(format!("the access request `{id}` is not: {text}")));
        }
        request.state = state;
        request.decided = Some(now.timestamp());
        request.answer = answer;
        request.expires = expires;
        let after = shown(id, request, now.timestamp());
        Ok(edited(action, id.to_owned(), (before, after)))
    }
}

/// The request for a model that a tenant has already: pending, or granted.
pub fn standing<'o>(
    requests: impl IntoIterator<Item = (&'o String, &'o AccessRequest)>,
    asked: &Asked,
    now: i64,
) -> Option<Value> {
    let stands = |request: &AccessRequest| {
        request.tenant == asked.tenant
            && request.model == asked.model
            && (request.state == Decision::Pending || request.is_granted(now))
    };
    let found = requests.into_iter().find(|(_, request)| stands(request));
    found.map(|(id, request)| shown(id, request, now))
}

/// A request as answers and the audit log show it.
pub fn shown(id: &str, request: &AccessRequest, now: i64) -> Value {
    let is_over = request.state == Decision::Approved && !request.is_granted(now);
    let state = if is_over { json!("expired") } else { json!(request.state) };
    json!({
        "id": id,
        "tenant": request.tenant,
        "model": request.model,
        "key": request.key,
        "reason": request.reason,
        "state": state,
        "created_at": moment(request.created),
        "decided_at": request.decided.map(moment),
        "answer": request.answer,
        "expires_at": request.expires.map(moment),
    })
}

fn edited(action: &'static str, id: String, (before, after): (Value, Value)) -> Edited {
    Edited { action, sort: Sort::Access, name: id, before, after, secret: None }
}

fn expires(body: &Members, verdict: Verdict, now: DateTime<Utc>) -> Result<Option<i64>, Refusal> {
    let known: &[&str] =
        if verdict == Verdict::Approve { &["expires_at", "reason"] } else { &["reason"] };
    if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
        let known = known.join("` and `");
        return Err(Refusal::Malformed(format!("`{name}`: there is only `{known}`")));
    }
    let Some(end) = body.get("expires_at").filter(|end| !end.is_null()) else { return Ok(None) };
    let end = end.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let end = end.filter(|end| *end > now).ok_or_else(|| {
        let text = "`expires_at` must be an RFC 3339 time that is yet to come";
        Refusal::Malformed(text.to_owned())
    })?;
    Ok(Some(end.timestamp()))
}

fn reason(body: &Members) -> Result<Option<String>, Refusal> {
    match body.get("reason") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= REASON_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => {
            let text = format!("`reason` must be text of at most {REASON_BYTES_MAX} bytes");
            Err(Refusal::Malformed(text))
        }
    }
}
