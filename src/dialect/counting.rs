//! How many tokens a conversation has: Anthropic's way of asking and Gemini's, and an estimate where no
//! provider can be asked.
//!
//! (Anthropic API reference, "Count tokens"; Gemini API reference, "countTokens".)

use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_json::value::RawValue;

use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::Losses;
use crate::dialect::ir::wire::to_json;
use crate::dialect::ir::{CallResult, Dialect, Part, PartKind, Request, Target};
use crate::dialect::translate::{
    TranslatedAnswer, TranslatedRequest, read_request, translate_request,
};
use crate::error::{Error, Kind, Result};

/// Bytes of text that make a token, about: English has four letters to one, and letters beyond ASCII
/// have more bytes.
const BYTES_A_TOKEN: usize = 4;

/// Tokens around each message and each tool, about.
const TOKENS_AROUND: usize = 4;

/// Tokens of an image, a sound or a document, about: providers differ by more than any guess.
const TOKENS_A_MEDIUM: usize = 1000;

/// What Anthropic's `count_tokens` takes of a request.
const ANTHROPIC_MEMBERS: [&str; 6] =
    ["model", "messages", "system", "tools", "tool_choice", "thinking"];

/// Translates the question. It has the losses of the conversation that it is about.
pub fn translate_question(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    target: Target<'_>,
) -> Result<TranslatedRequest> {
    let body = asked(from, body);
    let mut done = translate_request(from, to, body, target, false)?;
    done.body = match to {
        Dialect::Gemini => in_gemini(&done.body, target.model),
        Dialect::Chat | Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => {
            only_counted(&done.body)?
        }
    };
    Ok(done)
}

/// The conversation in question: Gemini may wrap it in a whole request.
fn asked(from: Dialect, body: &[u8]) -> &[u8] {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
    struct Wrapped<'a> {
        #[serde(alias = "generate_content_request")]
        generate_content_request: &'a RawValue,
    }
    match serde_json::from_slice::<Wrapped<'_>>(body) {
        Ok(wrapped) if from == Dialect::Gemini => wrapped.generate_content_request.get().as_bytes(),
        _ => body,
    }
}

fn in_gemini(request: &[u8], model: &str) -> Vec<u8> {
    let kind = if model.contains('/') { "" } else { "models/" };
    let model = serde_json::Value::from(format!("{kind}{model}")).to_string();
    let rest = request.strip_prefix(b"{").unwrap_or_default();
    let comma: &[u8] = if rest == b"}" { b"" } else { b"," };
    let head = format!(r#"{{"generateContentRequest":{{"model":{model}"#);
    [head.as_bytes(), comma, rest, b"}"].concat()
}

fn only_counted(request: &[u8]) -> Result<Vec<u8>> {
    let mut members: Map<String, serde_json::Value> =
        serde_json::from_slice(request).map_err(|error| {
            let text = "The gateway failed; the request id names the case in its log.";
            Error::new(Kind::Internal, text).because(error.to_string())
        })?;
    members.retain(|name, _| ANTHROPIC_MEMBERS.contains(&name.as_str()));
    Ok(to_json(&members))
}

/// Translates the count.
pub fn translate_count(to: Dialect, body: &[u8]) -> std::result::Result<TranslatedAnswer, Fault> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "totalTokens", alias = "input_tokens")]
        tokens: u64,
    }
    let told: Told = serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    Ok(TranslatedAnswer { body: written(to, told.tokens), losses: Vec::new(), usage: None })
}

/// The estimate, as a client's dialect says a count.
///
/// # Errors
/// `InvalidBody` where the body is not what its dialect says.
pub fn estimate(dialect: Dialect, body: &[u8]) -> Result<Vec<u8>> {
    let request = read_request(dialect, asked(dialect, body), false, &mut Losses::new(dialect))?;
    Ok(written(dialect, tokens(&request) as u64))
}

fn written(dialect: Dialect, tokens: u64) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Gemini {
        total_tokens: u64,
    }
    #[derive(Serialize)]
    struct Anthropic {
        input_tokens: u64,
    }
    match dialect {
        Dialect::Gemini => to_json(&Gemini { total_tokens: tokens }),
        Dialect::Chat | Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => {
            to_json(&Anthropic { input_tokens: tokens })
        }
    }
}

