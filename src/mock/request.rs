//! The members of a JSON request that an answer depends on.
//!
//! One shape serves every endpoint: each reads what concerns it. What is not named here is
//! read over, as a model server does with members that it does not know.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::Refusal;

/// A request's body; texts stay as they stand in it.
#[derive(Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    pub(crate) messages: Option<Vec<Message<'a>>>,
    #[serde(borrow)]
    pub(crate) tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) response_format: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    n: Option<u32>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    #[serde(borrow)]
    pub(crate) prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) encoding_format: Option<Cow<'a, str>>,
    pub(crate) dimensions: Option<usize>,
    #[serde(borrow)]
    pub(crate) query: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) documents: Option<Vec<Document<'a>>>,
    pub(crate) top_n: Option<usize>,
    pub(crate) return_documents: Option<bool>,
}

/// The most choices or images of one answer.
const N_MAX: u32 = 128;

impl<'a> Body<'a> {
    /// Reads a request's body.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(bytes).map_err(|error| {
            Refusal::bad(format!("The body is not the JSON that this endpoint takes: {error}."))
        })
    }

    /// The model's name as it stands in the body, quotes included.
    pub(crate) fn model(&self) -> Result<&'a str, Refusal> {
        let model = self.model.ok_or_else(|| Refusal::missing("model"))?.get();
        if model.starts_with('"') {
            return Ok(model);
        }
        Err(Refusal::bad("'model' must be a string.").param("model"))
    }

    /// How many choices or images are asked for.
    pub(crate) fn n(&self) -> Result<u32, Refusal> {
        let n = self.n.unwrap_or(1);
        if (1..=N_MAX).contains(&n) {
            return Ok(n);
        }
        Err(Refusal::bad(format!("'n' must be from 1 to {N_MAX}.")).param("n"))
    }

    /// The most tokens that the caller wants.
    pub(crate) fn tokens_max(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Whether a stream ends with its token counts.
    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true)
    }

    /// The settings in `metadata.mock`.
    pub(crate) fn settings(&self) -> Option<&str> {
        self.metadata.as_ref()?.mock.as_deref()
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    mock: Option<Cow<'a, str>>,
}

/// A message of a chat.
#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    /// Who said it.
    #[serde(borrow)]
    pub(crate) role: Cow<'a, str>,
}

/// A tool; one that is no function has none.
#[derive(Deserialize)]
pub(crate) struct Tool<'a> {
    /// What can be called.
    #[serde(borrow)]
    pub(crate) function: Option<Function<'a>>,
}

/// A function that may be called.
#[derive(Deserialize)]
pub(crate) struct Function<'a> {
    /// Its name.
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    /// The JSON Schema of its arguments.
    #[serde(borrow)]
    pub(crate) parameters: Option<&'a RawValue>,
}

/// A document to rank.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Document<'a> {
    /// As a text.
    Text(#[serde(borrow)] Cow<'a, str>),
    /// As an object with a text.
    Object {
        /// The text.
        text: String,
    },
}

impl Document<'_> {
    /// The document's text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Document::Text(text) => text,
            Document::Object { text } => text,
        }
    }
}
