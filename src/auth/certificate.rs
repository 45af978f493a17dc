//! Client certificates: the names in one, and whose key they are.
//!
//! TLS decides whether a certificate is genuine; here it is only asked for its names. They are read once a
//! connection; the key is looked for at every request, since a reload may change it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::config::snapshot::certificate::{CertificateName, NAME_BYTES_MAX, NameKind};
use crate::config::snapshot::{Key, Snapshot};
use crate::error::{Error, Kind, Result};

/// Names of one certificate that are looked at.
const NAMES_MAX: usize = 64;

/// What the client of a connection has shown.
#[derive(Debug)]
pub enum Shown {
    /// A certificate that was accepted.
    Certificate(Named),
    /// None that would be accepted now: only a resumed connection gets so far.
    Nothing,
}

/// A certificate, as far as keys are concerned.
#[derive(Debug)]
pub struct Named {
    /// In the order of their kinds, then as the certificate has them.
    names: Vec<CertificateName>,
    /// In seconds since 1970.
    until: i64,
}

impl Shown {
    /// Refuses the request where the connection should not be there.
    ///
    /// # Errors
    /// `InvalidCertificate`.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Certificate(_) => Ok(()),
            Self::Nothing => Err(refused("none that is accepted now was shown: connect again")),
        }
    }

    /// The key that one of the certificate's names is of.
    ///
    /// # Errors
    /// `InvalidCertificate`.
    pub fn key<'s>(&self, snapshot: &'s Snapshot, now: DateTime<Utc>) -> Result<&'s Arc<Key>> {
        self.check()?;
        let Self::Certificate(Named { names, until }) = self else { return Err(nobody()) };
        if now.timestamp() > *until {
            return Err(refused("it has expired: connect again with a new one"));
        }
        names.iter().find_map(|name| snapshot.certificates.get(name)).ok_or_else(nobody)
    }
}

impl Named {
    /// Reads a certificate in DER; without names where it cannot be read.
    pub fn read(der: &[u8]) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Self { names: Vec::new(), until: i64::MIN };
        };
        let subject = certificate.subject().iter_common_name();
        let common = subject.filter_map(|name| name.as_str().ok());
        let common = common.map(|name| (NameKind::CommonName, name));
        let others = certificate.subject_alternative_name().ok().flatten();
        let others = others.iter().flat_map(|list| &list.value.general_names);
        let mut names: Vec<_> = others
            .filter_map(alternative)
            .chain(common)
            .filter(|(_, name)| name.len() <= NAME_BYTES_MAX)
            .take(NAMES_MAX)
            .map(|(kind, name)| CertificateName::new(kind, name))
            .collect();
        names.sort_by_key(CertificateName::kind);
        Self { names, until: certificate.validity().not_after.timestamp() }
    }
}

fn alternative<'n>(name: &GeneralName<'n>) -> Option<(NameKind, &'n str)> {
    match name {
        GeneralName::URI(name) => Some((NameKind::Uri, name)),
        GeneralName::DNSName(name) => Some((NameKind::Dns, name)),
        GeneralName::RFC822Name(name) => Some((NameKind::Email, name)),
        _ => None,
    }
}

fn nobody() -> Error {
    refused("no key here is of a name in it")
}

fn refused(why: &str) -> Error {
    Error::new(Kind::InvalidCertificate, format!("The client certificate is not accepted: {why}."))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn der(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "An App");
        params.subject_alt_names = names;
        params.not_after = date_time_ymd(2030, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn names(der: &[u8]) -> Vec<String> {
        Named::read(der).names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_stand_in_the_order_in_which_keys_are_looked_for() {
        let text = |text: &str| text.try_into().unwrap();
        let der = der(vec![
            SanType::Rfc822Name(text("app@a.b")),
            SanType::IpAddress([10, 0, 0, 1].into()),
            SanType::DnsName(text("B.a.b")),
            SanType::DnsName(text("a.a.b")),
            SanType::URI(text("spiffe://a.b/app")),
        ]);
        let expected =
            ["URI:spiffe://a.b/app", "DNS:b.a.b", "DNS:a.a.b", "email:app@a.b", "CN:An App"];
        assert_eq!(names(&der), expected);
        let end = date_time_ymd(2030, 1, 1).unix_timestamp();
        assert_eq!(Named::read(&der).until, end);
    }

    #[test]
    fn what_is_looked_at_is_bounded() {
        let many = (0..1000).map(|i| SanType::DnsName(format!("h{i}").try_into().unwrap()));
        assert_eq!(names(&der(many.collect())).len(), NAMES_MAX);
        let long = format!("urn:{}", "x".repeat(NAME_BYTES_MAX));
        assert_eq!(names(&der(vec![SanType::URI(long.try_into().unwrap())])), ["CN:An App"]);
        assert!(names(b"no certificate").is_empty());
        assert!(names(&der(Vec::new())[..100]).is_empty());
    }
}
