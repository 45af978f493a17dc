//! Readers below the dialects: events, members of objects, forms, captured objects, binary frames.

use bytes::Bytes;
use serde_json::value::RawValue;
use tollgate::dialect::bedrock::frames::Frames;
use tollgate::dialect::members::Members;
use tollgate::dialect::multipart::{Fields, boundary};
use tollgate::dialect::sse::{Event, Filter, Scanner};
use tollgate::dialect::tap::ObjectTap;

use crate::cuts::same;

/// Limits of an event's size that the events of the golden cases lie around.
const EVENT_LIMITS: [usize; 2] = [200, 1 << 20];

/// Server-sent events: the same for any split, and a filter that cuts nothing out passes every byte.
///
/// # Panics
/// Where that does not hold.
pub fn sse(data: &[u8]) {
    for limit in EVENT_LIMITS {
        same(data, |pieces| {
            let mut events = Vec::new();
            let mut scanner = Scanner::new(limit);
            for piece in pieces {
                scanner.feed(piece, |event| events.push(owned(&event)));
            }
            scanner.finish(|event| events.push(owned(&event)));
            events
        });
        let passed = same(data, |pieces| {
            let mut filter = Filter::new(limit);
            let mut passed = Vec::new();
            for piece in pieces {
                let bytes = Bytes::copy_from_slice(piece);
                passed.extend_from_slice(&filter.feed(bytes, |_| false));
            }
            passed.extend_from_slice(&filter.finish(|_| false));
            passed
        });
        assert_eq!(passed, data, "every byte passes");
    }
}

fn owned(event: &Event<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    match event {
        Event::Message { name, data } => Some((name.to_vec(), data.to_vec())),
        Event::Oversized => None,
    }
}

/// Members of an object: what is taken is JSON by the grammar, and each value lies where it is said to lie.
///
/// # Panics
/// Where that does not hold.
pub fn members(data: &[u8]) {
    let Ok(members) = Members::parse(data) else { return };
    assert!(serde_json::from_slice::<&RawValue>(data).is_ok(), "taken, and is no JSON");
    for member in members.iter() {
        assert_eq!(data.get(member.value()), Some(member.raw.as_bytes()), "{}", member.name);
        assert!(serde_json::from_str::<&RawValue>(member.raw).is_ok(), "{}", member.raw);
        let _ = (member.string(), member.bool(), member.number(), member.count());
        if let Ok(inner) = members.within(member) {
            assert!(inner.iter().all(|inner| data.get(inner.value()).is_some()));
        }
        if let Ok(objects) = members.objects(member) {
            assert!(objects.iter().all(|object| data.get(object.range()).is_some()));
        }
    }
}

/// Forms: a field that is found lies in the body, behind its header. The first line is the content type.
///
/// # Panics
/// Where that does not hold.
pub fn multipart(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (content_type, rest) = data.split_at(at);
    let body = rest.get(1..).unwrap_or_default();
    let Ok(boundary) = boundary(&String::from_utf8_lossy(content_type)) else { return };
    let Ok(fields) = Fields::find(body, &boundary, &["model", "stream"]) else { return };
    for name in ["model", "stream"] {
        if let Some(range) = fields.get(name) {
            let value = body.get(range).expect("a field lies in the body");
            let found = std::str::from_utf8(value).ok();
            assert_eq!(fields.text(body, name), found, "{name}");
        }
    }
}

/// Objects that are captured as they pass: the same for any split, none over the limit.
///
/// # Panics
/// Where that does not hold.
pub fn tap(data: &[u8]) {
    let objects = same(data, |pieces| {
        let mut tap = ObjectTap::new("\"usage\"", 256);
        let mut objects = Vec::new();
        for piece in pieces {
            tap.feed(piece, |object| objects.push(object.to_vec()));
        }
        objects
    });
    assert!(objects.iter().all(|object| object.len() <= 256));
}

/// Binary frames: the same events for any split, and nothing behind the first that is broken.
///
/// # Panics
/// Where that does not hold.
pub fn frames(data: &[u8]) {
    same(data, |pieces| {
        let mut frames = Frames::default();
        let mut events = Vec::new();
        for piece in pieces {
            frames.feed(piece);
            loop {
                match frames.next_event() {
                    Ok(Some(event)) => events.push(event.to_vec()),
                    Ok(None) => break,
                    Err(fault) => return (events, Some(fault.message)),
                }
            }
        }
        (events, None)
    });
}
