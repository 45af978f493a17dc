//! The formats say the same, and what is committed as `.proto` is what is written.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};

use super::{Format, delta};
use crate::context::delta::{Bounds, Delta};
use crate::error::Kind;
use crate::route::contexts::Action;

const BOUNDS: Bounds = Bounds { operations_max: 10, bytes_max: 1000 };

/// A message by the committed description.
fn described(name: &str) -> MessageDescriptor {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["context.proto"], [root]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    pool.get_message_by_name(&format!("tollgate.context.v1.{name}")).unwrap()
}

/// Bytes as a client makes them by the description.
fn by_description(name: &str, value: &Value) -> Vec<u8> {
    DynamicMessage::deserialize(described(name), value).unwrap().encode_to_vec()
}

/// Bytes as a client reads them by the description, under the names that they have there.
fn read_by_description(name: &str, bytes: &[u8]) -> Value {
    let message = DynamicMessage::decode(described(name), bytes).unwrap();
    assert_eq!(message.unknown_fields().count(), 0, "{message:?}");
    let options = prost_reflect::SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    let mut out = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut out, &options).unwrap();
    serde_json::from_slice(&out.into_inner()).unwrap()
}

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(n, v)| (n.clone(), HeaderValue::try_from(*v).unwrap()));
    pairs.collect()
}

#[test]
fn requests_in_protocol_buffers_say_what_json_says() {
    let read = |name, value: Value, action| {
        let json = Format::Protobuf.read(&by_description(name, &value), action).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap()
    };
    let message = r#"{"role":"user", "content":"Hi"}"#;
    let create = json!({"id": "a", "messages": [message], "data": "{\"n\":null}"});
    let body = Format::Protobuf.read(&by_description("Create", &create), Action::Create).unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(message), "a message keeps its bytes: {body}");
    let expected =
        json!({"id": "a", "messages": [{"role": "user", "content": "Hi"}], "data": {"n": null}});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert_eq!(read("Rollback", json!({"version": "7"}), Action::Rollback), json!({"version": 7}));
    let fork = json!({"version": "7", "id": "b"});
    assert_eq!(read("Fork", fork, Action::Fork), json!({"version": 7, "id": "b"}));
    assert_eq!(read("Change", json!({"merge": "{}"}), Action::Change), json!({"merge": {}}));
    assert_eq!(read("Change", json!({"delta": "[]"}), Action::Change), json!({"delta": []}));
}

#[test]
fn answers_in_protocol_buffers_read_by_their_description() {
    let head = json!({
        "id": "a", "version": 3, "created_at": "c", "updated_at": "u", "expires_at": "e",
        "message_count": 1, "tokens": 9,
    });
    let mut context = head.clone();
    context["object"] = "context".into();
    context["messages"] = json!([{"role": "user"}]);
    context["data"] = json!({"n": 1});
    let written =
        |value: &Value, action| Format::Protobuf.write(&value.to_string(), action).unwrap();
    let mut expected = head;
    assert_eq!(
        read_by_description("Context", &written(&expected, Action::Change)),
        expected,
        "a head has no messages and no data"
    );
    expected["messages"] = json!([r#"{"role":"user"}"#]);
    expected["data"] = r#"{"n":1}"#.into();
    assert_eq!(read_by_description("Context", &written(&context, Action::Show)), expected);
    let versions = json!({"data": [{"version": 2, "created_at": "c", "message_count": 4}]});
    assert_eq!(read_by_description("Versions", &written(&versions, Action::Versions)), versions);
    let deleted = json!({"id": "a", "deleted": true});
    assert_eq!(read_by_description("Deleted", &written(&deleted, Action::Delete)), deleted);
}

#[test]
fn message_pack_is_json_in_other_bytes() {
    let value = json!({"id": "a", "version": u64::MAX, "data": {"x": [null, -1, 1.5, "é"]}});
    let bytes = Format::MessagePack.write(&value.to_string(), Action::Show).unwrap();
    let back = Format::MessagePack.read(&bytes, Action::Create).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&back).unwrap(), value);
    let followed = [&bytes[..], &[0]].concat();
    let deep = [&[0x91; 200][..], &[0xc0]].concat();
    // An array that says it has four thousand million elements.
    let long = [0xdd, 0xff, 0xff, 0xff, 0xff];
    for garbage in [&followed[..], &deep, &long, &bytes[..9], &[0xc4, 1, 0]] {
        let error = Format::MessagePack.read(garbage, Action::Create).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidBody, "{garbage:?}");
    }
    let error = Format::Protobuf.read(&[0xff], Action::Create).unwrap_err();
    assert_eq!(error.kind, Kind::InvalidBody);
}

#[test]
fn formats_go_by_their_names() {
    for (name, format) in [
        ("application/json; charset=utf-8", Format::Json),
        ("application/x-msgpack", Format::MessagePack),
        ("application/vnd.msgpack", Format::MessagePack),
        ("application/x-protobuf", Format::Protobuf),
    ] {
        assert_eq!(Format::of(&headers(&[(CONTENT_TYPE, name)])).unwrap(), format, "{name}");
    }
    assert_eq!(Format::of(&HeaderMap::new()).unwrap(), Format::Json);
    let unknown = Format::of(&headers(&[(CONTENT_TYPE, "text/plain")])).unwrap_err();
    assert_eq!(unknown.kind, Kind::UnsupportedMediaType);
    for (accept, format) in [
        ("*/*", Format::Json),
        ("application/msgpack", Format::MessagePack),
        ("application/json;q=0.5, application/protobuf", Format::Protobuf),
        ("application/protobuf;q=0.1, application/json", Format::Json),
        ("text/html", Format::Json),
    ] {
        assert_eq!(Format::accepted(&headers(&[(ACCEPT, accept)])), format, "{accept}");
    }
}

#[test]
fn a_change_says_what_kind_it_is() {
    let read = |name, body: &[u8]| delta(&headers(&[(CONTENT_TYPE, name)]), body, BOUNDS);
    assert!(matches!(read(super::JSON_PATCH, b"[]").unwrap(), Delta::Patch(_)));
    assert!(matches!(read(super::MERGE_PATCH, b"{}").unwrap(), Delta::Merge(_)));
    let pack = |value: Value| rmp_serde::to_vec_named(&value).unwrap();
    let name = "application/msgpack";
    assert!(matches!(read(name, &pack(json!({"delta": []}))).unwrap(), Delta::Patch(_)));
    assert!(matches!(read(name, &pack(json!({"merge": {}}))).unwrap(), Delta::Merge(_)));
    for wrong in [json!({}), json!({"delta": [], "merge": {}}), json!([])] {
        assert_eq!(read(name, &pack(wrong)).unwrap_err().kind, Kind::InvalidBody);
    }
    assert_eq!(read("application/protobuf", &[]).unwrap_err().kind, Kind::InvalidBody);
    for name in ["application/json", "text/plain"] {
        assert_eq!(read(name, b"[]").unwrap_err().kind, Kind::UnsupportedMediaType, "{name}");
    }
}
