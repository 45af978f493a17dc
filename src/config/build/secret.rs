//! Secrets: from the environment, from a file, or as they stand. No message quotes one.

use std::io::Read;
use std::path::Path;

use super::Surroundings;
use crate::config::raw::SecretRef;
use crate::config::spot::Spot;
use crate::types::Secret;

/// The longest secret, in bytes: a service account's token is about 2 KiB.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Finds a secret; `None` where that was reported.
pub(super) fn secret(
    raw: &SecretRef,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<Secret> {
    let (key, found) = match (&raw.env, &raw.file, &raw.value) {
        (Some(name), None, None) => ("env", from_env(name, around)),
        (None, Some(path), None) => ("file", text_of(path, around).map(without_line_break)),
        (None, None, Some(value)) => ("value", Ok(value.clone())),
        _ => {
            spot.refuse("must have exactly one of `env`, `file` and `value`");
            return None;
        }
    };
    match found.and_then(checked) {
        Ok(secret) => Some(secret),
        Err(why) => {
            spot.key(key).refuse(why);
            None
        }
    }
}

fn from_env(name: &str, around: &Surroundings<'_>) -> Result<String, String> {
    let value = (around.variable)(name)
        .ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
    value.into_string().map_err(|_| format!("the environment variable `{name}` is not UTF-8"))
}

/// The text of a file that holds a secret. The file is watched from then on: whoever changes it need not tell.
pub(super) fn text_of(path: &Path, around: &Surroundings<'_>) -> Result<String, String> {
    let path = around.path(path);
    around.read.borrow_mut().push(path.clone());
    let unreadable = |error| format!("`{}` cannot be read: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("`{}` is longer than {SECRET_BYTES_MAX} bytes", path.display()));
    }
    Ok(text)
}

fn without_line_break(text: String) -> String {
    let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
    end.map(str::to_owned).unwrap_or(text)
}

fn checked(text: String) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("the secret is empty".into());
    }
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("the secret is longer than {SECRET_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("the secret holds a control character, such as a line break".into());
    }
    if text.trim() != text {
        return Err("the secret begins or ends with a space".into());
    }
    Ok(Secret::from(text))
}
