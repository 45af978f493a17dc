//! TLS of a listener, as the file says it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// PEM files of a listener; read again on every reload.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// The certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
    /// The authorities that certificates of clients may be signed by; none is asked for without.
    pub client_ca_file: Option<PathBuf>,
    /// Whether there is no connection without a client's certificate. Default required.
    pub client_certificate: Option<ClientCertificate>,
}

/// What a client has to show.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// A certificate, or the connection is not made.
    Required,
    /// A certificate or none; one that is not accepted ends the connection.
    Optional,
}
