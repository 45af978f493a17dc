//! Whether a request to AWS is signed (Signature Version 4), and by whom.
//!
//! Any key may sign, as the mock knows nobody's secret; but what the key of AWS's own examples has signed is signed
//! again and compared. Source: AWS, "Create a signed AWS API request". An API key of Bedrock needs no signature.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use chrono::NaiveDateTime;

use super::http::parse;
use super::refusal::Refusal;
use super::respond::Request;

/// The key that is verified, and its secret.
const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// What a signature says of itself.
struct Claim<'a> {
    key: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
}

/// Refuses a request that is not signed as AWS wants it.
pub(crate) fn check(request: &Request<'_>) -> Result<(), Refusal> {
    let checked = parse(request.head_bytes, |head, _| check_head(head, request.body))?;
    checked.unwrap_or_else(|| Err(refused("The request has no end.")))
}

fn check_head(head: &httparse::Request<'_, '_>, body: &[u8]) -> Result<(), Refusal> {
    let authorization = header(head, "authorization")
        .ok_or_else(|| refused("The request lacks a signature: 'Authorization' is missing."))?;
    if authorization.strip_prefix("Bearer ").is_some_and(|key| !key.trim().is_empty()) {
        return Ok(());
    }
    let claim = claim(authorization)
        .ok_or_else(|| refused("'Authorization' is no signature of Version 4."))?;
    let date = header(head, "x-amz-date").unwrap_or_default();
    let time = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ")
        .map_err(|_| refused("'X-Amz-Date' must be a date such as 20260101T000000Z."))?;
    if !date.starts_with(claim.day) || claim.service != "bedrock" {
        return Err(refused(
            "The credential's scope must be of this day and of the service bedrock.",
        ));
    }
    if !["host", "x-amz-date"].iter().all(|name| claim.headers.contains(name)) {
        return Err(refused("'Host' and 'X-Amz-Date' must be signed."));
    }
    if claim.key == KEY_ID && signed(head, body, &claim, time.and_utc().into()) != claim.signature {
        return Err(refused("The signature is not that of the request."));
    }
    Ok(())
}

/// `AWS4-HMAC-SHA256 Credential=KEY/DAY/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX`
fn claim(authorization: &str) -> Option<Claim<'_>> {
    let members = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let member = |name: &str| {
        members.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let mut scope = member("Credential")?.split('/');
    let (key, day, region) = (scope.next()?, scope.next()?, scope.next()?);
    let (service, end) = (scope.next()?, scope.next()?);
    let signature = member("Signature").filter(|hex| hex.len() == 64)?;
    let headers = member("SignedHeaders")?.split(';').collect();
    (end == "aws4_request").then_some(Claim { key, day, region, service, headers, signature })
}

/// The signature that the known key gives; empty where the request cannot be signed at all.
fn signed(
    head: &httparse::Request<'_, '_>,
    body: &[u8],
    claim: &Claim<'_>,
    time: SystemTime,
) -> String {
    let identity = Credentials::new(KEY_ID, SECRET, None, None, "examples").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(claim.region)
        .name(claim.service)
        .time(time)
        .settings(SigningSettings::default())
        .build();
    let host = header(head, "host").unwrap_or_default();
    let target = format!("http://{host}{}", head.path.unwrap_or_default());
    let headers = claim.headers.iter().filter_map(|name| Some((*name, header(head, name)?)));
    let method = head.method.unwrap_or_default();
    let signable = SignableRequest::new(method, target, headers, SignableBody::Bytes(body));
    let signature = signable
        .ok()
        .zip(params.ok())
        .and_then(|(signable, params)| Some(sign(signable, &params.into()).ok()?.into_parts().1));
    signature.unwrap_or_default()
}

fn header<'b>(head: &httparse::Request<'_, 'b>, name: &str) -> Option<&'b str> {
    let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}

fn refused(message: &'static str) -> Refusal {
    Refusal::new(403, message)
}
