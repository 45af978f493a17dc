//! Google's files of external accounts: identities of other clouds, which Google takes for its own (Google, "Workload
//! identity federation"; AIP-4117). Their tokens come from a file or from a service.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::web_address;
use crate::config::build::Surroundings;
use crate::config::snapshot::credential::{Federation, Impersonation, Subject};

/// How long tokens of a service account hold, in seconds, unless the file says otherwise.
const SECONDS: u32 = 3600;

#[derive(Deserialize)]
struct File {
    audience: Box<str>,
    subject_token_type: Box<str>,
    token_url: Box<str>,
    credential_source: Source,
    service_account_impersonation_url: Option<Box<str>>,
    #[serde(default)]
    service_account_impersonation: Lifetime,
}

#[derive(Deserialize)]
struct Source {
    file: Option<PathBuf>,
    url: Option<Box<str>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
    /// Only of AWS, whose token is a signed request.
    environment_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    #[default]
    Text,
    Json {
        subject_token_field_name: Box<str>,
    },
}

#[derive(Default, Deserialize)]
struct Lifetime {
    token_lifetime_seconds: Option<u32>,
}

/// The identity that a file tells of, or what is wrong with it.
pub(super) fn identity(
    text: &str,
    scope: &str,
    around: &Surroundings<'_>,
) -> Result<Federation, String> {
    // What the parser says may quote a header.
    let Ok(file) = serde_json::from_str::<File>(text) else {
        return Err(
            "is not the file of an external account: JSON with `audience`, `subject_token_type`, \
                    `token_url` and `credential_source`"
                .into(),
        );
    };
    let address = |name: &str, text: &str| match web_address(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("its `{name}` {why}")),
    };
    address("token_url", &file.token_url)?;
    let account = match file.service_account_impersonation_url {
        None => None,
        Some(url) => {
            address("service_account_impersonation_url", &url)?;
            let lifetime = file.service_account_impersonation.token_lifetime_seconds;
            Some(Impersonation { url, seconds: lifetime.unwrap_or(SECONDS) })
        }
    };
    let source = file.credential_source;
    let subject = match (source.file, source.url, source.environment_id) {
        (Some(path), None, None) => Subject::File(around.path(&path)),
        (None, Some(url), None) => {
            address("credential_source.url", &url)?;
            let headers = source.headers.iter().map(header).collect::<Option<_>>();
            Subject::Url(url, headers.ok_or("its `credential_source.headers` are no headers")?)
        }
        _ => {
            return Err(
                "its `credential_source` must have either `file` or `url`: AWS, programs and \
                        certificates are not asked"
                    .into(),
            );
        }
    };
    let member = match source.format {
        Format::Text => None,
        Format::Json { subject_token_field_name } => Some(subject_token_field_name),
    };
    Ok(Federation {
        audience: file.audience,
        token_type: file.subject_token_type,
        token_url: file.token_url,
        subject,
        member,
        account,
        scope: scope.into(),
    })
}

fn header((name, value): (&String, &String)) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name.parse().ok()?, value))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::identity;
    use crate::config::build::Surroundings;
    use crate::config::snapshot::credential::{Federation, Subject};

    /// What a file tells of that has these members beside the usual ones.
    fn read(more: &Value) -> Result<Federation, String> {
        let mut file = json!({
            "audience": "a",
            "subject_token_type": "t",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": "token"},
        });
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let base_dir = Path::new("/conf");
        let around = Surroundings { base_dir, variable: &|_| None, read: RefCell::default() };
        identity(&file.to_string(), "scope", &around)
    }

    #[test]
    fn what_is_left_out_is_as_google_s_libraries_have_it() {
        let impersonation = json!({"service_account_impersonation_url": "https://h/v1"});
        let found = read(&impersonation).unwrap_or_else(|why| panic!("{why}"));
        assert!(matches!(&found.subject, Subject::File(path) if path == Path::new("/conf/token")));
        assert_eq!((found.account.unwrap().seconds, found.member), (3600, None));
        assert!(read(&json!({})).is_ok_and(|found| found.account.is_none()));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let source = |source: Value| json!({ "credential_source": source });
        for (more, told) in [
            (json!({"audience": 1}), "is not the file of an external account"),
            (json!({"token_url": "here"}), "its `token_url` is not the address"),
            (
                json!({"service_account_impersonation_url": "here"}),
                "its `service_account_impersonation_url` is not the address",
            ),
            (source(json!({"url": "here"})), "its `credential_source.url` is not the address"),
            (
                source(json!({"url": "http://h", "headers": {"a b": "secret"}})),
                "its `credential_source.headers` are no headers",
            ),
            (source(json!({})), "must have either `file` or `url`"),
            (source(json!({"file": "f", "url": "http://h"})), "must have either `file` or `url`"),
            (
                source(json!({"environment_id": "aws1", "url": "http://h"})),
                "must have either `file` or `url`: AWS, programs and certificates are not asked",
            ),
            (source(json!({"file": "f", "format": {"type": "xml"}})), "is not the file"),
        ] {
            let why = read(&more).err().unwrap_or_default();
            assert!(why.contains(told) && !why.contains("secret"), "{more}: {why}");
        }
    }
}
