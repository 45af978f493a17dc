//! Certificates of the listeners, exchanged on reload without touching a connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::listeners::tls::TlsSettings;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::clients::Clients;
use crate::config::snapshot::Listener;
use crate::config::snapshot::tls::TlsFiles;
use crate::config::{certified_key, client_verifier};
use crate::telemetry::metrics::Metrics;

/// What each listener with TLS shows and asks for, by the listener's address.
pub struct Certificates {
    by_address: HashMap<SocketAddr, Proofs>,
}

/// Who proves what to whom on new connections.
struct Proofs {
    own: Arc<Current>,
    clients: Clients,
}

/// The certificate that new connections get.
struct Current(ArcSwap<CertifiedKey>);

/// What was read of a listener's files.
type Read = (CertifiedKey, Option<Arc<dyn ClientCertVerifier>>);

impl Certificates {
    /// Reads the certificates of the listeners.
    ///
    /// # Errors
    /// Where a file cannot be read, or key and certificate do not belong together.
    pub fn load(listeners: &[Listener], metrics: &Arc<Metrics>) -> io::Result<Self> {
        let mut by_address = HashMap::new();
        for (address, files) in listeners.iter().filter_map(with_files) {
            let (key, verifier) = read(files)?;
            let own = Arc::new(Current(ArcSwap::from_pointee(key)));
            let clients = Clients::new(verifier, Arc::clone(metrics));
            by_address.insert(address, Proofs { own, clients });
        }
        Ok(Self { by_address })
    }

    /// Reads the files that a new configuration names for the listeners there are: all of them
    /// are taken into use, or none.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn reload(&self, listeners: &[Listener]) -> io::Result<()> {
        let mut next = Vec::with_capacity(self.by_address.len());
        for (address, files) in listeners.iter().filter_map(with_files) {
            if let Some(proofs) = self.by_address.get(&address) {
                next.push((proofs, read(files)?));
            }
        }
        for (proofs, (key, verifier)) in next {
            proofs.own.0.store(Arc::new(key));
            proofs.clients.replace(verifier);
        }
        Ok(())
    }

    /// TLS as a listener speaks it; `None` where it speaks in clear text.
    ///
    /// # Errors
    /// Pingora's.
    pub fn settings(&self, listener: &Listener) -> pingora::Result<Option<TlsSettings>> {
        let Some(Proofs { own, clients }) = self.by_address.get(&listener.address) else {
            return Ok(None);
        };
        let mut tls = TlsSettings::with_callbacks(Box::new(clients.clone()))?;
        tls.set_cert_resolver(own.clone());
        tls.set_client_cert_verifier(Arc::new(clients.clone()));
        tls.enable_h2();
        Ok(Some(tls))
    }
}

fn read(files: &TlsFiles) -> io::Result<Read> {
    let key = certified_key(files).map_err(io::Error::other)?;
    let verifier = files.clients.as_ref().map(client_verifier).transpose();
    Ok((key, verifier.map_err(io::Error::other)?))
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
