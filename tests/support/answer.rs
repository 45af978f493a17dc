//! What a simulated model server answers: one value for each way to behave.
//!
//! An answer is made by a function that names it ([`ok`], [`status`], [`sse`], [`hang`], …) and
//! refined by methods ([`Answer::header`], [`Answer::cut_after`], [`Answer::held_by`], …).

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::upstream::Received;

/// What happens before an answer's header is sent.
#[derive(Clone)]
pub(crate) enum Before {
    Nothing,
    Hang,
    Close,
    Wait(Duration),
    Gate(Gate),
}

/// The answer's body.
#[derive(Clone)]
pub(crate) enum Payload {
    /// What a model server would say to the request.
    Natural,
    Whole(Bytes),
    Events(Vec<Bytes>),
}

/// One answer of a model server.
#[derive(Clone)]
pub struct Answer {
    pub(crate) before: Before,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: Payload,
    /// The connection breaks behind so many events.
    pub(crate) cut_after: Option<usize>,
    /// Time before each event but the first.
    pub(crate) pause: Duration,
    /// The event with this index is held by a gate.
    pub(crate) gate: Option<(usize, Gate)>,
}

/// The answer that a model server would give: by path, and as a stream where one is asked for.
pub fn ok() -> Answer {
    Answer {
        before: Before::Nothing,
        status: 200,
        headers: Vec::new(),
        payload: Payload::Natural,
        cut_after: None,
        pause: Duration::ZERO,
        gate: None,
    }
}

/// A whole JSON answer.
pub fn json(body: &Value) -> Answer {
    Answer { payload: Payload::Whole(body.to_string().into()), ..ok() }
        .header("content-type", "application/json")
}

/// Bytes of another type.
pub fn bytes(content_type: &str, body: impl Into<Bytes>) -> Answer {
    Answer { payload: Payload::Whole(body.into()), ..ok() }.header("content-type", content_type)
}

/// An error status with a body in OpenAI's shape.
pub fn status(status: u16) -> Answer {
    let body = json!({"error": {
        "message": format!("simulated {status}"), "type": "simulated", "code": null, "param": null
    }});
    Answer { status, ..json(&body) }
}

/// An error status with headers, such as `retry-after`.
pub fn status_with(code: u16, headers: &[(&str, &str)]) -> Answer {
    headers.iter().fold(status(code), |answer, (name, value)| answer.header(name, value))
}

/// A stream of events; each text is the `data` of one.
pub fn sse<T: AsRef<str>>(events: impl IntoIterator<Item = T>) -> Answer {
    let events = events.into_iter().map(|data| event(data.as_ref())).collect();
    Answer { payload: Payload::Events(events), ..ok() }.header("content-type", "text/event-stream")
}

/// A stream of another type, piece by piece as it is sent.
pub fn pieces(content_type: &str, pieces: impl IntoIterator<Item = Vec<u8>>) -> Answer {
    let pieces = pieces.into_iter().map(Bytes::from).collect();
    Answer { payload: Payload::Events(pieces), ..ok() }.header("content-type", content_type)
}

/// No answer at all, until the other side leaves.
pub fn hang() -> Answer {
    Answer { before: Before::Hang, ..ok() }
}

/// The connection is closed in place of an answer.
pub fn close() -> Answer {
    Answer { before: Before::Close, ..ok() }
}

impl Answer {
    /// Replaces the status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Holds the whole answer, header included, until the gate is open.
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.before = Before::Gate(gate.clone());
        self
    }

    /// Sends the header this much later: a slow model.
    pub fn late_by(mut self, time: Duration) -> Self {
        self.before = Before::Wait(time);
        self
    }

    /// Breaks the connection behind `count` events.
    pub fn cut_after(mut self, count: usize) -> Self {
        self.cut_after = Some(count);
        self
    }

    /// Holds the event with this index, and all behind it, until the gate is open.
    pub fn held_at(mut self, index: usize, gate: &Gate) -> Self {
        self.gate = Some((index, gate.clone()));
        self
    }

    /// Leaves this much time between two events.
    pub fn paced(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The answer to this request, with nothing left open.
    pub(crate) fn to(self, request: &Received) -> Self {
        let Payload::Natural = self.payload else { return self };
        let natural = natural(request);
        let headers = natural.headers.into_iter().chain(self.headers).collect();
        Self { payload: natural.payload, headers, ..self }
    }
}

/// The texts of the stream that [`ok`] gives, in order; the last is `[DONE]`.
pub fn natural_events(model: &str) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
        .to_string()
    };
    let words = ["Hello", " from", " upstream"];
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(words.map(|word| chunk(json!({"content": word}), Value::Null)));
    events.push(chunk(json!({}), json!("stop")));
    events.push("[DONE]".to_owned());
    events
}

/// The event that reports usage, for a stream whose client asked for it.
fn usage_event(model: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": model, "choices": [], "usage": usage(),
    })
    .to_string()
}

fn usage() -> Value {
    json!({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12})
}

fn natural(request: &Received) -> Answer {
    let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let stream = body.get("stream").and_then(Value::as_bool).unwrap_or_default();
    if stream && request.path.ends_with("/completions") {
        let mut events = natural_events(model);
        let asked = body.pointer("/stream_options/include_usage").and_then(Value::as_bool);
        if asked == Some(true) {
            events.insert(events.len() - 1, usage_event(model));
        }
        return sse(events);
    }
    match request.path.rsplit('/').next().unwrap_or_default() {
        "speech" => bytes("audio/mpeg", &b"ID3 not really music"[..]),
        "embeddings" => json(&json!({
            "object": "list", "model": model, "usage": {"prompt_tokens": 9, "total_tokens": 9},
            "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}],
        })),
        "moderations" => json(&json!({"id": "modr-1", "model": model, "results": []})),
        "generations" => json(&json!({"created": 1_700_000_000, "data": [{"b64_json": "aGk="}]})),
        "transcriptions" | "translations" => json(&json!({"text": "Hello from upstream"})),
        "rerank" => json(&json!({"results": [{"index": 0, "relevance_score": 0.5}]})),
        _ => json(&json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000,
            "model": model, "usage": usage(),
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hello from upstream"},
            }],
        })),
    }
}

fn event(data: &str) -> Bytes {
    format!("data: {data}\n\n").into()
}
