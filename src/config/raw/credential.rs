//! What a provider is shown, as the file says it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;

/// What a provider is shown: exactly one of these.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-secret" = true))]
pub struct Credential {
    /// The name of an environment variable.
    pub env: Option<String>,
    /// A file whose content, without the last line break, is the secret; it is watched.
    pub file: Option<PathBuf>,
    /// The secret itself. For trials; files get copied.
    pub value: Option<String>,
    /// Tokens of a Google service account.
    pub google: Option<Google>,
    /// Tokens of an application of Microsoft Entra ID (Azure AD).
    pub azure: Option<Azure>,
    /// Keys of AWS, with which requests are signed (Signature Version 4).
    pub aws: Option<Aws>,
}

/// A Google service account.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// The account's key in JSON, as Google's console gives it; it is watched.
    pub file: PathBuf,
    /// What the tokens are for. Default https://www.googleapis.com/auth/cloud-platform.
    pub scope: Option<String>,
}

/// An application of Microsoft Entra ID, with a client secret.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Azure {
    /// The directory's id or name.
    pub tenant: String,
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: SecretRef,
    /// What the tokens are for. Default https://cognitiveservices.azure.com/.default.
    pub scope: Option<String>,
    /// Where tokens are asked for; another one in sovereign clouds. Default https://login.microsoftonline.com.
    pub authority: Option<String>,
}

/// Keys of AWS.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// The region that signatures hold for. Default: as the URL's host says.
    pub region: Option<String>,
    /// Where the keys are. Default: the first that there is, in the order given here.
    pub from: Option<AwsFrom>,
    /// The profile's name. Default: `AWS_PROFILE`, else `default`.
    pub profile: Option<String>,
    /// The profiles' file; it is watched. Default: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
    pub file: Option<PathBuf>,
    /// Where a container or an instance asks for keys. Default: what the environment says, else AWS's own address.
    pub url: Option<String>,
}

/// Where keys of AWS are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AwsFrom {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if set, `AWS_SESSION_TOKEN`.
    Environment,
    /// A profile in a file.
    Profile,
    /// The container's endpoint (ECS, EKS Pod Identity): `AWS_CONTAINER_CREDENTIALS_FULL_URI` or `…_RELATIVE_URI`.
    Container,
    /// The instance's metadata service (IMDSv2).
    Instance,
}
