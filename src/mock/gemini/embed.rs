//! Gemini's embeddings: the same vectors that OpenAI's endpoint gives for the same texts.
//!
//! Shapes: Gemini API reference, `models.embedContent` and `models.batchEmbedContents`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::mock::answer::Answer;
use crate::mock::ask::Metadata;
use crate::mock::asked::{Asked, Settings};
use crate::mock::json::put;
use crate::mock::refusal::Refusal;
use crate::mock::route::Route;
use crate::mock::texts::{dimensions, put_floats};

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    requests: Option<Vec<One<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<usize>,
    #[serde(borrow)]
    labels: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    /// As it stands in the body: the vector depends on it.
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

impl Settings for Batch<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        self.requests.iter().flatten().find_map(One::settings)
    }
}

impl Settings for One<'_> {
    fn settings(&self) -> Option<Cow<'_, str>> {
        self.labels.as_ref()?.settings()
    }
}

/// `POST /v1beta/models/{id}:embedContent` and `…:batchEmbedContents`
pub(crate) fn embed(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let batch = asked.request.head.route == Route::BatchEmbed;
    let requests = if batch {
        let body: Batch<'_> = asked.read()?;
        body.requests.ok_or_else(|| Refusal::missing("requests"))?
    } else {
        vec![asked.read()?]
    };
    if let Some(echo) = asked.echo()? {
        return Ok(Answer::json(echo));
    }
    let mut out = Vec::new();
    put(&mut out, &[if batch { r#"{"embeddings":["# } else { r#"{"embedding":"# }]);
    for (number, request) in requests.iter().enumerate() {
        put(&mut out, &[if number > 0 { "," } else { "" }]);
        request.put_vector(&mut out)?;
    }
    let usage = json!({ "promptTokenCount": asked.prompt_tokens() });
    put(&mut out, &[if batch { "]" } else { "" }, r#","usageMetadata":"#, &usage.to_string(), "}"]);
    Ok(Answer::json(out))
}

impl One<'_> {
    fn put_vector(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let content = self.content.as_ref().ok_or_else(|| Refusal::missing("content"))?;
        let texts: String =
            content.parts.iter().filter_map(|part| part.text).map(RawValue::get).collect();
        put(out, &[r#"{"values":"#]);
        put_floats(out, &texts, dimensions(self.output_dimensionality)?);
        put(out, &["}"]);
        Ok(())
    }
}
