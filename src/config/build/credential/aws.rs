//! Keys of AWS: the places that they may be in, in order.

use super::{profile, said_or, variable, web_address};
use crate::config::build::Surroundings;
use crate::config::raw::credential::{Aws, AwsFrom};
use crate::config::snapshot::credential::{AwsKeys, AwsRole, ContainerToken, RoleProof};
use crate::config::spot::Spot;
use crate::types::Secret;

/// Where a container on ECS asks for keys (Amazon ECS developer guide, "Task IAM role").
const ECS: &str = "http://169.254.170.2";

/// Where an instance asks for keys (Amazon EC2 user guide, "Instance metadata").
const EC2: &str = "http://169.254.169.254";

/// A place that keys may be in: the keys, or what is wrong; `None` where it does not apply.
pub(super) type Place = Option<Result<AwsKeys, String>>;

/// The keys, or where they are asked for.
pub(super) fn keys(raw: &Aws, spot: &Spot<'_>, around: &Surroundings<'_>) -> Option<AwsKeys> {
    let from = |from| match from {
        AwsFrom::Environment => from_environment(around),
        AwsFrom::WebIdentity => from_web_identity(raw, around),
        AwsFrom::Profile => profile::keys(raw, around),
        AwsFrom::Container => from_container(raw, around),
        AwsFrom::Instance => Some(from_instance(raw, around)),
    };
    let order = [
        AwsFrom::Environment,
        AwsFrom::WebIdentity,
        AwsFrom::Profile,
        AwsFrom::Container,
        AwsFrom::Instance,
    ];
    let found = match raw.from {
        Some(one) => from(one).unwrap_or_else(|| Err(absent(one))),
        None => order.into_iter().find_map(from)?,
    };
    found.map_err(|why| spot.refuse(why)).ok()
}

fn absent(from: AwsFrom) -> String {
    match from {
        AwsFrom::Environment => "the environment variable `AWS_ACCESS_KEY_ID` is not set",
        AwsFrom::WebIdentity => {
            "there is no token of a web identity: set `token_file` (`AWS_WEB_IDENTITY_TOKEN_FILE`)"
        }
        AwsFrom::Profile => "there is no file of profiles: set `file`",
        AwsFrom::Container => {
            "the environment names no endpoint of a container (`AWS_CONTAINER_CREDENTIALS_FULL_URI`): set `url`"
        }
        AwsFrom::Instance => "there is no instance",
    }
    .into()
}

fn from_environment(around: &Surroundings<'_>) -> Place {
    let id = variable("AWS_ACCESS_KEY_ID", around)?;
    let Some(key) = variable("AWS_SECRET_ACCESS_KEY", around) else {
        return Some(Err("the environment variable `AWS_SECRET_ACCESS_KEY` is not set".into()));
    };
    let session = variable("AWS_SESSION_TOKEN", around).map(Secret::from);
    Some(Ok(AwsKeys::Fixed { id: id.into(), secret: Secret::from(key), session }))
}

fn from_web_identity(raw: &Aws, around: &Surroundings<'_>) -> Place {
    let file = raw.token_file.as_ref().map(|path| around.path(path));
    let file = file.or_else(|| Some(variable("AWS_WEB_IDENTITY_TOKEN_FILE", around)?.into()))?;
    let Some(arn) = said_or(raw.role.as_ref(), "AWS_ROLE_ARN", around) else {
        return Some(Err("a web identity needs a role: set `role` (`AWS_ROLE_ARN`)".into()));
    };
    Some(role(&arn, RoleProof::File(file), raw, around))
}

/// A role, and where it is assumed (AWS SDKs and tools reference, "Regional endpoints of STS").
pub(super) fn role(
    arn: &str,
    proof: RoleProof,
    raw: &Aws,
    around: &Surroundings<'_>,
) -> Result<AwsKeys, String> {
    let region = said_or(raw.region.as_ref(), "AWS_REGION", around);
    let region = region.or_else(|| variable("AWS_DEFAULT_REGION", around));
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = said_or(raw.url.as_ref(), "AWS_ENDPOINT_URL_STS", around);
    let url = url.unwrap_or_else(|| format!("https://sts.{region}.{end}"));
    let url = web_address(&url).map_err(|why| format!("the token service {why}"))?;
    let session_name = variable("AWS_ROLE_SESSION_NAME", around);
    Ok(AwsKeys::Role(AwsRole {
        arn: arn.into(),
        session_name: session_name.unwrap_or_else(|| "tollgate".to_owned()).into(),
        url: url.as_str().into(),
        region: region.into(),
        proof,
    }))
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

fn from_instance(raw: &Aws, around: &Surroundings<'_>) -> Result<AwsKeys, String> {
    let url = said_or(raw.url.as_ref(), "AWS_EC2_METADATA_SERVICE_ENDPOINT", around);
    let url = url.as_deref().unwrap_or(EC2);
    web_address(url).map_err(|why| format!("`url` {why}"))?;
    Ok(AwsKeys::Instance { url: url.trim_end_matches('/').into() })
}
