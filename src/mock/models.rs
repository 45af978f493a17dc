//! The list of models, and one of them, in each dialect.
//!
//! Shapes: OpenAI API reference, "List models"; Anthropic API reference, "List models"; Gemini API
//! reference, `models.list`.

use serde_json::{Value, json};

use super::answer::{Answer, CREATED, CREATED_TEXT};
use super::dialect::Dialect;
use super::refusal::Refusal;
use super::route::{Route, model_id};

/// What each model takes and gives, in tokens.
const WINDOW_TOKENS: u32 = 1_000_000;
const OUTPUT_TOKENS: u32 = 100_000;

/// The models, or the one that the path names.
pub(crate) fn answer(route: Route, path: &str, models: &[String]) -> Result<Answer, Refusal> {
    let dialect = route.dialect();
    let Some(id) = model_id(path) else {
        let cards = models.iter().map(|id| card(dialect, id)).collect();
        return Ok(Answer::value(&list(dialect, cards, models)));
    };
    if models.iter().any(|known| known == id) {
        return Ok(Answer::value(&card(dialect, id)));
    }
    let message = format!("The model '{id}' does not exist: there are {models:?}.");
    Err(Refusal::new(404, message).param("model").code("model_not_found"))
}

fn list(dialect: Dialect, cards: Vec<Value>, models: &[String]) -> Value {
    match dialect {
        Dialect::Anthropic => json!({
            "data": cards,
            "has_more": false,
            "first_id": models.first(),
            "last_id": models.last(),
        }),
        Dialect::Gemini | Dialect::GeminiArray => json!({ "models": cards }),
        // Bedrock's runtime has no list.
        Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock => {
            json!({ "object": "list", "data": cards })
        }
    }
}

fn card(dialect: Dialect, id: &str) -> Value {
    match dialect {
        Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock => {
            json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "mock" })
        }
        Dialect::Anthropic => json!({
            "type": "model",
            "id": id,
            "display_name": id,
            "created_at": CREATED_TEXT,
            "max_input_tokens": WINDOW_TOKENS,
            "max_tokens": OUTPUT_TOKENS,
        }),
        Dialect::Gemini | Dialect::GeminiArray => json!({
            "name": format!("models/{id}"),
            "version": "001",
            "displayName": id,
            "description": "A simulated model.",
            "inputTokenLimit": WINDOW_TOKENS,
            "outputTokenLimit": OUTPUT_TOKENS,
            "supportedGenerationMethods":
                ["generateContent", "countTokens", "embedContent", "batchEmbedContents"],
            "thinking": true,
        }),
    }
}
