//! Tests of the members reader: a table, the JSON test suite, and properties.

use std::path::Path;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{MEMBERS_MAX, Members};

fn error(body: &str) -> String {
    Members::parse(body.as_bytes()).err().expect("must not parse").to_string()
}

#[test]
fn members_are_found_with_their_ranges() {
    let body = "{ \"mod\\u0065l\" : \"a\\nb\", \"n\":-1.5e3 ,\"o\":{\"model\":1},\n\"t\":true}";
    let members = Members::parse(body.as_bytes()).unwrap();
    let model = members.get("model").unwrap();
    assert_eq!(&body[model.key.clone()], "\"mod\\u0065l\"");
    assert_eq!(&body[model.value()], model.raw);
    assert_eq!(model.string().unwrap(), "a\nb");
    assert_eq!(members.get("n").unwrap().number().unwrap().as_f64(), Some(-1500.0));
    assert_eq!(members.get("t").unwrap().bool(), Some(true));
    assert_eq!(members.get("x").map(|m| m.raw), None);
    assert_eq!(members.range(), 0..body.len());
    let inner = members.within(members.get("o").unwrap()).unwrap();
    assert_eq!(&body[inner.get("model").unwrap().value()], "1");
    assert_eq!(inner.iter().count(), 1);
}

#[test]
fn a_value_that_is_known_is_passed_over_and_all_else_is_read() {
    let body = r#"{"a":[1], "list":[{"b":"c"}] ,"d":2}"#;
    let list = 17..28;
    assert_eq!(&body[list.clone()], r#"[{"b":"c"}]"#);
    let seen = |body: &str| {
        let members = Members::parse_around(body.as_bytes(), &list).map_err(|e| e.to_string());
        members.map(|found| found.iter().map(|m| (m.value(), m.raw.to_owned())).collect::<Vec<_>>())
    };
    let all = Members::parse(body.as_bytes()).unwrap();
    let all: Vec<_> = all.iter().map(|m| (m.value(), m.raw.to_owned())).collect();
    assert_eq!(seen(body).unwrap(), all);
    assert_eq!(
        seen(&body.replace("\"c\"", "???")).unwrap()[1].1,
        r#"[{"b":???}]"#,
        "it is not read"
    );
    for (what, with) in [("[1]", "[?]"), ("2}", "?}"), ("] ,", "] ?")] {
        let wrong = body.replace(what, with);
        let column = wrong.find('?').unwrap() + 1;
        let error = seen(&wrong).unwrap_err();
        assert!(error.ends_with(&format!("line 1 column {column}")), "{wrong}: {error}");
    }
}

#[test]
fn wrong_types_read_as_nothing() {
    let members = Members::parse(br#"{"a":1,"b":"x","c":null,"d":"\ud800"}"#).unwrap();
    let get = |name| members.get(name).unwrap();
    assert_eq!(get("a").string(), None);
    assert_eq!(get("a").bool(), None);
    assert_eq!(get("b").number(), None);
    assert_eq!(get("b").count(), None);
    assert_eq!(get("d").string(), None);
    assert!(get("c").is_null());
}

#[test]
fn counts_are_read_with_tolerance() {
    for (text, expected) in [
        ("12", Some(12)),
        ("12.0", Some(12)),
        ("12.9", Some(12)),
        ("1e3", None),
        ("\"7\"", None),
        ("-1", None),
        ("1e300", None),
        ("18446744073709551615", Some(u64::MAX)),
        ("99999999999999999999", None),
        ("null", None),
    ] {
        let body = format!("{{\"n\":{text}}}");
        let members = Members::parse(body.as_bytes()).unwrap();
        assert_eq!(members.get("n").unwrap().count(), expected, "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (body, expected) in [
        ("", "expected a JSON object at line 1 column 1"),
        ("[1]", "expected a JSON object at line 1 column 1"),
        ("{\"model\" \"x\"}", "expected `:` at line 1 column 10"),
        ("{\n \"a\":1,\n b}", "expected a member name in double quotes at line 3 column 2"),
        ("{\"a\":1", "expected `,` or `}` at line 1 column 7"),
        ("{} x", "text behind the JSON object at line 1 column 4"),
        ("{\"a\":1,\"b\":2,\"a\":3}", "the member `a` stands twice at line 1 column 14"),
        ("{\"a\":1,\"\\u0061\":3}", "the member `a` stands twice at line 1 column 8"),
        ("{\"model\":1,\"Model\":3}", "the member `Model` stands twice at line 1 column 12"),
        (
            "{\"tools\":1,\"tool\u{17f}\":3}",
            "the member `tool\u{17f}` stands twice at line 1 column 12",
        ),
        ("{\"\\ud800\":1}", "the member name holds half a surrogate pair at line 1 column 2"),
    ] {
        assert_eq!(error(body), expected, "{body}");
    }
    let not_utf8 = Members::parse(b"{\"a\":\"\xff\"}").err().unwrap();
    assert_eq!(not_utf8.to_string(), "not UTF-8 at line 1 column 7");
    assert_eq!(not_utf8.at, 6);
}

#[test]
fn rules_find_a_member_in_any_case() {
    let members = Members::parse(br#"{"Tools":[]}"#).unwrap();
    assert!(members.get("tools").is_none());
    assert!(members.get_any_case("tools").is_some());
    for body in [r#"{"N":1,"Tools":2}"#, r#"{"N":1,"Tool\u017f":2,"é":3}"#] {
        let members = Members::parse(body.as_bytes()).unwrap();
        let found = members.each_any_case(["tools", "model", "n"]);
        assert_eq!(
            found.map(|member| member.map(|member| member.raw)),
            [Some("2"), None, Some("1")]
        );
    }
}

#[test]
fn members_are_bounded_in_number_and_depth() {
    let many = |n: usize| {
        let list: Vec<_> = (0..n).map(|i| format!("\"m{i}\":{i}")).collect();
        format!("{{{}}}", list.join(","))
    };
    assert_eq!(Members::parse(many(MEMBERS_MAX).as_bytes()).unwrap().iter().count(), MEMBERS_MAX);
    assert!(error(&many(MEMBERS_MAX + 1)).starts_with("more than 256 members"));
    let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert!(Members::parse(deep(127).as_bytes()).is_ok());
    assert!(error(&deep(128)).starts_with("nested too deeply"));
}

#[test]
fn agrees_with_the_json_test_suite() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/json-parsing/test_parsing");
    let folder = match folder.read_dir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("skipped: the JSON test suite is not at {}: {error}", folder.display());
            return;
        }
    };
    let mut seen = 0;
    for file in folder {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let body = std::fs::read(&path).unwrap();
        let object = body.trim_ascii_start().first() == Some(&b'{');
        // A name that stands twice is JSON, and refused on purpose.
        let twice = name.starts_with("y_object_duplicated_key");
        let parsed = Members::parse(&body).is_ok();
        match name.get(..2) {
            Some("y_") => assert_eq!(parsed, object && !twice, "{name}"),
            Some("n_") => assert!(!parsed, "{name}"),
            _ => {}
        }
        // What is a value elsewhere is also one as a member.
        let wrapped = [b"{\"a\":".as_slice(), &body, b"}"].concat();
        let parsed = Members::parse(&wrapped).is_ok();
        match name.get(..2) {
            Some("y_") => assert!(parsed, "{name}, as a member"),
            Some("n_") => assert!(!parsed, "{name}, as a member"),
            _ => {}
        }
        seen += 1;
    }
    assert!(seen > 300, "only {seen} files of the suite were found");
}

/// Any JSON value.
pub(crate) fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-z\"\\\\é]{1,4}", inner, 0..5)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let ours = Members::parse(&bytes).is_ok();
        let theirs = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes);
        prop_assert!(!ours || theirs.is_ok());
    }

    #[test]
    fn json_like_garbage_is_judged_as_serde_judges_it(
        text in r#"[\{\}\[\]:," \\au1e.\-0tn]{0,40}"#
    ) {
        let body = format!("{{\"a\":{text}}}");
        let ours = Members::parse(body.as_bytes());
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body);
        match ours {
            Ok(members) => {
                // serde_json bounds numbers to what f64 holds and pairs surrogates; the grammar does neither.
                if let Ok(theirs) = theirs {
                    prop_assert_eq!(members.iter().count(), theirs.len());
                }
            }
            Err(error) => prop_assert!(theirs.is_err() || error.to_string().contains("twice"), "{} {}", body, error),
        }
    }

    #[test]
    fn every_object_is_read_as_serde_reads_it(
        map in prop::collection::btree_map("[a-z\"\\\\\n]{1,6}", json(), 0..8),
        pretty in any::<bool>(),
    ) {
        let value = serde_json::Value::Object(map.into_iter().collect());
        let body = if pretty { format!("{value:#}\n") } else { value.to_string() };
        let members = Members::parse(body.as_bytes()).unwrap();
        let read: serde_json::Map<_, _> = members
            .iter()
            .map(|m| (m.name.to_string(), serde_json::from_str(m.raw).unwrap()))
            .collect();
        prop_assert_eq!(serde_json::Value::Object(read), value);
        for member in &members {
            prop_assert_eq!(&body[member.value()], member.raw);
        }
    }
}
