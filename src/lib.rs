//! Tollgate: an edge gateway for large language models, on Cloudflare's Pingora.
//!
//! The modules stand in the order in which a request meets them:
//!
//! ```text
//! proxy ─► route ─► auth ─► body ─► request ─► admission ─► upstream ─► stream ─► usage ─► telemetry
//!   │                                  ▲            ▲
//!   └── one hook, one step             └─ dialect   └─ retry
//! ```
//!
//! Invariants, held by types where they can be and by `tests/tidy.rs` otherwise:
//! - one direction: `proxy` → steps → `dialect`, `config` → `types`, `error`;
//! - only `proxy` implements Pingora's `ProxyHttp`, and `dialect` knows no Pingora at all;
//! - a request reads one snapshot of the configuration, from its first step to its last;
//! - a request is accounted once, in `logging`, for every way it can end;
//! - no other attempt once a byte of an answer went to the client.

// Clippy cannot be told to excuse tests from this one, so it does not stand in Cargo.toml.
#![cfg_attr(not(test), warn(clippy::string_slice))]

pub mod server;

pub mod proxy;

pub mod route;

pub mod auth;

pub mod body;

pub mod request;

pub mod admission;
pub mod context;
pub mod webhook;

pub mod upstream;

pub mod retry;

pub mod stream;

pub mod usage;

pub mod telemetry;

pub mod dialect;

pub mod roster;

pub mod state;

pub mod valkey;

pub mod admin;

pub mod config;

pub mod keys;

pub mod template;

pub mod mock;

pub mod bench;

pub mod error;

pub mod types;
