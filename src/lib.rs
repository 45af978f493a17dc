//! Tollgate: an edge gateway for large language models, on Cloudflare's Pingora.

pub mod admin;
pub mod config;
pub mod dialect;
pub mod error;
pub mod keys;
pub mod mock;
pub mod retry;
pub mod telemetry;
pub mod types;
pub mod upstream;
pub mod usage;
