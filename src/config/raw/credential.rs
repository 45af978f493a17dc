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
    /// Tokens of Microsoft Entra ID (Azure AD): of an application, or a managed identity.
    pub azure: Option<Azure>,
    /// Keys of AWS, with which requests are signed (Signature Version 4).
    pub aws: Option<Aws>,
}

/// A Google service account: by its key, for an identity of another cloud, or as the metadata server knows it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// The account's key in JSON, as Google's console gives it, or the file of an external account (workload identity federation); it is watched. Default: `GOOGLE_APPLICATION_CREDENTIALS`, else tokens are asked of the metadata server (Compute Engine, Cloud Run, Workload Identity of GKE).
    pub file: Option<PathBuf>,
    /// What the tokens are for. Default https://www.googleapis.com/auth/cloud-platform.
    pub scope: Option<String>,
    /// The account that the metadata server is asked about. Default `default`.
    pub account: Option<String>,
    /// The metadata server. Default: `GCE_METADATA_HOST`, else http://metadata.google.internal.
    pub url: Option<String>,
}

/// An application of Microsoft Entra ID, or a managed identity.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Azure {
    /// How tokens are got. Default: the first of these that there is, in the order given here.
    pub from: Option<AzureFrom>,
    /// The directory's id or name. Default: `AZURE_TENANT_ID`.
    pub tenant: Option<String>,
    /// The application's id, or that of a managed identity that is not the machine's own. Default: `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// The application's secret.
    pub client_secret: Option<SecretRef>,
    /// A file with a token that stands for the application, read for each fetch. Default: `AZURE_FEDERATED_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
    /// What the tokens are for. Default https://cognitiveservices.azure.com/.default.
    pub scope: Option<String>,
    /// Where tokens are asked for; another one in sovereign clouds. Default: `AZURE_AUTHORITY_HOST`, else https://login.microsoftonline.com.
    pub authority: Option<String>,
    /// The machine's metadata service. Default: `AZURE_POD_IDENTITY_AUTHORITY_HOST`, else http://169.254.169.254.
    pub url: Option<String>,
}

/// How an identity of Microsoft Entra ID is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AzureFrom {
    /// By the application's secret.
    Secret,
    /// By a token in a file (Workload Identity).
    Workload,
    /// By App Service, Functions or Container Apps, whose environment has `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`: a managed identity.
    AppService,
    /// By the machine: a managed identity.
    Instance,
}

/// Keys of AWS.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// The region that signatures hold for. Default: as the URL's host says.
    pub region: Option<String>,
    /// Where the keys are. Default: the first that there is, in the order given here.
    pub from: Option<AwsFrom>,
    /// The role that a token in a file stands for. Default: `AWS_ROLE_ARN`.
    pub role: Option<String>,
    /// The file with that token, read for each fetch. Default: `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
    /// The profile's name. Default: `AWS_PROFILE`, else `default`.
    pub profile: Option<String>,
    /// The profiles' file; it is watched. Default: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
    pub file: Option<PathBuf>,
    /// Where keys are asked for: by a container, an instance, or for a role. Default: what the environment says, else AWS's own address.
    pub url: Option<String>,
}

/// Where keys of AWS are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AwsFrom {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if set, `AWS_SESSION_TOKEN`.
    Environment,
    /// A role, for a token in a file (IRSA): `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`.
    WebIdentity,
    /// A profile in a file: its keys, or a role (`role_arn`) with `source_profile` or `web_identity_token_file`.
    Profile,
    /// The container's endpoint (ECS, EKS Pod Identity): `AWS_CONTAINER_CREDENTIALS_FULL_URI` or `…_RELATIVE_URI`.
    Container,
    /// The instance's metadata service (IMDSv2).
    Instance,
}
