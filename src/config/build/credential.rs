//! Credentials of providers: which there are, and what must be at hand for each.

use std::path::{Path, PathBuf};

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use url::Url;

use super::Surroundings;
use super::secret::{self, secret};
use crate::config::raw::SecretRef;
use crate::config::raw::credential::{Aws, AwsFrom, Azure, Credential as Raw, Google};
use crate::config::snapshot::credential::{
    AwsKeys, AzureClient, ContainerToken, Credential, GoogleAccount,
};
use crate::config::spot::Spot;
use crate::types::Secret;

/// Where a container on ECS asks for keys (Amazon ECS developer guide, "Task IAM role").
const ECS: &str = "http://169.254.170.2";

/// Where an instance asks for keys (Amazon EC2 user guide, "Instance metadata").
const EC2: &str = "http://169.254.169.254";

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
        (false, Some(raw), None, None) => google_account(raw, &spot.key("google"), around),
        (false, None, Some(raw), None) => azure_client(raw, &spot.key("azure"), around),
        (false, None, None, Some(raw)) => {
            aws_keys(raw, &spot.key("aws"), around).map(|keys| Given::Live(Credential::Aws(keys)))
        }
        _ => {
            spot.refuse(
                "must have exactly one of `env`, `file`, `value`, `google`, `azure` and `aws`",
            );
            None
        }
    }
}

/// The members of a service account's key that matter.
#[derive(Deserialize)]
struct KeyFile {
    client_email: Box<str>,
    private_key: String,
    private_key_id: Box<str>,
    token_uri: Box<str>,
}

fn google_account(raw: &Google, spot: &Spot<'_>, around: &Surroundings<'_>) -> Option<Given> {
    let place = spot.key("file");
    let text = secret::text_of(&raw.file, around).map_err(|why| place.refuse(why)).ok()?;
    // What the parser says may quote the key.
    let Ok(file) = serde_json::from_str::<KeyFile>(&text) else {
        place.refuse(
            "is not the key of a service account: JSON with `client_email`, `private_key`, \
             `private_key_id` and `token_uri`",
        );
        return None;
    };
    if PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes()).is_err() {
        place.refuse("its `private_key` is no PKCS #8 key in PEM");
        return None;
    }
    web_address(&file.token_uri)
        .map_err(|why| place.refuse(format!("its `token_uri` {why}")))
        .ok()?;
    let scope = raw.scope.as_deref().unwrap_or("https://www.googleapis.com/auth/cloud-platform");
    Some(Given::Live(Credential::Google(GoogleAccount {
        email: file.client_email,
        key_id: file.private_key_id,
        key: Secret::from(file.private_key),
        token_url: file.token_uri,
        scope: scope.into(),
    })))
}

fn azure_client(raw: &Azure, spot: &Spot<'_>, around: &Surroundings<'_>) -> Option<Given> {
    let client_secret = secret(&raw.client_secret, &spot.key("client_secret"), around)?;
    let authority = raw.authority.as_deref().unwrap_or("https://login.microsoftonline.com");
    let mut token_url =
        web_address(authority).map_err(|why| spot.key("authority").refuse(why)).ok()?;
    if raw.tenant.is_empty() {
        spot.key("tenant").refuse("must not be empty");
    }
    if let Ok(mut path) = token_url.path_segments_mut() {
        path.pop_if_empty().extend([raw.tenant.as_str(), "oauth2", "v2.0", "token"]);
    }
    let scope = raw.scope.as_deref().unwrap_or("https://cognitiveservices.azure.com/.default");
    Some(Given::Live(Credential::Azure(AzureClient {
        token_url: token_url.as_str().into(),
        client_id: raw.client_id.as_str().into(),
        client_secret,
        scope: scope.into(),
    })))
}

/// A place that keys may be in: the keys, or what is wrong; `None` where it does not apply.
type Place = Option<Result<AwsKeys, String>>;

fn aws_keys(raw: &Aws, spot: &Spot<'_>, around: &Surroundings<'_>) -> Option<AwsKeys> {
    let from = |from| match from {
        AwsFrom::Environment => from_environment(around),
        AwsFrom::Profile => from_profile(raw, around),
        AwsFrom::Container => from_container(raw, around),
        AwsFrom::Instance => Some(from_instance(raw)),
    };
    let order = [AwsFrom::Environment, AwsFrom::Profile, AwsFrom::Container, AwsFrom::Instance];
    let found = match raw.from {
        Some(one) => from(one).unwrap_or_else(|| Err(absent(one))),
        None => order.into_iter().find_map(from)?,
    };
    found.map_err(|why| spot.refuse(why)).ok()
}

