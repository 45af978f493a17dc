//! Credentials of providers: which there are, and what must be at hand for each.

mod aws;
mod azure;
mod federation;
mod google;
mod profile;

use url::Url;

use super::Surroundings;
use super::secret::secret;
use crate::config::raw::SecretRef;
use crate::config::raw::credential::Credential as Raw;
use crate::config::snapshot::credential::Credential;
use crate::config::spot::Spot;
use crate::types::Secret;

/// A credential, checked.
pub(super) enum Given {
    /// Sent as it is.
    Fixed(Secret),
    /// To be fetched, or to sign with.
    Live(Credential),
}

/// Finds a credential; `None` where that was reported.
pub(super) fn credential(raw: &Raw, spot: &Spot<'_>, around: &Surroundings<'_>) -> Option<Given> {
    let Raw { env, file, value, google, azure, aws } = raw;
    let plain = SecretRef { env: env.clone(), file: file.clone(), value: value.clone() };
    let any_plain = env.is_some() || file.is_some() || value.is_some();
    match (any_plain, google, azure, aws) {
        (true, None, None, None) => secret(&plain, spot, around).map(Given::Fixed),
        (false, Some(raw), None, None) => {
            google::credential(raw, &spot.key("google"), around).map(Given::Live)
        }
        (false, None, Some(raw), None) => {
            azure::credential(raw, &spot.key("azure"), around).map(Given::Live)
        }
        (false, None, None, Some(raw)) => {
            let keys = aws::keys(raw, &spot.key("aws"), around)?;
            Some(Given::Live(Credential::Aws(keys)))
        }
        _ => {
            spot.refuse(
                "must have exactly one of `env`, `file`, `value`, `google`, `azure` and `aws`",
            );
            None
        }
    }
}

/// A variable of the environment, if it is set and not empty.
fn variable(name: &str, around: &Surroundings<'_>) -> Option<String> {
    let value = (around.variable)(name)?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}

/// What the configuration says, else what a variable does.
fn said_or(said: Option<&String>, name: &str, around: &Surroundings<'_>) -> Option<String> {
    said.cloned().or_else(|| variable(name, around))
}

/// Reads an address that tokens are asked for at. The error does not quote it: credentials may stand in it.
fn web_address(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "such as `https://login.microsoftonline.com`";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(format!("is not the address of a web service, {EXAMPLE}")),
    }
}
