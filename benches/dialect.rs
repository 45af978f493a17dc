//! What it costs to read and change a body, to look on at a stream, to find an answer's usage.
//!
//! Run with `cargo bench --bench dialect`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::dialect::members::Members;
use tollgate::dialect::openai::answer::UsageTap;
use tollgate::dialect::openai::request::Request;
use tollgate::dialect::openai::stream::AnswerStream;
use tollgate::dialect::splice::Splice;
use tollgate::dialect::sse::Scanner;

/// A chat of about `bytes` bytes, in turns of at most 600 bytes with the escapes of real text.
fn chat(bytes: usize, words: &str) -> Bytes {
    let turn = words.repeat(500 / words.len() + 1);
    let mut messages = vec![serde_json::json!({ "role": "system", "content": "You are brief." })];
    let mut size = 200;
    while size < bytes {
        let end = turn.char_indices().map(|(i, _)| i).take_while(|i| *i <= bytes - size).last();
        let content = turn.get(..end.unwrap_or_default()).unwrap_or_default();
        messages.push(serde_json::json!({ "role": "user", "content": content }));
        size += content.len() + 40;
    }
    let body = serde_json::json!({
        "model": "demo", "temperature": 0.7, "max_tokens": 256, "stream": true, "user": "someone",
        "stream_options": { "include_usage": true }, "messages": messages,
    });
    Bytes::from(body.to_string())
}

/// 20 chunks of about 200 bytes, as an OpenAI server sends them, the last ones usage and the end.
fn stream() -> Vec<Bytes> {
    let head = "\"id\":\"chatcmpl-BTqHVDKqbGZmVqVrdVNqLmaUkXyCz\",\"object\":\"chat.completion.chunk\",\"created\":1746600000,\"model\":\"demo-2026-01-31\"";
    let delta = format!(
        "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word\"}},\"finish_reason\":null}}]}}\n\n"
    );
    let usage = format!(
        "data: {{{head},\"choices\":[],\"usage\":{{\"prompt_tokens\":20,\"completion_tokens\":18,\"total_tokens\":38}}}}\n\n"
    );
    let mut chunks = vec![Bytes::from(delta); 18];
    chunks.extend([Bytes::from(usage), Bytes::from_static(b"data: [DONE]\n\n")]);
    chunks
}

fn bodies(c: &mut Criterion) {
    let english = "The quick brown fox jumps over the lazy dog, and \"so\" do all of the others.\n";
    let russian = "Съешь же ещё этих мягких французских булок. ";
    let mut group = c.benchmark_group("body");
    for (name, size, words) in [
        ("600 B", 600, english),
        ("32 KiB", 32 << 10, english),
        ("32 KiB not ASCII", 32 << 10, russian),
        ("1 MiB", 1 << 20, english),
    ] {
        let body = chat(size, words);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("parse {name}"), |b| {
            b.iter(|| Members::parse(black_box(&body)).map(|members| members.iter().count()));
        });
        group.bench_function(format!("read and set model {name}"), |b| {
            b.iter(|| {
                let request = Request::parse(black_box(&body)).ok()?;
                let mut splice = Splice::default();
                request.set_model("gpt-5-mini", &mut splice).ok()?;
                Some(splice.apply(&body))
            });
        });
    }
    group.finish();
}

fn streams(c: &mut Criterion) {
    let chunks = stream();
    let mut group = c.benchmark_group("stream of 20 chunks");
    group.bench_function("scan", |b| {
        b.iter(|| {
            let mut scanner = Scanner::default();
            let mut events = 0;
            for chunk in &chunks {
                scanner.feed(black_box(chunk), |event| {
                    black_box(&event);
                    events += 1;
                });
            }
            events
        });
    });
    for (name, hide) in [("usage", false), ("usage, hidden", true)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut stream = AnswerStream::new(hide);
                for chunk in &chunks {
                    black_box(stream.feed(chunk.clone()));
                }
                stream.seen.usage
            });
        });
    }
    group.finish();
}

/// Whole answers whose usage comes last: a chat of 600 bytes, eight embeddings.
fn answers(c: &mut Criterion) {
    let usage =
        serde_json::json!({ "prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38 });
    let chat = serde_json::json!({
        "id": "chatcmpl-BTqHVDKqbGZmVqVrdVNqLmaUkXyCz", "object": "chat.completion", "created": 1_746_600_000,
        "model": "demo", "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "word ".repeat(60) } }], "usage": usage,
    });
    let vectors = vec![serde_json::json!({ "embedding": vec![0.012_345_678; 1536] }); 8];
    let embeddings = serde_json::json!({ "object": "list", "data": vectors, "usage": usage });
    let mut group = c.benchmark_group("usage of a whole answer");
    for (name, answer) in [("chat", chat.to_string()), ("embeddings", embeddings.to_string())] {
        group.throughput(Throughput::Bytes(answer.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut tap = UsageTap::default();
                tap.feed(black_box(answer.as_bytes()));
                tap.usage()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bodies, streams, answers);
criterion_main!(benches);
