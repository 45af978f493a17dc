//! Signing requests to AWS (Signature Version 4): the headers that a request needs beside its own.

use std::error::Error;
use std::time::SystemTime;

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, sign as sign_request,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::{HeaderName, HeaderValue};

use super::{Authorization, ToSign};

/// What a signature holds for.
pub(super) struct Scope<'a> {
    /// The region, `us-east-1`.
    pub(super) region: &'a str,
    /// The service's name in signatures, `bedrock`.
    pub(super) service: &'a str,
    /// When the request is made.
    pub(super) now: SystemTime,
}

/// Signs the method, the host, the path with its query and the body. Other headers are not covered, as proxies may
/// change them.
pub(super) fn sign(
    identity: &Identity,
    scope: &Scope<'_>,
    authority: &HeaderValue,
    request: &ToSign<'_>,
) -> Result<Authorization, Box<dyn Error + Send + Sync>> {
    let host = authority.to_str()?;
    let params = SigningParams::builder()
        .identity(identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signable = SignableRequest::new(
        request.method,
        format!("https://{host}{}", request.path),
        std::iter::once(("host", host)),
        SignableBody::Bytes(request.body),
    )?;
    let (instructions, _signature) = sign_request(signable, &params)?.into_parts();
    let header = |(name, value): (&str, &str)| {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(true);
        Ok((HeaderName::from_bytes(name.as_bytes())?, value))
    };
    instructions.headers().map(header).collect()
}
