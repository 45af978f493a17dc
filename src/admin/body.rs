//! Bodies that the admin service reads: small JSON objects.

use std::time::Duration;

use pingora::protocols::http::ServerSession;
use serde_json::Value;
use tokio::time::timeout;

use crate::config::objects::Members;
use crate::roster::edit::Refusal;

/// The largest body, in bytes: a tenant with a long prompt.
const BYTES_MAX: usize = 256 << 10;

/// How long a body may take to arrive.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The members of the body; none where it is empty.
///
/// # Errors
/// `Malformed`.
pub(super) async fn members(session: &mut ServerSession) -> Result<Members, Refusal> {
    let body = timeout(TIME_MAX, read(session)).await;
    let body = body.map_err(|_| malformed("the body takes too long to arrive"))??;
    if body.is_empty() {
        return Ok(Members::new());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(malformed("the body must be a JSON object")),
        Err(wrong) => Err(malformed(&format!("the body is not JSON: {wrong}"))),
    }
}

async fn read(session: &mut ServerSession) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(piece)) if body.len() + piece.len() > BYTES_MAX => {
                session.set_keepalive(None);
                return Err(malformed(&format!("the body is larger than {BYTES_MAX} bytes")));
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(_) => return Err(malformed("the body broke off")),
        }
    }
}

fn malformed(text: &str) -> Refusal {
    Refusal::Malformed(text.to_owned())
}
