//! Whole bodies: requests, answers and errors of each dialect.

use serde_json::value::RawValue;
use tollgate::dialect::ir::loss::Losses;
use tollgate::dialect::ir::{Dialect, Reply, Target};
use tollgate::dialect::translate::{
    read_answer, read_request, translate_error, write_answer, write_request,
};

/// What an answer says where its provider says nothing.
pub const REPLY: Reply<'static> = Reply { id: "reply-1", created: 1_700_000_000, model: "alias" };

/// How much longer a body may become: what is short in one dialect is an object in another, and each
/// letter may become six (`\u0000`).
const GROWTH_MAX: usize = 64;

/// A request: what is written of it is JSON and bounded, and means the same when it is read again.
///
/// # Panics
/// Where that does not hold.
pub fn request(from: Dialect, data: &[u8]) {
    let mut losses = Losses::new(from);
    let Ok(request) = read_request(from, data, false, &mut losses) else { return };
    for to in Dialect::UPSTREAMS {
        let body = write_request(to, &request, target(to), &mut Losses::new(from));
        check(data, &body);
    }
    let mut losses = Losses::new(from);
    let body = write_request(from, &request, target(from), &mut losses);
    if losses.into_list().is_empty() {
        let mut losses = Losses::new(from);
        let again = read_request(from, &body, request.stream, &mut losses);
        let again = again.expect("what was written is a request");
        let rewritten = write_request(from, &again, target(from), &mut losses);
        assert_eq!(text(&rewritten), text(&body), "written, read and written again");
    }
}

/// An answer: as a request.
///
/// # Panics
/// Where that does not hold.
pub fn answer(from: Dialect, data: &[u8]) {
    let mut losses = Losses::new(from);
    let Ok(answer) = read_answer(from, data, &REPLY, &mut losses) else { return };
    for to in Dialect::ALL {
        check(data, &write_answer(to, &answer, &REPLY, &mut Losses::new(from)));
    }
    let mut losses = Losses::new(from);
    let body = write_answer(from, &answer, &REPLY, &mut losses);
    if from != Dialect::Bedrock && losses.into_list().is_empty() {
        let mut losses = Losses::new(from);
        let again = read_answer(from, &body, &REPLY, &mut losses);
        let again = again.expect("what was written is an answer");
        let rewritten = write_answer(from, &again, &REPLY, &mut losses);
        assert_eq!(text(&rewritten), text(&body), "written, read and written again");
    }
}

/// An error, of any status: what the client gets is JSON, and still an error.
///
/// # Panics
/// Where that does not hold.
pub fn error(data: &[u8]) {
    let status = 400 + data.iter().fold(0, |sum: u16, byte| (sum + u16::from(*byte)) % 200);
    for from in Dialect::UPSTREAMS {
        for to in Dialect::ALL {
            let told = translate_error(from, to, status, data);
            assert!((400..600).contains(&told.status), "{status} became {}", told.status);
            check(data, &told.body);
        }
    }
}

/// A model of each dialect with the fewest refusals.
fn target(dialect: Dialect) -> Target<'static> {
    let model = match dialect {
        Dialect::Chat => "qwen",
        Dialect::Anthropic => "claude-sonnet-4-5",
        Dialect::Gemini => "gemini-3-pro",
        Dialect::Responses => "gpt-x",
        Dialect::Bedrock => "anthropic.claude-sonnet-4-5",
    };
    Target { model, extensions: dialect == Dialect::Chat, usage_in_streams: true }
}

fn check(data: &[u8], body: &[u8]) {
    assert!(is_json(body), "no JSON: {}", text(body));
    let most = 4096 + GROWTH_MAX * data.len();
    assert!(body.len() <= most, "{} bytes of {}", body.len(), data.len());
}

/// Whether this is JSON by its grammar. Escapes of half a character are, and pass through as they came.
pub fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(body).is_ok()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
