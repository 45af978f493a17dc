//! Sums of the usage journal: by day, tenant, team, key or model, as JSON or CSV.
//!
//! A report reads the files of its days, so it says what the journal holds and nothing else. It is
//! made on a thread for blocking work, never on the request path.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use ahash::AHashSet;
use chrono::{Datelike, NaiveDate, Utc, Weekday};
use serde_json::{Map, Value, json};

use super::csv;
use super::entry::Entry;
use super::journal::file_of;

/// The days that a report may reach over.
const DAYS_MAX: i64 = 400;

/// The longest line read, in bytes; names have at most 200 each.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// The rows that a report may have.
const ROWS_MAX: usize = 100_000;

/// What rows may be made by.
const GROUPS: [&str; 8] =
    ["day", "tenant", "team", "key", "model", "endpoint", "upstream_model", "operation"];

/// What a report is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What its rows are made by, of `GROUPS`.
    pub group_by: Vec<&'static str>,
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Whether CSV is asked for.
    pub csv: bool,
}

/// Sums, by the query's groups.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub query: Query,
    /// In the order of their names.
    pub rows: Vec<Row>,
    /// Lines that are no entries: cut off by a full disk or a power cut.
    pub unreadable_lines: u64,
}

/// The sums of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A name for each of the query's groups.
    pub names: Vec<String>,
    /// The sums.
    pub totals: Totals,
}

/// What requests used together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that went to an upstream.
    pub requests: u64,
    /// Those whose tokens are estimated.
    pub estimated: u64,
    /// Prompt tokens, neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// Tokens of answers.
    pub output: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
    /// What was charged.
    pub cost_micro_usd: u64,
}

impl Query {
    /// Reads a query: `group_by=tenant,model&from=2026-01-01&to=2026-01-31&format=csv`. Without
    /// days it is about today, without groups about each tenant.
    ///
    /// # Errors
    /// What is wrong, for whoever asked.
    pub fn parse(query: &str) -> Result<Self, String> {
        let today = Utc::now().date_naive();
        let (mut from, mut to) = (None, None);
        let mut asked = Self { group_by: vec!["tenant"], from: today, to: today, csv: false };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "group_by" => asked.group_by = groups(&value)?,
                "from" => from = Some(day(&value)?),
                "to" => to = Some(day(&value)?),
                "format" if value == "csv" || value == "json" => asked.csv = value == "csv",
                "format" => return Err(format!("`{value}` is no format: json or csv")),
                _ => return Err(format!("`{name}` is unknown: group_by, from, to and format are")),
            }
        }
        asked.to = to.or(from.filter(|from| *from > today)).unwrap_or(today);
        asked.from = from.unwrap_or(asked.to);
        match (asked.to - asked.from).num_days() {
            0..DAYS_MAX => Ok(asked),
            ..0 => Err(format!("`from` {} is behind `to` {}", asked.from, asked.to)),
            _ => Err(format!("a report reaches over at most {DAYS_MAX} days")),
        }
    }
}

fn groups(text: &str) -> Result<Vec<&'static str>, String> {
    let mut groups = Vec::new();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let known = GROUPS.into_iter().find(|known| *known == name.trim());
        let group = known
            .ok_or_else(|| format!("`{name}` is no group: there are {}", GROUPS.join(", ")))?;
        if groups.contains(&group) {
            return Err(format!("`{group}` stands twice in `group_by`"));
        }
        groups.push(group);
    }
    Ok(groups)
}

fn day(text: &str) -> Result<NaiveDate, String> {
    // A moment counts as its day.
    let day = text.split('T').next().unwrap_or(text);
    NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .map_err(|_| format!("`{text}` is not a day, such as `2026-01-31`"))
}

/// Why there is no report.
#[derive(Debug)]
pub enum Unread {
    /// It would have more than `ROWS_MAX` rows.
    TooLong,
    /// A file that is there cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Unread::Io(error)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::TooLong => write!(
                f,
                "a report has at most {ROWS_MAX} rows: ask for fewer days or fewer groups"
            ),
            Unread::Io(error) => error.fmt(f),
        }
    }
}

/// Adds up the journal in a directory.
///
/// # Errors
/// Where a file that is there cannot be read, or there are too many rows.
pub fn read(directory: &Path, query: &Query) -> Result<Report, Unread> {
    let mut rows: BTreeMap<Vec<String>, Totals> = BTreeMap::new();
    let unreadable_lines = entries(directory, (query.from, query.to), |day, entry| {
        let names = query.group_by.iter().map(|group| name(&entry, group, day)).collect();
        rows.entry(names).or_default().add(&entry);
        if rows.len() > ROWS_MAX { Err(Unread::TooLong) } else { Ok(()) }
    })?;
    let rows = rows.into_iter().map(|(names, totals)| Row { names, totals }).collect();
    Ok(Report { query: query.clone(), rows, unreadable_lines })
}

