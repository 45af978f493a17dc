//! Where warnings of budgets are posted. No message quotes the URL: it may hold a secret.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use url::Url;

use super::{Surroundings, headers, limits, secret};
use crate::config::raw::webhook as raw;
use crate::config::snapshot::webhook::Webhook;
use crate::config::spot::Spot;
use crate::types::Secret;

/// What a signing secret begins with (Standard Webhooks, "Signature scheme").
const SECRET_PREFIX: &str = "whsec_";

/// How many bytes it has (there).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The most attempts.
const ATTEMPTS_MAX: u32 = 10;

/// Reads the `budget_webhook` part.
pub(super) fn webhook(
    raw: &raw::BudgetWebhook,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Webhook {
    if let Err(why) = url(&raw.url) {
        spot.key("url").refuse(why);
    }
    let mut headers = headers::headers(&raw.headers, &spot.key("headers"));
    let place = spot.key("credential");
    let credential = raw.credential.as_ref().and_then(|raw| secret::secret(raw, &place, around));
    if let Some(credential) = credential {
        match HeaderValue::from_str(&format!("Bearer {}", credential.expose())) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.push((AUTHORIZATION, value));
            }
            Err(_) => place.refuse("holds a character that no header may have"),
        }
    }
    let place = spot.key("secret");
    let signing = raw.secret.as_ref().and_then(|raw| secret::secret(raw, &place, around));
    let signing = signing.and_then(|secret| {
        let bytes = signing_bytes(&secret);
        if bytes.is_none() {
            place.refuse(
                "is not `whsec_` and 24 to 64 bytes in base64, as \
                 `echo whsec_$(openssl rand -base64 32)` prints",
            );
        }
        bytes
    });
    let attempts = spot.key("attempts_max");
    Webhook {
        url: Secret::from(raw.url.clone()),
        signing,
        headers,
        timeout: limits::millis(raw.timeout_ms, 5000, &spot.key("timeout_ms")),
        attempts_max: limits::within(raw.attempts_max, 6, 1..=ATTEMPTS_MAX, &attempts),
        backoff: limits::millis(raw.backoff_ms, 1000, &spot.key("backoff_ms")),
    }
}

fn url(text: &str) -> Result<(), String> {
    const EXAMPLE: &str = "such as `https://example.com/budgets`";
    let url = Url::parse(text).map_err(|error| format!("is not a URL, {EXAMPLE}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme must be `http` or `https`, {EXAMPLE}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and password: put a token into `credential`".into());
    }
    Ok(())
}

fn signing_bytes(secret: &Secret) -> Option<Box<[u8]>> {
    let bytes = BASE64_STANDARD.decode(secret.expose().strip_prefix(SECRET_PREFIX)?).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then(|| bytes.into())
}
