//! Names in client certificates, by which keys are found.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes: a SPIFFE id has at most so many.
pub const NAME_BYTES_MAX: usize = 2048;

/// One name, with its kind: the same text as a host and as a common name is two names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateName {
    kind: NameKind,
    text: Box<str>,
}

/// Where in a certificate a name stands, in the order in which keys are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// A `uniformResourceIdentifier` among the subject's alternative names.
    Uri,
    /// A `dNSName` there.
    Dns,
    /// An `rfc822Name` there.
    Email,
    /// A `commonName` of the subject.
    CommonName,
}

impl NameKind {
    /// As `openssl x509 -text` writes them, and as the configuration does.
    const LABELS: [(NameKind, &str); 4] = [
        (NameKind::Uri, "URI"),
        (NameKind::Dns, "DNS"),
        (NameKind::Email, "email"),
        (NameKind::CommonName, "CN"),
    ];
}

impl CertificateName {
    /// A name. Hosts are the same in any case (RFC 4343), all else to the letter.
    pub fn new(kind: NameKind, text: &str) -> Self {
        let text = if kind == NameKind::Dns { text.to_ascii_lowercase() } else { text.to_owned() };
        Self { kind, text: text.into() }
    }

    /// Where it stands.
    pub fn kind(&self) -> NameKind {
        self.kind
    }
}

impl FromStr for CertificateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not `URI:`, `DNS:`, `email:` or `CN:` and a name, such as \
                 `URI:spiffe://example.com/app`"
            )
        };
        let (label, name) = text.split_once(':').ok_or_else(wrong)?;
        let mut kinds = NameKind::LABELS.into_iter();
        let (kind, _) = kinds.find(|(_, known)| *known == label).ok_or_else(wrong)?;
        if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
            return Err(wrong());
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a name has at most {NAME_BYTES_MAX} bytes, not {}", name.len()));
        }
        Ok(Self::new(kind, name))
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = NameKind::LABELS.iter().find(|(kind, _)| *kind == self.kind);
        write!(f, "{}:{}", label.map_or("", |(_, label)| label), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_alike() {
        for text in ["URI:spiffe://a.b/c?d#E", "DNS:*.a.b", "email:Me@a.b", "CN:A b: c"] {
            assert_eq!(text.parse::<CertificateName>().unwrap().to_string(), text);
        }
        assert_eq!("DNS:A.b".parse(), Ok(CertificateName::new(NameKind::Dns, "a.B")));
        assert_ne!("CN:A".parse(), Ok(CertificateName::new(NameKind::CommonName, "a")));
        assert_ne!("CN:a.b".parse(), Ok(CertificateName::new(NameKind::Dns, "a.b")));
        for text in ["", "a.b", "URI:", "URI: a", "dns:a.b", "IP:10.0.0.1", "CN:a\0"] {
            assert!(text.parse::<CertificateName>().is_err(), "{text}");
        }
        assert!(format!("CN:{}", "x".repeat(2049)).parse::<CertificateName>().is_err());
    }
}
