//! Bedrock's Converse, as a client reads it.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use serde_json::{Value, json};

use super::{Answer, Mock, joined, mock, outline, request, with};

const WHOLE: &str = "/model/us.anthropic.claude-x-v1%3A0/converse";
const STREAM: &str = "/model/us.anthropic.claude-x-v1%3A0/converse-stream";

fn ask(more: Value) -> Value {
    with(json!({ "messages": [{ "role": "user", "content": [{ "text": "Hi" }] }] }), more)
}

fn weather() -> (Value, Value) {
    let schema = json!({ "type": "object", "required": ["city"],
        "properties": { "city": { "type": "string" } } });
    let spec = |name: &str, schema: &Value| json!({ "toolSpec": { "name": name, "inputSchema": { "json": schema } } });
    let tools = json!([spec("other", &json!({})), spec("weather", &schema)]);
    let choice = json!({ "tool": { "name": "weather" } });
    (schema, json!({ "toolConfig": { "tools": tools, "toolChoice": choice } }))
}

impl Mock {
    /// A POST with an API key.
    async fn converse(&self, path: &str, body: &Value) -> Answer {
        self.authorized("Bearer key", path, body).await
    }

    async fn authorized(&self, authorization: &str, path: &str, body: &Value) -> Answer {
        let header = format!("authorization: {authorization}\r\n");
        self.exchange(request("POST", path, &header, body.to_string().as_bytes()).as_bytes()).await
    }
}

/// Kinds and payloads of a stream's events; each must have come as an HTTP chunk of its own.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    answer.chunks.iter().map(|chunk| event(chunk).expect("a whole frame")).collect()
}

/// One event; `None` where its frame cannot be read.
fn event(chunk: &[u8]) -> Option<(String, Value)> {
    let mut bytes = chunk;
    let Ok(DecodedFrame::Complete(message)) = MessageFrameDecoder::new().decode_frame(&mut bytes)
    else {
        return None;
    };
    assert!(bytes.is_empty(), "more than one frame");
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name);
        found.map(|header| header.value().as_string().unwrap().as_str().to_owned())
    };
    let kinds = format!(":{}-type", header(":message-type").unwrap());
    Some((header(&kinds).unwrap(), serde_json::from_slice(message.payload()).unwrap()))
}

#[tokio::test]
async fn a_message_is_answered_with_words_that_are_counted() {
    let mock = mock("tokens=5").await;
    let body = ask(json!({}));
    let answer = mock.converse(WHOLE, &body).await;
    assert!(answer.header("x-amzn-requestid").unwrap().starts_with("req_mock"));
    let answer = answer.json();
    let message = json!({ "role": "assistant", "content": [{ "text": "The toll is paid," }] });
    assert_eq!(answer["output"]["message"], message);
    assert_eq!(answer["stopReason"], "end_turn");
    let input = body.to_string().len() / 4;
    assert_eq!(answer["usage"]["inputTokens"], input);
    assert_eq!(answer["usage"]["totalTokens"], input + 5);
    let limit = json!({ "inferenceConfig": { "maxTokens": 2 } });
    let answer = mock.converse(WHOLE, &ask(limit)).await.json();
    assert_eq!(answer["output"]["message"]["content"][0]["text"], "The toll");
    assert_eq!(answer["stopReason"], "max_tokens");
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let mock = mock("").await;
    let whole = mock.converse(WHOLE, &ask(json!({}))).await.json();
    let answer = mock.converse(STREAM, &ask(json!({}))).await;
    assert_eq!(answer.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let events = events(&answer);
    let kinds =
        ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
    assert_eq!(outline(&events), kinds);
    let text = &whole["output"]["message"]["content"][0]["text"];
    assert_eq!(joined(&events, "/delta/text"), *text);
    assert_eq!(events[events.len() - 2].1["stopReason"], "end_turn");
    assert_eq!(events[events.len() - 1].1["usage"], whole["usage"]);
}

#[tokio::test]
async fn a_tool_is_called_whole_and_streamed() {
    let mock = mock("calls=2").await;
    let (schema, tools) = weather();
    let whole = mock.converse(WHOLE, &ask(tools.clone())).await.json();
    assert_eq!(whole["stopReason"], "tool_use");
    let message = &whole["output"]["message"];
    let calls = message["content"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["toolUse"]["name"]), (2, &json!("weather")));
    assert!(jsonschema::is_valid(&schema, &calls[0]["toolUse"]["input"]));
    let events = events(&mock.converse(STREAM, &ask(tools.clone())).await);
    let opened = events.iter().filter(|(kind, _)| kind == "contentBlockStart");
    let opened: Vec<&Value> = opened.map(|(_, data)| &data["contentBlockIndex"]).collect();
    assert_eq!(opened, [0, 1]);
    let arguments = calls[0]["toolUse"]["input"].to_string();
    assert_eq!(joined(&events, "/delta/toolUse/input"), arguments.repeat(2));

    let result = |call: &Value| {
        json!({ "toolResult": { "toolUseId": call["toolUse"]["toolUseId"],
        "content": [{ "text": "sunny" }] } })
    };
    let results: Vec<Value> = calls.iter().map(result).collect();
    let history = json!([{ "role": "user", "content": [{ "text": "Hi" }] }, message,
        { "role": "user", "content": results }]);
    let body = with(ask(tools), json!({ "messages": history }));
    let answer = mock.converse(WHOLE, &body).await.json();
    assert_eq!(answer["stopReason"], "end_turn", "{answer}");
}

