//! The bodies of `GET /v1/models` and `GET /v1/models/{id}`, in the shape of the client's dialect.
//!
//! Sources: the references of OpenAI ("Models"), Anthropic ("Models") and Gemini ("models"). Of a model
//! nothing is known but its name: an alias has no date of its own, and its limits are its providers'.

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::ir::Dialect;
use crate::dialect::ir::wire::to_json;

/// An alias has no date: the beginning of time stands for it.
const NO_DATE: &str = "1970-01-01T00:00:00Z";

/// What can be asked of any alias in Gemini's dialect.
const METHODS: [&str; 5] = [
    "generateContent",
    "streamGenerateContent",
    "countTokens",
    "embedContent",
    "batchEmbedContents",
];

/// A model as OpenAI's clients see it.
#[derive(Serialize)]
#[serde(tag = "object", rename = "model")]
struct OpenAi<'a> {
    id: &'a str,
    created: u64,
    owned_by: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "object", rename = "list")]
struct OpenAiList<'a> {
    data: Vec<OpenAi<'a>>,
}

/// A model as Anthropic's clients see it.
#[derive(Serialize)]
#[serde(tag = "type", rename = "model")]
struct Anthropic<'a> {
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
}

#[derive(Serialize)]
struct AnthropicList<'a> {
    data: Vec<Anthropic<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// A model as Google's clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gemini<'a> {
    name: String,
    version: &'static str,
    display_name: &'a str,
    supported_generation_methods: [&'static str; 5],
}

#[derive(Serialize)]
struct GeminiList<'a> {
    models: Vec<Gemini<'a>>,
}

/// The list of models, whole and in the order given.
pub fn list(dialect: Dialect, ids: &[&str]) -> Bytes {
    let ids = ids.iter().copied();
    Bytes::from(match dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Bedrock => {
            to_json(&OpenAiList { data: ids.map(openai).collect() })
        }
        Dialect::Anthropic => to_json(&AnthropicList {
            first_id: ids.clone().next(),
            last_id: ids.clone().next_back(),
            has_more: false,
            data: ids.map(anthropic).collect(),
        }),
        Dialect::Gemini => to_json(&GeminiList { models: ids.map(gemini).collect() }),
    })
}

/// One model.
pub fn one(dialect: Dialect, id: &str) -> Bytes {
    Bytes::from(match dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Bedrock => to_json(&openai(id)),
        Dialect::Anthropic => to_json(&anthropic(id)),
        Dialect::Gemini => to_json(&gemini(id)),
    })
}

fn openai(id: &str) -> OpenAi<'_> {
    OpenAi { id, created: 0, owned_by: "tollgate" }
}

fn anthropic(id: &str) -> Anthropic<'_> {
    Anthropic { id, display_name: id, created_at: NO_DATE }
}

fn gemini(id: &str) -> Gemini<'_> {
    Gemini {
        name: format!("models/{id}"),
        version: "1",
        display_name: id,
        supported_generation_methods: METHODS,
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, list, one};

    #[test]
    fn models_are_written_in_openais_shape() {
        let a = r#"{"object":"model","id":"a","created":0,"owned_by":"tollgate"}"#;
        let b = r#"{"object":"model","id":"\"b","created":0,"owned_by":"tollgate"}"#;
        assert_eq!(one(Dialect::Chat, "a"), a);
        let both = format!(r#"{{"object":"list","data":[{a},{b}]}}"#);
        assert_eq!(list(Dialect::Responses, &["a", "\"b"]), both);
        assert_eq!(list(Dialect::Chat, &[]), r#"{"object":"list","data":[]}"#);
    }

    #[test]
    fn models_are_written_in_anthropics_shape() {
        let a =
            r#"{"type":"model","id":"a","display_name":"a","created_at":"1970-01-01T00:00:00Z"}"#;
        let b = a.replace("\"a\"", "\"b\"");
        assert_eq!(one(Dialect::Anthropic, "a"), a);
        let both = format!(r#"{{"data":[{a},{b}],"has_more":false,"first_id":"a","last_id":"b"}}"#);
        assert_eq!(list(Dialect::Anthropic, &["a", "b"]), both);
        let none = r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#;
        assert_eq!(list(Dialect::Anthropic, &[]), none);
    }

    #[test]
    fn models_are_written_in_geminis_shape() {
        let a = r#"{"name":"models/a","version":"1","displayName":"a","supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens","embedContent","batchEmbedContents"]}"#;
        assert_eq!(one(Dialect::Gemini, "a"), a);
        assert_eq!(list(Dialect::Gemini, &["a"]), format!(r#"{{"models":[{a}]}}"#));
    }
}
