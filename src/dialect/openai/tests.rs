//! Answers recorded from real providers: usage is found, complete, and each token counted once.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::dialect::openai::answer::UsageTap;
use crate::dialect::openai::stream::AnswerStream;
use crate::types::TokenUsage;

/// The recordings of servers that speak OpenAI's chat format; none where they are not there.
fn recordings(end: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/fixtures/provider-recordings/openai-compatible");
    match folder.read_dir() {
        Ok(files) => {
            let files = files.map(|file| file.unwrap().path());
            files.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
        }
        Err(error) => {
            eprintln!("skipped: no recordings at {}: {error}", folder.display());
            Vec::new()
        }
    }
}

fn sum(usage: TokenUsage) -> u64 {
    usage.input + usage.cache_read + usage.cache_write + usage.output + usage.reasoning
}

fn total(answer: &serde_json::Value) -> Option<u64> {
    answer.get("usage")?.get("total_tokens")?.as_u64()
}

#[test]
fn recorded_answers_tell_their_usage() {
    for path in recordings(".json") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut tap = UsageTap::default();
        text.as_bytes().chunks(100).for_each(|chunk| tap.feed(chunk));
        let expected = total(&serde_json::from_str(&text).unwrap());
        assert!(expected.is_some(), "{}: no total to compare with", path.display());
        assert_eq!(tap.usage().map(sum), expected, "{}", path.display());
    }
}

#[test]
fn recorded_streams_tell_their_usage() {
    for path in recordings(".chunks.txt") {
        let lines = std::fs::read_to_string(&path).unwrap();
        let text: String = lines.lines().map(|line| format!("data: {line}\n\n")).collect();
        let mut stream = AnswerStream::new(false);
        for chunk in text.as_bytes().chunks(1000) {
            assert_eq!(stream.feed(Bytes::copy_from_slice(chunk)), chunk);
        }
        assert!(stream.finish().is_empty());
        let objects = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
        let expected = objects.filter_map(|object| total(&object)).next_back();
        assert!(expected.is_some(), "{}: no total to compare with", path.display());
        assert_eq!(stream.seen.usage.map(sum), expected, "{}", path.display());
    }
}
