//! What the gateway holds for one stream, beside the bytes on their way: counted at the allocator,
//! between one chunk and the next, for each upstream's dialect and each client's.
//!
//! This file has a single test, since an allocator counts for all threads.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::alloc::System;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tollgate::dialect::bedrock::frames::Frames;
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::{Dialect, Reply};
use tollgate::dialect::openai::stream::AnswerStream;
use tollgate::dialect::sse::{Event, Scanner};
use tollgate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use tollgate::dialect::watch::Watch;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a stream may take of the gateway's own.
const STATE_BYTES_MAX: usize = 16 * 1024;

/// How often an ordinary chunk may allocate: what is read borrows from it, and what is written has room.
const CHUNK_TIMES_MAX: f64 = 5.0;

/// The same for a frame of Bedrock, whose decoder owns what it reads.
const FRAME_TIMES_MAX: f64 = 10.0;

/// Chunks of text of a stream, and as many of a call's arguments.
const CHUNKS: usize = 200;

/// What a model answers, in pieces.
struct Answer {
    text: String,
    arguments: String,
}

/// What reads a stream as it passes.
enum Passing {
    Chat(Box<AnswerStream>),
    Other(Box<Watch>),
    Events(Box<(Scanner, StreamTranslator)>),
    Frames(Box<(Frames, StreamTranslator)>),
}

#[test]
fn a_stream_holds_little_beside_what_its_client_wants_repeated() {
    let ordinary = Answer { text: " word".to_owned(), arguments: "word ".to_owned() };
    let long_text = Answer { text: "x".repeat(5000), arguments: "word ".to_owned() };
    let long_call = Answer { text: " word".to_owned(), arguments: "x".repeat(1000) };
    // An ordinary answer fits in whole, also where it is repeated.
    for (name, answer, fits) in [
        ("ordinary", &ordinary, true),
        ("of long texts", &long_text, false),
        ("of a long call", &long_call, false),
    ] {
        for from in Dialect::UPSTREAMS {
            let chunks = stream(from, answer);
            for to in Dialect::ALL {
                let held = held(from, to, &chunks);
                let repeated = if fits { 0 } else { repeated(to, answer) };
                let most = STATE_BYTES_MAX + repeated * 9 / 8;
                let times = allocations(from, to, &chunks);
                println!(
                    "{name}: {from:?} to {to:?}: {held} bytes, at most {most}; {times:.2} allocations a chunk"
                );
                let often =
                    if from == Dialect::Bedrock { FRAME_TIMES_MAX } else { CHUNK_TIMES_MAX };
                assert!(!fits || times <= often, "{from:?} to {to:?}: {times:.2} of {often}");
                assert!(held <= most, "a stream {name}, {from:?} to {to:?}: {held} of {most}");
            }
        }
    }
}

/// What the protocol of a client makes the gateway hold: the whole answer, a whole call, or nothing.
fn repeated(to: Dialect, answer: &Answer) -> usize {
    let call = CHUNKS * answer.arguments.len();
    match to {
        Dialect::Responses => CHUNKS * answer.text.len() + call,
        Dialect::Gemini => call,
        Dialect::Chat | Dialect::Anthropic | Dialect::Bedrock => 0,
    }
}

/// The most that lives on the heap between two chunks.
fn held(from: Dialect, to: Dialect, chunks: &[Bytes]) -> usize {
    let region = Region::new(ALLOCATOR);
    let mut passing = Passing::new(from, to);
    let lives = chunks.iter().map(|chunk| {
        drop(passing.feed(chunk.clone()));
        let change = region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    });
    lives.max().expect("a stream has chunks")
}

/// How often one chunk allocates.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn allocations(from: Dialect, to: Dialect, chunks: &[Bytes]) -> f64 {
    let mut passing = Passing::new(from, to);
    let region = Region::new(ALLOCATOR);
    for chunk in chunks {
        drop(passing.feed(chunk.clone()));
    }
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / chunks.len() as f64
}

