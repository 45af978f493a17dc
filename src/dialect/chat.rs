//! OpenAI Chat Completions: requests, answers, streams and errors, to and from the intermediate form.
//!
//! Source: OpenAI API reference, "Chat", and what compatible servers add to it. Members beyond the
//! reference are read from clients (`top_k`, `cache_control`, `reasoning_content`, LiteLLM's
//! `thinking_blocks`, Google's `extra_content`); to an upstream they go only where
//! [`Target::extensions`](super::ir::Target) says so, because OpenAI refuses what it does not know.

pub mod answer;
pub mod error;
pub mod request_reader;
pub mod request_writer;
pub mod stream_reader;
pub mod stream_writer;
mod usage;
mod wire;