fn tokens(request: &Request<'_>) -> usize {
    let messages = request.messages.iter().map(|message| TOKENS_AROUND + content(&message.content));
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.schema.as_ref().map_or(0, |schema| schema.get().len());
        let description = tool.description.as_deref().map_or(0, str::len);
        TOKENS_AROUND + of_bytes(tool.name.len() + description + schema)
    });
    messages.chain(tools).sum()
}

fn content(parts: &[Part<'_>]) -> usize {
    let part = |part: &Part<'_>| match &part.kind {
        PartKind::Text { text, .. } | PartKind::Thinking { text, .. } => of_bytes(text.len()),
        PartKind::Redacted(text) | PartKind::Refusal(text) => of_bytes(text.len()),
        PartKind::Media(_) => TOKENS_A_MEDIUM,
        PartKind::Call(call) => TOKENS_AROUND + of_bytes(call.name.len() + call.arguments.len()),
        PartKind::Result(CallResult { content: parts, .. }) => TOKENS_AROUND + content(parts),
    };
    parts.iter().map(part).sum()
}

const fn of_bytes(bytes: usize) -> usize {
    bytes.div_ceil(BYTES_A_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Target, estimate, translate_count, translate_question};

    fn question(from: Dialect, to: Dialect, body: &str) -> serde_json::Value {
        let target = Target { model: "m", extensions: false, usage_in_streams: true };
        let done = translate_question(from, to, body.as_bytes(), target).unwrap();
        serde_json::from_slice(&done.body).unwrap()
    }

    #[test]
    fn questions_cross() {
        let anthropic = r#"{"model":"a","system":"s","messages":[{"role":"user","content":"Hi"}]}"#;
        let contents = serde_json::json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
        let asked = question(Dialect::Anthropic, Dialect::Gemini, anthropic);
        let asked = &asked["generateContentRequest"];
        assert_eq!((&asked["model"], &asked["contents"]), (&"models/m".into(), &contents));
        assert_eq!(asked["systemInstruction"]["parts"][0]["text"], "s");

        let bare = serde_json::json!({"contents": contents});
        let wrapped = serde_json::json!({"generateContentRequest": {
            "model": "models/a", "contents": contents, "generationConfig": {"temperature": 1},
        }});
        for body in [bare, wrapped] {
            let asked = question(Dialect::Gemini, Dialect::Anthropic, &body.to_string());
            let names: Vec<&String> = asked.as_object().unwrap().keys().collect();
            assert_eq!(names, ["messages", "model"], "{asked}");
        }
    }

    #[test]
    fn counts_cross() {
        let count = |to, body: &str| {
            String::from_utf8(translate_count(to, body.as_bytes()).unwrap().body).unwrap()
        };
        assert_eq!(count(Dialect::Anthropic, r#"{"totalTokens":7}"#), r#"{"input_tokens":7}"#);
        assert_eq!(count(Dialect::Gemini, r#"{"input_tokens":7}"#), r#"{"totalTokens":7}"#);
        assert!(translate_count(Dialect::Gemini, b"{}").is_err());
    }

    #[test]
    fn an_estimate_goes_by_the_length_of_texts() {
        let body = r#"{"max_tokens":1,"system":"12345678","messages":[{"role":"user","content":[
            {"type":"text","text":"1234"},
            {"type":"image","source":{"type":"url","url":"https://h/x.png"}}]}]}"#;
        let told =
            String::from_utf8(estimate(Dialect::Anthropic, body.as_bytes()).unwrap()).unwrap();
        assert_eq!(told, r#"{"input_tokens":1011}"#);
        let body = r#"{"contents":[{"parts":[{"text":"12345"}]}]}"#;
        let told = String::from_utf8(estimate(Dialect::Gemini, body.as_bytes()).unwrap()).unwrap();
        assert_eq!(told, r#"{"totalTokens":6}"#);
        assert!(estimate(Dialect::Gemini, b"[]").is_err());
    }
}
