//! The frames of ConverseStream: an event's kind in headers, its JSON behind them, checksums around both.
//!
//! Source: Smithy, "Amazon Event Stream Specification".

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Value, json};

/// Appends an event.
pub(crate) fn put_event(out: &mut Vec<u8>, kind: &'static str, payload: &Value) {
    put(out, ("event", ":event-type", kind.to_owned()), payload);
}

/// A frame that ends a stream with an error of this kind, `ThrottlingException`.
pub(crate) fn exception(kind: &str, payload: &Value) -> Vec<u8> {
    // The first letter is small here, unlike in the header of an answer.
    let first = kind.get(..1).unwrap_or_default().to_ascii_lowercase();
    let kind = first + kind.get(1..).unwrap_or_default();
    let mut out = Vec::new();
    put(&mut out, ("exception", ":exception-type", kind), payload);
    out
}

/// An event whose checksum is wrong.
pub(crate) fn damaged() -> Vec<u8> {
    let mut out = Vec::new();
    put_event(&mut out, "contentBlockDelta", &json!({ "contentBlockIndex": 0, "delta": {} }));
    if let Some(last) = out.last_mut() {
        *last ^= 1;
    }
    out
}

/// Appends a frame. Writing to memory cannot fail.
fn put(out: &mut Vec<u8>, kind: (&'static str, &'static str, String), payload: &Value) {
    let (message_type, kind_header, kind) = kind;
    let text = |text: String| HeaderValue::String(text.into());
    let message = Message::new(payload.to_string().into_bytes())
        .add_header(Header::new(kind_header, text(kind)))
        .add_header(Header::new(":content-type", text("application/json".to_owned())))
        .add_header(Header::new(":message-type", text(message_type.to_owned())));
    write_message_to(&message, out).unwrap_or_default();
}
