//! Wire formats, at the level of bytes: reading what matters, changing only what must change.
//!
//! A body is validated once and its members are found by their byte ranges; a change is spliced in
//! and every other byte stays as the client wrote it. Streams are observed while their bytes pass
//! through. Nothing here knows Pingora, tokio or the configuration: plain values in, bytes out.

pub mod members;
pub mod messages;
pub mod multipart;
pub mod openai;
pub mod splice;
pub mod sse;
pub mod tap;

mod scan;
