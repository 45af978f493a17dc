//! What a request may use, read from its body before it is rewritten: for limits and budgets, and for
//! no request that has none.

use super::{Body, Draft};
use crate::admission::estimate::{self, Estimate};
use crate::config::snapshot::Rewrite;
use crate::dialect::members::{Member, Members};
use crate::types::Operation;

/// How the dialects name the most tokens that an answer may have.
const ANSWER_MEMBERS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];

/// How they name the number of answers, where there may be several.
const CHOICE_MEMBERS: [&str; 2] = ["n", "best_of"];

impl Draft<'_> {
    /// The tokens that it may use: `learned` of an answer, where nobody sets a bound.
    pub fn demand(&self, rules: &Rewrite, learned: u64) -> Estimate {
        let Body::Json(wishes) = &self.form else {
            return Estimate { prompt: estimate::MEDIA_TOKENS, ..Estimate::default() };
        };
        let prompt = estimate::prompt(self.body);
        if !matches!(self.call.operation, Operation::Chat | Operation::Completion) {
            return Estimate { prompt, ..Estimate::default() };
        }
        let members = &wishes.members;
        let gemini = members.get_any_case("generationConfig");
        let gemini = gemini.and_then(|config| members.within(config).ok());
        let most = bounds(members, rules, ANSWER_MEMBERS)
            .chain(gemini.as_ref().and_then(|config| count(config, "maxOutputTokens")))
            .max();
        let choices = bounds(members, rules, CHOICE_MEMBERS)
            .chain(gemini.as_ref().and_then(|config| count(config, "candidateCount")))
            .fold(1, u64::max);
        let answer = most.unwrap_or(learned).saturating_mul(choices);
        Estimate { prompt, answer, guessed: most.is_none() }
    }

    /// The images that it asks for.
    pub fn images(&self) -> u64 {
        match &self.form {
            Body::Json(wishes) if self.call.operation == Operation::Image => {
                count(&wishes.members, "n").unwrap_or(1)
            }
            Body::Json(_) | Body::Multipart { .. } => 0,
        }
    }
}

/// What the members of these names say, as far as they are bounds.
fn bounds<'a, const N: usize>(
    members: &'a Members<'_>,
    rules: &'a Rewrite,
    names: [&'a str; N],
) -> impl Iterator<Item = u64> {
    let members = names.into_iter().zip(members.each_any_case(names));
    members.filter_map(|(name, member)| bound(member, rules, name))
}

/// What the member of this name says, else its default, and at most its cap.
fn bound(member: Option<&Member<'_>>, rules: &Rewrite, name: &str) -> Option<u64> {
    let default = || {
        let (_, json) = rules.defaults.iter().find(|(known, _)| &**known == name)?;
        json.parse().ok()
    };
    let cap = rules.caps.iter().find(|(known, _)| &**known == name);
    let cap = cap.and_then(|(_, cap)| cap.as_u64()).unwrap_or(u64::MAX);
    member.and_then(Member::count).or_else(default).map(|count| count.min(cap))
}

fn count(members: &Members<'_>, name: &str) -> Option<u64> {
    members.get_any_case(name).and_then(Member::count)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::{Estimate, Rewrite, estimate};
    use crate::dialect::ir::Dialect;
    use crate::request::Draft;
    use crate::route::Call;
    use crate::types::Operation;

    fn read(operation: Operation, body: &str, rules: &Rewrite) -> (Estimate, u64) {
        let call = Call { operation, dialect: Dialect::Chat, gemini: None };
        let json = HeaderValue::from_static("application/json");
        let body = Bytes::copy_from_slice(body.as_bytes());
        let draft = Draft::read(call, Some(&json), &body).unwrap();
        (draft.demand(rules, 500), draft.images())
    }

    #[test]
    fn an_answer_is_as_long_as_the_client_allows_or_as_answers_were() {
        let none = Rewrite::default();
        let capped = Rewrite {
            caps: vec![("max_tokens".into(), 20.into())],
            defaults: vec![("max_completion_tokens".into(), "40".into())],
            ..Rewrite::default()
        };
        let rows = [
            (r#"{"model":"m"}"#, &none, 500, true),
            (r#"{"model":"m","max_tokens":7}"#, &none, 7, false),
            (r#"{"model":"m","max_completion_tokens":9,"n":3}"#, &none, 27, false),
            (r#"{"model":"m","max_output_tokens":8}"#, &none, 8, false),
            (r#"{"model":"m","generationConfig":{"maxOutputTokens":6}}"#, &none, 6, false),
            (r#"{"model":"m","n":2}"#, &none, 1000, true),
            (r#"{"model":"m"}"#, &capped, 40, false),
            (r#"{"model":"m","max_completion_tokens":1,"max_tokens":99}"#, &capped, 20, false),
        ];
        for (body, rules, answer, guessed) in rows {
            let (estimate, _) = read(Operation::Chat, body, rules);
            let prompt = estimate::prompt(body.as_bytes());
            assert_eq!(estimate, Estimate { prompt, answer, guessed }, "{body}");
        }
    }

    #[test]
    fn what_has_no_answer_of_tokens_uses_its_prompt_alone() {
        let body = r#"{"model":"m","input":"x","n":3}"#;
        let (embedding, no_images) = read(Operation::Embedding, body, &Rewrite::default());
        assert_eq!((embedding.answer, embedding.guessed, no_images), (0, false, 0));
        let (_, images) = read(Operation::Image, body, &Rewrite::default());
        assert_eq!(images, 3);
    }
}
