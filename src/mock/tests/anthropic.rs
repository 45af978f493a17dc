//! Anthropic's messages, as a client reads them.

use serde_json::{Value, json};

use super::{headers, joined, mock, outline, request, with};

const MESSAGES: &str = "/v1/messages";

fn message(more: Value) -> Value {
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    with(json!({ "model": "mock", "max_tokens": 100, "messages": messages }), more)
}

fn weather() -> (Value, Value) {
    let schema = json!({ "type": "object", "required": ["city"],
        "properties": { "city": { "type": "string" } } });
    let tools = json!([{ "name": "other", "input_schema": {} },
        { "name": "weather", "input_schema": schema }]);
    let choice = json!({ "type": "tool", "name": "weather" });
    (schema, json!({ "tools": tools, "tool_choice": choice }))
}

#[tokio::test]
async fn a_message_is_answered_with_words_that_are_counted() {
    let mock = mock("tokens=5").await;
    let body = message(json!({}));
    let answer = mock.post(MESSAGES, &body).await;
    assert!(answer.header("request-id").unwrap().starts_with("req_mock"));
    let answer = answer.json();
    assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(answer["content"], json!([{ "type": "text", "text": "The toll is paid," }]));
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(answer["usage"]["input_tokens"], body.to_string().len() / 4);
    assert_eq!(answer["usage"]["output_tokens"], 5);
    let answer = mock.post(MESSAGES, &message(json!({ "max_tokens": 2 }))).await.json();
    assert_eq!(answer["content"][0]["text"], "The toll");
    assert_eq!(answer["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let mock = mock("").await;
    let whole = mock.post(MESSAGES, &message(json!({}))).await.json();
    let answer = mock.post(MESSAGES, &message(json!({ "stream": true }))).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = answer.named_events();
    assert_eq!(
        outline(&events),
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(json!(joined(&events, "/delta/text")), whole["content"][0]["text"]);
    assert_eq!(
        events[0].1["message"]["usage"]["input_tokens"].as_u64(),
        Some((message(json!({ "stream": true })).to_string().len() / 4) as u64)
    );
    let (_, end) = &events[events.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(end["usage"]["output_tokens"], 20);
}

#[tokio::test]
async fn a_tool_is_called_whole_and_streamed() {
    let mock = mock("").await;
    let (schema, tools) = weather();
    let whole = mock.post(MESSAGES, &message(tools.clone())).await.json();
    assert_eq!(whole["stop_reason"], "tool_use");
    let call = &whole["content"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("weather")));
    assert!(call["id"].as_str().unwrap().starts_with("toolu_mock"));
    assert!(jsonschema::is_valid(&schema, &call["input"]));

    let body = with(message(tools.clone()), json!({ "stream": true }));
    let events = mock.post(MESSAGES, &body).await.named_events();
    assert_eq!(events[1].1["content_block"]["name"], "weather");
    assert_eq!(joined(&events, "/delta/partial_json"), call["input"].to_string());
    assert_eq!(events[events.len() - 2].1["delta"]["stop_reason"], "tool_use");

    let result = json!([{ "type": "tool_result", "tool_use_id": call["id"], "content": "sunny" }]);
    let history = json!([{ "role": "assistant", "content": whole["content"] },
        { "role": "user", "content": result }]);
    for (more, kind) in [
        (json!({ "tool_choice": { "type": "none" } }), "text"),
        (json!({ "tool_choice": { "type": "any" } }), "tool_use"),
        (json!({ "messages": history }), "text"),
    ] {
        let answer = mock.post(MESSAGES, &with(message(tools.clone()), more)).await.json();
        assert_eq!(answer["content"][0]["type"], kind);
    }
}

#[tokio::test]
async fn a_tool_can_be_called_several_times_at_once() {
    let mock = mock("calls=3").await;
    let (_, tools) = weather();
    let whole = mock.post(MESSAGES, &message(tools.clone())).await.json();
    let calls = whole["content"].as_array().unwrap();
    assert_eq!(calls.len(), 3);
    assert!(calls[0]["id"] != calls[1]["id"] && calls[1]["id"] != calls[2]["id"]);
    let body = with(message(tools), json!({ "stream": true }));
    let events = mock.post(MESSAGES, &body).await.named_events();
    let arguments = r#"{"city":"text"}"#;
    assert_eq!(joined(&events, "/delta/partial_json"), arguments.repeat(3));
    let opened = events.iter().filter(|(name, _)| name == "content_block_start");
    let indices: Vec<&Value> = opened.map(|(_, data)| &data["index"]).collect();
    assert_eq!(indices, [0, 1, 2]);
    assert_eq!(whole["usage"]["output_tokens"], 12);
}

#[tokio::test]
async fn thoughts_are_told_where_they_are_asked_for() {
    let mock = mock("tokens=2").await;
    let thinking = json!({ "max_tokens": 2000,
        "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    let whole = mock.post(MESSAGES, &message(thinking.clone())).await.json();
    let thought = &whole["content"][0];
    assert_eq!(thought["type"], "thinking");
    assert_eq!(thought["thinking"], "Has the toll been paid?");
    assert_eq!(whole["content"][1]["text"], "The toll");
    assert_eq!(whole["usage"]["output_tokens"], 8);
    assert_eq!(whole["usage"]["output_tokens_details"]["thinking_tokens"], 6);

    let body = with(message(thinking), json!({ "stream": true }));
    let events = mock.post(MESSAGES, &body).await.named_events();
    assert_eq!(joined(&events, "/delta/thinking"), "Has the toll been paid?");
    assert_eq!(json!(joined(&events, "/delta/signature")), thought["signature"]);
    assert_eq!(joined(&events, "/delta/text"), "The toll");
    let indices: Vec<&Value> = events.iter().filter_map(|(_, data)| data.get("index")).collect();
    assert_eq!(indices, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);

    let disabled = json!({ "thinking": { "type": "disabled" } });
    let answer = mock.post(MESSAGES, &message(disabled)).await.json();
    assert_eq!(answer["content"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn structured_output_satisfies_its_schema() {
    let mock = mock("").await;
    let (schema, _) = weather();
    let format = json!({ "format": { "type": "json_schema", "schema": schema } });
    let answer = mock.post(MESSAGES, &message(json!({ "output_config": format }))).await.json();
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(jsonschema::is_valid(&schema, &serde_json::from_str(text).unwrap()), "{text}");
}

#[tokio::test]
async fn tokens_are_counted_and_models_listed() {
    let mock = mock("").await;
    let body = json!({ "model": "mock", "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = mock.post("/v1/messages/count_tokens", &body).await.json();
    assert_eq!(answer, json!({ "input_tokens": body.to_string().len() / 4 }));

    let version = "anthropic-version: 2023-06-01\r\n";
    let get = async |path| mock.exchange(request("GET", path, version, b"").as_bytes()).await;
    let list = get("/v1/models").await.json();
    assert_eq!((&list["first_id"], &list["last_id"]), (&json!("mock"), &json!("a/b")));
    assert_eq!(list["data"][1]["type"], "model");
    assert_eq!(get("/v1/models/a/b").await.json()["created_at"], "2026-01-01T00:00:00Z");
    let missing = get("/v1/models/other").await;
    assert_eq!(
        (missing.status, &missing.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
}

#[tokio::test]
async fn what_anthropic_would_not_take_is_refused_in_its_words() {
    let mock = mock("").await;
    let image = |source: Value| json!([{ "type": "image", "source": source }]);
    let data = json!({ "type": "base64", "media_type": "image/png", "data": "iVBORw0K" });
    let said =
        |role: &str, content: Value| json!({ "messages": [{ "role": role, "content": content }] });
    let call = |id: &str| said("assistant", json!([{ "type": "tool_use", "id": id, "name": "a" }]));
    let result = json!([{ "type": "tool_result", "tool_use_id": "b" }]);
    let thinks = |budget: u32, more: Value| {
        let thinking = json!({ "type": "enabled", "budget_tokens": budget });
        with(json!({ "max_tokens": 2000, "thinking": thinking }), more)
    };
    for (more, status) in [
        (json!({}), 200),
        (said("user", json!([{ "type": "text", "text": "" }])), 400),
        (said("assistant", json!([{ "type": "thinking", "thinking": "a" }])), 400),
        (call("b"), 400),
        (call("b.c"), 400),
        (said("user", result), 400),
        (thinks(1024, json!({})), 200),
        (thinks(1023, json!({})), 400),
        (thinks(2000, json!({})), 400),
        (thinks(1024, json!({ "temperature": 0.5 })), 400),
        (thinks(1024, json!({ "temperature": 1 })), 200),
        (thinks(1024, json!({ "tool_choice": { "type": "any" } })), 400),
        (json!({ "temperature": 1.5 }), 400),
        (said("assistant", json!("a")), 200),
        (said("user", image(data.clone())), 200),
        (said("user", image(json!({ "type": "url", "url": "https://a/b.png" }))), 200),
        (said("user", json!([{ "type": "image" }])), 400),
        (said("user", image(json!({ "type": "base64", "data": "iVBORw0K" }))), 400),
        (said("user", image(json!({ "type": "url" }))), 400),
        (said("user", json!({})), 400),
        (said("system", json!("a")), 400),
        (json!({ "max_tokens": null }), 400),
        (json!({ "model": null }), 400),
        (json!({ "messages": null }), 400),
        (json!({ "tool_choice": { "type": "tool", "name": "x" } }), 400),
    ] {
        let body = message(more);
        let answer = mock.post(MESSAGES, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        if status == 400 {
            let answer = answer.json();
            assert_eq!(answer["type"], "error");
            assert_eq!(answer["error"]["type"], "invalid_request_error");
        }
    }
}

#[tokio::test]
async fn the_echo_is_what_the_model_says() {
    let mock = mock("").await;
    let body = message(json!({})).to_string();
    let sent = request("POST", MESSAGES, &headers("echo"), body.as_bytes());
    let answer = mock.exchange(sent.as_bytes()).await.json();
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["body"], body);
}
