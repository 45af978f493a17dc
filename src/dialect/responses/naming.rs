//! Names of the gateway's own in answers of Responses: what keeps an answer gives it its id.
//!
//! Whole answers and the events of a stream that hold the answer as it stands get these members;
//! every other event keeps its data. The last answer seen is held, for whoever keeps it.

use bytes::Bytes;

use crate::dialect::members::Members;
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::dialect::sse::{Event, Scanner};

/// The largest event that is named, in bytes: one that is larger cannot be kept either.
const EVENT_BYTES_MAX: usize = 32 << 20;

/// Members of an answer, with their JSON.
pub type Names = Vec<(&'static str, String)>;

/// Names one answer.
pub struct Naming {
    names: Names,
    scanner: Option<Scanner>,
    /// The answer, as it was told last.
    told: Option<Bytes>,
    /// Whether an event was too large to be passed on.
    pub is_too_long: bool,
}

impl Naming {
    /// For a stream, or for an answer that comes whole and in one piece.
    pub fn new(names: Names, is_stream: bool) -> Self {
        let scanner = is_stream.then(|| Scanner::new(EVENT_BYTES_MAX));
        Self { names, scanner, told: None, is_too_long: false }
    }

    /// Leaves in the place of these bytes those with the names.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) {
        let Self { names, scanner, told, is_too_long } = self;
        let Some(scanner) = scanner else {
            if let Some(whole) = body.as_ref().and_then(|whole| named(whole, names)) {
                *body = Some(whole.clone());
                *told = Some(whole);
            }
            return;
        };
        let mut out = Vec::new();
        let mut write = |event: Event<'_>| match event {
            Event::Message { name, data } => {
                let (data, answer) = event_named(data.into_owned().into(), names);
                *told = answer.or(told.take());
                write_event(name, &data, &mut out);
            }
            Event::Oversized => *is_too_long = true,
        };
        if let Some(chunk) = body.take() {
            scanner.feed(&chunk, &mut write);
        }
        if end {
            scanner.finish(&mut write);
        }
        *body = Some(Bytes::from(out)).filter(|out| !out.is_empty());
    }

    /// The answer as it was told last, without what only repeats the request at length.
    pub fn answer(&self) -> Option<String> {
        let told = self.told.as_ref()?;
        let members = Members::parse(told).ok()?;
        let mut edit = ObjectEdit::new(&members);
        for (name, none) in [("tools", b"[]".as_slice()), ("instructions", b"null")] {
            if members.get(name).is_some() {
                edit.set(name, none);
            }
        }
        let mut splice = Splice::default();
        splice.object(&edit).ok()?;
        String::from_utf8(splice.apply(told).to_vec()).ok()
    }
}

/// An answer with the names; `None` where it is none.
fn named(answer: &Bytes, names: &Names) -> Option<Bytes> {
    let members = Members::parse(answer).ok()?;
    members.get("object").filter(|object| object.raw == "\"response\"")?;
    let mut edit = ObjectEdit::new(&members);
    for (name, json) in names {
        edit.set(name, json.as_bytes());
    }
    let mut splice = Splice::default();
    splice.object(&edit).ok()?;
    Some(splice.apply(answer))
}

/// An event's data with the names, and the answer in it, if there is one.
fn event_named(data: Bytes, names: &Names) -> (Bytes, Option<Bytes>) {
    let place = Members::parse(&data)
        .ok()
        .and_then(|members| members.get("response").map(|response| response.value()));
    let answer = place.clone().and_then(|place| {
        let within = data.get(place.clone()).is_some();
        within.then(|| data.slice(place)).and_then(|answer| named(&answer, names))
    });
    let (Some(place), Some(answer)) = (place, answer) else { return (data, None) };
    let (before, behind) = (data.get(..place.start), data.get(place.end..));
    let parts = [before.unwrap_or_default(), &answer, behind.unwrap_or_default()];
    (Bytes::from(parts.concat()), Some(answer))
}

fn write_event(name: &[u8], data: &[u8], out: &mut Vec<u8>) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name);
        out.push(b'\n');
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Naming};

    const WHOLE: &str = r#"{"id":"theirs","object":"response","tools":[{"a":1}],"output":[]}"#;

    fn names() -> super::Names {
        vec![("id", "\"ours\"".to_owned()), ("store", "true".to_owned())]
    }

    #[test]
    fn a_whole_answer_is_named() {
        let mut naming = Naming::new(names(), false);
        let mut body = Some(Bytes::from_static(WHOLE.as_bytes()));
        naming.read(&mut body, true);
        let expected =
            r#"{"id":"ours","object":"response","tools":[{"a":1}],"output":[],"store":true}"#;
        assert_eq!(body.unwrap(), expected);
        assert_eq!(naming.answer().unwrap(), expected.replace(r#"{"a":1}"#, ""));
        let mut error = Some(Bytes::from_static(b"{\"error\":{}}"));
        let mut naming = Naming::new(names(), false);
        naming.read(&mut error, true);
        assert_eq!(
            (error.unwrap(), naming.answer()),
            (Bytes::from_static(b"{\"error\":{}}"), None)
        );
    }

    #[test]
    fn events_with_the_answer_are_named_for_any_split() {
        let text = format!(
            ": ping\r\n\r\nevent: response.created\ndata: {{\"response\":{WHOLE}}}\n\nevent: x\ndata: {{\"delta\":\ndata: \"id\"}}\n\ndata: [DONE]\n\n"
        );
        let named =
            r#"{"id":"ours","object":"response","tools":[{"a":1}],"output":[],"store":true}"#;
        let expected = format!(
            "event: response.created\ndata: {{\"response\":{named}}}\n\nevent: x\ndata: {{\"delta\":\ndata: \"id\"}}\n\ndata: [DONE]\n\n"
        );
        for size in [1, 7, 500] {
            let mut naming = Naming::new(names(), true);
            let mut got = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                let mut body = Some(Bytes::copy_from_slice(chunk));
                naming.read(&mut body, false);
                got.extend(body.unwrap_or_default());
            }
            naming.read(&mut None, true);
            assert_eq!(String::from_utf8(got).unwrap(), expected);
            assert!(naming.answer().unwrap().starts_with("{\"id\":\"ours\""));
        }
    }
}
