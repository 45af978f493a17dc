//! The binary framing of ConverseStream: bytes in, one event at a time out.
//!
//! An event comes out as JSON, in the form that the API reference gives it: a union with one member, named after
//! the event's type, `{"contentBlockDelta":{…}}`. Checksums are checked. At most one frame is kept.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use bytes::BytesMut;
use serde::Serialize;

use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::wire::append_json;

/// The longest frame: events hold a few words each.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// The most buffer that a stream keeps from one event to the next.
const EVENT_BYTES_KEPT: usize = 4 * 1024;

/// `Content-Type` of a stream of such frames.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Takes a stream apart.
#[derive(Debug, Default)]
pub struct Frames {
    decoder: MessageFrameDecoder,
    pending: BytesMut,
    event: Vec<u8>,
}

impl Frames {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next event's JSON; `None` where more bytes are needed for it. After an error nothing more can be read.
    pub fn next_event(&mut self) -> Result<Option<&[u8]>, Fault> {
        let broken = || Fault::new(502, "the model's provider sent a broken frame");
        match self.decoder.decode_frame(&mut self.pending) {
            Ok(DecodedFrame::Complete(message)) => {
                self.forget_event();
                render(&message, &mut self.event).ok_or_else(broken)?;
                Ok(Some(&self.event))
            }
            Ok(DecodedFrame::Incomplete) if self.pending.len() > FRAME_BYTES_MAX => {
                Err(Fault::new(502, "the model's provider sent too long an event"))
            }
            Ok(DecodedFrame::Incomplete) => {
                self.forget_event();
                Ok(None)
            }
            Err(_) => Err(broken()),
        }
    }

    /// Keeps room for a usual event, not for a long one.
    fn forget_event(&mut self) {
        self.event.clear();
        self.event.shrink_to(EVENT_BYTES_KEPT);
    }
}

#[derive(Serialize)]
struct Told<'a> {
    message: &'a str,
}

/// `None` where the frame lacks what each must have.
fn render(message: &Message, out: &mut Vec<u8>) -> Option<()> {
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok().map(|text| text.as_str())
    };
    let kind = match header(":message-type")? {
        "event" => header(":event-type")?,
        "exception" => header(":exception-type")?,
        "error" => "internalServerException",
        _ => return None,
    };
    if !kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\":");
    match header(":error-message") {
        Some(text) => append_json(out, &Told { message: text }),
        None if message.payload().is_empty() => out.extend_from_slice(b"{}"),
        None => out.extend_from_slice(message.payload()),
    }
    out.push(b'}');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{FRAME_BYTES_MAX, Frames};
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    fn frame(headers: &[(&'static str, &str)], payload: &str) -> Vec<u8> {
        let mut message = Message::new(payload.to_owned().into_bytes());
        for (name, value) in headers {
            message = message
                .add_header(Header::new(*name, HeaderValue::String((*value).to_owned().into())));
        }
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn event(kind: &str, payload: &str) -> Vec<u8> {
        frame(&[(":message-type", "event"), (":event-type", kind)], payload)
    }

    /// Every event of a stream that is cut where `cuts` say.
    fn read(stream: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut frames = Frames::default();
        let mut events = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([stream.len()]) {
            frames.feed(&stream[from..to]);
            from = to;
            while let Some(event) = frames.next_event().unwrap() {
                events.push(String::from_utf8(event.to_vec()).unwrap());
            }
        }
        events
    }

    #[test]
    fn an_event_is_a_union_of_its_type() {
        let stream = [event("messageStart", r#"{"role":"assistant"}"#), event("metadata", "")];
        let told = read(&stream.concat(), &[]);
        assert_eq!(told, [r#"{"messageStart":{"role":"assistant"}}"#, r#"{"metadata":{}}"#]);
    }

    #[test]
    fn exceptions_and_errors_are_events() {
        let exception =
            [(":message-type", "exception"), (":exception-type", "throttlingException")];
        let error =
            [(":message-type", "error"), (":error-code", "500"), (":error-message", "a \"b\"")];
        let stream = [frame(&exception, r#"{"message":"slow"}"#), frame(&error, "")].concat();
        assert_eq!(
            read(&stream, &[]),
            [
                r#"{"throttlingException":{"message":"slow"}}"#,
                r#"{"internalServerException":{"message":"a \"b\""}}"#
            ]
        );
    }

    #[test]
    fn what_is_broken_is_refused() {
        let whole = event("messageStart", "{}");
        for at in [0, 4, 9, 20, whole.len() - 1] {
            let mut frames = Frames::default();
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            frames.feed(&damaged);
            // A length that grew leaves the frame waiting for more, until the next bytes belie it.
            frames.feed(&vec![0; FRAME_BYTES_MAX + 1]);
            assert!(frames.next_event().is_err(), "byte {at}");
        }
        for headers in [
            &[][..],
            &[(":message-type", "event")],
            &[(":message-type", "event"), (":event-type", "a\"b")],
        ] {
            let mut frames = Frames::default();
            frames.feed(&frame(headers, "{}"));
            assert!(frames.next_event().is_err(), "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn a_stream_is_the_same_however_it_is_cut(
            texts in prop::collection::vec(".{0,40}", 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let payloads: Vec<String> = texts.iter().map(|text| serde_json::json!({ "t": text }).to_string()).collect();
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| event("contentBlockDelta", payload)).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.sort_unstable();
            let expected: Vec<String> = payloads.iter().map(|payload| format!("{{\"contentBlockDelta\":{payload}}}")).collect();
            prop_assert_eq!(read(&stream, &cuts), expected);
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut frames = Frames::default();
            frames.feed(&bytes);
            while let Ok(Some(_)) = frames.next_event() {}
        }
    }
}
