//! What a receiver is told, and how it knows that it is us (<https://www.standardwebhooks.com>).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use ring::hmac;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::config::snapshot::terms::Scope;

/// What the document says it is.
const KIND: &str = "budget.threshold_passed";

/// Bytes of the digest that an id shows: enough that no two are the same.
const ID_BYTES: usize = 16;

/// A share of a budget that was passed.
pub struct Passed<'a> {
    /// Whose budget.
    pub scope: &'a Scope,
    /// `day`, `week` or `month`.
    pub period: &'a str,
    /// Its first day.
    pub begins: NaiveDate,
    /// When it is over.
    pub ends: DateTime<Utc>,
    /// The share, in percent.
    pub percent: u32,
    /// Micro-dollars.
    pub spent: u64,
    /// Micro-dollars.
    pub budget: u64,
}

/// What is posted.
pub struct Document {
    /// The same for the same share of the same budget in the same period, at every gateway.
    pub id: String,
    /// JSON.
    pub body: Bytes,
    /// When nobody asks for it any more.
    pub ends: DateTime<Utc>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    text: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    period: &'a str,
    period_begins: String,
    period_ends: String,
    percent: u32,
    spent_micro_usd: u64,
    budget_micro_usd: u64,
}

impl Passed<'_> {
    /// A sentence.
    pub fn text(&self) -> String {
        let Self { scope, period, percent, spent, budget, .. } = self;
        format!(
            "{scope} has spent {percent} % of its budget of the {period}: {spent} of {budget} micro-dollars"
        )
    }

    fn id(&self) -> String {
        let Self { scope, begins, period, percent, budget, .. } = self;
        let told =
            format!("{}\n{}\n{period}\n{begins}\n{percent}\n{budget}", scope.kind(), scope.name());
        let digest = Sha256::digest(told.as_bytes());
        format!("budget_{}", hex::encode(digest.get(..ID_BYTES).unwrap_or(&digest)))
    }
}

impl Document {
    /// What is said of a share that was passed at a moment.
    pub fn new(passed: &Passed<'_>, now: DateTime<Utc>) -> Self {
        let (tenant, team, key, model) = match passed.scope {
            Scope::KeyModel(key, model) => (None, None, Some(key), Some(model)),
            Scope::Key(key) => (None, None, Some(key), None),
            Scope::Team(tenant, team) => (Some(tenant), Some(team), None, None),
            Scope::TenantModel(tenant, model) => (Some(tenant), None, None, Some(model)),
            Scope::Tenant(tenant) => (Some(tenant), None, None, None),
            Scope::Model(model) => (None, None, None, Some(model)),
        };
        let body = Body {
            r#type: KIND,
            timestamp: second(now),
            text: passed.text(),
            data: Data {
                scope: passed.scope.kind(),
                tenant: tenant.map(|tenant| tenant.as_str()),
                team: team.map(|team| team.as_str()),
                key: key.map(|key| key.as_str()),
                model: model.map(|model| model.as_str()),
                period: passed.period,
                period_begins: passed.begins.to_string(),
                period_ends: second(passed.ends),
                percent: passed.percent,
                spent_micro_usd: passed.spent,
                budget_micro_usd: passed.budget,
            },
        };
        // Numbers and text: there is nothing that JSON could not hold.
        let body = serde_json::to_vec(&body).unwrap_or_default().into();
        Self { id: passed.id(), body, ends: passed.ends }
    }
}

/// `webhook-signature` of a document at a moment, in seconds since 1970.
pub(super) fn signature(document: &Document, now: i64, secret: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    signed.update(format!("{}.{now}.", document.id).as_bytes());
    signed.update(&document.body);
    format!("v1,{}", BASE64_STANDARD.encode(signed.sign()))
}

fn second(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(scope: &Scope) -> Passed<'_> {
        Passed {
            scope,
            period: "month",
            begins: "2026-11-01".parse().unwrap(),
            ends: "2026-12-01T00:00:00Z".parse().unwrap(),
            percent: 80,
            spent: 81,
            budget: 100,
        }
    }

    #[test]
    fn a_document_says_whose_budget_it_is_and_how_it_stands() {
        let scope = Scope::Team("acme".into(), "search".into());
        let document = Document::new(&passed(&scope), "2026-11-24T10:00:00.7Z".parse().unwrap());
        insta::assert_snapshot!(std::str::from_utf8(&document.body).unwrap(), @r#"{"type":"budget.threshold_passed","timestamp":"2026-11-24T10:00:00Z","text":"the team `search` of the tenant `acme` has spent 80 % of its budget of the month: 81 of 100 micro-dollars","data":{"scope":"team","tenant":"acme","team":"search","period":"month","period_begins":"2026-11-01","period_ends":"2026-12-01T00:00:00Z","percent":80,"spent_micro_usd":81,"budget_micro_usd":100}}"#);
    }

    #[test]
    fn an_id_is_that_of_one_share_in_one_period_whenever_it_is_passed() {
        let (acme, other) = (Scope::Tenant("acme".into()), Scope::Tenant("other".into()));
        let key = Scope::Key("acme".into());
        let id = passed(&acme).id();
        assert_eq!(Passed { spent: 99, ..passed(&acme) }.id(), id);
        let others = [
            passed(&other),
            passed(&key),
            Passed { period: "day", ..passed(&acme) },
            Passed { begins: "2026-12-01".parse().unwrap(), ..passed(&acme) },
            Passed { percent: 100, ..passed(&acme) },
            Passed { budget: 200, ..passed(&acme) },
        ];
        for other in others {
            assert_ne!(other.id(), id, "{}", other.text());
        }
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the reference libraries: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let document = Document {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
            body: Bytes::from_static(br#"{"test": 2432232314}"#),
            ends: DateTime::UNIX_EPOCH,
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(&document, 1_614_265_330, &secret), expected);
    }
}
