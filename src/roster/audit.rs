//! The audit log: who changed what and when, a JSON line a change, without secrets.

use std::net::SocketAddr;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use super::stamp;

/// Entries in one answer, where the question does not say.
const LIMIT: usize = 100;

/// Entries in one answer, at most.
const LIMIT_MAX: usize = 1000;

/// Who makes a change.
#[derive(Clone, Debug, Serialize)]
pub struct Author {
    /// `admin`, with the admin token; `anonymous` where none is configured; `key NAME` for a client.
    pub by: String,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub author: Author,
    /// What was done, `key.create`.
    pub action: &'static str,
    /// To what, by its name.
    pub name: String,
    /// How it was; null where it was not.
    pub before: Value,
    /// How it is now; null where it is not.
    pub after: Value,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    author: &'a Author,
    action: &'a str,
    name: &'a str,
    before: &'a Value,
    after: &'a Value,
}

impl Entry {
    /// The entry as it is kept: one line of JSON.
    pub(super) fn line(&self) -> String {
        let Self { at, author, action, name, before, after } = self;
        let line = Line { at: stamp(*at), author, action, name, before, after };
        // Plain data with text for keys: it cannot fail.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// What is asked of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
    /// Entries, at most.
    pub limit: usize,
}

impl Query {
    /// Reads `from=`, `to=` and `limit=`.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut asked = Self { from: None, to: None, limit: LIMIT };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "from" => asked.from = Some(moment(&value, false)?),
                "to" => asked.to = Some(moment(&value, true)?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let wrong = || format!("`limit` must be 1 to {LIMIT_MAX}");
                    asked.limit = limit.ok_or_else(wrong)?;
                }
                _ => return Err("there are `from`, `to` and `limit`".to_owned()),
            }
        }
        Ok(asked)
    }

    /// Whether an entry of this moment, as a line has it, is asked for.
    pub(super) fn asks_for(&self, at: &str) -> bool {
        // Lines have moments of one form, which sort as text.
        self.from.is_none_or(|from| *stamp(from) <= *at)
            && self.to.is_none_or(|to| *at < *stamp(to))
    }
}

/// A moment, or a day: its beginning, or where `end` is set, its end.
fn moment(text: &str, end: bool) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.with_timezone(&Utc));
    }
    let day: NaiveDate = text.parse().map_err(|_| {
        "`from` and `to` must be days such as `2030-12-31`, or RFC 3339 times".to_owned()
    })?;
    let begin = day.and_time(NaiveTime::MIN).and_utc();
    let wrong = || "`to` is later than any day".to_owned();
    if end { begin.checked_add_signed(TimeDelta::days(1)).ok_or_else(wrong) } else { Ok(begin) }
}
