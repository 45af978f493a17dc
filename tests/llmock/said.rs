//! What a client of each dialect asks, and what it reads in the answer, whole or streamed.

use serde_json::{Value, json};

/// The dialects of clients.
pub(crate) const CLIENTS: [&str; 4] = ["openai", "responses", "anthropic", "gemini"];

/// Path and body of a plain question.
pub(crate) fn request(client: &str, model: &str, stream: bool) -> (String, Value) {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    match client {
        "openai" => (
            "/v1/chat/completions".into(),
            json!({"model": model, "messages": messages, "stream": stream}),
        ),
        "responses" => {
            ("/v1/responses".into(), json!({"model": model, "input": "Hello", "stream": stream}))
        }
        "anthropic" => (
            "/v1/messages".into(),
            json!({"model": model, "max_tokens": 99, "messages": messages, "stream": stream}),
        ),
        _ => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let contents = json!([{"role": "user", "parts": [{"text": "Hello"}]}]);
            (format!("/v1beta/models/{model}:{method}"), json!({"contents": contents}))
        }
    }
}

/// The text of an answer, and the arguments of its call.
pub(crate) fn said(client: &str, body: &str) -> (String, Value) {
    let values = values(body);
    let of_type = |kind: &str| -> Vec<Value> {
        values.iter().filter(|value| value["type"] == kind).cloned().collect()
    };
    let (text, arguments) = match client {
        "openai" => (
            joined(&values, &["/choices/0/message/content", "/choices/0/delta/content"]),
            joined(
                &values,
                &[
                    "/choices/0/message/tool_calls/0/function/arguments",
                    "/choices/0/delta/tool_calls/0/function/arguments",
                ],
            ),
        ),
        "responses" => (
            joined(&values, &["/output/0/content/0/text"])
                + &joined(&of_type("response.output_text.delta"), &["/delta"]),
            joined(&values, &["/output/1/arguments"])
                + &joined(&of_type("response.function_call_arguments.delta"), &["/delta"]),
        ),
        "anthropic" => (
            joined(&values, &["/content/0/text", "/delta/text"]),
            joined(&values, &["/content/1/input", "/delta/partial_json"]),
        ),
        _ => {
            let part =
                |index: u8, rest: &str| format!("/candidates/0/content/parts/{index}/{rest}");
            let calls = [part(0, "functionCall/args"), part(1, "functionCall/args")];
            (joined(&values, &[&part(0, "text")]), joined(&values, &[&calls[0], &calls[1]]))
        }
    };
    (text, serde_json::from_str(&arguments).unwrap_or_default())
}

/// The answer as one value, or the values of a stream's events.
fn values(body: &str) -> Vec<Value> {
    if let Ok(whole) = serde_json::from_str(body) {
        return vec![whole];
    }
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// What stands at any of these places, joined: texts, and the JSON of anything else.
fn joined(values: &[Value], places: &[&str]) -> String {
    let found = values.iter().flat_map(|value| places.iter().filter_map(|at| value.pointer(at)));
    found
        .map(|found| match found {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}
