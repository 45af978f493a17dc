//! Certificates of listeners, as files.

use std::path::{Path, PathBuf};

/// A certificate chain and its private key, as PEM files; re-read on reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
    /// Whether and which certificates of clients are asked for.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates of clients are accepted; re-read on reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientCertificates {
    /// The authorities that may have signed one.
    pub ca_file: PathBuf,
    /// Whether there is no connection without one.
    pub required: bool,
}

impl TlsFiles {
    /// Every file.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = [self.cert_file.as_path(), &self.key_file];
        own.into_iter().chain(self.clients.as_ref().map(|clients| clients.ca_file.as_path()))
    }
}
