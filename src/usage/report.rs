//! Sums of the usage journal: by day, tenant, team, key or model, as JSON or CSV.
//!
//! A report reads the files of its days, so it says what the journal holds and nothing else. It is
//! made on a thread for blocking work, never on the request path.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use chrono::{Days, NaiveDate, Utc};
use serde_json::{Map, Value, json};

use super::entry::Entry;
use super::journal::file_of;

/// The days that a report may reach over.
const DAYS_MAX: i64 = 400;

/// The longest line read, in bytes; names have at most 200 each.
const LINE_BYTES_MAX: u64 = 64 << 10;

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
    let group = |name: &str| {
        let known = GROUPS.into_iter().find(|known| *known == name.trim());
        known.ok_or_else(|| format!("`{name}` is no group: there are {}", GROUPS.join(", ")))
    };
    text.split(',').filter(|name| !name.is_empty()).map(group).collect()
}

fn day(text: &str) -> Result<NaiveDate, String> {
    // A moment counts as its day.
    let day = text.split('T').next().unwrap_or(text);
    NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .map_err(|_| format!("`{text}` is not a day, such as `2026-01-31`"))
}

/// Adds up the journal in a directory.
///
/// # Errors
/// Where a file that is there cannot be read.
pub fn read(directory: &Path, query: &Query) -> io::Result<Report> {
    let mut rows: BTreeMap<Vec<String>, Totals> = BTreeMap::new();
    let unreadable_lines = entries(directory, (query.from, query.to), |day, entry| {
        let names = query.group_by.iter().map(|group| name(&entry, group, day)).collect();
        rows.entry(names).or_default().add(&entry);
    })?;
    let rows = rows.into_iter().map(|(names, totals)| Row { names, totals }).collect();
    Ok(Report { query: query.clone(), rows, unreadable_lines })
}

/// Every entry of these days, each id once, and the number of lines that are none.
///
/// # Errors
/// Where a file that is there cannot be read.
pub fn entries(
    directory: &Path,
    (from, to): (NaiveDate, NaiveDate),
    mut each: impl FnMut(NaiveDate, Entry),
) -> io::Result<u64> {
    let mut unreadable = 0;
    for day in from.iter_days().take_while(|day| *day <= to) {
        let file = match File::open(file_of(directory, day)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let (mut seen, mut lines) = (HashSet::new(), BufReader::new(file));
        while let Some(line) = next_line(&mut lines)? {
            let entry = serde_json::from_slice::<Entry>(&line).ok();
            let id = entry.as_ref().and_then(|entry| u128::from_str_radix(&entry.id, 16).ok());
            match (entry, id) {
                (Some(entry), Some(id)) if seen.insert(id) => each(day, entry),
                (Some(_), Some(_)) => {}
                _ if line.trim_ascii().is_empty() => {}
                _ => unreadable += 1,
            }
        }
    }
    Ok(unreadable)
}

/// A day before which no entry counts against a budget that is not over: weeks and months under way
/// both began within the last thirty-one days.
pub fn first_day_of_budgets(today: NaiveDate) -> NaiveDate {
    today.checked_sub_days(Days::new(31)).unwrap_or(today)
}

/// A line, of which the beginning suffices where it is too long to be an entry.
fn next_line(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *lines, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((read > 0).then_some(line))
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

    /// As CSV with a line of names (RFC 4180).
    pub fn to_csv(&self) -> String {
        let sums = Totals::default().columns().map(|(name, _)| name);
        let names: Vec<_> = self.query.group_by.iter().copied().chain(sums).collect();
        let mut text = names.join(",") + "\r\n";
        for Row { names, totals } in &self.rows {
            for name in names {
                // A text cannot fail to take more.
                let _ = write!(text, "{},", quoted(name));
            }
            let sums = totals.columns().map(|(_, sum)| sum.to_string());
            text.push_str(&sums.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// A name as a field: in quotes where it holds a comma, a quote or a line break. One that a
/// spreadsheet would take for a formula gets an apostrophe before it.
fn quoted(name: &str) -> String {
    let name =
        if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.into() };
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, Report, Row, Totals, quoted};

    #[test]
    fn queries_say_what_is_wrong_with_them() {
        let fine = Query::parse("group_by=key,day&from=2026-01-01&to=2026-01-31&format=csv");
        let fine = fine.unwrap();
        assert_eq!((fine.group_by, fine.csv), (vec!["key", "day"], true));
        assert_eq!(Query::parse("").unwrap().group_by, ["tenant"]);
        for (query, wrong) in [
            ("group_by=person", "`person` is no group: there are day, tenant"),
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
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
    }
}
