//! YAML as a tree in which every key and value knows its line.
//!
//! The reading is `serde-saphyr`'s: keys that occur twice are refused, aliases and merge keys are
//! resolved, and what nesting and aliases may cost is bounded. This module knows nothing of the
//! configuration's keys.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter, Options, Spanned};

use super::problems::{Mark, Problem};

/// Values and keys in one file: about 150,000 virtual keys.
const NODES_MAX: usize = 1_000_000;

/// How deep values may lie in one another.
const DEPTH_MAX: usize = 32;

/// Values and keys that aliases may repeat.
const REPEATED_NODES_MAX: usize = 100_000;

/// A value and where it stands.
pub(super) struct Node {
    /// Where it begins; where an alias stands, not what it names.
    pub(super) mark: Mark,
    /// The value.
    pub(super) value: Value,
}

/// A YAML value.
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`, in no other spelling.
    Bool(bool),
    /// A whole number or a fraction.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping. Keys are text, whatever they look like.
    Map(BTreeMap<String, (Mark, Node)>),
}

/// Reads one YAML document.
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        Problem {
            mark: error
                .location()
                .filter(|at| at.line() > 0)
                .map(|at| Mark { line: at.line(), column: at.column() }),
            path: String::new(),
            text: worded(error),
        }
    })
}

/// The parser's own words speak of its options, and may hold control characters of the file.
fn worded(error: &Error) -> String {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key:?} is there twice")
        }
        Error::UnknownAnchor { .. } => "no anchor has the name of this alias".into(),
        Error::NonFiniteFloat { .. } => "a number must be finite".into(),
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Documents { .. } => "a second document: there must be one".into(),
            BudgetBreach::Depth { .. } => format!("lies deeper than {DEPTH_MAX} levels"),
            _ => "the file holds more values or aliases than a configuration may".into(),
        },
        Error::AliasReplayLimitExceeded { .. } => {
            format!("aliases repeat more than {REPEATED_NODES_MAX} values")
        }
        Error::AliasError { error, .. } => worded(error),
        other => {
            let message = DefaultMessageFormatter.format_message(other);
            format!("is not YAML: {}", message.escape_debug().to_string().replace("\\'", "'"))
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            // Lists and mappings have an event for their end as well.
            max_events: 2 * NODES_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED_NODES_MAX,
        },
        // `on` and `no` are text: a country, a name.
        strict_booleans: true,
        // A snippet of the file may show a secret.
        with_snippet: false,
    }
}

impl Node {
    /// The same as JSON.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(members) => Json::Object(
                members.iter().map(|(key, (_, node))| (key.clone(), node.to_json())).collect(),
            ),
        }
    }
}

impl From<&Json> for Node {
    /// The same without lines: what comes from no file.
    fn from(json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.clone()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from).collect()),
            Json::Object(members) => Value::Map(
                members
                    .iter()
                    .map(|(key, json)| (key.clone(), (Mark::default(), Self::from(json))))
                    .collect(),
            ),
        };
        Self { mark: Mark::default(), value }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { mark: mark(&spanned), value: spanned.value })
    }
}

fn mark<T>(spanned: &Spanned<T>) -> Mark {
    Mark { line: spanned.referenced.line(), column: spanned.referenced.column() }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, node)) = members.next_entry::<Spanned<String>, Node>()? {
            let mark = mark(&key);
            // `1` and `"1"` are two keys in YAML, and one here.
            if map.contains_key(&key.value) {
                let Mark { line, .. } = mark;
                return Err(A::Error::custom(format!("the key of line {line} is there twice")));
            }
            map.insert(key.value, (mark, node));
        }
        Ok(Value::Map(map))
    }
}
