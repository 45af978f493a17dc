//! What a platform wants otherwise than its dialect says, in the body of an attempt.

use bytes::Bytes;

use super::overlap;
use crate::config::snapshot::platform::Platform;
use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::{Fate, Loss};
use crate::dialect::members::Members;
use crate::dialect::openai::quirks::{
    COHERE, COHERE_EMBEDDINGS, MISTRAL, MISTRAL_EMBEDDINGS, QuirkError, Quirks,
};
use crate::dialect::splice::{ObjectEdit, Pieces, Splice};
use crate::error::{Error, Kind, Result};
use crate::types::Operation;

/// The version of Anthropic's dialect on Vertex AI, as JSON: there the body says it, and no header.
const VERTEX_ANTHROPIC: &[u8] = b"\"vertex-2023-10-16\"";

/// The body as the platform wants it, uncopied where the dialect's is right; what is left out is added to `losses`.
///
/// # Errors
/// `InvalidBody` where the body cannot be read, which was made sure of before.
pub(super) fn adapted(
    platform: &Platform,
    asked: (Operation, Dialect),
    body: Pieces,
    losses: &mut Vec<Loss>,
) -> Result<Pieces> {
    let quirks = match (platform, asked) {
        (Platform::Vertex { .. }, (Operation::Chat, Dialect::Anthropic)) => {
            return for_vertex(&body.whole()).map(Pieces::from);
        }
        (Platform::Cohere, (Operation::Chat, _)) => &COHERE,
        (Platform::Cohere, (Operation::Embedding, _)) => &COHERE_EMBEDDINGS,
        (Platform::Mistral, (Operation::Chat, _)) => &MISTRAL,
        (Platform::Mistral, (Operation::Embedding, _)) => &MISTRAL_EMBEDDINGS,
        _ => return Ok(body),
    };
    without_quirks(quirks, &body.whole(), losses).map(Pieces::from)
}

fn without_quirks(quirks: &Quirks, body: &Bytes, losses: &mut Vec<Loss>) -> Result<Bytes> {
    let (body, left_out) = quirks.apply(body).map_err(|error| match error {
        QuirkError::Json(error) => unreadable(&error),
        QuirkError::Overlap(at) => overlap(at),
    })?;
    losses.extend(
        left_out.into_iter().map(|field| Loss { field: field.into(), fate: Fate::Dropped }),
    );
    Ok(body)
}

/// The model stands in the path on Vertex AI, and Anthropic's version in the body.
fn for_vertex(body: &Bytes) -> Result<Bytes> {
    let members = Members::parse(body).map_err(|error| unreadable(&error))?;
    let mut edit = ObjectEdit::new(&members);
    edit.remove("model");
    edit.set("anthropic_version", VERTEX_ANTHROPIC);
    let mut splice = Splice::default();
    splice.object(&edit).map_err(overlap)?;
    Ok(splice.apply(body))
}

fn unreadable(error: &impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidBody, format!("The request cannot be read: {error}."))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Dialect, Operation, Pieces, Platform, adapted};

    #[test]
    fn anthropic_on_vertex_has_its_version_in_the_body_and_its_model_in_the_path() {
        let platform = Platform::Vertex { project: "p".into(), location: "l".into() };
        let body = Pieces::from(Bytes::from_static(
            br#"{"model":"claude-x","max_tokens":5,"messages":[]}"#,
        ));
        let mut losses = Vec::new();
        let chat = (Operation::Chat, Dialect::Anthropic);
        let changed = adapted(&platform, chat, body.clone(), &mut losses).unwrap().whole();
        let expected = r#"{"max_tokens":5,"messages":[],"anthropic_version":"vertex-2023-10-16"}"#;
        assert_eq!(std::str::from_utf8(&changed).unwrap(), expected);
        let count = (Operation::CountTokens, Dialect::Anthropic);
        assert_eq!(adapted(&platform, count, body.clone(), &mut losses).unwrap(), body);
        assert!(losses.is_empty());
    }

    #[test]
    fn what_a_platform_refuses_is_left_out_and_told() {
        let body = Pieces::from(Bytes::from_static(br#"{"model":"m","user":"u"}"#));
        let mut losses = Vec::new();
        let chat = (Operation::Chat, Dialect::Chat);
        let changed = adapted(&Platform::Mistral, chat, body.clone(), &mut losses).unwrap();
        assert_eq!(&*changed.whole(), br#"{"model":"m"}"#);
        assert_eq!(losses[0].field, "user");
        let untouched = adapted(&Platform::Plain, chat, body.clone(), &mut losses).unwrap();
        assert_eq!((untouched, losses.len()), (body, 1));
    }
}
