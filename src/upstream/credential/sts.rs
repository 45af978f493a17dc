//! Roles of AWS, assumed at its Security Token Service: for a token of a web identity, or with other keys
//! (AWS STS API reference, "AssumeRoleWithWebIdentity", "AssumeRole").

use std::time::SystemTime;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use reqwest::Client;
use url::Url;
use url::form_urlencoded::Serializer;

use super::aws::{Keys, fixed, fresh};
use super::fetch::{self, Fresh, Why};
use super::sigv4::{Scope, sign};
use super::{Authorization, Grant, ToSign};
use crate::config::snapshot::credential::{AwsRole, RoleProof};

/// The version of the API.
const VERSION: &str = "2011-06-15";

/// Keys of a role, for as long as the role's sessions last by default: an hour.
pub(super) async fn assume(role: &AwsRole, client: &Client) -> Result<Fresh, Why> {
    let mut form =
        vec![("Version", VERSION), ("RoleArn", &role.arn), ("RoleSessionName", &role.session_name)];
    let (form, signed) = match &role.proof {
        RoleProof::File(path) => {
            let token = fetch::file(path).await?;
            form.extend([("Action", "AssumeRoleWithWebIdentity"), ("WebIdentityToken", &token)]);
            (written(&form), Authorization::new())
        }
        RoleProof::Keys { id, secret, session, external_id } => {
            form.push(("Action", "AssumeRole"));
            form.extend(external_id.as_deref().map(|id| ("ExternalId", id)));
            let form = written(&form);
            let keys = fixed(id, secret, session.as_ref()).grant;
            let signed = signature(role, &keys, form.as_bytes())?;
            (form, signed)
        }
    };
    let request = client.post(&*role.url).body(form);
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = request.headers(signed.into_iter().collect());
    fresh(keys(&fetch::text(request).await?).ok_or("the answer is not what it should be")?)
}

fn written(form: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(form).finish()
}

fn signature(role: &AwsRole, keys: &Grant, form: &[u8]) -> Result<Authorization, Why> {
    let Grant::Keys(identity) = keys else { return Err("there are no keys".into()) };
    let url = Url::parse(&role.url).map_err(|why| why.to_string())?;
    let authority = HeaderValue::from_str(url.authority()).map_err(|why| why.to_string())?;
    let scope = Scope { region: &role.region, service: "sts", now: SystemTime::now() };
    let request = ToSign { method: "POST", path: url.path(), body: form };
    sign(identity, &scope, &authority, &request).map_err(|why| why.to_string())
}

/// The keys in an answer, which is XML: four elements with text and nothing else in them.
fn keys(xml: &str) -> Option<Keys> {
    let element = |name: &str| {
        let (_, behind) = xml.split_once(&format!("<{name}>"))?;
        let (text, _) = behind.split_once(&format!("</{name}>"))?;
        Some(text.trim().to_owned())
    };
    Some(Keys {
        access_key_id: element("AccessKeyId")?,
        secret_access_key: element("SecretAccessKey")?,
        token: element("SessionToken")?,
        expiration: element("Expiration")?,
    })
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn keys_are_found_in_an_answer() {
        let credentials = "<Credentials><SessionToken>AQ/+=</SessionToken>\n<SecretAccessKey>s</SecretAccessKey>\
            <Expiration>2999-01-01T00:00:00Z</Expiration><AccessKeyId> AK1 </AccessKeyId></Credentials>";
        let found =
            keys(&format!("<AssumeRoleResponse>{credentials}</AssumeRoleResponse>")).unwrap();
        let texts = [found.access_key_id, found.secret_access_key, found.token, found.expiration];
        assert_eq!(texts, ["AK1", "s", "AQ/+=", "2999-01-01T00:00:00Z"]);
        for part in ["<AccessKeyId>", "</SessionToken>", "Expiration"] {
            assert!(keys(&credentials.replace(part, "")).is_none(), "{part}");
        }
        assert!(keys("").is_none());
    }
}
