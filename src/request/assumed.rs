//! The model that a request means which names none, where OpenAI's API has a default.
//!
//! Its name is put into the body, so that all that follows sees it: it is an alias like any other, which the
//! configuration may have or not.

use bytes::Bytes;

use crate::dialect::members::Members;
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::error::Error;
use crate::types::Operation;

/// A body that names a model, if it did before or there is a default; and the default, if it was put in.
pub fn with_model(operation: Operation, body: Bytes) -> (Bytes, Option<&'static str>) {
    match default_of(operation).and_then(|name| Some((completed(name, &body)?, name))) {
        Some((completed, name)) => (completed, Some(name)),
        None => (body, None),
    }
}

/// The body with this model; `None` where it names one, or is no object.
fn completed(name: &str, body: &Bytes) -> Option<Bytes> {
    let members = Members::parse(body).ok()?;
    if members.get_any_case("model").is_some_and(|member| !member.is_null()) {
        return None;
    }
    let mut edit = ObjectEdit::new(&members);
    edit.set_string("model", name);
    let mut splice = Splice::default();
    splice.object(&edit).ok()?;
    Some(splice.apply(body))
}

/// An error about a model that the client did not name says where the name comes from.
pub fn explained(mut error: Error, assumed: Option<&str>) -> Error {
    if let Some(name) = assumed {
        let text =
            format!("The request names no `model`, which means `{name}` here. {}", error.public);
        error.public = text.into();
    }
    error
}

/// OpenAI API reference, "Create moderation" and "Create image". The latter has another default where a
/// parameter is used that only GPT's image models know: clients that use one name a model.
const fn default_of(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Moderation => Some("omni-moderation-latest"),
        Operation::Image => Some("dall-e-2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Operation, with_model};

    #[test]
    fn a_model_is_put_in_where_there_is_a_default_and_none_is_named() {
        let moderation = Some("omni-moderation-latest");
        for (operation, body, expected, assumed) in [
            (
                Operation::Moderation,
                r#"{"input":"x"}"#,
                r#"{"input":"x","model":"omni-moderation-latest"}"#,
                moderation,
            ),
            (Operation::Moderation, "{}", r#"{"model":"omni-moderation-latest"}"#, moderation),
            (
                Operation::Moderation,
                r#"{"model":null}"#,
                r#"{"model":"omni-moderation-latest"}"#,
                moderation,
            ),
            (Operation::Image, r#"{"n":1}"#, r#"{"n":1,"model":"dall-e-2"}"#, Some("dall-e-2")),
            (Operation::Image, r#"{"model":"x"}"#, r#"{"model":"x"}"#, None),
            (Operation::Image, r#"{"model":""}"#, r#"{"model":""}"#, None),
            (Operation::Image, r#"{"Model":"x"}"#, r#"{"Model":"x"}"#, None),
            (Operation::Image, "[]", "[]", None),
            (Operation::Chat, "{}", "{}", None),
            (Operation::Embedding, "{}", "{}", None),
        ] {
            let (found, name) = with_model(operation, Bytes::from_static(body.as_bytes()));
            assert_eq!((&found[..], name), (expected.as_bytes(), assumed), "{operation:?} {body}");
        }
    }
}
