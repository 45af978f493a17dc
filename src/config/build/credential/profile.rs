//! Profiles of AWS in a file: keys, or a role to be assumed with those of another profile.

use std::path::{Path, PathBuf};

use super::aws::{Place, role};
use super::variable;
use crate::config::build::{Surroundings, secret};
use crate::config::raw::credential::Aws;
use crate::config::snapshot::credential::{AwsKeys, RoleProof};
use crate::types::Secret;

/// The keys of the profile that is asked for, or the role that it names.
pub(super) fn keys(raw: &Aws, around: &Surroundings<'_>) -> Place {
    let named = raw.file.clone().map(|path| around.path(&path));
    let by_variable = || variable("AWS_SHARED_CREDENTIALS_FILE", around).map(PathBuf::from);
    let at_home = || {
        let path = Path::new(&variable("HOME", around)?).join(".aws/credentials");
        path.is_file().then_some(path)
    };
    let path = named.or_else(by_variable).or_else(at_home)?;
    let profile = raw.profile.clone().or_else(|| variable("AWS_PROFILE", around));
    let profile = profile.unwrap_or_else(|| "default".into());
    let text = secret::text_of(&path, around);
    Some(text.and_then(|text| Profiles { text, path }.keys(&profile, raw, around)))
}

/// A file of profiles.
struct Profiles {
    text: String,
    path: PathBuf,
}

impl Profiles {
    fn keys(&self, profile: &str, raw: &Aws, around: &Surroundings<'_>) -> Result<AwsKeys, String> {
        let member = |name| member_of(&self.text, profile, name);
        let Some(arn) = member("role_arn") else {
            let (id, secret, session) = self.fixed(profile)?;
            return Ok(AwsKeys::Fixed { id, secret, session });
        };
        if let Some(file) = member("web_identity_token_file") {
            return role(arn, RoleProof::File(file.into()), raw, around);
        }
        let source = member("source_profile").ok_or_else(|| {
            format!(
                "the profile `{profile}` in `{}` has a `role_arn` with neither `source_profile` nor \
                 `web_identity_token_file`",
                self.path.display()
            )
        })?;
        let (id, secret, session) = self.fixed(source)?;
        let external_id = member("external_id").map(Box::from);
        role(arn, RoleProof::Keys { id, secret, session, external_id }, raw, around)
    }

    fn fixed(&self, profile: &str) -> Result<(Box<str>, Secret, Option<Secret>), String> {
        let member = |name| member_of(&self.text, profile, name);
        let (Some(id), Some(key)) = (member("aws_access_key_id"), member("aws_secret_access_key"))
        else {
            return Err(format!(
                "`{}` holds no profile `{profile}` with `aws_access_key_id` and `aws_secret_access_key`",
                self.path.display()
            ));
        };
        let session = member("aws_session_token").map(|token| Secret::from(token.to_owned()));
        Ok((id.into(), Secret::from(key.to_owned()), session))
    }
}

/// A member of a profile: `[name]` or `[profile name]`, then lines `key = value` (AWS SDKs and tools reference, "Shared config").
fn member_of<'t>(text: &'t str, profile: &str, name: &str) -> Option<&'t str> {
    let heads = |line: &str| {
        let inside = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let named =
            |inside: &str| inside.strip_prefix("profile ").unwrap_or(inside).trim() == profile;
        inside.map(|inside| named(inside.trim()))
    };
    let lines = text.lines().skip_while(|line| heads(line) != Some(true)).skip(1);
    let mut members = lines.take_while(|line| heads(line).is_none());
    members.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| value.trim()).filter(|value| !value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::member_of;

    #[test]
    fn profiles_are_told_apart() {
        let text = "# mine\n[default]\naws_access_key_id=AK1\n\n[profile  work ]\r\naws_access_key_id = AK2\naws_secret_access_key = a=b\n";
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
