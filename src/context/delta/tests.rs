//! The official suites, and what a hostile patch gets.

use std::path::Path;

use serde_json::{Value, json};

use super::{Bounds, Change, DEPTH_MAX, Delta};
use crate::context::log::Document;
use crate::context::message;
use crate::error::{Error, Kind};

const BOUNDS: Bounds = Bounds { operations_max: 100, bytes_max: 10_000 };

fn document(messages: &Value, data: &Value) -> Document {
    let messages = message::read_all(&messages.to_string()).unwrap();
    Document { messages, data: data.to_string().into() }
}

fn patch(document: &Document, patch: &Value) -> Result<Change, Error> {
    Delta::patch(patch.to_string().as_bytes(), BOUNDS)?.apply(document, BOUNDS)
}

fn merge(data: &Value, patch: &Value) -> Result<Change, Error> {
    let delta = Delta::merge(patch.to_string().as_bytes())?;
    delta.apply(&document(&json!([]), data), BOUNDS)
}

fn data_of(change: Change) -> Value {
    let text = match change {
        Change::Data(data) => data,
        Change::Whole(document) => document.data,
    };
    serde_json::from_str(&text).unwrap()
}

/// Moves a case's pointers below `/data/doc`, where its document lies.
fn moved(patch: &Value) -> Value {
    let mut patch = patch.clone();
    let operations = patch.as_array_mut().into_iter().flatten();
    for operation in operations.filter_map(Value::as_object_mut) {
        for name in ["path", "from"] {
            if let Some(Value::String(pointer)) = operation.get_mut(name) {
                // What is no pointer must stay none.
                if pointer.is_empty() || pointer.starts_with('/') {
                    pointer.insert_str(0, "/data/doc");
                }
            }
        }
    }
    patch
}

#[test]
fn the_official_suite_of_json_patch_passes() {
    let mut run = 0;
    for name in ["spec_tests.json", "tests.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json-patch").join(name);
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases.iter().filter(|case| case.get("disabled").is_none()) {
            let (Some(doc), Some(operations)) = (case.get("doc"), case.get("patch")) else {
                continue;
            };
            let document = document(&json!([]), &json!({ "doc": doc }));
            let got = patch(&document, &moved(operations)).map(data_of);
            match (case.get("expected"), case.get("error")) {
                (Some(expected), _) => {
                    assert_eq!(got.unwrap(), json!({ "doc": expected }), "{case}");
                }
                (None, Some(_)) => assert!(got.is_err(), "{case}: {got:?}"),
                (None, None) => assert!(got.is_ok(), "{case}: {got:?}"),
            }
            run += 1;
        }
    }
    assert!(run > 100, "{run}");
}

#[test]
fn the_appendix_of_json_merge_patch_passes() {
    for (target, patch, expected) in [
        (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
        (json!({"a":"b"}), json!({"a":null}), json!({})),
        (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
        (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
        (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
        (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a":"b"}), json!(["c"]), json!(["c"])),
        (json!({"a":"foo"}), json!("bar"), json!("bar")),
        (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
        (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
        (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
    ] {
        let got = merge(&json!({ "t": target }), &json!({ "t": patch })).map(data_of);
        assert_eq!(got.unwrap(), json!({ "t": expected }));
    }
    // A null takes the member away, and data itself cannot go.
    assert_eq!(data_of(merge(&json!({"t": 1}), &json!({"t": null})).unwrap()), json!({}));
    for patch in [json!(null), json!([1]), json!("x")] {
        assert_eq!(merge(&json!({}), &patch).unwrap_err().kind, Kind::DeltaRefused, "{patch}");
    }
}

#[test]
fn untouched_messages_keep_their_text() {
    let text =
        r#"[{"role":"user","content":"b","a":1}, {"pinned":true,"content":"x","role":"user"}]"#;
    let before = Document { messages: message::read_all(text).unwrap(), ..Document::empty() };
    let add = json!([{"op":"add","path":"/messages/0","value":{"role":"system","content":"s"}}]);
    let Ok(Change::Whole(after)) = patch(&before, &add) else { panic!("messages changed") };
    assert_eq!(after.messages[1..], before.messages[..]);
    assert_eq!(&*after.messages[0].text, r#"{"content":"s","role":"system"}"#);
    let unpin = json!([{"op":"remove","path":"/messages/1/pinned"}]);
    let Ok(Change::Whole(after)) = patch(&before, &unpin) else { panic!("messages changed") };
    assert!(!after.messages[1].pinned && after.messages[0] == before.messages[0]);
    let data = json!([{"op":"add","path":"/data/a","value":1}]);
    assert_eq!(patch(&before, &data).unwrap(), Change::Data(r#"{"a":1}"#.into()));
}

#[test]
fn what_cannot_be_applied_says_why() {
    let long = "x".repeat(11_000);
    let deep = (0..DEPTH_MAX).fold(json!(1), |value, _| json!([value]));
    let double = |from: &str, to: &str| json!({"op":"copy","from":from,"path":to});
    let mut bomb = vec![json!({"op":"add","path":"/data/a","value":[[[["0123456789"]]]]})];
    bomb.extend((0..30).flat_map(|_| {
        [
            double("/data/a", "/data/b"),
            json!({"op":"add","path":"/data/a/-","value":1}),
            double("/data/b", "/data/a/0"),
        ]
    }));
    let many: Vec<Value> =
        (0..101).map(|_| json!({"op":"test","path":"/data","value":{}})).collect();
    for (operations, why) in [
        (json!(7), "no JSON Patch"),
        (json!([{"op":"add","path":"/data/a"}]), "no JSON Patch"),
        (json!([{"op":"test","path":"/data/a","value":1}]), "operation 0"),
        (json!([{"op":"add","path":"/data/a/b","value":1}]), "operation 0"),
        (json!([{"op":"remove","path":"/messages"}, {"op":"add","path":"/x","value":1}]), "`x`"),
        (json!([{"op":"replace","path":"/data","value":[]}]), "JSON object"),
        (json!([{"op":"replace","path":"/messages","value":{}}]), "an array"),
        (json!([{"op":"add","path":"/messages/-","value":{"role":"x"}}]), "`role` must be"),
        (json!([{"op":"add","path":"/data/a","value":long}]), "more than 10000 bytes"),
        (json!([{"op":"add","path":"/data/a","value":deep}]), "deeper than 64"),
        (Value::Array(bomb), "more than 10000 bytes"),
        (Value::Array(many), "more than 100 operations"),
    ] {
        let error = patch(&document(&json!([]), &json!({})), &operations).unwrap_err();
        assert_eq!(error.kind, Kind::DeltaRefused);
        assert!(error.public.contains(why), "{why}: {}", error.public);
    }
}

#[test]
fn nesting_cannot_be_built_up_step_by_step() {
    let mut operations = vec![json!({"op":"add","path":"/data/a","value":[]})];
    operations.extend((0..90).flat_map(|_| {
        [
            json!({"op":"move","from":"/data/a","path":"/data/b"}),
            json!({"op":"add","path":"/data/a","value":[]}),
            json!({"op":"move","from":"/data/b","path":"/data/a/0"}),
        ]
    }));
    let bounds = Bounds { operations_max: 1000, bytes_max: 1 << 20 };
    let delta = Delta::patch(Value::Array(operations).to_string().as_bytes(), bounds).unwrap();
    let error = delta.apply(&Document::empty(), bounds).unwrap_err();
    assert!(error.public.contains("deeper than 64"), "{error}");
}