#[tokio::test]
async fn a_thought_and_a_schema_are_obeyed() {
    let mock = mock("").await;
    let (schema, _) = weather();
    let format = json!({ "type": "json_schema", "structure": { "jsonSchema": { "schema": schema.to_string() } } });
    let thinking = json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    let body = ask(json!({ "outputConfig": { "textFormat": format },
        "additionalModelRequestFields": thinking, "inferenceConfig": { "maxTokens": 2000 } }));
    let whole = mock.converse(WHOLE, &body).await.json();
    let content = &whole["output"]["message"]["content"];
    let thought = &content[0]["reasoningContent"]["reasoningText"];
    assert_eq!(thought["text"], "Has the toll been paid?");
    let said: Value = serde_json::from_str(content[1]["text"].as_str().unwrap()).unwrap();
    assert!(jsonschema::is_valid(&schema, &said));
    let events = events(&mock.converse(STREAM, &body).await);
    assert_eq!(joined(&events, "/delta/reasoningContent/text"), "Has the toll been paid?");
    assert_eq!(json!(joined(&events, "/delta/reasoningContent/signature")), thought["signature"]);
}

#[tokio::test]
async fn what_bedrock_refuses_is_refused() {
    let mock = mock("").await;
    let content =
        |content: Value| ask(json!({ "messages": [{ "role": "user", "content": content }] }));
    let call = json!({ "toolUse": { "toolUseId": "a", "name": "f", "input": {} } });
    let (user, assistant) = (
        json!({ "role": "user", "content": [{ "text": "Hi" }] }),
        json!({ "role": "assistant", "content": [call] }),
    );
    let picture = |format: &str, bytes: &str| {
        content(json!([{ "image": { "format": format, "source": { "bytes": bytes } } }]))
    };
    let document = json!({ "format": "pdf", "name": "a_b.pdf", "source": { "bytes": "AAAA" } });
    for (body, told) in [
        (json!({}), "messages"),
        (ask(json!({ "messages": [assistant] })), "begin with the user"),
        (ask(json!({ "messages": [user, user] })), "alternate"),
        (ask(json!({ "messages": [user, assistant] })), "has no result"),
        (content(json!([])), "is empty"),
        (content(json!([{ "text": " " }])), "A blank text"),
        (content(json!([{ "text": "a", "cachePoint": {} }])), "not the JSON"),
        (content(json!([{ "input_text": "a" }])), "not the JSON"),
        (picture("image/png", "AAAA"), "A medium"),
        (picture("png", "data:image/png;base64,AAAA"), "A medium"),
        (content(json!([{ "document": document }])), "A document"),
        (ask(json!({ "inferenceConfig": { "temperature": 1.5 } })), "temperature"),
        (ask(json!({ "toolConfig": { "tools": [] } })), "must not be empty"),
    ] {
        let answer = mock.converse(WHOLE, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.header("x-amzn-errortype"), Some("ValidationException"));
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(told), "{body}: {message}");
    }
}

