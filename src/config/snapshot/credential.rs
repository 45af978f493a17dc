//! A provider's credential that is not simply a header: it must be fetched, or requests are signed with it.
//!
//! What files and the environment hold is read when the configuration is, as with every secret. What only a
//! service can give is fetched by `upstream`, and lies there.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use crate::types::Secret;

/// How requests are authorised where no fixed header does it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Bearer tokens of a Google service account.
    Google(GoogleAccount),
    /// Bearer tokens of Google for an identity of another cloud.
    Federated(Federation),
    /// Bearer tokens of Microsoft Entra ID, for an application.
    Azure(AzureClient),
    /// Bearer tokens that a machine's metadata service gives out.
    Metadata(Metadata),
    /// Signature Version 4.
    Aws(AwsKeys),
}

/// A metadata service that gives out tokens to whom it can see.
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What is asked, with its query.
    pub url: Box<str>,
    /// The header that keeps it from being asked by mistake, with its value.
    pub header: (&'static str, Secret),
}

/// An identity of another cloud (Google, "Workload identity federation"; AIP-4117).
#[derive(Clone, PartialEq, Eq)]
pub struct Federation {
    /// The provider of identities, by Google's name for it.
    pub audience: Box<str>,
    /// What kind of token is exchanged.
    pub token_type: Box<str>,
    /// Where it is exchanged (RFC 8693).
    pub token_url: Box<str>,
    /// Where it comes from, each time.
    pub subject: Subject,
    /// The member of a JSON object that is the token; `None` where the token is all that comes.
    pub member: Option<Box<str>>,
    /// The service account in whose name requests are made; `None`: in the identity's own.
    pub account: Option<Impersonation>,
    /// What the tokens are for.
    pub scope: Box<str>,
}

/// Where the token of an identity comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// A file that is changed while the process runs: read each time.
    File(PathBuf),
    /// A service, with the headers that it wants to see.
    Url(Box<str>, Vec<(HeaderName, HeaderValue)>),
}

/// A service account that an identity may act for.
#[derive(Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// Where its tokens are asked for.
    pub url: Box<str>,
    /// How long they are to hold, in seconds.
    pub seconds: u32,
}

/// A service account (Google, "Using OAuth 2.0 for server to server applications").
#[derive(Clone, PartialEq, Eq)]
pub struct GoogleAccount {
    /// Its address: the issuer of assertions.
    pub email: Box<str>,
    /// The key's id.
    pub key_id: Box<str>,
    /// The private key in PEM (PKCS #8).
    pub key: Secret,
    /// Where assertions are exchanged for tokens.
    pub token_url: Box<str>,
    /// What the tokens are for.
    pub scope: Box<str>,
}

/// An application (Microsoft identity platform, "Client credentials flow").
#[derive(Clone, PartialEq, Eq)]
pub struct AzureClient {
    /// Where tokens are asked for.
    pub token_url: Box<str>,
    /// The application's id.
    pub client_id: Box<str>,
    /// What shows that it is the one.
    pub proof: AzureProof,
    /// What the tokens are for.
    pub scope: Box<str>,
}

/// What shows that an application is the one.
#[derive(Clone, PartialEq, Eq)]
pub enum AzureProof {
    /// A secret.
    Secret(Secret),
    /// A token in a file that is changed while the process runs: read each time.
    File(PathBuf),
}

/// Keys, or where they are fetched.
#[derive(Clone, PartialEq, Eq)]
pub enum AwsKeys {
    /// From the environment or a profile.
    Fixed {
        /// The public half.
        id: Box<str>,
        /// The secret half.
        secret: Secret,
        /// Where the keys are temporary.
        session: Option<Secret>,
    },
    /// Of a role that is assumed.
    Role(AwsRole),
    /// From the container's endpoint.
    Container {
        /// The endpoint.
        url: Box<str>,
        /// What it wants to see.
        authorization: Option<ContainerToken>,
    },
    /// From the instance's metadata service.
    Instance {
        /// Its base.
        url: Box<str>,
    },
}

/// A role to be assumed at the Security Token Service.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsRole {
    /// Its name.
    pub arn: Box<str>,
    /// What the session is called in the logs of AWS.
    pub session_name: Box<str>,
    /// Where it is assumed.
    pub url: Box<str>,
    /// The region of that place.
    pub region: Box<str>,
    /// What allows it.
    pub proof: RoleProof,
}

/// What allows to assume a role.
#[derive(Clone, PartialEq, Eq)]
pub enum RoleProof {
    /// A token in a file that is changed while the process runs: read each time.
    File(PathBuf),
    /// Keys of somebody who may.
    Keys {
        /// The public half.
        id: Box<str>,
        /// The secret half.
        secret: Secret,
        /// Where the keys are temporary.
        session: Option<Secret>,
        /// What the role's owner asks for beside them.
        external_id: Option<Box<str>>,
    },
}

/// What a container's endpoint wants to see.
#[derive(Clone, PartialEq, Eq)]
pub enum ContainerToken {
    /// As it is.
    Value(Secret),
    /// In a file that is changed while the process runs: read each time.
    File(PathBuf),
}
