//! A description of the request, so that a test sees what reached the upstream.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::parse;
use super::refusal::Refusal;

/// A body up to this many bytes is shown; of a longer one the length and the digest must do.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// Method, target, headers and body of a request, as JSON.
pub(crate) fn describe(head: &[u8], body: &[u8]) -> Result<String, Refusal> {
    let shown = std::str::from_utf8(body).ok().filter(|body| body.len() <= SHOWN_BYTES_MAX);
    let description = parse(head, |request, _| {
        let headers: Vec<Value> = request
            .headers
            .iter()
            .map(|header| json!([header.name, String::from_utf8_lossy(header.value)]))
            .collect();
        json!({
            "method": request.method,
            "path": request.path,
            "headers": headers,
            "body_bytes": body.len(),
            "body_sha256": hex::encode(Sha256::digest(body)),
            "body": shown,
        })
    })?;
    Ok(description.unwrap_or_default().to_string())
}
