//! The bodies of `GET /v1/models` and `GET /v1/models/{id}` (OpenAI API reference, "Models").

use bytes::Bytes;
use serde::Serialize;

/// A model as a client sees it. In JSON it has OpenAI's fields, `object` included.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "object", rename = "model")]
pub struct Model<'a> {
    /// The name to ask for.
    pub id: &'a str,
    /// Since when it is there, in seconds since 1970.
    pub created: u64,
    /// Who serves it.
    pub owned_by: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "object", rename = "list")]
struct List<'a> {
    data: &'a [Model<'a>],
}

/// The list of models, in the order given.
pub fn list(models: &[Model<'_>]) -> Bytes {
    json(&List { data: models })
}

/// One model.
pub fn one(model: Model<'_>) -> Bytes {
    json(&model)
}

fn json(value: &impl Serialize) -> Bytes {
    let mut out = Vec::new();
    let written = serde_json::to_writer(&mut out, value);
    debug_assert!(written.is_ok(), "strings and numbers written to memory");
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::{Model, list, one};

    #[test]
    fn models_are_written_in_openais_shape() {
        let model = |id| Model { id, created: 7, owned_by: "tollgate" };
        let a = r#"{"object":"model","id":"a","created":7,"owned_by":"tollgate"}"#;
        let b = r#"{"object":"model","id":"\"b","created":7,"owned_by":"tollgate"}"#;
        assert_eq!(one(model("a")), a);
        let both = format!(r#"{{"object":"list","data":[{a},{b}]}}"#);
        assert_eq!(list(&[model("a"), model("\"b")]), both);
        assert_eq!(list(&[]), r#"{"object":"list","data":[]}"#);
    }
}
