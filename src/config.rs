//! Configuration: a YAML file becomes one checked, immutable [`snapshot::Snapshot`].

pub mod raw;
pub mod reload;
pub mod snapshot;
