//! Certificates of the listeners, exchanged on reload without touching a connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::certified_key;
use crate::config::snapshot::Listener;
use crate::config::snapshot::tls::TlsFiles;

/// The certificate of each listener that has one, by the listener's address.
pub struct Certificates {
    by_address: HashMap<SocketAddr, Arc<Current>>,
}

/// The certificate that new connections get.
struct Current(ArcSwap<CertifiedKey>);

impl Certificates {
    /// Reads the certificates of the listeners.
    ///
    /// # Errors
    /// Where a file cannot be read, or key and certificate do not belong together.
    pub fn load(listeners: &[Listener]) -> io::Result<Self> {
        let mut by_address = HashMap::new();
        for (address, files) in listeners.iter().filter_map(with_files) {
            let key = certified_key(files).map_err(io::Error::other)?;
            by_address.insert(address, Arc::new(Current(ArcSwap::from_pointee(key))));
        }
        Ok(Self { by_address })
    }

    /// Reads the files that a new configuration names for the listeners there are: all of them
    /// are taken into use, or none.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn reload(&self, listeners: &[Listener]) -> io::Result<()> {
        let mut read = Vec::with_capacity(self.by_address.len());
        for (address, files) in listeners.iter().filter_map(with_files) {
            if let Some(current) = self.by_address.get(&address) {
                read.push((current, certified_key(files).map_err(io::Error::other)?));
            }
        }
        for (current, key) in read {
            current.0.store(Arc::new(key));
        }
        Ok(())
    }

    /// What a listener asks for its certificate.
    pub fn resolver(&self, listener: &Listener) -> Option<Arc<dyn ResolvesServerCert>> {
        let current = self.by_address.get(&listener.address)?;
        Some(current.clone())
    }
}

fn with_files(listener: &Listener) -> Option<(SocketAddr, &TlsFiles)> {
    Some((listener.address, listener.tls.as_ref()?))
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
