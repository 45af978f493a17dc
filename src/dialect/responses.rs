//! OpenAI Responses, without the provider's state: requests, answers and streams, to and from the
//! intermediate form. Errors are those of [`chat`](super::chat).
//!
//! A conversation is a list of items here, and what one side says in a row is several of them; the
//! intermediate form has them as parts of one message. Source: OpenAI API reference, "Responses".

pub mod answer;
mod block;
mod event;
pub mod items;
pub mod naming;
pub mod request_reader;
pub mod request_writer;
pub mod stream_reader;
pub mod stream_writer;
mod wire;
