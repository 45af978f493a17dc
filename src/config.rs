//! Configuration: a YAML file becomes one checked, immutable [`snapshot::Snapshot`].
//!
//! The way of a file: text → [`yaml`] (a tree in which every node knows its line) → [`shape`]
//! (keys, types and required members, against the schema of [`raw::Raw`]) → `Raw` → [`build`]
//! (what the values mean, together) → `Snapshot`. Every step goes on after an error, so that one
//! run names everything that is wrong. No step may show a secret, and nothing here is called
//! while a request is served.

mod build;
mod changes;
pub mod objects;
mod problems;
pub mod raw;
pub mod reload;
mod shape;
pub mod snapshot;
mod spot;
mod yaml;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use self::build::Surroundings;
pub use self::build::{certified_key, client_verifier, lay_over};
pub use self::changes::listener_changes;
use self::problems::Report;
pub use self::problems::{Mark, Problem, Problems};
use self::raw::Raw;
use self::snapshot::Snapshot;
use self::spot::Spot;
use crate::types::Revision;

/// The largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file. Relative paths in it are taken from the directory it lies in.
pub fn load(path: &Path, revision: Revision) -> Result<Snapshot, Problems> {
    let origin = path.display().to_string();
    let text = read(path).map_err(|why| Problems::of_file(&origin, why))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    parse(&text, &origin, directory, revision)
}

/// Checks a text. `origin` names it in messages; relative paths in it are taken from `base_dir`;
/// secrets may come from the environment of this process.
pub fn parse(
    text: &str,
    origin: &str,
    base_dir: &Path,
    revision: Revision,
) -> Result<Snapshot, Problems> {
    let around = Surroundings {
        base_dir,
        variable: &|name| std::env::var_os(name),
        read: RefCell::default(),
    };
    parse_within(text, origin, &around, revision)
}

/// The JSON Schema of the configuration, for editors.
pub fn schema() -> String {
    // A schema is plain JSON: the alternate form cannot fail.
    format!("{:#}", schema_value())
}

fn schema_value() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Raw);
    schema.insert("title".into(), "Tollgate configuration".into());
    schema.to_value()
}

fn parse_within(
    text: &str,
    origin: &str,
    around: &Surroundings<'_>,
    revision: Revision,
) -> Result<Snapshot, Problems> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Problems::of_file(origin, too_large()));
    }
    let tree = yaml::read(text).map_err(|problem| Problems::one(origin, problem))?;
    let report = Report::default();
    let root = Spot::root(&tree, &report);
    let repaired = shape::check(&schema_value(), &root);
    match Raw::deserialize(repaired) {
        Ok(raw) => {
            let snapshot = build::build(&raw, &root, around, revision);
            report.finish(origin).map(|()| snapshot)
        }
        // The shape was checked, so schema and types differ: a fault of ours. What serde says
        // of it may quote a secret.
        Err(_) => {
            root.refuse("cannot be read: the program and its schema disagree");
            Err(report.into_problems(origin))
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // One byte more than allowed tells a file at the limit from one over it.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("is not UTF-8: byte {} cannot be read", error.utf8_error().valid_up_to())
    })
}

fn too_large() -> String {
    format!("is larger than {FILE_BYTES_MAX} bytes")
}
