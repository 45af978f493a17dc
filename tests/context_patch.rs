//! The official suites of JSON Patch and JSON Merge Patch, through `PATCH /v1/contexts/{id}`.
//!
//! A context's `data` is an object and some cases are about arrays and plain values, so the document
//! of each case lies one step down, in `/data/doc`, and its pointers are moved there. A pointer that
//! is none stays none.

use std::fs;

use serde_json::{Value, json};
use support::Method;
use support::client::Client;
use support::conf::serving;
use support::gateway::Gateway;
use support::reply::Reply;
use support::tools::root;
use support::upstream::{Upstream, upstream};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// The examples of RFC 7396, appendix A: what there is, the patch, and what becomes of it.
const APPENDIX: [[&str; 3]; 15] = [
    [r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
    [r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#],
    [r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"],
    [r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#],
    [r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
    [r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#],
    [r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#],
    [r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#],
    [r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#],
    [r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#],
    [r#"{"a":"foo"}"#, "null", "null"],
    [r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#],
    [r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#],
    [r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#],
    ["{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#],
];

async fn start() -> (Upstream, Gateway) {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    (model, gateway)
}

/// Makes a context of a document, patches it, and says what was answered and what is there then.
async fn patched(client: &Client, doc: &Value, kind: &str, patch: &Value) -> (Reply, Value) {
    let made = client.post("/v1/contexts", &json!({"data": {"doc": doc}})).await;
    assert_eq!(made.status, 201, "{doc}: {}", made.text());
    let place = made.header("location").to_owned();
    let request = client.request(Method::PATCH, &place).header("content-type", kind);
    let reply = Reply::from(request.body(patch.to_string())).await;
    let context = client.get(&place).await.json();
    let [version, data] = ["version", "data"].map(|name| context.get(name));
    (reply, json!({"version": version, "data": data}))
}

/// A case's patch, with its pointers moved to where its document lies.
fn moved(patch: &Value) -> Value {
    let mut patch = patch.clone();
    let operations = patch.as_array_mut().into_iter().flatten();
    for operation in operations.filter_map(Value::as_object_mut) {
        for name in ["path", "from"] {
            if let Some(Value::String(pointer)) = operation.get_mut(name)
                && (pointer.is_empty() || pointer.starts_with('/'))
            {
                pointer.insert_str(0, "/data/doc");
            }
        }
    }
    patch
}

#[tokio::test]
async fn the_official_suite_of_json_patch_passes() {
    let (_model, gateway) = start().await;
    let client = gateway.client();
    let (mut applied, mut refused) = (0, 0);
    for name in ["spec_tests.json", "tests.json"] {
        let text = fs::read(root().join("tests/data/json-patch").join(name)).expect("the suite");
        let cases: Vec<Value> = serde_json::from_slice(&text).expect("a list of cases");
        for case in cases.iter().filter(|case| case.get("disabled").is_none()) {
            let (Some(doc), Some(patch)) = (case.get("doc"), case.get("patch")) else { continue };
            let (reply, there) = patched(&client, doc, JSON_PATCH, &moved(patch)).await;
            let (version, expected) = if case.get("error").is_some() {
                reply.assert_error(422, "context_delta_refused");
                refused += 1;
                (1, doc)
            } else {
                assert_eq!(reply.status, 200, "{case}: {}", reply.text());
                applied += 1;
                (2, case.get("expected").unwrap_or(doc))
            };
            assert_eq!(there, json!({"version": version, "data": {"doc": expected}}), "{case}");
        }
    }
    assert!(applied > 60 && refused > 30, "{applied} applied, {refused} refused");
}

#[tokio::test]
async fn the_appendix_of_json_merge_patch_passes() {
    let (_model, gateway) = start().await;
    let client = gateway.client();
    for case in APPENDIX {
        let [doc, patch, expected] =
            case.map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
        let patch = json!({ "doc": patch });
        let (reply, there) = patched(&client, &doc, MERGE_PATCH, &patch).await;
        assert_eq!(reply.status, 200, "{case:?}: {}", reply.text());
        // What a patch makes null is a member that is no more.
        let data = if expected.is_null() { json!({}) } else { json!({ "doc": expected }) };
        assert_eq!(there, json!({"version": 2, "data": data}), "{case:?}");
    }
}
