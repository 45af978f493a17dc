//! What is said in a dialect is kept as chat messages, and comes back in any.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Dialect, Members, answer_by_name, answer_tokens, beside, completed, frame, said};

fn kept(dialect: Dialect, body: &Value) -> Value {
    let text = body.to_string();
    let members = Members::parse(text.as_bytes()).unwrap();
    serde_json::from_str(&said(dialect, &members).unwrap().unwrap().text).unwrap()
}

fn filled(dialect: Dialect, body: &Value, conversation: &Value) -> Value {
    let text = Bytes::from(body.to_string());
    let members = Members::parse(&text).unwrap();
    let around = frame(dialect, &text, &members).unwrap();
    let conversation = conversation.to_string();
    let framed = [&*around.before, &conversation, &around.behind].concat();
    let done = completed(dialect, &text, &members, (&around, framed)).unwrap();
    let place = &done.body[done.conversation];
    assert!(place.starts_with(b"[") && place.ends_with(b"]"), "{done:?}", done = done.body);
    serde_json::from_slice(&done.body).unwrap()
}

#[test]
fn new_messages_are_kept_as_a_chats() {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    for (dialect, body) in [
        (Dialect::Chat, json!({"messages": hi})),
        (Dialect::Anthropic, json!({"system": "Own.", "max_tokens": 9, "messages": hi})),
        (
            Dialect::Anthropic,
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}),
        ),
        (
            Dialect::Gemini,
            json!({"systemInstruction": {"parts": [{"text": "Own."}]}, "contents": [{"parts": [{"text": "Hi"}]}]}),
        ),
        (Dialect::Responses, json!({"instructions": "Own.", "input": "Hi"})),
        (Dialect::Responses, json!({"input": hi})),
    ] {
        assert_eq!(kept(dialect, &body), hi, "{body}");
    }
    for dialect in Dialect::ALL {
        let name = super::messages_member(dialect);
        assert_eq!(kept(dialect, &json!({ name: [] })), json!([]));
        assert!(said(dialect, &Members::parse(b"{}").unwrap()).unwrap().is_none());
        let wrong = json!({name: [{"role": "nobody", "content": "x", "parts": []}]}).to_string();
        let members = Members::parse(wrong.as_bytes()).unwrap();
        // A chat's messages are read where they are kept.
        assert_eq!(said(dialect, &members).is_ok(), dialect == Dialect::Chat, "{dialect:?}");
    }
}

#[test]
fn a_conversation_takes_the_place_of_the_new_messages_and_nothing_elses() {
    let conversation = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]);
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    for (dialect, list) in [
        (Dialect::Chat, conversation.clone()),
        (
            Dialect::Anthropic,
            json!([{"role": "user", "content": text("a")}, {"role": "assistant", "content": text("b")}, {"role": "user", "content": text("c")}]),
        ),
        (
            Dialect::Gemini,
            json!([{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}, {"role": "user", "parts": [{"text": "c"}]}]),
        ),
    ] {
        let name = super::messages_member(dialect);
        let mut body = json!({"context": {"id": "c"}, "unknown": [1], name: []});
        let got = filled(dialect, &body, &conversation);
        body[name] = list;
        body.as_object_mut().unwrap().remove("context");
        assert_eq!(got, body, "{dialect:?}");
    }
    let body = json!({"input": "c", "instructions": "Own.", "store": true, "conversation": "c"});
    let got = filled(Dialect::Responses, &body, &conversation);
    assert_eq!((&got["instructions"], &got["store"]), (&json!("Own."), &json!(false)));
    assert!(got.get("conversation").is_none(), "{got}");
    assert_eq!(kept(Dialect::Responses, &got), conversation);
}

#[test]
fn instructions_of_both_are_said() {
    let conversation =
        json!([{"role": "system", "content": "Kept."}, {"role": "user", "content": "a"}]);
    let got = filled(Dialect::Anthropic, &json!({"system": "Own.", "messages": []}), &conversation);
    let texts: Vec<_> = got["system"].as_array().unwrap().iter().map(|b| &b["text"]).collect();
    assert_eq!(texts, ["Own.", "Kept."]);
    let body = json!({"system_instruction": {"parts": [{"text": "Own."}]}, "contents": []});
    let got = filled(Dialect::Gemini, &body, &conversation);
    let parts = json!([{"text": "Own."}, {"text": "Kept."}]);
    assert_eq!(got["systemInstruction"]["parts"], parts);
    assert!(got.get("system_instruction").is_none(), "{got}");
    let body = json!({"instructions": "Own.", "input": []});
    let got = filled(Dialect::Responses, &body, &conversation);
    assert_eq!(
        (&got["instructions"], &got["input"][0]["role"]),
        (&json!("Own."), &json!("system"))
    );
}

#[test]
fn calls_and_results_keep_their_ids() {
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let conversation = json!([
        {"role": "user", "content": "do"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]);
    for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::Responses] {
        let name = super::messages_member(dialect);
        let got = kept(dialect, &filled(dialect, &json!({ name: [] }), &conversation));
        assert_eq!(got[1]["tool_calls"][0]["id"], got[2]["tool_call_id"], "{dialect:?}: {got}");
        assert_eq!(got[2]["content"], "42", "{dialect:?}: {got}");
    }
    // Gemini's clients may name only the function.
    let body = json!({"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {"output": "42"}}}]}]});
    let result = kept(Dialect::Gemini, &body)[0].to_string();
    let other = json!({"role": "tool", "tool_call_id": "x", "content": "1"}).to_string();
    let calls = conversation[1].to_string();
    let got = answer_by_name(&calls, &[&other, &result, &result]).unwrap();
    let ids: Vec<Value> = got.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let ids: Vec<_> = ids.iter().map(|result| &result["tool_call_id"]).collect();
    assert_eq!(ids, ["x", "call_1", "f"], "a call is answered once");
}

#[test]
fn room_is_left_for_the_answer_and_what_stands_beside() {
    for (dialect, body, room, count) in [
        (Dialect::Chat, json!({"max_tokens": 5, "tools": []}), Some(5), 1),
        (Dialect::Chat, json!({"max_tokens": 5, "max_completion_tokens": 6}), Some(6), 0),
        (Dialect::Anthropic, json!({"max_tokens": 5, "system": "x", "tools": []}), Some(5), 2),
        (Dialect::Responses, json!({"max_output_tokens": 5, "instructions": "x"}), Some(5), 1),
        (Dialect::Gemini, json!({"generationConfig": {"maxOutputTokens": 5}}), Some(5), 0),
        (Dialect::Gemini, json!({"generationConfig": {}, "systemInstruction": {}}), None, 1),
    ] {
        let text = body.to_string();
        let members = Members::parse(text.as_bytes()).unwrap();
        assert_eq!(answer_tokens(dialect, &members), room, "{body}");
        assert_eq!(beside(dialect, &members).count(), count, "{body}");
    }
}
