//! A value that a JSON Schema accepts.
//!
//! It serves structured output and the arguments of tool calls: an answer that a client's typed
//! parser takes. It covers what such schemas use (types, properties, enums, references, unions,
//! bounds, formats); `pattern`, `not`, and conditions are not looked at.

use serde_json::{Map, Number, Value};

/// Beyond this depth only what is required is given, so that a schema that contains itself ends.
const DEPTH_FULL: usize = 4;
/// Beyond this depth nothing is given but `null`.
const DEPTH_MAX: usize = 24;
/// The longest list or text given, whatever a schema asks for.
const LENGTH_MAX: u64 = 1_000;

/// A value for a schema.
pub(crate) fn sample(schema: &Value) -> Value {
    Sampler { root: schema }.value(schema, 0)
}

struct Sampler<'s> {
    root: &'s Value,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
            return value.clone();
        }
        if let Some(target) = schema.get("$ref").and_then(|name| self.resolve(name)) {
            return self.value(target, depth + 1);
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(options) = schema.get(union).and_then(Value::as_array) {
                return self.value(choose(options, depth), depth + 1);
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(schema, parts, depth);
        }
        match kind(schema, depth) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => Value::String(text(schema)),
            "integer" => Value::Number(integer(schema)),
            "number" => number(schema),
            "boolean" => Value::Bool(true),
            _ => Value::Null,
        }
    }

    fn resolve(&self, name: &Value) -> Option<&Value> {
        self.root.pointer(name.as_str()?.strip_prefix('#')?)
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut object = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if depth <= DEPTH_FULL || required.contains(&name.as_str()) {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        for name in required {
            object.entry(name).or_insert(Value::Null);
        }
        Value::Object(object)
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let wished = u64::from(depth <= DEPTH_FULL);
        let most = bound(schema, "maxItems").unwrap_or(LENGTH_MAX);
        let length = bound(schema, "minItems").unwrap_or(wished).min(most).min(LENGTH_MAX);
        let items = schema.get("items").unwrap_or(&Value::Bool(true));
        Value::Array((0..length).map(|_| self.value(items, depth + 1)).collect())
    }

    /// The parts, merged where they are objects; otherwise the first says what it is.
    fn all_of(&self, schema: &Value, parts: &[Value], depth: usize) -> Value {
        let mut own = schema.clone();
        if let Some(own) = own.as_object_mut() {
            own.remove("allOf");
        }
        let is_object = own.get("type").is_some() || own.get("properties").is_some();
        let own = is_object.then(|| self.value(&own, depth + 1));
        let values = parts.iter().map(|part| self.value(part, depth + 1)).chain(own);
        let merge = |whole: Value, part: Value| match (whole, part) {
            (Value::Object(mut whole), Value::Object(part)) => {
                whole.extend(part);
                Value::Object(whole)
            }
            (whole, _) => whole,
        };
        values.reduce(merge).unwrap_or_default()
    }
}

/// The first option; deep down `null` if it is one, so that recursion ends.
fn choose(options: &[Value], depth: usize) -> &Value {
    let is_null = |option: &&Value| option.get("type").is_some_and(|kind| kind == "null");
    let shallow = if depth > DEPTH_FULL { options.iter().find(is_null) } else { None };
    shallow.or_else(|| options.first()).unwrap_or(&Value::Null)
}

fn kind(schema: &Value, depth: usize) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) if depth > DEPTH_FULL && kinds.iter().any(|k| k == "null") => {
            "null"
        }
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn text(schema: &Value) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-31",
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("time") => "12:00:00Z",
        Some("duration") => "PT1H",
        Some("email") => "someone@example.com",
        Some("hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri") => "https://example.com/",
        Some("uuid") => "123e4567-e89b-12d3-a456-426614174000",
        _ => "text",
    };
    let least = bound(schema, "minLength").unwrap_or(0).min(LENGTH_MAX);
    let most = bound(schema, "maxLength").unwrap_or(LENGTH_MAX);
    let padding = std::iter::repeat('x');
    let wished = least.max(text.len() as u64).min(most);
    text.chars().chain(padding).zip(0..wished).map(|(c, _)| c).collect()
}

fn integer(schema: &Value) -> Number {
    let limit = |name: &str| schema.get(name).and_then(Value::as_i64);
    let above = limit("exclusiveMinimum").map(|limit| limit.saturating_add(1));
    let below = limit("exclusiveMaximum").map(|limit| limit.saturating_sub(1));
    let step = limit("multipleOf").filter(|step| *step > 0).unwrap_or(1);
    let least = limit("minimum").max(above).unwrap_or(i64::MIN);
    let most = limit("maximum").or(below).unwrap_or(i64::MAX);
    let wished = 1_i64.max(least).min(most);
    let down = wished - wished.rem_euclid(step);
    Number::from(if down < least { down.saturating_add(step) } else { down })
}

fn number(schema: &Value) -> Value {
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    let least = limit("minimum").or(limit("exclusiveMinimum").map(|least| least + 0.5));
    let most = limit("maximum").or(limit("exclusiveMaximum").map(|most| most - 0.5));
    let wished = 0.5_f64.max(least.unwrap_or(f64::MIN)).min(most.unwrap_or(f64::MAX));
    match limit("multipleOf") {
        Some(step) if step > 0.0 => ((wished / step).ceil() * step).into(),
        _ => wished.into(),
    }
}

fn bound(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::sample;

    #[test]
    fn a_sample_satisfies_its_schema() {
        for schema in [
            json!({"type": "object"}),
            json!({"type": "object", "required": ["a"], "additionalProperties": false,
                "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}),
            json!({"type": "string", "enum": ["red", "blue"]}),
            json!({"const": {"a": [1]}}),
            json!({"type": "array", "items": {"type": "number"}, "minItems": 3}),
            json!({"type": "array", "items": {"type": "number"}, "maxItems": 0}),
            json!({"type": ["string", "null"]}),
            json!({"type": "string", "minLength": 12}),
            json!({"type": "string", "maxLength": 2}),
            json!({"type": "integer", "minimum": 10, "maximum": 11}),
            json!({"type": "integer", "exclusiveMinimum": 10}),
            json!({"type": "integer", "maximum": -5, "multipleOf": 4}),
            json!({"type": "integer", "minimum": 3, "multipleOf": 7}),
            json!({"type": "number", "exclusiveMinimum": 1, "maximum": 2}),
            json!({"type": "number", "minimum": 3, "multipleOf": 2.5}),
            json!({"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
            json!({"allOf": [
                {"type": "object", "required": ["a"], "properties": {"a": {"type": "boolean"}}},
                {"type": "object", "required": ["b"], "properties": {"b": {"type": "null"}}}]}),
            json!({"type": "object", "properties": {"at": {"$ref": "#/$defs/Point"}},
                "$defs": {"Point": {"type": "object", "required": ["x"],
                    "properties": {"x": {"type": "number"}}}}}),
            json!({"$defs": {"Node": {"type": "object", "required": ["next", "items"], "properties": {
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    "items": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}},
                "$ref": "#/$defs/Node"}),
        ] {
            let value = sample(&schema);
            assert!(jsonschema::is_valid(&schema, &value), "{schema} gave {value}");
        }
    }

    #[test]
    fn a_schema_that_has_no_end_gives_an_end() {
        let schema = json!({"type": "array", "minItems": 1, "items": {"$ref": "#"}});
        assert!(sample(&schema).is_array());
        assert_eq!(sample(&Value::Null), json!("text"));
    }
}
