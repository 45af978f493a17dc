//! Each endpoint's answer, as a client reads it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Answer, Mock, mock, request};

const CHAT: &str = "/v1/chat/completions";

fn chat(more: Value) -> Value {
    let mut body = json!({ "model": "mock", "messages": [{ "role": "user", "content": "Hi" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// What a stream's events say, joined: one text a choice.
fn joined(events: &[Value], piece: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for choice in events.iter().filter_map(|event| event["choices"].get(0)) {
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        texts.resize(texts.len().max(index + 1), String::new());
        texts[index].push_str(choice.pointer(piece).and_then(Value::as_str).unwrap_or_default());
    }
    texts
}

#[tokio::test]
async fn a_chat_is_answered_with_words_that_are_counted() {
    let mock = mock("").await;
    let body = chat(json!({ "n": 2 }));
    let answer = mock.post(CHAT, &body).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert!(answer.header("x-request-id").unwrap().starts_with("req_mock"));
    let answer = answer.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "mock");
    let content = answer["choices"][1]["message"]["content"].as_str().unwrap();
    assert!(content.starts_with("The toll is paid, the gate is open"), "{content}");
    assert_eq!(answer["choices"][1]["finish_reason"], "stop");
    let prompt = body.to_string().len() / 4;
    assert_eq!(answer["usage"]["prompt_tokens"], prompt);
    assert_eq!(answer["usage"]["completion_tokens"], 40);
    assert_eq!(answer["usage"]["total_tokens"], prompt + 40);
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let mock = mock("").await;
    let whole = mock.post(CHAT, &chat(json!({}))).await.json();
    let options = json!({ "stream": true, "n": 2, "stream_options": { "include_usage": true } });
    let answer = mock.post(CHAT, &chat(options)).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.complete);
    let events = answer.event_values();
    assert_eq!(events.len(), 2 + 2 * 20 + 2 + 1);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(joined(&events, "/delta/content"), [content, content]);
    let usage = events.last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 40);
    assert!(events.iter().rev().skip(1).all(|event| event["usage"].is_null()));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
}

#[tokio::test]
async fn usage_is_streamed_only_where_it_is_asked_for() {
    let mock = mock("").await;
    let events = mock.post(CHAT, &chat(json!({ "stream": true }))).await.event_values();
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_tool_is_called_whole_and_streamed() {
    let mock = mock("").await;
    let schema = json!({ "type": "object", "required": ["city"],
        "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
    let tools = json!([{ "type": "function",
        "function": { "name": "weather", "parameters": schema } }]);
    let whole = mock.post(CHAT, &chat(json!({ "tools": tools }))).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather");
    let arguments = call["function"]["arguments"].as_str().unwrap();
    assert!(jsonschema::is_valid(&schema, &serde_json::from_str(arguments).unwrap()));

    let answer = mock.post(CHAT, &chat(json!({ "tools": tools, "stream": true }))).await;
    let events = answer.event_values();
    let first = &events[0]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(first["function"]["name"], "weather");
    assert!(first["id"].as_str().unwrap().starts_with("call_mock"));
    assert_eq!(joined(&events, "/delta/tool_calls/0/function/arguments"), [arguments]);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_tool_can_be_called_several_times_at_once() {
    let mock = mock("calls=3").await;
    let tools = json!([{ "type": "function", "function": { "name": "weather" } }]);
    let whole = mock.post(CHAT, &chat(json!({ "tools": tools }))).await.json();
    let calls = whole["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 3);
    assert_ne!(calls[1]["id"], calls[2]["id"]);
    let body = chat(json!({ "tools": tools, "stream": true }));
    let events = mock.post(CHAT, &body).await.event_values();
    let called = |event: &Value| event["choices"][0]["delta"]["tool_calls"][0].clone();
    let opened: Vec<Value> =
        events.iter().map(called).filter(|call| call["id"].is_string()).collect();
    let indices: Vec<&Value> = opened.iter().map(|call| &call["index"]).collect();
    assert_eq!(indices, [0, 1, 2]);
    assert_eq!(joined(&events, "/delta/tool_calls/0/function/arguments"), ["{}{}{}"]);
}

#[tokio::test]
async fn structured_output_satisfies_its_schema() {
    let mock = mock("").await;
    let schema = json!({ "type": "object", "additionalProperties": false,
        "required": ["name", "tags"],
        "properties": { "name": { "type": "string" },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "minItems": 2 } } });
    let format = json!({ "type": "json_schema",
        "json_schema": { "name": "x", "strict": true, "schema": schema } });
    let answer = mock.post(CHAT, &chat(json!({ "response_format": format }))).await.json();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(jsonschema::is_valid(&schema, &serde_json::from_str(content).unwrap()), "{content}");
}

#[tokio::test]
async fn a_completion_is_answered_whole_and_streamed() {
    let mock = mock("tokens=5").await;
    let body = json!({ "model": "mock", "prompt": "Hi" });
    let whole = mock.post("/v1/completions", &body).await.json();
    assert_eq!(whole["object"], "text_completion");
    assert_eq!(whole["choices"][0]["text"], "The toll is paid,");
    assert_eq!(whole["usage"]["completion_tokens"], 5);
    let body = json!({ "model": "mock", "prompt": "Hi", "stream": true });
    let events = mock.post("/v1/completions", &body).await.event_values();
    assert_eq!(events.len(), 6);
    assert_eq!(joined(&events, "/text"), ["The toll is paid,"]);
    assert_eq!(events[5]["choices"][0]["finish_reason"], "stop");
}

async fn vectors(mock: &Mock, input: Value, more: Value) -> Vec<Value> {
    let mut body = json!({ "model": "mock", "input": input });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = mock.post("/v1/embeddings", &body).await.json();
    assert_eq!(answer["usage"]["total_tokens"], body.to_string().len() / 4);
    answer["data"].as_array().unwrap().iter().map(|item| item["embedding"].clone()).collect()
}

fn floats(vector: &Value) -> Vec<f64> {
    vector.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn embeddings_are_unit_vectors_of_their_texts() {
    let mock = mock("").await;
    let one = vectors(&mock, json!("a"), json!({})).await;
    let three = vectors(&mock, json!(["b", "a", "b"]), json!({})).await;
    assert_eq!((one.len(), three.len()), (1, 3));
    assert_eq!(one[0], three[1]);
    assert_eq!(three[0], three[2]);
    assert_ne!(three[0], three[1]);
    let values = floats(&one[0]);
    assert_eq!(values.len(), 1536);
    let norm: f64 = values.iter().map(|value| value * value).sum();
    assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    assert_eq!(vectors(&mock, json!([1, 2, 3]), json!({})).await.len(), 1);
    assert_eq!(vectors(&mock, json!([[1, 2], [3]]), json!({})).await.len(), 2);
}

#[tokio::test]
async fn embeddings_come_in_either_encoding_and_any_length() {
    let mock = mock("").await;
    let list = vectors(&mock, json!("a"), json!({ "dimensions": 70 })).await;
    let more = json!({ "dimensions": 70, "encoding_format": "base64" });
    let packed = vectors(&mock, json!("a"), more).await;
    let bytes = BASE64_STANDARD.decode(packed[0].as_str().unwrap()).unwrap();
    let unpack = |four: &[u8]| f64::from(f32::from_le_bytes(four.try_into().unwrap()));
    let unpacked: Vec<f64> = bytes.chunks(4).map(unpack).collect();
    assert_eq!(unpacked.len(), 70);
    for (one, other) in floats(&list[0]).iter().zip(&unpacked) {
        assert!((one - other).abs() < 1e-6);
    }
}

#[tokio::test]
async fn texts_are_moderated_and_ranked() {
    let mock = mock("").await;
    let body = json!({ "input": ["good", "mock-flag"] });
    let results = &mock.post("/v1/moderations", &body).await.json()["results"];
    assert_eq!((&results[0]["flagged"], &results[1]["flagged"]), (&json!(false), &json!(true)));
    assert_eq!(results[1]["categories"]["violence"], true);

    let documents = json!(["sea and sky", { "text": "the toll gate" }, "a gate"]);
    let body = json!({ "model": "mock", "query": "Toll gate?", "documents": documents,
        "top_n": 2, "return_documents": true });
    let answer = mock.post("/v1/rerank", &body).await.json();
    assert_eq!(
        answer["results"],
        json!([
            { "index": 1, "relevance_score": 1.0, "document": { "text": "the toll gate" } },
            { "index": 2, "relevance_score": 0.5, "document": { "text": "a gate" } },
        ])
    );
}

#[tokio::test]
async fn images_and_sounds_are_made() {
    let mock = mock("").await;
    let body = json!({ "model": "mock", "prompt": "a dot", "n": 2 });
    let answer = mock.post("/v1/images/generations", &body).await.json();
    let image = BASE64_STANDARD.decode(answer["data"][1]["b64_json"].as_str().unwrap()).unwrap();
    assert!(image.starts_with(b"\x89PNG"));
    let body = json!({ "model": "mock", "prompt": "a dot", "response_format": "url" });
    let answer = mock.post("/v1/images/generations", &body).await.json();
    assert_eq!(answer["data"][0]["url"], "https://mock.invalid/dot.png");

    for (format, content_type, start) in [
        ("mp3", "audio/mpeg", &b"\xff\xfb"[..]),
        ("wav", "audio/wav", b"RIFF"),
        ("pcm", "audio/pcm", b"\0\0"),
    ] {
        let body =
            json!({ "model": "mock", "input": "Hi", "voice": "x", "response_format": format });
        let answer = mock.post("/v1/audio/speech", &body).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert!(answer.chunks.concat().starts_with(start), "{format}");
    }
}

/// A multipart form with these fields and one file, sent to a path.
async fn upload(mock: &Mock, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut body = String::new();
    for (name, value) in fields {
        body += "--XyZ\r\ncontent-disposition: form-data; ";
        body += &format!("name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    body += "--XyZ--\r\n";
    let headers = "Content-Type: multipart/form-data; boundary=XyZ\r\n";
    mock.exchange(request("POST", path, headers, body.as_bytes()).as_bytes()).await
}

#[tokio::test]
async fn recordings_are_heard() {
    let mock = mock("").await;
    let file = ("file", "RIFF\r\n\r\n...");
    for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        let answer = upload(&mock, path, &[("model", "mock"), file]).await;
        assert_eq!(answer.json()["text"], "The toll is paid, the gate is open.");
    }
    let fields = [("response_format", "text"), ("model", "mock"), file];
    let answer = upload(&mock, "/v1/audio/transcriptions", &fields).await;
    assert_eq!(answer.text(), "The toll is paid, the gate is open.\n");
    for (fields, lacking) in [(&[file][..], "model"), (&[("model", "mock")], "file")] {
        let answer = upload(&mock, "/v1/audio/transcriptions", fields).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(lacking)));
    }
}

#[tokio::test]
async fn models_are_listed() {
    let mock = mock("").await;
    let answer = mock.get("/v1/models").await.json();
    let ids: Vec<&Value> = answer["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(ids, ["mock", "a/b"]);
    assert_eq!(mock.get("/v1/models/a/b?x=1").await.json()["id"], "a/b");
    let answer = mock.get("/v1/models/other").await;
    let code = &answer.json()["error"]["code"];
    assert_eq!((answer.status, code), (404, &json!("model_not_found")));
    assert_eq!(mock.get("/health").await.json(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let mock = mock("").await;
    let vector = json!({ "model": "m", "input": "a", "dimensions": 0 });
    for (path, body, status, param) in [
        ("/v1/other", json!({}), 404, Value::Null),
        ("/v1/models", json!({}), 405, Value::Null),
        (CHAT, json!([]), 400, Value::Null),
        (CHAT, json!({ "messages": [] }), 400, json!("model")),
        (CHAT, json!({ "model": "m" }), 400, json!("messages")),
        (CHAT, chat(json!({ "n": 0 })), 400, json!("n")),
        (CHAT, chat(json!({ "model": 1 })), 400, json!("model")),
        ("/v1/completions", json!({ "model": "m" }), 400, json!("prompt")),
        ("/v1/embeddings", json!({ "model": "m" }), 400, json!("input")),
        ("/v1/embeddings", json!({ "model": "m", "input": {} }), 400, json!("input")),
        ("/v1/embeddings", vector, 400, json!("dimensions")),
        ("/v1/moderations", json!({}), 400, json!("input")),
        ("/v1/images/generations", json!({}), 400, json!("prompt")),
        ("/v1/audio/speech", json!({ "model": "m" }), 400, json!("input")),
        ("/v1/rerank", json!({ "model": "m" }), 400, json!("query")),
    ] {
        let answer = mock.post(path, &body).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["param"]), (status, &param), "{path} {body}");
        assert_eq!(error["type"], "invalid_request_error");
    }
}
