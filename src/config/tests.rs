//! Tests of the configuration as a whole: text in, messages or a snapshot out.

mod messages;

use std::ffi::OsString;
use std::path::Path;

use super::build::Surroundings;
use super::snapshot::Snapshot;
use super::{Problems, parse_within};
use crate::types::Revision;

/// Parses in a directory, with an environment that holds `SET`, `EMPTY` and `BROKEN`.
fn parse_in(directory: &Path, text: &str) -> Result<Snapshot, Problems> {
    let variable = |name: &str| match name {
        "SET" => Some(OsString::from("from the environment")),
        "EMPTY" => Some(OsString::new()),
        "BROKEN" => Some(OsString::from("two\nlines")),
        _ => None,
    };
    let around = Surroundings { base_dir: directory, variable: &variable };
    parse_within(text, "t.yaml", &around, Revision(7))
}

fn parse(text: &str) -> Result<Snapshot, Problems> {
    parse_in(Path::new("/nowhere"), text)
}

/// The snapshot of a text without problems.
fn snapshot(text: &str) -> Snapshot {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The messages of a text with problems.
fn messages(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("no problem was found in:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}
