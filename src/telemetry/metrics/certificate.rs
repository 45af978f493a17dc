//! What the certificates of clients came to, once a connection.

use super::cells::Counts;
use super::page::{Family, Page};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateEnd {
    /// It was accepted; whether it is of a key, each request finds out.
    Accepted,
    /// It has expired.
    Expired,
    /// No authority of the listener has signed it.
    UnknownIssuer,
    /// Anything else is wrong with it.
    Invalid,
}

impl CertificateEnd {
    const LABELS: [&str; CertificateEnd::Invalid as usize + 1] =
        ["accepted", "expired", "unknown_issuer", "invalid"];
}

/// The counters, by end.
#[derive(Default)]
pub struct CertificateMetrics(Counts<{ CertificateEnd::LABELS.len() }>);

impl CertificateMetrics {
    /// Counts a certificate.
    pub fn count(&self, end: CertificateEnd) {
        self.0.add(end as usize, 1);
    }

    pub(super) fn families(&self, page: &mut Page) {
        let mut ends = Family::counter(
            "tollgate_client_certificates_total",
            "Certificates that clients showed, once a connection, by what came of it.",
        );
        for (slot, end) in CertificateEnd::LABELS.into_iter().enumerate() {
            ends.nonzero(&[("end", end)], self.0.get(slot));
        }
        page.add(ends);
    }
}
