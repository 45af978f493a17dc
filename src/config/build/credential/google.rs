//! Google's service accounts: by their key, for an identity of another cloud, or as the metadata server knows them.

use std::path::PathBuf;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::{federation, variable, web_address};
use crate::config::build::{Surroundings, secret};
use crate::config::raw::credential::Google;
use crate::config::snapshot::credential::{Credential, GoogleAccount, Metadata};
use crate::config::spot::Spot;
use crate::types::Secret;

/// What tokens are for, unless the configuration says otherwise.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The metadata server, by name.
const METADATA: &str = "metadata.google.internal";

/// What kind of file it is; an old key does not say.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kind<'a> {
    r#type: Option<&'a str>,
}

/// The members of a service account's key that matter.
#[derive(Deserialize)]
struct KeyFile {
    client_email: Box<str>,
    private_key: String,
    private_key_id: Box<str>,
    token_uri: Box<str>,
}

/// An account whose key there is or that an identity of another cloud may act for, else the metadata server's.
pub(super) fn credential(
    raw: &Google,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<Credential> {
    let by_variable =
        || variable("GOOGLE_APPLICATION_CREDENTIALS", around).filter(|_| raw.url.is_none());
    match raw.file.clone().or_else(|| by_variable().map(PathBuf::from)) {
        Some(file) => {
            let place = spot.key("file");
            let text = secret::text_of(&file, around).map_err(|why| place.refuse(why)).ok()?;
            let scope = raw.scope.as_deref().unwrap_or(SCOPE);
            match serde_json::from_str::<Kind<'_>>(&text).unwrap_or_default().r#type {
                Some("external_account") => {
                    let found = federation::identity(&text, scope, around);
                    found.map_err(|why| place.refuse(why)).ok().map(Credential::Federated)
                }
                _ => account(&text, scope, &place).map(Credential::Google),
            }
        }
        None => metadata(raw, &spot.key("url"), around).map(Credential::Metadata),
    }
}

/// Tokens of the metadata server (Compute Engine, "Authenticate workloads using service accounts").
fn metadata(raw: &Google, place: &Spot<'_>, around: &Surroundings<'_>) -> Option<Metadata> {
    let named = || variable("GCE_METADATA_HOST", around).unwrap_or_else(|| METADATA.to_owned());
    let base = raw.url.clone().unwrap_or_else(|| format!("http://{}", named()));
    let mut url = web_address(&base).map_err(|why| place.refuse(why)).ok()?;
    let account = raw.account.as_deref().unwrap_or("default");
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["computeMetadata", "v1", "instance", "service-accounts"]);
        path.extend([account, "token"]);
    }
    url.query_pairs_mut().append_pair("scopes", raw.scope.as_deref().unwrap_or(SCOPE));
    Some(Metadata {
        url: url.as_str().into(),
        header: ("metadata-flavor", "Google".to_owned().into()),
    })
}

fn account(text: &str, scope: &str, place: &Spot<'_>) -> Option<GoogleAccount> {
    // What the parser says may quote the key.
    let Ok(file) = serde_json::from_str::<KeyFile>(text) else {
        place.refuse(
            "is not the key of a service account (JSON with `client_email`, `private_key`, \
             `private_key_id` and `token_uri`), nor of the type `external_account`",
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
    Some(GoogleAccount {
        email: file.client_email,
        key_id: file.private_key_id,
        key: Secret::from(file.private_key),
        token_url: file.token_uri,
        scope: scope.into(),
    })
}
