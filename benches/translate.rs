//! What a translation costs, for each pair of dialects: a request, a whole answer, a stream of 200
//! chunks; beside it the same stream passing untouched.
//!
//! Run with `cargo bench --bench translate`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::{Dialect, Reply, Target};
use tollgate::dialect::openai::stream::AnswerStream;
use tollgate::dialect::sse::{Event, Scanner};
use tollgate::dialect::translate::stream::{StreamOptions, StreamTranslator};
use tollgate::dialect::translate::{translate_answer, translate_request};
use tollgate::dialect::watch::Watch;

/// Chunks of one stream: each a few letters of text.
const CHUNKS: usize = 200;

const REPLY: Reply<'static> = Reply { id: "reply-1", created: 1_746_600_000, model: "demo" };

const TARGET: Target<'static> =
    Target { model: "model-x", extensions: false, usage_in_streams: true };

fn options() -> StreamOptions<'static> {
    StreamOptions { reply: REPLY, include_usage: true, framing: Framing::Sse }
}

/// What a client speaks, and what a provider does.
fn pairs() -> impl Iterator<Item = (Dialect, Dialect)> {
    let with = |client| {
        let others = Dialect::UPSTREAMS.into_iter().filter(move |upstream| *upstream != client);
        others.map(move |upstream| (client, upstream))
    };
    Dialect::ALL.into_iter().flat_map(with)
}

/// The stream as an OpenAI server sends it.
fn chat_stream() -> Vec<Bytes> {
    let head =
        r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1746600000,"model":"demo""#;
    let event = |rest: &str| Bytes::from(format!("data: {{{head},{rest}}}\n\n"));
    let text = r#""choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]"#;
    let mut chunks = vec![event(text); CHUNKS];
    chunks.push(event(r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#));
    chunks.push(event(r#""choices":[],"usage":{"prompt_tokens":20,"completion_tokens":200}"#));
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    chunks
}

/// The same as Bedrock sends it, with its padding of changing length and without its frames.
fn bedrock_stream() -> Vec<Bytes> {
    let event = |event: &str| Bytes::from(format!("data: {{{event}}}\n\n"));
    let mut chunks = vec![event(r#""messageStart":{"role":"assistant","p":"abcdefgh"}"#)];
    chunks.extend((0..CHUNKS).map(|place| {
        let padding = "abcdefghijklmnop".get(..place % 16).unwrap_or_default();
        let delta = r#""contentBlockIndex":0,"delta":{"text":" word"}"#;
        event(&format!(r#""contentBlockDelta":{{{delta},"p":"{padding}"}}"#))
    }));
    chunks.push(event(r#""contentBlockStop":{"contentBlockIndex":0,"p":"ab"}"#));
    chunks.push(event(r#""messageStop":{"stopReason":"end_turn"}"#));
    chunks.push(event(r#""metadata":{"usage":{"inputTokens":20,"outputTokens":200}}"#));
    chunks
}

/// The same stream as a server of a dialect sends it.
fn stream(dialect: Dialect) -> Vec<Bytes> {
    let chunks = chat_stream();
    match dialect {
        Dialect::Chat => return chunks,
        Dialect::Bedrock => return bedrock_stream(),
        Dialect::Anthropic | Dialect::Gemini | Dialect::Responses => {}
    }
    let mut translator = StreamTranslator::new(Dialect::Chat, dialect, &options());
    chunks.iter().map(|chunk| translated(chunk, &mut Scanner::default(), &mut translator)).collect()
}

fn translated(chunk: &[u8], scanner: &mut Scanner, translator: &mut StreamTranslator) -> Bytes {
    // As much room as the gateway takes for it.
    let mut out = Vec::with_capacity(chunk.len() * 2);
    scanner.feed(chunk, |event| {
        if let Event::Message { data, .. } = event {
            translator.event(&data, &mut out);
        }
    });
    Bytes::from(out)
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream of 200 chunks");
    for dialect in Dialect::ALL {
        let chunks = stream(dialect);
        group.bench_function(format!("{} untouched", dialect.name()), |b| {
            b.iter(|| {
                if dialect == Dialect::Chat {
                    let mut passing = AnswerStream::new(true);
                    chunks.iter().for_each(|chunk| drop(black_box(passing.feed(chunk.clone()))));
                } else {
                    let mut watch = Watch::new(dialect, Framing::Sse);
                    chunks.iter().for_each(|chunk| watch.feed(black_box(chunk)));
                }
            });
        });
    }
    for (to, from) in pairs() {
        let chunks = stream(from);
        group.bench_function(format!("{} to {}", from.name(), to.name()), |b| {
            b.iter(|| {
                let mut translator = StreamTranslator::new(from, to, &options());
                let mut scanner = Scanner::default();
                for chunk in &chunks {
                    black_box(translated(black_box(chunk), &mut scanner, &mut translator));
                }
            });
        });
    }
    group.finish();
}

/// A golden case of a dialect; empty where it has none.
fn golden(dialect: Dialect, case: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{}/{case}", env!("CARGO_MANIFEST_DIR"), dialect.name());
    std::fs::read(path).unwrap_or_default()
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    for (client, upstream) in pairs() {
        let body = golden(client, "multi_turn.request.json");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("request {} to {}", client.name(), upstream.name()), |b| {
            let ask =
                || translate_request(client, upstream, black_box(&body), TARGET, false).is_ok();
            assert!(ask());
            b.iter(ask);
        });
        let body = golden(upstream, "parallel_tools.answer.json");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("answer {} to {}", upstream.name(), client.name()), |b| {
            let answer = || translate_answer(upstream, client, black_box(&body), &REPLY).is_ok();
            assert!(answer());
            b.iter(answer);
        });
    }
    group.finish();
}

criterion_group!(benches, streams, bodies);
criterion_main!(benches);
