//! AWS Bedrock's Converse and ConverseStream: requests to it, answers, streams and errors from it.
//!
//! No client of the gateway speaks it, so there is neither a reader of requests nor a writer of answers. The
//! model stands in the path and not in the body. Source: Amazon Bedrock API reference, "Converse",
//! "ConverseStream"; the framing of streams: Smithy, "Amazon Event Stream Specification".

pub mod answer;
pub mod error;
pub mod frames;
pub mod request_writer;
pub mod stream_reader;

mod media;
mod tuning;
mod wire;
