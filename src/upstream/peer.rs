//! How Pingora is told to connect to an endpoint: built once, cloned for each attempt.
//!
//! Everything that does not change from request to request is settled here: TLS, names,
//! roots, HTTP versions, keep-alive. Address and times are put into the clone.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::TcpKeepalive;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::utils::tls::WrappedX509;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::snapshot::{Endpoint, UpstreamTls};
use crate::types::EndpointId;

/// Requests at a time on one HTTP/2 connection: what most servers allow.
const H2_STREAMS_MAX: usize = 100;
/// An idle connection is probed after this time, so that a dead one is noticed while a
/// model thinks and no byte flows …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// … this often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … and given up after so many probes without an answer.
const KEEPALIVE_PROBES: usize = 3;

/// An endpoint that cannot be used as configured.
#[derive(Debug)]
pub struct Unusable {
    /// Which one.
    pub endpoint: EndpointId,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint `{}`: {}", self.endpoint, self.reason)
    }
}

impl std::error::Error for Unusable {}

/// The peer of an endpoint, without address and times; idle connections are kept for `idle`.
pub(super) fn template(endpoint: &Endpoint, idle: Duration) -> Result<HttpPeer, Unusable> {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, endpoint.port));
    let name = endpoint.tls.as_ref().map(|tls| tls.server_name.to_string());
    let mut peer = HttpPeer::new(nowhere, name.is_some(), name.unwrap_or_default());
    peer.options.idle_timeout = Some(idle);
    peer.options.max_h2_streams = H2_STREAMS_MAX;
    peer.options.tcp_keepalive = Some(TcpKeepalive {
        idle: KEEPALIVE_IDLE,
        interval: KEEPALIVE_INTERVAL,
        count: KEEPALIVE_PROBES,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    if let Some(tls) = &endpoint.tls {
        secure(&mut peer, tls)
            .map_err(|reason| Unusable { endpoint: endpoint.id.clone(), reason })?;
    }
    Ok(peer)
}

fn secure(peer: &mut HttpPeer, tls: &UpstreamTls) -> Result<(), String> {
    peer.options.alpn = if tls.http2 { ALPN::H2H1 } else { ALPN::H1 };
    peer.options.verify_cert = tls.verify;
    peer.options.verify_hostname = tls.verify;
    peer.options.ca = tls.ca_file.as_deref().map(roots).transpose()?;
    peer.group_key = group(peer.options.ca.as_deref(), tls.http2);
    Ok(())
}

/// Pingora shares idle connections between peers of one address and name. Its own key leaves
/// out roots and HTTP versions, so they go into the group: a connection accepted under other
/// roots is not used again.
fn group(roots: Option<&CaType>, http2: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    http2.hash(&mut hasher);
    for root in roots.into_iter().flatten() {
        root.borrow_raw_cert().hash(&mut hasher);
    }
    hasher.finish()
}

/// The certificates of a PEM file. They replace the system's roots: so Pingora does it.
fn roots(path: &Path) -> Result<Arc<CaType>, String> {
    let file = path.display();
    let pem =
        fs::read(path).map_err(|error| format!("ca_file `{file}` cannot be read: {error}"))?;
    let certificates: Vec<WrappedX509> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| {
            let der = der.map_err(|error| format!("ca_file `{file}` is not PEM: {error}"))?;
            root(der.to_vec()).ok_or_else(|| {
                format!("ca_file `{file}` holds a block that is no X.509 certificate")
            })
        })
        .collect::<Result<_, String>>()?;
    if certificates.is_empty() {
        return Err(format!(
            "ca_file `{file}` holds no certificate: at least one PEM block `CERTIFICATE` is needed"
        ));
    }
    Ok(certificates.into())
}

fn root(der: Vec<u8>) -> Option<WrappedX509> {
    WrappedX509::try_new(der, |der| X509Certificate::from_der(der).map(|(_, parsed)| parsed)).ok()
}
