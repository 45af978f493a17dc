//! What operators see: metrics, the access log and the ordinary log.
//!
//! A request is accounted once, in `logging`, from one `UsageRecord`: `Metrics::record` reads it,
//! then `AccessLog::write` takes it. Both touch only memory of the calling thread, so that
//! worker threads do not wait for each other; totals are made when someone asks for them.

pub mod access_log;
pub mod log;
pub mod metrics;

pub(crate) mod shard;

#[cfg(test)]
pub(crate) mod fixture;
