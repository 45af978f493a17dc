//! Whether a file has the shape that the schema asks for: known keys, right types, required
//! members. Whatever does not is reported and replaced, so that the rest can still be checked.
//!
//! The schema is the one that `tollgate schema` prints, derived from our own types: the few
//! keywords that occur in it are understood here, which leaves the wording of messages, the
//! suggestions and the silence about secrets in our hands. The test
//! `every_keyword_of_the_schema_is_understood` fails when a type brings a new one.

use serde_json::{Map, Number, Value as Json};

use super::problems::{names, unknown};
use super::spot::Spot;
use super::yaml::{Node, Value};

/// Checks a file against a schema. The result always fits the schema's types: where the file does
/// not, an optional member is left out and a required one is empty.
pub(super) fn check(schema: &Json, root: &Spot<'_>) -> Json {
    let shape = Shape { definitions: schema.get("$defs") };
    let ask = shape.ask(schema, false);
    shape.value(&ask, root).unwrap_or_else(|| shape.empty(&ask))
}

struct Shape<'s> {
    definitions: Option<&'s Json>,
}

/// What the schema asks for at one place.
struct Ask<'s> {
    schema: &'s Json,
    /// Whether the key may stand there without a value.
    nullable: bool,
    /// Whether no message may quote what is there.
    secret: bool,
}

impl<'s> Shape<'s> {
    /// Follows references and looks through `Option`.
    fn ask(&self, schema: &'s Json, secret: bool) -> Ask<'s> {
        let secret = secret || schema.get("x-secret").is_some();
        if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            let name = name.trim_start_matches("#/$defs/");
            let definition = self.definitions.and_then(|definitions| definitions.get(name));
            return self.ask(definition.unwrap_or(&Json::Null), secret);
        }
        let options = schema.get("anyOf").and_then(Json::as_array);
        if let Some(options) = options
            && let Some(something) = options.iter().find(|option| !is_null(option))
        {
            return Ask { nullable: true, ..self.ask(something, secret) };
        }
        let nullable = types(schema).any(|name| name == "null");
        Ask { schema, nullable, secret }
    }

    /// The value at a place, repaired; `None` where nothing there can be used.
    fn value(&self, ask: &Ask<'s>, spot: &Spot<'_>) -> Option<Json> {
        let node = spot.node()?;
        if ask.nullable && matches!(node.value, Value::Null) {
            return None;
        }
        if let Some(choices) = choices(ask.schema) {
            return choice(&choices, ask, node, spot);
        }
        let kind = types(ask.schema).find(|name| *name != "null");
        match (kind, &node.value) {
            (Some("object"), Value::Map(_)) => Some(self.object(ask, spot)),
            (Some("array"), Value::List(items)) => Some(self.array(ask, items.len(), spot)),
            (Some("integer"), Value::Number(number)) => {
                integer(ask.schema, number, spot).then(|| node.to_json())
            }
            (Some("string"), Value::Text(_))
            | (Some("number"), Value::Number(_))
            | (Some("boolean"), Value::Bool(_))
            | (None, _) => Some(node.to_json()),
            (Some(kind), found) => {
                spot.refuse_whole(mismatch(kind, found, ask.secret));
                None
            }
        }
    }

    fn object(&self, ask: &Ask<'s>, spot: &Spot<'_>) -> Json {
        let properties = ask.schema.get("properties").and_then(Json::as_object);
        let others = ask.schema.get("additionalProperties").filter(|schema| schema.is_object());
        let mut object = Map::new();
        for key in spot.keys() {
            let known = properties.and_then(|properties| properties.get(key)).or(others);
            let Some(schema) = known else {
                if ask.schema.get("additionalProperties") == Some(&Json::Bool(false)) {
                    no_such_key(key, properties, ask.secret, spot);
                } else if let Some(node) = spot.key(key).node() {
                    object.insert(key.into(), node.to_json());
                }
                continue;
            };
            let inner = self.ask(schema, ask.secret);
            match self.value(&inner, &spot.key(key)) {
                Some(value) => drop(object.insert(key.into(), value)),
                // An entry stays, so that others may still refer to it.
                None if others.is_some() => drop(object.insert(key.into(), self.empty(&inner))),
                None => {}
            }
        }
        self.require(ask, spot, &mut object);
        Json::Object(object)
    }

    fn require(&self, ask: &Ask<'s>, spot: &Spot<'_>, object: &mut Map<String, Json>) {
        let required = ask.schema.get("required").and_then(Json::as_array).into_iter().flatten();
        for name in required.filter_map(Json::as_str) {
            if object.contains_key(name) {
                continue;
            }
            let schema = ask.schema.get("properties").and_then(|all| all.get(name));
            let schema = schema.unwrap_or(&Json::Null);
            let member = spot.key(name);
            if member.node().is_none() {
                member.refuse_whole(format!("is missing: {}", described(schema)));
            }
            object.insert(name.into(), self.empty(&self.ask(schema, false)));
        }
    }

