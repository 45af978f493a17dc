//! Endpoints of images and sound: a dot, a second of silence, and the words heard in any file.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, CREATED};
use super::refusal::Refusal;
use super::request::Body;

/// A PNG of one transparent dot.
const DOT: &[u8] = &[
    0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0,
    0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0x60, 0x60, 0x60, 0, 0, 0, 5, 0, 1, 0xa5, 0xf6, 0x45, 0x40, 0, 0, 0, 0,
    b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];
/// What is heard in a recording.
const HEARD: &str = "The toll is paid, the gate is open.";
/// Bytes in a second of sound: one channel, 24 kHz, 16 bits.
const SOUND_BYTES: u32 = 48_000;

/// `POST /v1/images/generations`
pub(crate) fn images(body: &Body<'_>, prompt_tokens: usize) -> Result<Answer, Refusal> {
    body.prompt.ok_or_else(|| Refusal::missing("prompt"))?;
    let image = match text_of(body.response_format) {
        Some("url") => json!({ "url": "https://mock.invalid/dot.png" }),
        None | Some("b64_json") => json!({ "b64_json": BASE64_STANDARD.encode(DOT) }),
        Some(_) => {
            let message = "'response_format' must be url or b64_json.";
            return Err(Refusal::bad(message).param("response_format"));
        }
    };
    let n = body.n()?;
    let data = vec![image; n as usize];
    let usage = json!({
        "input_tokens": prompt_tokens,
        "input_tokens_details": { "text_tokens": prompt_tokens, "image_tokens": 0 },
        "output_tokens": n,
        "total_tokens": prompt_tokens + n as usize,
    });
    Ok(Answer::value(&json!({ "created": CREATED, "data": data, "usage": usage })))
}

/// `POST /v1/audio/speech`: a second of silence.
pub(crate) fn speech(body: &Body<'_>) -> Result<Answer, Refusal> {
    body.model()?;
    body.input.ok_or_else(|| Refusal::missing("input"))?;
    match text_of(body.response_format) {
        None | Some("mp3") => Ok(Answer::bytes("audio/mpeg", mp3())),
        Some("wav") => Ok(Answer::bytes("audio/wav", wav())),
        Some("pcm") => Ok(Answer::bytes("audio/pcm", vec![0; SOUND_BYTES as usize])),
        Some(_) => {
            let message = "'response_format' must be mp3, wav or pcm here.";
            Err(Refusal::bad(message).param("response_format"))
        }
    }
}

/// `POST /v1/audio/transcriptions` and `/v1/audio/translations`, from a multipart form.
pub(crate) fn transcription(head: &[u8], body: &[u8]) -> Result<Answer, Refusal> {
    let form = Form::read(head, body)?;
    form.field("model").ok_or_else(|| Refusal::missing("model"))?;
    form.field("file").ok_or_else(|| Refusal::missing("file"))?;
    let usage = json!({ "type": "duration", "seconds": 1 });
    match form.field("response_format").unwrap_or(b"json") {
        b"json" => Ok(Answer::value(&json!({ "text": HEARD, "usage": usage }))),
        b"text" => Ok(Answer::bytes("text/plain", format!("{HEARD}\n").into_bytes())),
        b"verbose_json" => Ok(Answer::value(&json!({
            "task": "transcribe", "language": "english", "duration": 1.0, "text": HEARD,
            "segments": [], "usage": usage,
        }))),
        _ => {
            let message = "'response_format' must be json, text or verbose_json here.";
            Err(Refusal::bad(message).param("response_format"))
        }
    }
}

/// The text of a member that other endpoints use for an object.
fn text_of(raw: Option<&serde_json::value::RawValue>) -> Option<&str> {
    raw.map(|raw| <&str>::deserialize(raw).unwrap_or_default())
}

/// Thirty-nine silent frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono: about a second.
fn mp3() -> Vec<u8> {
    let mut frame = vec![0; 417];
    frame.splice(..4, [0xff, 0xfb, 0x90, 0xc4]);
    frame.repeat(39)
}

fn wav() -> Vec<u8> {
    let mut wav = Vec::with_capacity(44 + SOUND_BYTES as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + SOUND_BYTES).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&24_000_u32.to_le_bytes());
    wav.extend_from_slice(&SOUND_BYTES.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&SOUND_BYTES.to_le_bytes());
    wav.resize(44 + SOUND_BYTES as usize, 0);
    wav
}

/// A multipart form (RFC 7578), as far as names and values go.
struct Form<'b> {
    fields: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Form<'b> {
    fn read(head: &[u8], body: &'b [u8]) -> Result<Self, Refusal> {
        let boundary = boundary(head).ok_or_else(|| {
            Refusal::bad("This endpoint takes multipart/form-data with a boundary.")
        })?;
        let mark = format!("--{boundary}");
        let starts: Vec<usize> = memchr::memmem::find_iter(body, mark.as_bytes()).collect();
        let parts = starts.windows(2).filter_map(|pair| match pair {
            [start, end] => body.get(start + mark.len()..*end),
            _ => None,
        });
        Ok(Self { fields: parts.filter_map(field).collect() })
    }

    fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn boundary(head: &[u8]) -> Option<&str> {
    let head = std::str::from_utf8(head).ok()?;
    let line = head.lines().find(|line| {
        line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case("content-type:"))
    })?;
    let boundary = line.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

/// Name and value of one part: headers, an empty line, the value and a line end.
fn field(part: &[u8]) -> Option<(&str, &[u8])> {
    let split = memchr::memmem::find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(part.get(..split)?).ok()?;
    let start = head.find("; name=")? + "; name=".len();
    let name = head.get(start..)?.split([';', '\r']).next()?.trim_matches('"');
    Some((name, part.get(split + 4..)?.strip_suffix(b"\r\n")?))
}
