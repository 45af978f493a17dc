//! The black-box test harness: a gateway process, scriptable model servers, clients.
//!
//! A test reads as sentences on it:
//!
//! ```no_run
//! # async fn example() {
//! use support::answer::status;
//! use support::conf::serving;
//! use support::upstream::upstream;
//!
//! let model = upstream().await;
//! model.then(status(503));
//! let gateway = serving(&[&model]).start().await;
//! let reply = gateway.client().chat("demo").await;
//! assert_eq!(reply.status, 200);
//! assert_eq!(model.count(), 2);
//! # }
//! ```
//!
//! Everything is real: the built binary, sockets on free ports, files in a directory of their
//! own. Nothing sleeps for a fixed time: waiting is for an event, with [`wait::PATIENCE`] as the
//! bound. It knows the gateway only from outside: it must not depend on the `tollgate` library.

pub use reqwest::{Method, RequestBuilder, Result as Attempted, Version};

pub mod answer;
pub mod client;
pub mod conf;
pub mod events;
pub mod gate;
pub mod gateway;
pub mod metrics;
pub mod operator;
pub mod port;
pub mod redis;
pub mod reply;
pub mod tls;
pub mod tools;
pub mod upstream;
pub mod valkey;
pub mod wait;
pub mod wire;
