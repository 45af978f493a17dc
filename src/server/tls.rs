//! Certificates of the listeners, exchanged on reload without touching a connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::snapshot::{Listener, TlsFiles};
use crate::config::certified_key;

/// The certificate of each listener that has one.
pub struct Certificates {
    by_files: HashMap<TlsFiles, Arc<Current>>,
}

/// The certificate that new connections get.
struct Current(ArcSwap<CertifiedKey>);

impl Certificates {
    /// Reads the certificates of the listeners.
    ///
    /// # Errors
    /// Where a file cannot be read, or key and certificate do not belong together.
    pub fn load(listeners: &[Listener]) -> io::Result<Self> {
        let mut by_files = HashMap::new();
        for files in listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            let key = certified_key(files).map_err(io::Error::other)?;
            by_files.insert(files.clone(), Arc::new(Current(ArcSwap::from_pointee(key))));
        }
        Ok(Self { by_files })
    }

    /// Reads all files again: all of them are taken into use, or none.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn reload(&self) -> io::Result<()> {
        let mut read = Vec::with_capacity(self.by_files.len());
        for (files, current) in &self.by_files {
            read.push((current, certified_key(files).map_err(io::Error::other)?));
        }
        for (current, key) in read {
            current.0.store(Arc::new(key));
        }
        Ok(())
    }

    /// What a listener asks for its certificate.
    pub fn resolver(&self, files: &TlsFiles) -> Option<Arc<dyn ResolvesServerCert>> {
        let current = self.by_files.get(files)?;
        Some(current.clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
