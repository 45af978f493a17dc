//! JSON schemas between dialects: Gemini's OpenAPI subset to JSON Schema, and closed objects for Anthropic.
//!
//! Members keep their order, because models write properties in the order of the schema.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::wire::{Json, Text};

/// JSON Schema for a schema of Gemini's own kind: types in lower case, `nullable` as a second type,
/// no `propertyOrdering`. What cannot be read stays as it is.
pub fn from_openapi(schema: &RawValue) -> Json<'_> {
    rewritten(schema, &|name, node| match (name, &node) {
        ("type", Node::Text(kind)) => Some(Node::Text(Text::from(kind.to_ascii_lowercase()))),
        ("propertyOrdering", _) => None,
        _ => Some(node),
    })
}

/// The schema with every object closed (`additionalProperties: false`) that does not say otherwise:
/// Anthropic refuses structured output without (Messages API, "Structured outputs").
pub fn closed(schema: &RawValue) -> Json<'_> {
    let Ok(mut node) = serde_json::from_str::<Node<'_>>(schema.get()) else {
        return Json::from(schema);
    };
    close(&mut node);
    raw(&node).map_or(Json::from(schema), Json::from)
}

fn close(node: &mut Node<'_>) {
    match node {
        Node::List(items) => items.iter_mut().for_each(close),
        Node::Object(members) => {
            members.iter_mut().for_each(|(_, value)| close(value));
            let has = |wanted: &str| members.iter().any(|(name, _)| &**name == wanted);
            if has("properties") && has("type") && !has("additionalProperties") {
                members.push((Text::from("additionalProperties"), Node::Bool(false)));
            }
        }
        Node::Text(_) | Node::Bool(_) | Node::Number(_) | Node::Null => {}
    }
}

/// A rule for one member: its new value, or nothing to leave it out.
type Rule = dyn for<'n> Fn(&str, Node<'n>) -> Option<Node<'n>>;

fn rewritten<'a>(schema: &'a RawValue, rule: &Rule) -> Json<'a> {
    let Ok(node) = serde_json::from_str::<Node<'_>>(schema.get()) else {
        return Json::from(schema);
    };
    raw(&rewrite(node, rule)).map_or(Json::from(schema), Json::from)
}

fn rewrite<'n>(node: Node<'n>, rule: &Rule) -> Node<'n> {
    match node {
        Node::List(items) => {
            Node::List(items.into_iter().map(|item| rewrite(item, rule)).collect())
        }
        Node::Object(members) => nullable(
            members
                .into_iter()
                .filter_map(|(name, value)| {
                    let value = match (&*name, value) {
                        // Under `properties` the names are the user's own, not the schema's.
                        ("properties", Node::Object(own)) => Node::Object(
                            own.into_iter().map(|(name, sub)| (name, rewrite(sub, rule))).collect(),
                        ),
                        (_, value) => rewrite(rule(&name, value)?, rule),
                    };
                    Some((name, value))
                })
                .collect(),
        ),
        leaf => leaf,
    }
}

/// `nullable: true` is a second type in JSON Schema.
fn nullable<'n>(members: Vec<(Text<'n>, Node<'n>)>) -> Node<'n> {
    let nullable =
        members.iter().any(|(name, value)| &**name == "nullable" && *value == Node::Bool(true));
    let typed = |name: Text<'n>, value| match (&*name, value) {
        ("type", Node::Text(kind)) if nullable => {
            let types = vec![Node::Text(kind), Node::Text(Text::from("null"))];
            (name, Node::List(types))
        }
        (_, value) => (name, value),
    };
    let kept = members
        .into_iter()
        .filter(|(name, value)| !(&**name == "nullable" && matches!(value, Node::Bool(_))));
    Node::Object(kept.map(|(name, value)| typed(name, value)).collect())
}

fn raw(node: &Node<'_>) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(node).ok()
}

/// JSON with its members in order.
#[derive(Clone, Debug, PartialEq)]
enum Node<'a> {
    Object(Vec<(Text<'a>, Node<'a>)>),
    List(Vec<Node<'a>>),
    Text(Text<'a>),
    Bool(bool),
    Number(serde_json::Number),
    Null,
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
            Node::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Node::Text(text) => text.serialize(serializer),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Number(number) => number.serialize(serializer),
            Node::Null => serializer.serialize_unit(),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Node::Text(Text::from(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Text::from(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, RawValue, closed, from_openapi};

    fn check(convert: fn(&RawValue) -> Json<'_>, given: &str, expected: &str) {
        let given: &RawValue = serde_json::from_str(given).unwrap();
        assert_eq!(convert(given).get(), expected);
    }

    #[test]
    fn gemini_types_become_json_schema() {
        check(
            from_openapi,
            r#"{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true},"a":{"type":"ARRAY","items":{"type":"INTEGER"}}},"propertyOrdering":["type","a"],"required":["a"]}"#,
            r#"{"type":"object","properties":{"type":{"type":["string","null"]},"a":{"type":"array","items":{"type":"integer"}}},"required":["a"]}"#,
        );
        check(from_openapi, r#"{"type":"string","nullable":false}"#, r#"{"type":"string"}"#);
    }

    #[test]
    fn objects_are_closed_for_anthropic() {
        check(
            closed,
            r#"{"type":"object","properties":{"z":{"type":"object","properties":{}},"a":{"type":"number"}}}"#,
            r#"{"type":"object","properties":{"z":{"type":"object","properties":{},"additionalProperties":false},"a":{"type":"number"}},"additionalProperties":false}"#,
        );
        check(
            closed,
            r#"{"type":"object","properties":{},"additionalProperties":true}"#,
            r#"{"type":"object","properties":{},"additionalProperties":true}"#,
        );
    }
}
