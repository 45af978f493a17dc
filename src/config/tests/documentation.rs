//! `docs/configuration.md`: its tables are made from the schema. Run the tests with
//! `TOLLGATE_WRITE_DOCS=1` to write them again after a change of a key.

use std::fmt::Write;
use std::path::Path;

use super::{SchemaKey, keys_of_the_schema};

/// The tables lie behind this line; what is above it is written by hand.
const MARK: &str =
    "<!-- The tables below are made from the schema: see src/config/tests/documentation.rs. -->";

#[test]
fn the_tables_have_every_key_as_the_schema_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (prose, tables) = text.split_once(MARK).unwrap();
    let expected = render();
    if std::env::var_os("TOLLGATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{prose}{MARK}\n{expected}")).unwrap();
        return;
    }
    assert_eq!(tables.trim_start_matches('\n'), expected.trim_start_matches('\n'));
}

fn render() -> String {
    let mut text = String::new();
    let mut section = String::new();
    for key in keys_of_the_schema() {
        let path = &key.paths[0];
        let top = path.split(['.', '[']).next().unwrap();
        if path == top {
            continue;
        }
        if section != top {
            section = top.into();
            let about = keys_of_the_schema().into_iter().find(|key| key.paths[0] == top).unwrap();
            let about = described(&about.description).0;
            write!(text, "\n## `{top}`\n\n{about}\n\n").unwrap();
            text.push_str(
                "| Key | Default | Unit | Reload | What it does |\n|---|---|---|---|---|\n",
            );
        }
        text.push_str(&row(&key));
    }
    text
}

fn row(key: &SchemaKey) -> String {
    let (mut about, default) = described(&key.description);
    if !key.choices.is_empty() {
        let choices: Vec<_> = key.choices.iter().map(|choice| format!("`{choice}`")).collect();
        about = format!("{about} One of {}.", choices.join(", "));
    }
    if key.paths.len() > 1 {
        let others: Vec<_> = key.paths[1..].iter().map(|path| format!("`{path}`")).collect();
        about = format!("{about} Also {}.", others.join(", "));
    }
    let default = if key.required { "required".into() } else { default };
    let reload = if key.upgrade { "upgrade" } else { "yes" };
    format!("| `{}` | {default} | {} | {reload} | {about} |\n", key.paths[0], unit(&key.name))
}

/// A description without its default, and the default.
fn described(description: &str) -> (String, String) {
    let text = description.replace('\n', " ");
    let sentences: Vec<_> = text.trim_end_matches('.').split(". ").collect();
    let is_default = |sentence: &&&str| sentence.starts_with("Default");
    let default = sentences.iter().find(is_default).map_or("", |sentence| {
        sentence.trim_start_matches("Default").trim_start_matches(':').trim_start()
    });
    let rest: Vec<_> = sentences.iter().filter(|s| !s.starts_with("Default")).copied().collect();
    (format!("{}.", rest.join(". ")), default.to_owned())
}

fn unit(name: &str) -> &'static str {
    if name.ends_with("_ms") {
        "ms"
    } else if name.ends_with("_seconds") {
        "s"
    } else if name.ends_with("_bytes_max") {
        "bytes"
    } else if name.ends_with("_percent") {
        "%"
    } else {
        ""
    }
}
