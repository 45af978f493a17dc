//! Identities of Microsoft Entra ID: an application with a secret or with a token in a file, or that of an App Service
//! or of a machine.

use url::Url;

use super::{said_or, variable, web_address};
use crate::config::build::Surroundings;
use crate::config::build::secret::secret;
use crate::config::raw::credential::{Azure, AzureFrom};
use crate::config::snapshot::credential::{AzureClient, AzureProof, Credential, Metadata};
use crate::config::spot::Spot;
use crate::types::Secret;

/// Where tokens are asked for, outside of sovereign clouds.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// What tokens are for, unless the configuration says otherwise.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Where a machine asks for tokens (Microsoft, "Managed identities for Azure resources").
const INSTANCE: &str = "http://169.254.169.254";

/// An application's or a machine's identity.
pub(super) fn credential(
    raw: &Azure,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<Credential> {
    let file = raw.token_file.as_ref().map(|path| around.path(path));
    let file = file.or_else(|| Some(variable("AZURE_FEDERATED_TOKEN_FILE", around)?.into()));
    let from = raw.from.unwrap_or(match (&raw.client_secret, &file) {
        (Some(_), _) => AzureFrom::Secret,
        (None, Some(_)) => AzureFrom::Workload,
        (None, None) if raw.url.is_none() && app_service(raw, around).is_some() => {
            AzureFrom::AppService
        }
        (None, None) => AzureFrom::Instance,
    });
    let proof = match (from, &raw.client_secret, file) {
        (AzureFrom::Instance, ..) => return instance(raw, spot, around).map(Credential::Metadata),
        (AzureFrom::AppService, ..) => {
            let found = app_service(raw, around).unwrap_or_else(|| {
                Err("the environment has no `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`".into())
            });
            return found.map_err(|why| spot.refuse(why)).ok().map(Credential::Metadata);
        }
        (AzureFrom::Secret, Some(known), _) => {
            AzureProof::Secret(secret(known, &spot.key("client_secret"), around)?)
        }
        (AzureFrom::Workload, _, Some(file)) => AzureProof::File(file),
        (AzureFrom::Secret, None, _) => {
            spot.refuse("must have `client_secret`");
            return None;
        }
        (AzureFrom::Workload, _, None) => {
            spot.refuse("must have `token_file`, or the environment `AZURE_FEDERATED_TOKEN_FILE`");
            return None;
        }
    };
    application(raw, proof, spot, around).map(Credential::Azure)
}

fn application(
    raw: &Azure,
    proof: AzureProof,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<AzureClient> {
    let known = |said: Option<&String>, key: &str, name: &str| {
        let found = said_or(said, name, around).filter(|text| !text.is_empty());
        if found.is_none() {
            spot.refuse(format!("must have `{key}`, or the environment `{name}`"));
        }
        found
    };
    let tenant = known(raw.tenant.as_ref(), "tenant", "AZURE_TENANT_ID");
    let client_id = known(raw.client_id.as_ref(), "client_id", "AZURE_CLIENT_ID");
    let authority = said_or(raw.authority.as_ref(), "AZURE_AUTHORITY_HOST", around);
    let mut token_url = web_address(authority.as_deref().unwrap_or(AUTHORITY))
        .map_err(|why| spot.key("authority").refuse(why))
        .ok()?;
    if let Ok(mut path) = token_url.path_segments_mut() {
        path.pop_if_empty().extend([tenant?.as_str(), "oauth2", "v2.0", "token"]);
    }
    Some(AzureClient {
        token_url: token_url.as_str().into(),
        client_id: client_id?.into(),
        proof,
        scope: raw.scope.as_deref().unwrap_or(SCOPE).into(),
    })
}

/// The endpoint that App Service, Functions and Container Apps tell of (Microsoft, "Use managed identities for App
/// Service and Azure Functions"); `None` elsewhere.
fn app_service(raw: &Azure, around: &Surroundings<'_>) -> Option<Result<Metadata, String>> {
    let header = Secret::from(variable("IDENTITY_HEADER", around)?);
    let endpoint = variable("IDENTITY_ENDPOINT", around)?;
    Some(match web_address(&endpoint) {
        Err(why) => Err(format!("the environment variable `IDENTITY_ENDPOINT` {why}")),
        Ok(mut url) => {
            ask(&mut url, "2019-08-01", raw, around);
            Ok(Metadata { url: url.as_str().into(), header: ("x-identity-header", header) })
        }
    })
}

/// Says what is asked for. A resource is wanted where others want a scope: that without `/.default`.
fn ask(url: &mut Url, version: &str, raw: &Azure, around: &Surroundings<'_>) {
    let scope = raw.scope.as_deref().unwrap_or(SCOPE);
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    let client_id = said_or(raw.client_id.as_ref(), "AZURE_CLIENT_ID", around);
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", resource)
        .extend_pairs(client_id.map(|id| ("client_id", id)));
}

/// The machine's metadata service.
fn instance(raw: &Azure, spot: &Spot<'_>, around: &Surroundings<'_>) -> Option<Metadata> {
    let base = said_or(raw.url.as_ref(), "AZURE_POD_IDENTITY_AUTHORITY_HOST", around);
    let mut url = web_address(base.as_deref().unwrap_or(INSTANCE))
        .map_err(|why| spot.key("url").refuse(why))
        .ok()?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["metadata", "identity", "oauth2", "token"]);
    }
    ask(&mut url, "2018-02-01", raw, around);
    Some(Metadata { url: url.as_str().into(), header: ("metadata", "true".to_owned().into()) })
}
