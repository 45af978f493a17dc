//! Where a Gemini request names its model although the path does: servers refuse one that differs.

use std::ops::Range;

use crate::dialect::members::{JsonError, Member, Members};

/// The values to change with the model: of the request itself, of a request that it wraps, of each in
/// a batch.
pub fn places(members: &Members<'_>) -> Result<Vec<Range<usize>>, JsonError> {
    let mut places = Vec::new();
    places.extend(place(members));
    for name in ["generateContentRequest", "generate_content_request"] {
        if let Some(wrapped) = members.get(name).filter(|member| member.raw.starts_with('{')) {
            places.extend(place(&members.within(wrapped)?));
        }
    }
    if let Some(requests) = members.get("requests").filter(|member| member.raw.starts_with('[')) {
        for request in members.objects(requests)? {
            places.extend(place(&request));
        }
    }
    Ok(places)
}

fn place(members: &Members<'_>) -> Option<Range<usize>> {
    members.get("model").filter(|model| !model.is_null()).map(Member::value)
}

/// The model as a request names it.
pub fn qualified(model: &str) -> String {
    if model.contains('/') { model.to_owned() } else { format!("models/{model}") }
}

#[cfg(test)]
mod tests {
    use super::{Members, places, qualified};

    #[test]
    fn models_are_found_wherever_they_are_named() {
        for (body, expected) in [
            (r#"{"contents":[{"model":"x"}]}"#, &[][..]),
            (r#"{"model":"models/a"}"#, &["\"models/a\""]),
            (r#"{"generateContentRequest":{"model":"models/a"}}"#, &["\"models/a\""]),
            (
                r#"{"requests":[{"model":"a"},{"content":{}}, {"model":null},{"model":"b"}]}"#,
                &["\"a\"", "\"b\""],
            ),
            (r#"{"requests":[]}"#, &[]),
        ] {
            let members = Members::parse(body.as_bytes()).unwrap();
            let found: Vec<&str> =
                places(&members).unwrap().into_iter().map(|at| &body[at]).collect();
            assert_eq!(found, expected, "{body}");
        }
        let members = Members::parse(br#"{"requests":[7]}"#).unwrap();
        assert!(places(&members).is_err());
        assert_eq!((&*qualified("m"), &*qualified("tunedModels/m")), ("models/m", "tunedModels/m"));
    }
}
