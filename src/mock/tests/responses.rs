//! OpenAI's responses, as a client reads them.

use serde_json::{Value, json};

use super::{joined, mock, outline, with};

const RESPONSES: &str = "/v1/responses";

fn ask(more: Value) -> Value {
    with(json!({ "model": "mock", "input": "Hi" }), more)
}

fn schema() -> Value {
    json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } })
}

#[tokio::test]
async fn a_request_is_answered_with_words_that_are_counted() {
    let mock = mock("tokens=2").await;
    let body = ask(json!({ "instructions": "Be brief.", "metadata": { "a": "b" } }));
    let answer = mock.post(RESPONSES, &body).await.json();
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    let item = &answer["output"][0];
    assert_eq!((&item["type"], &item["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(item["content"][0]["type"], "output_text");
    assert_eq!(item["content"][0]["text"], "The toll");
    assert_eq!(
        (&answer["instructions"], &answer["metadata"]),
        (&json!("Be brief."), &json!({ "a": "b" }))
    );
    assert_eq!((&answer["store"], &answer["tools"]), (&json!(true), &json!([])));
    let input = body.to_string().len() / 4;
    assert_eq!(answer["usage"]["input_tokens"], input);
    assert_eq!(answer["usage"]["output_tokens"], 2);
    assert_eq!(answer["usage"]["total_tokens"], input + 2);

    let answer = mock.post(RESPONSES, &ask(json!({ "max_output_tokens": 1 }))).await.json();
    assert_eq!(answer["status"], "incomplete");
    assert_eq!(answer["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let mock = mock("tokens=3").await;
    let events = mock.post(RESPONSES, &ask(json!({ "stream": true }))).await.named_events();
    assert_eq!(
        outline(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    for (number, (_, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
    }
    assert_eq!(joined(&events, "/delta"), "The toll is");
    assert_eq!(joined(&events, "/text"), "The toll is");
    let (_, last) = events.last().unwrap();
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "The toll is");
    assert_eq!(last["response"]["usage"]["output_tokens"], 3);
    assert_eq!(events[0].1["response"]["status"], "in_progress");
    assert_eq!(events[0].1["response"]["output"], json!([]));

    let body = ask(json!({ "stream": true, "max_output_tokens": 1 }));
    let events = mock.post(RESPONSES, &body).await.named_events();
    assert_eq!(events.last().unwrap().0, "response.incomplete");
}

#[tokio::test]
async fn a_tool_is_called_whole_and_streamed() {
    let mock = mock("").await;
    let tools = json!([{ "type": "web_search" },
        { "type": "function", "name": "weather", "parameters": schema() }]);
    let whole = mock.post(RESPONSES, &ask(json!({ "tools": tools }))).await.json();
    let call = &whole["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    let arguments = call["arguments"].as_str().unwrap();
    assert!(jsonschema::is_valid(&schema(), &serde_json::from_str(arguments).unwrap()));

    let body = ask(json!({ "tools": tools, "stream": true }));
    let events = mock.post(RESPONSES, &body).await.named_events();
    assert_eq!(
        outline(&events)[2..],
        [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    assert_eq!(joined(&events, "/delta"), arguments);
    let item = &events[2].1["item"];
    assert_eq!((&item["name"], &item["arguments"]), (&json!("weather"), &json!("")));
    let (_, done) = &events[events.len() - 2];
    assert_eq!((&done["item"]["id"], &done["item"]["arguments"]), (&item["id"], &json!(arguments)));

    let output =
        json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "sunny" });
    let history = json!([call, output]);
    for (more, kind) in [
        (json!({ "tool_choice": "none" }), "message"),
        (json!({ "tool_choice": "required" }), "function_call"),
        (json!({ "tool_choice": { "type": "function", "name": "weather" } }), "function_call"),
        (json!({ "input": history }), "message"),
        (json!({ "input": [output], "previous_response_id": "resp_1" }), "message"),
    ] {
        let body = with(ask(json!({ "tools": tools })), more);
        assert_eq!(mock.post(RESPONSES, &body).await.json()["output"][0]["type"], kind, "{body}");
    }
}

#[tokio::test]
async fn a_tool_can_be_called_several_times_at_once() {
    let mock = mock("calls=2").await;
    let tools = json!([{ "type": "function", "name": "weather", "parameters": schema() }]);
    let whole = mock.post(RESPONSES, &ask(json!({ "tools": tools }))).await.json();
    let calls = whole["output"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0]["call_id"], calls[1]["call_id"]);
    let body = ask(json!({ "tools": tools, "stream": true }));
    let events = mock.post(RESPONSES, &body).await.named_events();
    assert_eq!(joined(&events, "/delta"), r#"{"city":"text"}"#.repeat(2));
    let done = events.iter().filter(|(name, _)| name == "response.output_item.done");
    let indices: Vec<&Value> = done.map(|(_, data)| &data["output_index"]).collect();
    assert_eq!(indices, [0, 1]);
}

#[tokio::test]
async fn thoughts_are_told_as_far_as_they_are_asked_for() {
    let mock = mock("tokens=2").await;
    let answer =
        mock.post(RESPONSES, &ask(json!({ "reasoning": { "effort": "low" } }))).await.json();
    assert_eq!(answer["output"][0]["type"], "reasoning");
    assert_eq!(answer["output"][0]["summary"], json!([]));
    assert_eq!(answer["output"][1]["content"][0]["text"], "The toll");
    assert_eq!(answer["usage"]["output_tokens"], 8);
    assert_eq!(answer["usage"]["output_tokens_details"]["reasoning_tokens"], 6);
    let answer =
        mock.post(RESPONSES, &ask(json!({ "reasoning": { "effort": "none" } }))).await.json();
    assert_eq!(answer["output"].as_array().unwrap().len(), 1);

    let reasoning = json!({ "effort": "low", "summary": "auto" });
    let include = json!(["reasoning.encrypted_content"]);
    let body = ask(json!({ "reasoning": reasoning, "include": include, "stream": true }));
    let events = mock.post(RESPONSES, &body).await.named_events();
    assert_eq!(
        outline(&events)[2..9],
        [
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added"
        ]
    );
    assert_eq!(joined(&events, "/delta"), "Has the toll been paid?The toll");
    let (_, last) = events.last().unwrap();
    let thought = &last["response"]["output"][0];
    assert_eq!(thought["summary"][0]["text"], "Has the toll been paid?");
    assert_eq!(thought["encrypted_content"], "bW9jayB0aG91Z2h0");
    let texts = events.iter().filter(|(name, _)| name == "response.output_text.delta");
    assert!(texts.clone().count() == 2 && texts.clone().all(|(_, data)| data["output_index"] == 1));
}

#[tokio::test]
async fn structured_output_satisfies_its_schema() {
    let mock = mock("").await;
    for (format, schema) in [
        (json!({ "type": "json_schema", "name": "x", "schema": schema() }), schema()),
        (json!({ "type": "json_object" }), json!({ "type": "object" })),
    ] {
        let body = ask(json!({ "text": { "format": format } }));
        let answer = mock.post(RESPONSES, &body).await.json();
        let text = answer["output"][0]["content"][0]["text"].as_str().unwrap();
        assert!(jsonschema::is_valid(&schema, &serde_json::from_str(text).unwrap()), "{text}");
    }
}

#[tokio::test]
async fn what_openai_would_not_take_is_refused_in_its_words() {
    let mock = mock("").await;
    let part = |part: Value| json!({ "input": [{ "role": "user", "content": [part] }] });
    let image = json!({ "type": "input_image", "image_url": "data:image/png;base64,iVBORw0K" });
    for (more, param) in [
        (json!({}), None),
        (part(image), None),
        (part(json!({ "type": "input_image", "detail": "auto" })), Some("input")),
        (json!({ "input": [{ "role": "tool", "content": "a" }] }), Some("input")),
        (json!({ "input": [{ "type": "function_call_output", "call_id": "a" }] }), Some("input")),
        (json!({ "input": [{ "type": "function_call", "id": "call_a" }] }), Some("input")),
        (json!({ "input": [{ "type": "function_call", "id": "fc_a" }] }), None),
        (json!({ "input": null }), Some("input")),
        (json!({ "input": {} }), Some("input")),
        (json!({ "model": null }), Some("model")),
        (json!({ "tools": {} }), Some("tools")),
        (json!({ "text": { "format": { "type": "x" } } }), Some("text")),
        (json!({ "max_output_tokens": "a" }), Some("max_output_tokens")),
        (json!({ "metadata": { "mock": "stauts=1" } }), Some("metadata")),
    ] {
        let body = ask(more);
        let answer = mock.post(RESPONSES, &body).await;
        let status = if param.is_some() { 400 } else { 200 };
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"].as_str(), param, "{body}");
    }
}