    fn array(&self, ask: &Ask<'s>, length: usize, spot: &Spot<'_>) -> Json {
        let inner = self.ask(ask.schema.get("items").unwrap_or(&Json::Null), ask.secret);
        let item =
            |index| self.value(&inner, &spot.item(index)).unwrap_or_else(|| self.empty(&inner));
        Json::Array((0..length).map(item).collect())
    }

    /// A value that fits, to stand in for one that does not.
    fn empty(&self, ask: &Ask<'s>) -> Json {
        if let Some(choices) = choices(ask.schema) {
            return choices.first().map_or(Json::Null, |first| Json::from(*first));
        }
        match types(ask.schema).find(|name| *name != "null") {
            Some("object") => {
                let required = ask.schema.get("required").and_then(Json::as_array);
                let member = |name: &Json| {
                    let name = name.as_str()?;
                    let schema = ask.schema.get("properties")?.get(name)?;
                    Some((name.to_owned(), self.empty(&self.ask(schema, false))))
                };
                Json::Object(required.into_iter().flatten().filter_map(member).collect())
            }
            Some("array") => Json::Array(Vec::new()),
            Some("string") => Json::from(""),
            Some("integer" | "number") => Json::from(0),
            Some("boolean") => Json::from(false),
            _ => Json::Null,
        }
    }
}

fn is_null(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("null")
}

/// `type` is one name or a list of them.
fn types(schema: &Json) -> impl Iterator<Item = &str> {
    let kind = schema.get("type");
    let one = kind.and_then(Json::as_str);
    let many = kind.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    one.into_iter().chain(many)
}

/// The names of an enumeration: `enum`, or `oneOf` with a `const` and a description each.
pub(super) fn choices(schema: &Json) -> Option<Vec<&str>> {
    if let Some(options) = schema.get("oneOf").and_then(Json::as_array) {
        return Some(options.iter().filter_map(|option| option.get("const")?.as_str()).collect());
    }
    let options = schema.get("enum").and_then(Json::as_array)?;
    Some(options.iter().filter_map(Json::as_str).collect())
}

fn choice(choices: &[&str], ask: &Ask<'_>, node: &Node, spot: &Spot<'_>) -> Option<Json> {
    match &node.value {
        Value::Text(text) if choices.contains(&text.as_str()) => Some(node.to_json()),
        Value::Text(text) => {
            spot.refuse_whole(unknown(&format!("no choice `{text}`"), text, choices));
            None
        }
        found => {
            let wrong = mismatch("string", found, ask.secret);
            spot.refuse_whole(format!("{wrong}: one of {}", names(choices)));
            None
        }
    }
}

/// Whether a number is a whole one within the bounds of its Rust type; reports it where not.
fn integer(schema: &Json, number: &Number, spot: &Spot<'_>) -> bool {
    let most = match schema.get("format").and_then(Json::as_str) {
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        _ => u64::MAX,
    };
    let fits = number.as_u64().is_some_and(|value| value <= most);
    if !fits && most == u64::MAX {
        spot.refuse_whole(format!("must be a whole number, not {number}"));
    } else if !fits {
        spot.refuse_whole(format!("must be a whole number from 0 to {most}, not {number}"));
    }
    fits
}

fn no_such_key(key: &str, properties: Option<&Map<String, Json>>, secret: bool, spot: &Spot<'_>) {
    let known: Vec<_> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if secret {
        // What stands here may be the secret itself, so it is not named.
        spot.line_of(key).refuse(format!("no such key: there are {}", names(&known)));
    } else {
        spot.name_of(key).refuse_whole(unknown("no such key", key, &known));
    }
}

fn mismatch(kind: &str, found: &Value, secret: bool) -> String {
    let wanted = match kind {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "true or false",
    };
    // A text where a list or a mapping belongs may be a secret that was put one level too high.
    let quotable = !secret && !matches!(kind, "object" | "array");
    let found_text = match found {
        Value::Null => return format!("must be {wanted}, but nothing is here"),
        Value::Bool(value) if quotable => format!("`{value}`"),
        Value::Number(number) if quotable => format!("the number {number}"),
        Value::Text(text) if quotable => format!("the text `{text}`"),
        Value::Bool(_) => "true or false".into(),
        Value::Number(_) => "a number".into(),
        Value::Text(_) => "text".into(),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
    };
    match (kind, found) {
        ("string", Value::Bool(_) | Value::Number(_)) => {
            format!("must be text, not {found_text}: put it in quotes")
        }
        _ => format!("must be {wanted}, not {found_text}"),
    }
}

/// The first sentence of a description.
fn described(schema: &Json) -> &str {
    let text = schema.get("description").and_then(Json::as_str).unwrap_or("it is needed here");
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}
