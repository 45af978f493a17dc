//! Fuzz targets: one for each reader of bytes that come from outside, and what must hold of it.
//!
//! A target is a plain function that panics where a property breaks: no input makes a reader panic, any
//! split of a stream gives the same, what is written is read back as it was, output is bounded by
//! input. `cargo test` drives all of them for some seconds (`tests/bounded.rs`), and libFuzzer for as
//! long as one likes (`make fuzz`). Both begin with the golden cases of `tests/data`.

pub mod bodies;
pub mod bytes;
pub mod cuts;
pub mod seeds;
pub mod streams;

use tollgate::dialect::ir::Dialect;

use crate::seeds::Seeds;

/// A reader under test.
pub struct Target {
    /// Its name, on the command line and in reports.
    pub name: &'static str,
    /// What it begins with.
    pub seeds: Seeds,
    /// Tries one input.
    ///
    /// # Panics
    /// Where a property breaks.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 24] = [
    target("sse", Seeds::Streams, bytes::sse),
    target("members", Seeds::Requests, bytes::members),
    target("multipart", Seeds::Forms, bytes::multipart),
    target("tap", Seeds::Answers, bytes::tap),
    target("frames", Seeds::Frames, bytes::frames),
    target("request_chat", Seeds::Requests, |data| bodies::request(Dialect::Chat, data)),
    target("request_anthropic", Seeds::Requests, |data| bodies::request(Dialect::Anthropic, data)),
    target("request_gemini", Seeds::Requests, |data| bodies::request(Dialect::Gemini, data)),
    target("request_responses", Seeds::Requests, |data| bodies::request(Dialect::Responses, data)),
    target("answer_chat", Seeds::Answers, |data| bodies::answer(Dialect::Chat, data)),
    target("answer_anthropic", Seeds::Answers, |data| bodies::answer(Dialect::Anthropic, data)),
    target("answer_gemini", Seeds::Answers, |data| bodies::answer(Dialect::Gemini, data)),
    target("answer_responses", Seeds::Answers, |data| bodies::answer(Dialect::Responses, data)),
    target("answer_bedrock", Seeds::Answers, |data| bodies::answer(Dialect::Bedrock, data)),
    target("error", Seeds::Answers, bodies::error),
    target("stream_chat", Seeds::Streams, |data| streams::translated(Dialect::Chat, data)),
    target("stream_anthropic", Seeds::Streams, |data| {
        streams::translated(Dialect::Anthropic, data);
    }),
    target("stream_gemini", Seeds::Streams, |data| streams::translated(Dialect::Gemini, data)),
    target("stream_responses", Seeds::Streams, |data| {
        streams::translated(Dialect::Responses, data);
    }),
    target("stream_bedrock", Seeds::Streams, |data| streams::translated(Dialect::Bedrock, data)),
    target("watch_chat", Seeds::Streams, streams::passed),
    target("watch_anthropic", Seeds::Streams, |data| streams::watched(Dialect::Anthropic, data)),
    target("watch_gemini", Seeds::Streams, |data| streams::watched(Dialect::Gemini, data)),
    target("watch_responses", Seeds::Streams, |data| streams::watched(Dialect::Responses, data)),
];

const fn target(name: &'static str, seeds: Seeds, run: fn(&[u8])) -> Target {
    Target { name, seeds, run }
}

/// The target of a name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
