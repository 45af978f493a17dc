//! Wire formats: reading what matters, changing only what must change, translating the rest.
//!
//! Where client and upstream speak the same dialect, the work is on bytes: a body is validated
//! once, its members are found by their ranges, a change is spliced in and every other byte stays
//! as the client wrote it; streams are observed while their bytes pass through. Where they differ,
//! [`translate`] goes through one intermediate form, [`ir`], with one reader and one writer a
//! dialect. Nothing here knows Pingora, tokio or the configuration: plain values in, bytes out.

pub mod capabilities;
pub mod counting;
pub mod embeddings;
pub mod fields;
pub mod inserts;
pub mod members;
pub mod messages;
pub mod models;
pub mod multipart;
pub mod openai;
pub mod splice;
pub mod sse;
pub mod tap;
pub mod watch;

mod scan;

pub mod anthropic;
pub mod bedrock;
pub mod chat;
pub mod gemini;
pub mod ir;
pub mod responses;
pub mod translate;

pub mod gather;
pub mod turns;
