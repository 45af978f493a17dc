//! (to be written)

pub mod ir;
pub mod chat;
pub mod anthropic;
pub mod gemini;
pub mod responses;
pub mod translate;
