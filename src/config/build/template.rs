//! Templates in prompts: text with `{{variables}}`, split once so that a request only joins; and those
//! that are made of a context's data, compiled.

use http::HeaderName;

use super::headers::CREDENTIALS;
use crate::config::problems::unknown;
use crate::config::snapshot::prompt::Piece;
use crate::config::spot::Spot;
use crate::template::{self, Template};

/// What may stand between the braces.
const VARIABLES: [&str; 5] = ["tenant", "key", "model", "date", "header.NAME"];

/// Splits a template into its pieces. A `}}` without its `{{` is text.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, after) =
            behind.split_once("}}").ok_or_else(|| "a `{{` has no `}}`".to_owned())?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(variable(name.trim())?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

/// Compiles a template that is made of a context's data.
pub(super) fn compile(source: &str, spot: &Spot<'_>) -> Option<Template> {
    if source.trim().is_empty() {
        spot.refuse("must not be empty");
    }
    let compiled = Template::compile(source).map_err(|why| spot.refuse(why)).ok()?;
    for name in compiled.unknown_names() {
        spot.refuse(unknown(&format!("no variable `{name}`"), &name, &template::VARIABLES));
    }
    Some(compiled)
}

fn variable(name: &str) -> Result<Piece, String> {
    match name {
        "tenant" => Ok(Piece::Tenant),
        "key" => Ok(Piece::Key),
        "model" => Ok(Piece::Model),
        "date" => Ok(Piece::Date),
        _ => match name.strip_prefix("header.") {
            Some(header) => request_header(header),
            None => Err(unknown(&format!("no variable `{name}`"), name, &VARIABLES)),
        },
    }
}

fn request_header(name: &str) -> Result<Piece, String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{name}` is not the name of a header"))?;
    if CREDENTIALS.contains(&header.as_str()) {
        return Err(format!("`{header}` holds a client's credential, which must not be sent on"));
    }
    Ok(Piece::Header(header))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::{prop_assert_eq, proptest};

    use super::{Piece, parse};

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn pieces_of_a_template() {
        let header = Piece::Header(HeaderName::from_static("x-team"));
        for (template, expected) in [
            ("plain", vec![text("plain")]),
            ("{{tenant}}", vec![Piece::Tenant]),
            ("a {{ key }} b", vec![text("a "), Piece::Key, text(" b")]),
            ("{{model}}{{date}}", vec![Piece::Model, Piece::Date]),
            ("{{header.X-Team}}!", vec![header, text("!")]),
            ("{a} }} {", vec![text("{a} }} {")]),
        ] {
            assert_eq!(parse(template), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (template, expected) in [
            ("{{", "a `{{` has no `}}`"),
            ("{{tenant}} {{key", "a `{{` has no `}}`"),
            (
                "{{tennant}}",
                "no variable `tennant`: did you mean `tenant`? \
                 There are `tenant`, `key`, `model`, `date`, `header.NAME`",
            ),
            ("{{header.a b}}", "`a b` is not the name of a header"),
            (
                "{{header.Authorization}}",
                "`authorization` holds a client's credential, which must not be sent on",
            ),
        ] {
            assert_eq!(parse(template), Err(expected.to_owned()), "{template}");
        }
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(template in ".*") {
            let _ = parse(&template);
        }

        #[test]
        fn text_without_braces_is_kept(template in "[^{]+") {
            prop_assert_eq!(parse(&template), Ok(vec![text(&template)]));
        }
    }
}
