//! Tests of the configuration as a whole: text in, messages or a snapshot out.

mod documentation;
mod messages;
mod robustness;
mod secrecy;
mod shipped;
mod snapshots;
mod terms;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;

use serde_json::Value as Json;

use super::build::Surroundings;
use super::snapshot::Snapshot;
use super::{Problems, parse_within, schema_value, shape};
use crate::types::Revision;

/// Parses in a directory, with an environment that holds `SET`, `EMPTY` and `BROKEN`.
fn parse_in(directory: &Path, text: &str) -> Result<Snapshot, Problems> {
    let variable = |name: &str| match name {
        "SET" => Some(OsString::from("from the environment")),
        "EMPTY" => Some(OsString::new()),
        "BROKEN" => Some(OsString::from("two\nlines")),
        _ => None,
    };
    let around =
        Surroundings { base_dir: directory, variable: &variable, read: RefCell::default() };
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

/// One key of the schema, wherever it may stand.
struct SchemaKey {
    name: String,
    /// `server.listeners[].tls`, `models.NAME.balance`: the shallowest first.
    paths: Vec<String>,
    description: String,
    required: bool,
    upgrade: bool,
    choices: Vec<String>,
}

/// Every key of the schema, in the order of the type that has it.
fn keys_of_the_schema() -> Vec<SchemaKey> {
    let schema = schema_value();
    let mut walk = Walk { schema: &schema, keys: Vec::new() };
    walk.object("Raw", &schema, "");
    for (_, key) in &mut walk.keys {
        key.paths.sort_by_key(|path| path.matches(['.', '[']).count());
    }
    walk.keys.sort_by(|(_, a), (_, b)| a.paths[0].cmp(&b.paths[0]));
    walk.keys.into_iter().map(|(_, key)| key).collect()
}

struct Walk<'s> {
    schema: &'s Json,
    /// By the type and name of a key.
    keys: Vec<((String, String), SchemaKey)>,
}

impl<'s> Walk<'s> {
    fn object(&mut self, kind: &str, schema: &'s Json, prefix: &str) {
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let id = (kind.to_owned(), name.clone());
            match self.keys.iter_mut().find(|(known, _)| *known == id) {
                Some((_, key)) => key.paths.push(path.clone()),
                None => {
                    let required = schema["required"].as_array().into_iter().flatten();
                    let (_, target) = self.target(member);
                    let key = SchemaKey {
                        name: name.clone(),
                        paths: vec![path.clone()],
                        description: member["description"].as_str().unwrap_or_default().into(),
                        required: required.into_iter().any(|required| required == name),
                        upgrade: member.get("x-upgrade").is_some(),
                        choices: shape::choices(target)
                            .into_iter()
                            .flatten()
                            .map(Into::into)
                            .collect(),
                    };
                    self.keys.push((id, key));
                }
            }
            self.value(member, &path);
        }
    }

    fn value(&mut self, schema: &'s Json, path: &str) {
        let (kind, schema) = self.target(schema);
        if schema.get("properties").is_some() {
            self.object(kind, schema, path);
        }
        if let Some(items) = schema.get("items") {
            self.value(items, &format!("{path}[]"));
        }
        if let Some(entry) = schema.get("additionalProperties").filter(|entry| entry.is_object()) {
            self.value(entry, &format!("{path}.NAME"));
        }
    }

    /// Behind references and `Option`: the type's name and schema.
    fn target(&self, schema: &'s Json) -> (&'s str, &'s Json) {
        if let Some(options) = schema["anyOf"].as_array() {
            return self.target(&options[0]);
        }
        match schema["$ref"].as_str() {
            Some(reference) => {
                let name = reference.trim_start_matches("#/$defs/");
                (name, &self.schema["$defs"][name])
            }
            None => ("", schema),
        }
    }
}
