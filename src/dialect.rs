//! (to be written)

pub mod ir;
pub mod chat;
pub mod anthropic;
pub mod gemini;
pub mod translate;
