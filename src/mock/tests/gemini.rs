//! Gemini's content and embeddings, as a client reads them.

use serde_json::{Value, json};

use super::{Answer, Mock, mock, with};

const GENERATE: &str = "/v1beta/models/mock:generateContent";
const STREAM: &str = "/v1beta/models/mock:streamGenerateContent?alt=sse";
const ARRAY: &str = "/v1beta/models/mock:streamGenerateContent";

fn ask(more: Value) -> Value {
    with(json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] }), more)
}

fn schema(spelling: fn(&str) -> String) -> Value {
    json!({ "type": spelling("object"), "required": ["city"],
        "properties": { "city": { "type": spelling("string") } } })
}

fn parts(event: &Value) -> &Vec<Value> {
    event["candidates"][0]["content"]["parts"].as_array().unwrap()
}

/// The texts of all parts, joined: those that are thoughts, or the others.
fn texts(events: &[Value], thoughts: bool) -> String {
    let parts = events.iter().flat_map(parts);
    let wanted = parts.filter(|part| (part["thought"] == true) == thoughts);
    wanted.filter_map(|part| part["text"].as_str()).collect()
}

fn events(answer: &Answer) -> Vec<Value> {
    answer.events().iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

#[tokio::test]
async fn content_is_words_that_are_counted() {
    let mock = mock("tokens=2").await;
    let body = ask(json!({}));
    let answer = mock.post(GENERATE, &body).await.json();
    let candidate = &answer["candidates"][0];
    assert_eq!(candidate["content"], json!({ "role": "model", "parts": [{ "text": "The toll" }] }));
    assert_eq!(candidate["finishReason"], "STOP");
    assert_eq!(answer["modelVersion"], "mock");
    let prompt = body.to_string().len() / 4;
    assert_eq!(
        answer["usageMetadata"],
        json!({ "promptTokenCount": prompt, "candidatesTokenCount": 2, "totalTokenCount": prompt + 2 })
    );
    for name in ["maxOutputTokens", "max_output_tokens"] {
        let answer =
            mock.post(GENERATE, &ask(json!({ "generationConfig": { name: 1 } }))).await.json();
        assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
    }
}

#[tokio::test]
async fn both_streams_say_what_the_whole_answer_says() {
    let mock = mock("tokens=3").await;
    let events = events(&mock.post(STREAM, &ask(json!({}))).await);
    let array = mock.post(ARRAY, &ask(json!({}))).await;
    assert_eq!(array.header("content-type"), Some("application/json"));
    assert_eq!(array.chunks.len(), 4);
    let array = array.json().as_array().unwrap().clone();
    for events in [events, array] {
        assert_eq!(events.len(), 4);
        assert_eq!(texts(&events, false), "The toll is");
        assert_eq!(events[0]["candidates"][0].get("finishReason"), None);
        assert_eq!(events[3]["candidates"][0]["finishReason"], "STOP");
        assert_eq!(events[3]["usageMetadata"]["candidatesTokenCount"], 3);
        assert!(events.iter().all(|event| event["responseId"] == events[0]["responseId"]));
    }
}

async fn call(mock: &Mock, path: &str, more: Value) -> Value {
    let answer = mock.post(path, &ask(more)).await;
    let first = if path == STREAM { events(&answer)[0].clone() } else { answer.json() };
    parts(&first)[0].clone()
}

#[tokio::test]
async fn a_function_is_called_whole_and_streamed() {
    let mock = mock("").await;
    let google = schema(str::to_uppercase);
    let standard = schema(str::to_owned);
    for (member, parameters) in
        [("parameters", &google), ("parameters", &standard), ("parametersJsonSchema", &standard)]
    {
        let tools = json!([{ "googleSearch": {} },
            { "functionDeclarations": [{ "name": "weather", member: parameters }] }]);
        for path in [GENERATE, STREAM] {
            let part = call(&mock, path, json!({ "tools": tools })).await;
            assert_eq!(part["functionCall"]["name"], "weather");
            assert!(jsonschema::is_valid(&standard, &part["functionCall"]["args"]), "{part}");
        }
        let config = |config: Value| json!({ "functionCallingConfig": config });
        let called = json!({ "functionCall": { "name": "weather", "args": {} } });
        let response = json!({ "functionResponse": { "name": "weather", "response": {} } });
        for (more, calls) in [
            (json!({ "toolConfig": config(json!({ "mode": "NONE" })) }), false),
            (json!({ "toolConfig": config(json!({ "mode": "ANY" })) }), true),
            (
                json!({ "tool_config": config(json!({ "allowedFunctionNames": ["weather"] })) }),
                true,
            ),
            (json!({ "contents": [{ "parts": [called] }, { "parts": [response] }] }), false),
        ] {
            let part = call(&mock, GENERATE, with(json!({ "tools": tools }), more)).await;
            assert_eq!(part.get("functionCall").is_some(), calls, "{part}");
        }
    }
}

#[tokio::test]
async fn a_function_can_be_called_several_times_at_once() {
    let mock = mock("calls=2").await;
    let tools = json!([{ "functionDeclarations": [{ "name": "weather" }] }]);
    let whole = mock.post(GENERATE, &ask(json!({ "tools": tools }))).await.json();
    let stream = events(&mock.post(STREAM, &ask(json!({ "tools": tools }))).await);
    for events in [vec![whole], stream] {
        let parts = events.iter().flat_map(parts);
        assert_eq!(parts.filter(|part| part.get("functionCall").is_some()).count(), 2);
    }
}

#[tokio::test]
async fn thoughts_are_told_as_far_as_they_are_asked_for() {
    let mock = mock("tokens=2").await;
    let thinking = |config: Value| ask(json!({ "generationConfig": { "thinkingConfig": config } }));
    for (config, shown, counted) in [
        (json!({ "includeThoughts": true, "thinkingBudget": 512 }), true, Some(6)),
        (json!({ "include_thoughts": true, "thinking_level": "LOW" }), true, Some(6)),
        (json!({ "thinkingBudget": 512 }), false, Some(6)),
        (json!({ "thinkingBudget": 0, "includeThoughts": true }), false, None),
    ] {
        let whole = vec![mock.post(GENERATE, &thinking(config.clone())).await.json()];
        let stream = events(&mock.post(STREAM, &thinking(config)).await);
        for events in [whole, stream] {
            let thought = if shown { "Has the toll been paid?" } else { "" };
            assert_eq!(texts(&events, true), thought);
            assert_eq!(texts(&events, false), "The toll");
            let usage = &events.last().unwrap()["usageMetadata"];
            assert_eq!(usage["thoughtsTokenCount"].as_u64(), counted);
            assert_eq!(usage["candidatesTokenCount"], 2);
        }
    }
}

#[tokio::test]
async fn structured_output_satisfies_its_schema() {
    let mock = mock("").await;
    let standard = schema(str::to_owned);
    for (member, asked) in [
        ("responseSchema", schema(str::to_uppercase)),
        ("responseJsonSchema", standard.clone()),
        ("response_schema", schema(str::to_uppercase)),
    ] {
        let config = json!({ "responseMimeType": "application/json", member: asked });
        let answer = mock.post(GENERATE, &ask(json!({ "generationConfig": config }))).await.json();
        let text = texts(&[answer], false);
        assert!(jsonschema::is_valid(&standard, &serde_json::from_str(&text).unwrap()), "{text}");
    }
    let config = json!({ "responseMimeType": "application/json" });
    let answer = mock.post(GENERATE, &ask(json!({ "generationConfig": config }))).await.json();
    assert_eq!(texts(&[answer], false), r#"{"answer":"open"}"#);
}

#[tokio::test]
async fn a_text_has_the_vector_that_openai_s_endpoint_gives_it() {
    let mock = mock("").await;
    let body = json!({ "model": "mock", "input": "a", "dimensions": 7 });
    let openai = mock.post("/v1/embeddings", &body).await.json()["data"][0]["embedding"].clone();
    let one = |text: &str| json!({ "content": { "parts": [{ "text": text }] }, "outputDimensionality": 7 });
    let answer = mock.post("/v1beta/models/mock:embedContent", &one("a")).await.json();
    assert_eq!(answer["embedding"]["values"], openai);
    let batch = json!({ "requests": [one("b"), one("a")] });
    let path = "/v1beta/models/mock:batchEmbedContents";
    let answer = mock.post(path, &batch).await.json();
    assert_eq!(answer["embeddings"].as_array().unwrap().len(), 2);
    assert_ne!(answer["embeddings"][0]["values"], openai);
    assert_eq!(answer["embeddings"][1]["values"], openai);
    assert_eq!(answer["usageMetadata"]["promptTokenCount"], batch.to_string().len() / 4);
    for body in [json!({}), json!({ "requests": [{}] })] {
        assert_eq!(mock.post(path, &body).await.status, 400);
    }
}

#[tokio::test]
async fn tokens_are_counted_and_models_listed() {
    let mock = mock("").await;
    for body in [ask(json!({})), json!({ "generateContentRequest": ask(json!({})) })] {
        let answer = mock.post("/v1beta/models/mock:countTokens", &body).await.json();
        assert_eq!(answer["totalTokens"], body.to_string().len() / 4);
    }
    let list = mock.get("/v1beta/models?pageSize=50").await.json();
    assert_eq!(list["models"][1]["name"], "models/a/b");
    let model = mock.get("/v1beta/models/mock").await.json();
    assert_eq!(model["displayName"], "mock");
    assert_eq!(mock.get("/v1beta/models/other").await.json()["error"]["status"], "NOT_FOUND");
}

#[tokio::test]
async fn what_gemini_would_not_take_is_refused_in_its_words() {
    let mock = mock("").await;
    let part = |part: Value| json!({ "contents": [{ "role": "user", "parts": [part] }] });
    for (more, status) in [
        (part(json!({ "inlineData": { "mimeType": "image/png", "data": "iVBORw0K" } })), 200),
        (part(json!({ "inline_data": { "mime_type": "image/png", "data": "iVBORw0K" } })), 200),
        (part(json!({ "inlineData": { "data": "iVBORw0K" } })), 400),
        (json!({ "contents": [{ "role": "assistant", "parts": [] }] }), 400),
        (json!({ "contents": null }), 400),
        (json!({ "contents": [{ "role": "user", "parts": [] }] }), 400),
        (part(json!({ "functionResponse": { "name": "a", "response": {} } })), 400),
        (json!({ "labels": { "mock": "stauts=1" } }), 400),
    ] {
        let body = ask(more);
        let answer = mock.post(GENERATE, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        if status == 400 {
            let error = &answer.json()["error"];
            assert_eq!(
                (&error["code"], &error["status"]),
                (&json!(400), &json!("INVALID_ARGUMENT"))
            );
        }
    }
}
