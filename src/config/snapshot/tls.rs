//! Certificates of listeners, as files.

use std::path::PathBuf;

/// A certificate chain and its private key, as PEM files; re-read on reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}
