//! Certificates for tests: an authority, and identities that it signs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
    alpn: Vec<Vec<u8>>,
}

impl Authority {
    /// A new authority that nobody trusts yet.
    #[expect(clippy::new_without_default, reason = "making one costs a key pair")]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("an authority's certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate: what others must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the authority's certificate into a directory.
    pub fn write(&self, directory: &Path) -> PathBuf {
        write(directory, "authority.pem", &self.pem)
    }

    /// A certificate for a name or address; HTTP/2 and HTTP/1.1 are offered.
    pub fn issue(&self, name: &str) -> Identity {
        self.sign(&CertificateParams::new(vec![name.to_owned()]).expect("a valid name"))
    }

    /// A client's certificate with these names, each with its kind: `CN:app`, `DNS:`, `URI:`, `email:`.
    pub fn issue_client(&self, names: &[&str]) -> Identity {
        self.sign(&client_params(names))
    }

    /// The same, that nobody may use any more.
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = client_params(names);
        (params.not_before, params.not_after) =
            (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key pair");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

fn client_params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    // rcgen gives a common name of its own to whoever has none.
    params.distinguished_name = DistinguishedName::new();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for name in names {
        let (kind, name) = name.split_once(':').expect("a kind");
        let text = || name.try_into().expect("a name in ASCII");
        match kind {
            "CN" => params.distinguished_name.push(DnType::CommonName, name),
            "DNS" => params.subject_alt_names.push(SanType::DnsName(text())),
            "URI" => params.subject_alt_names.push(SanType::URI(text())),
            "email" => params.subject_alt_names.push(SanType::Rfc822Name(text())),
            kind => panic!("no kind of name: {kind}"),
        }
    }
    params
}

impl Identity {
    /// A client's side of TLS with this identity.
    pub(crate) fn of_client(&self) -> reqwest::Identity {
        let pem = format!("{}{}", self.certificate_pem, self.key.serialize_pem());
        reqwest::Identity::from_pem(pem.as_bytes()).expect("certificate and key")
    }

    /// Offers HTTP/1.1 only.
    pub fn http1_only(mut self) -> Self {
        self.alpn = vec![b"http/1.1".to_vec()];
        self
    }

    /// Writes certificate and key as PEM into a directory and says where, in this order.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        (
            write(directory, "certificate.pem", &self.certificate_pem),
            write(directory, "key.pem", &self.key.serialize_pem()),
        )
    }

    /// The certificate in DER, to compare with what a server presents.
    pub fn der(&self) -> &[u8] {
        self.certificate.as_ref()
    }

    /// A server's side of TLS with this identity.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        install_provider();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .expect("certificate and key belong together");
        config.alpn_protocols.clone_from(&self.alpn);
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Makes *ring* the process's cryptography, once.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else may have installed one before: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("the test's directory can be written");
    path
}
