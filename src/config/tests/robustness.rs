//! Files of any content end in a snapshot or in messages, soon.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::{prop_assert, prop_oneof, proptest};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{messages, parse, snapshot};
use crate::config::raw::Raw;
use crate::config::{load, schema, schema_value, shape};
use crate::types::Revision;

#[test]
fn bombs_of_ten_megabytes_are_refused() {
    let mut tower = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        let row = vec![below; 10].join(", ");
        writeln!(tower, "a{level}: &a{level} [{row}]").unwrap();
    }
    let mut long = String::from("a: &a {k: v}\nb:\n");
    while long.len() < 10_000_000 {
        long.push_str("  - *a\n");
    }
    let deep = "[".repeat(10_000_000);
    // The words show that a bound stopped the reading; without one, the tower never ends.
    for (bomb, expected) in [
        (tower, "5:45: aliases repeat more than 100000 values"),
        (long, "1:7: aliases repeat more than 100000 values"),
        (deep, "1:256: is not YAML: recursion limit exceeded"),
    ] {
        assert_eq!(messages(&bomb), format!("t.yaml:{expected}\n1 problem"));
    }
}

#[test]
fn ten_thousand_mistakes_are_counted_and_the_first_are_shown() {
    let text = format!("keys:\n{}", "  - {id: k, hash: x}\n".repeat(10_000));
    let message = messages(&text);
    assert_eq!(message.lines().count(), 201);
    let last = message.lines().last().unwrap();
    assert!(last.ends_with(" problems, 19799 of them not shown"), "{last}");
}

#[test]
fn ten_thousand_keys_are_read() {
    let mut text = String::from("keys:\n");
    for id in 0..10_000 {
        let hash = crate::keys::render(&crate::keys::digest(format!("sk-{id}").as_bytes()));
        writeln!(text, "  - id: k{id}\n    hash: {hash}\n    labels: {{team: a}}").unwrap();
    }
    assert_eq!(snapshot(&text).keys.len(), 10_000);
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("latin1.yaml"), b"# caf\xe9").unwrap();
    let large = std::fs::File::create(at("large.yaml")).unwrap();
    large.set_len(crate::config::FILE_BYTES_MAX + 1).unwrap();
    for (name, expected) in [
        ("absent.yaml", "cannot be read: No such file or directory (os error 2)"),
        ("latin1.yaml", "is not UTF-8: byte 5 cannot be read"),
        ("large.yaml", "is larger than 16777216 bytes"),
        ("", "cannot be read: Is a directory (os error 21)"),
    ] {
        let problems = load(&at(name), Revision(1)).map(|_| ()).unwrap_err();
        assert_eq!(problems.to_string(), format!("{}: {expected}\n1 problem", at(name).display()));
    }
}

#[test]
fn a_file_is_read_with_paths_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tollgate.yaml");
    std::fs::write(directory.path().join("token"), "abc\n").unwrap();
    std::fs::write(&file, "server: {admin: {token: {file: token}}}").unwrap();
    let snapshot = load(&file, Revision(3)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(snapshot.revision, Revision(3));
    assert_eq!(snapshot.server.admin.token.unwrap().expose(), "abc");
}

#[test]
fn every_keyword_of_the_schema_is_understood() {
    const UNDERSTOOD: [&str; 19] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "minimum",
        "maximum",
        "oneOf",
        "properties",
        "required",
        "title",
        "type",
        "x-secret",
    ];
    fn visit(schema: &Json) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match keyword.as_str() {
                "properties" | "$defs" => value.as_object().unwrap().values().for_each(visit),
                "x-upgrade" => {}
                keyword => {
                    assert!(UNDERSTOOD.contains(&keyword), "{keyword}");
                    visit(value);
                    value.as_array().into_iter().flatten().for_each(visit);
                }
            }
        }
    }
    visit(&schema_value());
    let schema: Json = serde_json::from_str(&schema()).unwrap();
    assert_eq!(schema["title"], "Tollgate configuration");
}

/// Text made of the configuration's own words, so that it gets past the parser often.
fn nearly_a_file() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("server"),
        Just("listeners"),
        Just("tls"),
        Just("keys"),
        Just("models"),
        Just("providers"),
        Just("candidates"),
        Just("endpoints"),
        Just("url"),
        Just("http://h"),
        Just("retry"),
        Just("p"),
        Just(": "),
        Just(":\n"),
        Just("\n"),
        Just("\n  "),
        Just("\n    "),
        Just("- "),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(", "),
        Just("0"),
        Just("-1"),
        Just("~"),
        Just("true"),
        Just("&a "),
        Just("*a"),
        Just("<<: "),
        Just("'"),
        Just("\""),
        Just("!!str "),
        Just("{{"),
        Just("é"),
    ];
    vec(word, 0..60).prop_map(|words| words.concat())
}

/// JSON, which is YAML, of any shape under the names of real keys.
fn any_shape() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-z{}: ]{0,6}".prop_map(Json::from),
    ];
    let names: Vec<_> = super::keys_of_the_schema().into_iter().map(|key| key.name).collect();
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let member = (proptest::sample::select(names.clone()), inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(Json::from),
            vec(member, 0..6).prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn garbage_never_panics(text in ".*") {
        let _ = parse(&text);
    }

    #[test]
    fn nearly_right_never_panics(text in nearly_a_file()) {
        if let Err(problems) = parse(&text) {
            prop_assert!(problems.count() > 0);
            let plain = problems.lines().all(|line| !line.contains(char::is_control));
            prop_assert!(plain, "{}", problems);
        }
    }

    #[test]
    fn whatever_the_shape_the_repaired_file_can_be_read(value in any_shape()) {
        let text = json!({ "server": value, "models": {"m": value}, "providers": {"p": value} });
        let tree = crate::config::yaml::read(&text.to_string());
        let Ok(tree) = tree else { return Ok(()) };
        let report = crate::config::problems::Report::default();
        let root = crate::config::spot::Spot::root(&tree, &report);
        let repaired = shape::check(&schema_value(), &root);
        prop_assert!(Raw::deserialize(&repaired).is_ok(), "{}", repaired);
    }
}
