//! Certificates of clients: which are accepted, as the configuration says it now.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::tls::TlsRef;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::auth::certificate::{Named, Shown};
use crate::telemetry::metrics::{CertificateEnd, Metrics};

/// What decides about the certificates of one listener's clients.
type Verifier = Arc<dyn ClientCertVerifier>;

/// The certificates that new connections of one listener may have.
#[derive(Clone)]
pub struct Clients {
    verifier: Arc<ArcSwapOption<Verifier>>,
    metrics: Arc<Metrics>,
}

impl Clients {
    /// Asks by a verifier; for none without.
    pub fn new(verifier: Option<Verifier>, metrics: Arc<Metrics>) -> Self {
        Self { verifier: Arc::new(ArcSwapOption::from_pointee(verifier)), metrics }
    }

    /// Asks by another verifier from now on.
    pub fn replace(&self, verifier: Option<Verifier>) {
        self.verifier.store(verifier.map(Arc::new));
    }

    /// The verifier of this moment; a reload may take it away in the middle of a handshake.
    fn now(&self) -> Result<Verifier, Error> {
        let verifier = self.verifier.load();
        verifier
            .as_deref()
            .cloned()
            .ok_or_else(|| Error::General("no certificate is asked for".to_owned()))
    }

    /// What a client has shown; `None` where nothing was asked of it.
    fn shown(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<Shown> {
        let verifier = self.now().ok()?;
        let Some((leaf, others)) = chain.and_then(<[_]>::split_first) else {
            return verifier.client_auth_mandatory().then_some(Shown::Nothing);
        };
        // Its signature was seen to be right when the session began; that the certificate counts, only
        // now: a session that is resumed asks no verifier, and the authority may have been replaced.
        if self.verify_client_cert(leaf, others, UnixTime::now()).is_err() {
            return Some(Shown::Nothing);
        }
        self.metrics.certificates.count(CertificateEnd::Accepted);
        Some(Shown::Certificate(Named::read(leaf)))
    }
}

#[async_trait]
impl TlsAccept for Clients {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        self.shown(tls.peer_cert_chain_der()).map(|shown| Arc::new(shown) as _)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.now().is_ok()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.now().is_ok_and(|verifier| verifier.client_auth_mandatory())
    }

    /// None: clients need not be told who is trusted, and it may change under a reference.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.now().and_then(|v| v.verify_client_cert(leaf, others, now));
        verified.inspect_err(|error| self.metrics.certificates.count(end(error)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now()?.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now()?.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now().map_or_else(|_| Vec::new(), |verifier| verifier.supported_verify_schemes())
    }
}

fn end(error: &Error) -> CertificateEnd {
    match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => CertificateEnd::Expired,
        // A signature is wrong where an authority has only the name of one that is trusted.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => CertificateEnd::UnknownIssuer,
        _ => CertificateEnd::Invalid,
    }
}
