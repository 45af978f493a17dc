//! Google Gemini `generateContent`: requests, answers, streams and errors, to and from the intermediate form.
//!
//! The model and whether to stream stand in the path, not in the body. Names are read in camel case and,
//! as Google's servers do, in snake case. Source: Gemini API reference, `v1beta` discovery document.

pub mod answer;
pub mod error;
pub mod names;
pub mod request_reader;
pub mod request_writer;
pub mod stream_reader;
pub mod stream_writer;
mod wire;