/// The `Authorization` of AWS's example key, and the date that belongs to it.
fn signature(path: &str, body: &str) -> (String, String) {
    let keys = Credentials::new(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        None,
        None,
        "test",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&keys)
        .region("us-east-1")
        .name("bedrock")
        .time(std::time::SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let signable = SignableRequest::new(
        "POST",
        format!("http://mock{path}"),
        std::iter::once(("host", "mock")),
        SignableBody::Bytes(body.as_bytes()),
    );
    let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
    let header = |wanted: &str| {
        let found = instructions.headers().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.to_owned()).unwrap()
    };
    (header("authorization"), header("x-amz-date"))
}

#[tokio::test]
async fn a_signature_must_be_there_and_right() {
    let mock = mock("").await;
    let body = ask(json!({}));
    let (authorization, date) = signature(WHOLE, &body.to_string());
    let dated = |authorization: &str, date: &str| format!("{authorization}\r\nx-amz-date: {date}");
    let right = dated(&authorization, &date);
    assert_eq!(mock.authorized(&right, WHOLE, &body).await.status, 200);
    // What another key signed cannot be verified.
    let unknown = right.replace("AKIDEXAMPLE", "AKIDOTHER");
    assert_eq!(mock.authorized(&unknown, WHOLE, &body).await.status, 200);
    assert_eq!(mock.post(WHOLE, &body).await.status, 403);
    for (wrong, told) in [
        (right.replace("us-east-1", "us-east-2"), "not that of the request"),
        (right.replace("/bedrock/", "/s3/"), "service"),
        (right.replace("SignedHeaders=host;x-amz-date", "SignedHeaders=host"), "must be signed"),
        (dated(&authorization, "20200101T000000Z"), "this day"),
        (dated(&authorization, "yesterday"), "X-Amz-Date"),
        ("AWS4-HMAC-SHA256 Credential=a".to_owned(), "no signature"),
        ("Bearer ".to_owned(), "no signature"),
    ] {
        let answer = mock.authorized(&wrong, WHOLE, &body).await;
        assert_eq!(answer.header("x-amzn-errortype"), Some("AccessDeniedException"), "{wrong}");
        assert!(answer.text().contains(told), "{wrong}: {}", answer.text());
    }
    for (path, body) in [(STREAM, body), (WHOLE, ask(json!({ "system": [] })))] {
        let answer = mock.authorized(&right, path, &body).await;
        assert!(answer.text().contains("not that of the request"), "{path}: {}", answer.text());
    }
}

/// A stream of three tokens, with settings for it.
async fn faulty(settings: &str) -> Answer {
    let body = ask(json!({ "inferenceConfig": { "maxTokens": 3 },
        "requestMetadata": { "mock": settings } }));
    mock("").await.converse(STREAM, &body).await
}

#[tokio::test]
async fn faults_are_those_of_the_dialect() {
    for (status, kind) in
        [(401, "AccessDenied"), (424, "ModelError"), (429, "Throttling"), (529, "InternalServer")]
    {
        let answer = faulty(&format!("status={status};header=retry-after=3")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (status, Some("3")));
        let kind = format!("{kind}Exception");
        assert_eq!(answer.header("x-amzn-errortype"), Some(kind.as_str()));
        assert!(answer.json()["message"].as_str().unwrap().contains("A simulated failure"));
    }
    let cut = faulty("cut-after=2").await;
    assert_eq!((cut.chunks.len(), cut.complete), (2, false));
    let failed = faulty("error-at=2").await;
    let told = events(&failed);
    assert_eq!((told.len(), failed.complete), (3, true));
    assert_eq!(told[2].0, "internalServerException");
    let malformed = faulty("malformed-at=1").await;
    let read: Vec<bool> = malformed.chunks.iter().map(|chunk| event(chunk).is_some()).collect();
    assert_eq!(read, [true, false, true, true, true, true, true, true]);
    let endless = events(&faulty("no-done").await);
    assert_eq!(endless.last().unwrap().0, "contentBlockStop");
    let unmeasured = events(&faulty("no-usage").await);
    assert_eq!(unmeasured.last().unwrap().1.get("usage"), None);
    let pieces = faulty("piece-bytes=7").await;
    assert_eq!(pieces.chunks.concat().len().div_ceil(7), pieces.chunks.len());
}