/// Every entry of these days, each id once, and the number of lines that are none. An entry counts in
/// its own day's file only, so that a line which was copied into another counts once.
///
/// # Errors
/// Where a file that is there cannot be read, and those of `each`, which end the reading.
pub fn entries<E: From<io::Error>>(
    directory: &Path,
    (from, to): (NaiveDate, NaiveDate),
    mut each: impl FnMut(NaiveDate, Entry) -> Result<(), E>,
) -> Result<u64, E> {
    let (mut unreadable, mut line) = (0, Vec::new());
    for day in from.iter_days().take_while(|day| *day <= to) {
        let file = match File::open(file_of(directory, day)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let (mut seen, mut lines) = (AHashSet::new(), BufReader::new(file));
        let day_text = day.to_string();
        while next_line(&mut lines, &mut line)? {
            let entry = serde_json::from_slice::<Entry>(&line).ok();
            let entry = entry.filter(|entry| entry.began.starts_with(&day_text));
            let id = entry.as_ref().and_then(|entry| u128::from_str_radix(&entry.id, 16).ok());
            match (entry, id) {
                (Some(entry), Some(id)) if seen.insert(id) => each(day, entry)?,
                (Some(_), Some(_)) => {}
                _ if line.trim_ascii().is_empty() => {}
                _ => unreadable += 1,
            }
        }
    }
    Ok(unreadable)
}

/// The first day that counts in a budget that is not over: of its week or of its month.
pub fn first_day_of_budgets(today: NaiveDate) -> NaiveDate {
    let month = today.with_day(1).unwrap_or(today);
    today.week(Weekday::Mon).first_day().min(month)
}

/// Reads a line, of which the beginning suffices where it is too long to be an entry; false at the end.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(io::Read::take(lines, LINE_BYTES_MAX).read_until(b'\n', line)? > 0)
}

fn name(entry: &Entry, group: &str, day: NaiveDate) -> String {
    match group {
        "day" => day.to_string(),
        "tenant" => entry.tenant.clone(),
        "team" => entry.team.clone(),
        "key" => entry.key.clone(),
        "model" => entry.model.clone(),
        "endpoint" => entry.endpoint.clone(),
        "upstream_model" => entry.upstream_model.clone(),
        _ => entry.operation.clone(),
    }
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        self.requests += 1;
        self.estimated += u64::from(entry.usage_source == "estimated");
        self.input += entry.input;
        self.cache_read += entry.cache_read;
        self.cache_write += entry.cache_write;
        self.output += entry.output;
        self.reasoning += entry.reasoning;
        self.cost_micro_usd += entry.cost_micro_usd;
    }

    const fn columns(&self) -> [(&'static str, u64); 8] {
        [
            ("requests", self.requests),
            ("estimated", self.estimated),
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("cost_micro_usd", self.cost_micro_usd),
        ]
    }
}

impl Report {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let Query { group_by, from, to, .. } = &self.query;
        let row = |row: &Row| {
            let names = group_by.iter().zip(&row.names);
            let names =
                names.map(|(group, name)| ((*group).to_owned(), Value::from(name.as_str())));
            let sums = row.totals.columns();
            let sums = sums.into_iter().map(|(name, sum)| (name.to_owned(), Value::from(sum)));
            names.chain(sums).collect::<Map<_, _>>()
        };
        json!({
            "from": from.to_string(),
            "to": to.to_string(),
            "group_by": group_by,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "unreadable_lines": self.unreadable_lines,
        })
    }

    /// As CSV with a line of names.
    pub fn to_csv(&self) -> String {
        let mut text = Vec::new();
        let sums = Totals::default().columns().map(|(name, _)| name.to_owned());
        let names = self.query.group_by.iter().map(|name| (*name).to_owned());
        // A vector takes whatever is written.
        let _ = csv::line(&mut text, names.chain(sums));
        for Row { names, totals } in &self.rows {
            let sums = totals.columns().map(|(_, sum)| sum.to_string());
            let _ = csv::line(&mut text, names.iter().cloned().chain(sums));
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, Report, Row, Totals, first_day_of_budgets};

    #[test]
    fn queries_say_what_is_wrong_with_them() {
        let fine = Query::parse("group_by=key,day&from=2026-01-01&to=2026-01-31&format=csv");
        let fine = fine.unwrap();
        assert_eq!((fine.group_by, fine.csv), (vec!["key", "day"], true));
        assert_eq!(Query::parse("").unwrap().group_by, ["tenant"]);
        for (query, wrong) in [
            ("group_by=person", "`person` is no group: there are day, tenant"),
            ("group_by=model,tenant,model", "`model` stands twice in `group_by`"),
            ("from=yesterday", "`yesterday` is not a day, such as `2026-01-31`"),
            ("from=2026-02-01&to=2026-01-01", "`from` 2026-02-01 is behind `to` 2026-01-01"),
            ("from=2020-01-01&to=2026-01-01", "a report reaches over at most 400 days"),
            ("format=xml", "`xml` is no format: json or csv"),
            ("since=1", "`since` is unknown"),
        ] {
            let error = Query::parse(query).unwrap_err();
            assert!(error.starts_with(wrong), "{query}: {error}");
        }
    }

    #[test]
    fn csv_has_a_column_for_each_group_and_sum() {
        let query = Query::parse("group_by=tenant,model&from=2026-01-01&to=2026-01-02").unwrap();
        let names = vec!["a,b".to_owned(), "=x".to_owned()];
        let totals = Totals { requests: 2, input: 3, cost_micro_usd: 5, ..Totals::default() };
        let report = Report { query, rows: vec![Row { names, totals }], unreadable_lines: 0 };
        assert_eq!(
            report.to_csv(),
            "tenant,model,requests,estimated,input,cache_read,cache_write,output,reasoning,\
             cost_micro_usd\r\n\"a,b\",'=x,2,0,3,0,0,0,0,5\r\n"
        );
        assert_eq!(report.to_json()["rows"][0]["model"], "=x");
    }
    #[test]
    fn budgets_look_back_to_the_first_of_their_month_or_week() {
        for (today, first) in [
            ("2026-01-31", "2026-01-01"),
            ("2026-03-01", "2026-02-23"),
            ("2026-06-01", "2026-06-01"),
        ] {
            let found = first_day_of_budgets(today.parse().unwrap());
            assert_eq!(found.to_string(), first, "{today}");
        }
    }
}