fn absent(from: AwsFrom) -> String {
    match from {
        AwsFrom::Environment => "the environment variable `AWS_ACCESS_KEY_ID` is not set",
        AwsFrom::Profile => "there is no file of profiles: set `file`",
        AwsFrom::Container => {
            "the environment names no endpoint of a container (`AWS_CONTAINER_CREDENTIALS_FULL_URI`): set `url`"
        }
        AwsFrom::Instance => "there is no instance",
    }
    .into()
}

fn variable(name: &str, around: &Surroundings<'_>) -> Option<String> {
    let value = (around.variable)(name)?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}

fn from_environment(around: &Surroundings<'_>) -> Place {
    let id = variable("AWS_ACCESS_KEY_ID", around)?;
    let Some(key) = variable("AWS_SECRET_ACCESS_KEY", around) else {
        return Some(Err("the environment variable `AWS_SECRET_ACCESS_KEY` is not set".into()));
    };
    let session = variable("AWS_SESSION_TOKEN", around).map(Secret::from);
    Some(Ok(AwsKeys::Fixed { id: id.into(), secret: Secret::from(key), session }))
}

fn from_profile(raw: &Aws, around: &Surroundings<'_>) -> Place {
    let named = raw.file.clone().map(|path| around.path(&path));
    let by_variable = || variable("AWS_SHARED_CREDENTIALS_FILE", around).map(PathBuf::from);
    let at_home = || {
        let path = Path::new(&variable("HOME", around)?).join(".aws/credentials");
        path.is_file().then_some(path)
    };
    let path = named.or_else(by_variable).or_else(at_home)?;
    let profile = raw.profile.clone().or_else(|| variable("AWS_PROFILE", around));
    let profile = profile.unwrap_or_else(|| "default".into());
    let text = match secret::text_of(&path, around) {
        Ok(text) => text,
        Err(why) => return Some(Err(why)),
    };
    let member = |name| member_of(&text, &profile, name);
    let (Some(id), Some(key)) = (member("aws_access_key_id"), member("aws_secret_access_key"))
    else {
        return Some(Err(format!(
            "`{}` holds no profile `{profile}` with `aws_access_key_id` and `aws_secret_access_key`",
            path.display()
        )));
    };
    let session = member("aws_session_token").map(|token| Secret::from(token.to_owned()));
    Some(Ok(AwsKeys::Fixed { id: id.into(), secret: Secret::from(key.to_owned()), session }))
}

/// A member of a profile: `[name]`, then lines `key = value` (AWS SDKs and tools reference, "Shared config").
fn member_of<'t>(text: &'t str, profile: &str, name: &str) -> Option<&'t str> {
    let heads = |line: &str| {
        let inside = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        inside.map(|inside| inside.trim() == profile)
    };
    let lines = text.lines().skip_while(|line| heads(line) != Some(true)).skip(1);
    let mut members = lines.take_while(|line| heads(line).is_none());
    members.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| value.trim()).filter(|value| !value.is_empty())
    })
}

fn from_container(raw: &Aws, around: &Surroundings<'_>) -> Place {
    let relative = || {
        let path = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", around)?;
        Some(format!("{ECS}{path}"))
    };
    let full = || variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", around);
    let url = raw.url.clone().or_else(relative).or_else(full)?;
    let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", around);
    let value = || variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", around);
    let authorization = file
        .map(|path| ContainerToken::File(path.into()))
        .or_else(|| Some(ContainerToken::Value(Secret::from(value()?))));
    let checked = web_address(&url).map_err(|why| format!("the container's endpoint {why}"));
    Some(checked.map(|url| AwsKeys::Container { url: url.as_str().into(), authorization }))
}

fn from_instance(raw: &Aws) -> Result<AwsKeys, String> {
    let url = raw.url.as_deref().unwrap_or(EC2);
    web_address(url).map_err(|why| format!("`url` {why}"))?;
    Ok(AwsKeys::Instance { url: url.trim_end_matches('/').into() })
}

/// Reads an address that tokens are asked for at. The error does not quote it: credentials may stand in it.
fn web_address(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "such as `https://login.microsoftonline.com`";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(format!("is not the address of a web service, {EXAMPLE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::member_of;

    #[test]
    fn profiles_are_told_apart() {
        let text = "# mine\n[default]\naws_access_key_id=AK1\n\n[ work ]\r\naws_access_key_id = AK2\naws_secret_access_key = a=b\n";
        for (profile, name, expected) in [
            ("default", "aws_access_key_id", Some("AK1")),
            ("default", "aws_secret_access_key", None),
            ("work", "aws_access_key_id", Some("AK2")),
            ("work", "aws_secret_access_key", Some("a=b")),
            ("other", "aws_access_key_id", None),
        ] {
            assert_eq!(member_of(text, profile, name), expected, "{profile} {name}");
        }
    }
}