impl Passing {
    fn new(from: Dialect, to: Dialect) -> Self {
        let reply = Reply { id: "reply-1", created: 1_746_600_000, model: "demo" };
        let options = StreamOptions { reply, include_usage: true, framing: Framing::Sse };
        let translator = || StreamTranslator::new(from, to, &options);
        match (from, to) {
            (Dialect::Chat, Dialect::Chat) => Self::Chat(Box::new(AnswerStream::new(true))),
            (from, to) if from == to => Self::Other(Box::new(Watch::new(to, Framing::Sse))),
            (Dialect::Bedrock, _) => Self::Frames(Box::new((Frames::default(), translator()))),
            _ => Self::Events(Box::new((Scanner::default(), translator()))),
        }
    }

    /// Takes a chunk and gives what goes to the client.
    fn feed(&mut self, chunk: Bytes) -> Bytes {
        let mut out = match self {
            Self::Chat(_) | Self::Other(_) => Vec::new(),
            Self::Events(_) | Self::Frames(_) => Vec::with_capacity(chunk.len() * 2),
        };
        match self {
            Self::Chat(stream) => return stream.feed(chunk),
            Self::Other(watch) => watch.feed(&chunk),
            Self::Events(both) => {
                let (scanner, translator) = &mut **both;
                scanner.feed(&chunk, |event| {
                    if let Event::Message { data, .. } = event {
                        step(translator, &data, &mut out);
                    }
                });
            }
            Self::Frames(both) => {
                let (frames, translator) = &mut **both;
                frames.feed(&chunk);
                while let Some(event) = frames.next_event().expect("a frame") {
                    step(translator, event, &mut out);
                }
            }
        }
        Bytes::from(out)
    }
}

fn step(translator: &mut StreamTranslator, data: &[u8], out: &mut Vec<u8>) {
    let step = translator.event(data, out);
    assert!(!matches!(step, Step::Failed(_)), "{step:?}");
}

/// An answer as an upstream of a dialect streams it.
fn stream(dialect: Dialect, answer: &Answer) -> Vec<Bytes> {
    match dialect {
        Dialect::Bedrock => frames(answer),
        Dialect::Chat => chat(answer),
        _ => {
            let mut passing = Passing::new(Dialect::Chat, dialect);
            chat(answer).into_iter().map(|chunk| passing.feed(chunk)).collect()
        }
    }
}

fn chat(answer: &Answer) -> Vec<Bytes> {
    let event = |choices: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_746_600_000,
            "model": "demo", "choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        });
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let delta = |delta: Value| event(json!([{"index": 0, "delta": delta}]));
    let call = |call: Value| delta(json!({"tool_calls": [call]}));
    let mut chunks = vec![delta(json!({"content": answer.text})); CHUNKS];
    let function = json!({"name": "look_up", "arguments": "{\"q\":\""});
    chunks.push(call(json!({"index": 0, "id": "call-1", "function": function})));
    let piece = json!({"index": 0, "function": {"arguments": answer.arguments}});
    chunks.resize(chunks.len() + CHUNKS, call(piece));
    chunks.push(call(json!({"index": 0, "function": {"arguments": "\"}"}})));
    chunks.push(event(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])));
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    chunks
}

fn frames(answer: &Answer) -> Vec<Bytes> {
    let frame = |kind: &'static str, payload: Value| {
        let header =
            |name, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
        let message = Message::new(payload.to_string().into_bytes())
            .add_header(header(":message-type", "event"))
            .add_header(header(":event-type", kind));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).expect("a frame");
        Bytes::from(bytes)
    };
    let delta = |index: u32, delta: Value| {
        frame("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))
    };
    let arguments = |text: &str| delta(1, json!({"toolUse": {"input": text}}));
    let stop = |index: u32| frame("contentBlockStop", json!({"contentBlockIndex": index}));
    let call = json!({"toolUse": {"toolUseId": "call-1", "name": "look_up"}});
    let mut chunks = vec![frame("messageStart", json!({"role": "assistant"}))];
    chunks.resize(chunks.len() + CHUNKS, delta(0, json!({"text": answer.text})));
    chunks.push(stop(0));
    chunks.push(frame("contentBlockStart", json!({"contentBlockIndex": 1, "start": call})));
    chunks.push(arguments("{\"q\":\""));
    chunks.resize(chunks.len() + CHUNKS, arguments(&answer.arguments));
    chunks.push(arguments("\"}"));
    chunks.push(stop(1));
    chunks.push(frame("messageStop", json!({"stopReason": "tool_use"})));
    chunks
}
