//! What fuzzing begins with: the golden cases of `tests/data`, and forms.

use std::fs;
use std::path::{Path, PathBuf};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::Value;
use tollgate::dialect::ir::Dialect;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// Bodies of requests, of all dialects.
    Requests,
    /// Bodies of whole answers and errors.
    Answers,
    /// Streams of server-sent events.
    Streams,
    /// Streams of Bedrock's frames.
    Frames,
    /// Forms, behind a line with their content type.
    Forms,
}

/// A form with a file and two fields.
const FORM: &[u8] = b"multipart/form-data; boundary=b\n--b\r\nContent-Disposition: form-data; \
name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b\r\n\
content-disposition: form-data;\r\n\tname=model\r\n\r\nwhisper-1\r\n--b\r\nContent-Disposition: \
form-data; name=\"stream\"\r\n\r\ntrue\r\n--b--\r\n";

impl Seeds {
    /// The inputs themselves.
    ///
    /// # Panics
    /// If the golden cases cannot be read.
    pub fn load(self) -> Vec<Vec<u8>> {
        match self {
            Seeds::Requests => golden(".request.json"),
            Seeds::Answers => golden(".answer.json"),
            Seeds::Streams => golden(".stream.sse"),
            Seeds::Frames => frames(),
            Seeds::Forms => vec![FORM.to_vec()],
        }
    }
}

fn golden(ending: &str) -> Vec<Vec<u8>> {
    Dialect::UPSTREAMS.iter().flat_map(|dialect| cases(*dialect, ending)).collect()
}

fn cases(dialect: Dialect, ending: &str) -> Vec<Vec<u8>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let entries = fs::read_dir(data.join(dialect.name())).expect("the golden cases of a dialect");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a golden case")).collect()
}

/// The golden streams of Bedrock, which are kept as text, as it sends them.
fn frames() -> Vec<Vec<u8>> {
    let framed = |stream: &Vec<u8>| {
        let text = String::from_utf8_lossy(stream);
        let mut bytes = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: Value = serde_json::from_str(line).expect("an event");
            let (kind, payload) =
                event.as_object().and_then(|union| union.iter().next()).expect("a union");
            let header = |name: &'static str, value: String| {
                Header::new(name, HeaderValue::String(value.into()))
            };
            let message = Message::new(payload.to_string().into_bytes())
                .add_header(header(":message-type", "event".to_owned()))
                .add_header(header(":event-type", kind.clone()));
            write_message_to(&message, &mut bytes).expect("a frame");
        }
        bytes
    };
    cases(Dialect::Bedrock, ".stream.sse").iter().map(framed).collect()
}
