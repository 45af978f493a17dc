//! What a translation could not carry, as the client and the operator are told.

use http::{HeaderName, HeaderValue};

use crate::config::snapshot::Model;
use crate::dialect::ir::loss::{Fate, Loss, Policy};
use crate::error::{Error, Kind};
use crate::request::outgoing::Outgoing;
use crate::usage::AttemptRecord;

/// Names what is gone, in the words of whoever said it: the client, or its model's provider.
const X_TOLLGATE_DROPPED: HeaderName = HeaderName::from_static("x-tollgate-dropped");

/// Names what stands elsewhere, or as the nearest thing that the other dialect has.
const X_TOLLGATE_CHANGED: HeaderName = HeaderName::from_static("x-tollgate-changed");

/// The longest list of names in a header, in bytes.
const LIST_BYTES_MAX: usize = 1024;

/// The headers that tell a client of losses: none where there are none.
pub fn headers(losses: &[Loss]) -> Vec<(HeaderName, HeaderValue)> {
    if losses.is_empty() {
        return Vec::new();
    }
    let dropped = losses.iter().filter(|loss| loss.fate == Fate::Dropped);
    let changed = losses.iter().filter(|loss| loss.fate != Fate::Dropped);
    let header = |name, list: String| Some((name, HeaderValue::try_from(list).ok()?));
    [header(X_TOLLGATE_DROPPED, listed(dropped)), header(X_TOLLGATE_CHANGED, listed(changed))]
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Names, joined by commas. A client chose some of them, so only printable ASCII passes.
fn listed<'l>(losses: impl Iterator<Item = &'l Loss>) -> String {
    let mut list = String::new();
    for loss in losses {
        let between = if list.is_empty() { "" } else { ", " };
        if list.len() + between.len() + loss.field.len() > LIST_BYTES_MAX {
            break;
        }
        list.push_str(between);
        list.extend(loss.field.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }));
    }
    list
}

/// The error of a request that would lose something where that is refused.
pub fn refused(model: &Model, outgoing: &Outgoing) -> Option<Error> {
    if model.losses != Policy::Reject {
        return None;
    }
    let lost = || outgoing.losses.iter().filter(|loss| loss.fate != Fate::Moved);
    let first = lost().next()?;
    let text = format!(
        "The model `{}` cannot be told {}: leave it out, or ask a model whose provider speaks your \
         API.",
        model.alias,
        lost().map(|loss| format!("`{}`", loss.field)).collect::<Vec<_>>().join(", ")
    );
    Some(Error::new(Kind::Untranslatable, text).param(first.field.to_string()))
}

/// Warns the operator of an attempt's losses, where the model asks for it.
pub fn warn(model: &Model, attempt: &AttemptRecord, request_id: &HeaderValue) {
    let Some(done) = attempt.translation.as_ref().filter(|_| model.losses == Policy::Warn) else {
        return;
    };
    if !done.losses.is_empty() {
        log::warn!(
            "model {}: request {} lost {} on its way to {}",
            model.alias,
            request_id.to_str().unwrap_or_default(),
            listed(done.losses.iter()),
            attempt.target.endpoint().id(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, LIST_BYTES_MAX, Loss, headers};

    fn told(losses: &[(&str, Fate)]) -> String {
        let loss =
            |(field, fate): &(&str, Fate)| Loss { field: field.to_string().into(), fate: *fate };
        let losses: Vec<Loss> = losses.iter().map(loss).collect();
        let headers = headers(&losses);
        let line = |(name, value): &(http::HeaderName, http::HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap())
        };
        headers.iter().map(line).collect()
    }

    #[test]
    fn losses_are_named_by_their_fate() {
        assert_eq!(told(&[]), "");
        assert_eq!(
            told(&[("top_k", Fate::Dropped), ("temperature", Fate::Changed), ("x", Fate::Moved)]),
            "x-tollgate-dropped: top_k\nx-tollgate-changed: temperature, x\n"
        );
        assert_eq!(told(&[("a\r\né", Fate::Dropped)]), "x-tollgate-dropped: a???\n");
    }

    #[test]
    fn a_list_is_bounded_and_ends_between_names() {
        let long = "n".repeat(60);
        let list = told(&[(&*long, Fate::Dropped); 40]);
        assert!(list.len() < LIST_BYTES_MAX + 30 && list.trim_end().ends_with(&long), "{list}");
    }
}
