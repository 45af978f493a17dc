//! Whose tokens are accepted beside virtual keys, as the file says it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// An issuer of tokens (JWT, RFC 7519).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What the claim `iss` must say, to the letter.
    pub issuer: String,
    /// One of these must be in the claim `aud`.
    pub audience: Vec<String>,
    /// Where its public keys are.
    pub jwks: Jwks,
    /// How tokens may be signed. Default RS256 and ES256.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Seconds by which clocks may differ, at most 300. Default 30.
    pub leeway_seconds: Option<u64>,
    /// The tenant of all its tokens, in place of a claim.
    pub tenant: Option<String>,
    /// Which claim says what.
    #[serde(default)]
    pub claims: Claims,
}

/// The public keys of an issuer (JWK Set, RFC 7517): exactly one of `url` and `file`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    /// Asked in the background; `https`, or `http` at this machine.
    pub url: Option<String>,
    /// A file; it is watched.
    pub file: Option<PathBuf>,
    /// Seconds after which the URL is asked again. Default 300.
    pub refresh_seconds: Option<u64>,
}

/// Which claim says what: a name, or a JSON Pointer such as `/realm/tenant`. A claim that is named here
/// must be in every token.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The tenant's name. Needed where the issuer has no `tenant`.
    pub tenant: Option<String>,
    /// The team within the tenant. Default: none.
    pub team: Option<String>,
    /// Aliases that may be used, of those the tenant and the team may: a list, or a text with spaces. Default: all of them.
    pub models: Option<String>,
    /// Whom logs name, behind `jwt:`. Default sub.
    pub key: Option<String>,
}

/// A signature by a private key that only the issuer has (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    RS256,
    /// RSA with PKCS #1 v1.5 and SHA-384.
    RS384,
    /// RSA with PKCS #1 v1.5 and SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// ECDSA with P-256.
    ES256,
    /// ECDSA with P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}
