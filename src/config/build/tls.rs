//! Certificates and keys: that the files are there, can be parsed, and belong together.
//!
//! A check reads them and forgets them; the server reads them again to use them.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use crate::config::snapshot::tls::{ClientCertificates, TlsFiles};
use crate::config::spot::Spot;

/// The largest PEM file, in bytes: the system's own bundle of roots has about 200 KiB.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Checks a listener's certificate chain and private key.
pub(super) fn pair(cert_file: &Path, key_file: &Path, cert_at: &Spot<'_>, key_at: &Spot<'_>) {
    let chain = reported(certificates(cert_file), cert_at);
    let key = reported(private_key(key_file), key_at);
    let (Some(chain), Some(key)) = (chain, key) else { return };
    if let Err(why) = together(chain, key, cert_file, key_file) {
        key_at.refuse(why);
    }
}

/// Reads a listener's certificate chain and private key, for use.
///
/// # Errors
/// A sentence that names the file at fault.
pub fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, String> {
    let chain = certificates(&files.cert_file)?;
    let key = private_key(&files.key_file)?;
    together(chain, key, &files.cert_file, &files.key_file)
}

fn together(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_file: &Path,
    key_file: &Path,
) -> Result<CertifiedKey, String> {
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
        format!(
            "`{}` is not the key of the first certificate in `{}`: {error}",
            key_file.display(),
            cert_file.display()
        )
    })
}

/// Checks a file of roots to trust.
pub(super) fn roots(file: &Path, spot: &Spot<'_>) {
    reported(trusted(file), spot);
}

/// Reads the authorities of clients' certificates, for use.
///
/// # Errors
/// A sentence that names the file at fault.
pub fn client_verifier(
    clients: &ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let roots = Arc::new(trusted(&clients.ca_file)?);
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| format!("`{}`: {error}", clients.ca_file.display()))
}

fn trusted(file: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store.add(certificate).map_err(|error| {
            format!("`{}` holds a certificate that cannot be trusted: {error}", file.display())
        })?;
    }
    Ok(store)
}

fn reported<T>(result: Result<T, String>, spot: &Spot<'_>) -> Option<T> {
    result.map_err(|why| spot.refuse(why)).ok()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err(format!("`{}` holds no PEM certificate", path.display()))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("`{}` is not PEM: {}", path.display(), broken(&error))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        PemError::NoItemsFound => format!("`{}` holds no PEM private key", path.display()),
        error => format!("`{}` is not PEM: {}", path.display(), broken(&error)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("`{}` cannot be read: {error}", path.display());
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > PEM_BYTES_MAX {
        return Err(format!("`{}` is larger than {PEM_BYTES_MAX} bytes", path.display()));
    }
    std::fs::read(path).map_err(unreadable)
}

/// What is wrong, without the bytes that some variants carry: they may be of a key.
fn broken(error: &PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "a section has no end",
        PemError::IllegalSectionStart { .. } => "a section's first line is broken",
        PemError::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be parsed",
    }
}
