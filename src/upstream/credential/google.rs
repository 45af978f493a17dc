//! Tokens of a Google service account: an assertion signed with its key is exchanged for one
//! (RFC 7523; Google, "Using OAuth 2.0 for server to server applications").

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Client;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::fetch::{Fresh, Why};
use super::oauth;
use crate::config::snapshot::credential::GoogleAccount;

/// How long an assertion holds, in seconds: the most that Google allows.
const ASSERTION_SECONDS: u64 = 3600;

/// Exchanges an assertion made now for a token.
pub(super) async fn fetch(account: &GoogleAccount, client: &Client) -> Result<Fresh, Why> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|why| why.to_string())?;
    let assertion = assertion(account, since_1970.as_secs())?;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion.as_str()),
    ];
    oauth::token(&account.token_url, &form, client).await
}

/// A JWT with the claims that Google asks for, signed with RS256 (RFC 7515, RFC 7519).
pub(super) fn assertion(account: &GoogleAccount, now: u64) -> Result<String, Why> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": account.key_id });
    let claims = json!({
        "iss": account.email,
        "scope": account.scope,
        "aud": account.token_url,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let mut text = format!("{}.{}", part(header), part(claims));
    let key = PrivatePkcs8KeyDer::from_pem_slice(account.key.expose().as_bytes())
        .map_err(|_| "the account's key is no PKCS #8 key in PEM")?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
        .map_err(|why| format!("the account's key is no RSA key: {why}"))?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "the assertion could not be signed")?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut text);
    Ok(text)
}
