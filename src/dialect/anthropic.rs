//! Anthropic Messages: requests, answers, streams and errors, to and from the intermediate form.
//!
//! Source: Anthropic API reference, "Messages", "Streaming messages", "Errors".

pub mod answer;
pub mod error;
pub mod request_reader;
pub mod request_writer;
pub mod stream_reader;
pub mod stream_writer;
pub(super) mod tuning;
pub(super) mod wire;
