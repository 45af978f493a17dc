//! What the simulated model says: words, a JSON value, or a call of a tool.
//!
//! A turn is a text and the ends of its tokens, whatever it is used for; how it is wrapped in
//! an answer is the business of each dialect.

use serde_json::json;

use super::ask::{Ask, Format};
use super::behaviour::Behaviour;
use super::schema::sample;

/// The words of an answer, over and over.
const WORDS: [&str; 16] = [
    "The", " toll", " is", " paid", ",", " the", " gate", " is", " open", ",", " and", " the",
    " road", " goes", " on", ".",
];

/// What a model that is to think thinks, in tokens.
const THOUGHT: [&str; 6] = ["Has", " the", " toll", " been", " paid", "?"];

/// A proof that the thought is the model's own, where a dialect has one: Base64 of `mock thought`.
pub(crate) const SIGNATURE: &str = "bW9jayB0aG91Z2h0";

/// Why a turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// All is said.
    Stop,
    /// The caller wanted no more.
    Length,
    /// A function is called.
    Call,
}

/// One answer of the model.
pub(crate) struct Turn {
    /// What is thought before, in tokens; nothing where thinking was not asked for.
    pub(crate) thought: &'static [&'static str],
    /// What is said, or the arguments of the call.
    pub(crate) text: String,
    /// The name of the function called.
    pub(crate) call: Option<String>,
    /// How many calls are made, all alike; one where words are said.
    pub(crate) calls: usize,
    pub(crate) finish: Finish,
    ends: Vec<usize>,
}

impl Turn {
    /// What an ask is answered with.
    pub(crate) fn of(ask: &Ask<'_>, behaviour: &Behaviour) -> Self {
        let turn = match (&ask.call, &ask.format) {
            (Some(function), _) => {
                let arguments = function.schema.as_ref().map_or_else(|| json!({}), sample);
                let call = Some(function.name.clone().into_owned());
                let turn = Self::exactly(arguments.to_string());
                Self { call, calls: behaviour.calls(), finish: Finish::Call, ..turn }
            }
            (None, Format::Words) => Self::words(ask.tokens_max, behaviour),
            (None, Format::Json) => Self::exactly(r#"{"answer":"open"}"#.into()),
            (None, Format::Schema(schema)) => Self::exactly(sample(schema).to_string()),
        };
        Self { thought: if ask.thinks { &THOUGHT } else { &[] }, ..turn }
    }

    /// Words: as many as are asked for, or as the caller allows.
    pub(crate) fn words(tokens_max: Option<usize>, behaviour: &Behaviour) -> Self {
        let wished = behaviour.length();
        let length = tokens_max.unwrap_or(wished).clamp(1, wished);
        let finish = if length < wished { Finish::Length } else { Finish::Stop };
        let mut text = String::with_capacity(length * 5);
        let mut ends = Vec::with_capacity(length);
        for word in WORDS.into_iter().cycle().take(length) {
            text.push_str(word);
            ends.push(text.len());
        }
        Self { thought: &[], text, call: None, calls: 1, finish, ends }
    }

    /// A text with a meaning of its own, in tokens of four bytes.
    pub(crate) fn exactly(text: String) -> Self {
        let is_end = |at: &usize| at.is_multiple_of(4) && text.is_char_boundary(*at);
        let mut ends: Vec<usize> = (1..text.len()).filter(is_end).collect();
        ends.push(text.len());
        Self { thought: &[], text, call: None, calls: 1, finish: Finish::Stop, ends }
    }

    /// Its length in tokens, without the thought.
    pub(crate) fn tokens(&self) -> usize {
        self.ends.len() * self.calls
    }

    /// Its length in tokens, thought included.
    pub(crate) fn all_tokens(&self) -> usize {
        self.thought.len() + self.tokens()
    }

    /// The text in this many pieces, or one a token if there are fewer tokens.
    pub(crate) fn pieces(&self, wished: Option<usize>) -> impl Iterator<Item = &str> {
        let tokens = self.ends.len();
        let count = wished.unwrap_or(tokens).clamp(1, tokens.max(1));
        let end = move |piece: usize| match (piece * tokens).checked_div(count) {
            None | Some(0) => 0,
            Some(token) => self.ends.get(token - 1).copied().unwrap_or_default(),
        };
        (0..count).map(move |piece| self.text.get(end(piece)..end(piece + 1)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finish, Turn};
    use crate::mock::behaviour::Behaviour;
    use crate::mock::request::Body;

    fn chat(json: &str) -> Turn {
        let body: Body<'_> = serde_json::from_str(json).unwrap();
        Turn::of(&body.ask().unwrap(), &Behaviour::default())
    }

    #[test]
    fn the_pieces_are_the_text() {
        for json in
            [r"{}", r#"{"max_tokens": 1}"#, r#"{"response_format": {"type": "json_object"}}"#]
        {
            let turn = chat(json);
            for wished in [None, Some(0), Some(1), Some(3), Some(7), Some(1000)] {
                let pieces: Vec<&str> = turn.pieces(wished).collect();
                let count = wished.unwrap_or(turn.tokens()).clamp(1, turn.tokens());
                assert_eq!(pieces.concat(), turn.text);
                assert_eq!(pieces.len(), count);
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
            }
        }
    }

    #[test]
    fn max_tokens_cuts_the_answer() {
        let turn = chat(r#"{"max_tokens": 3}"#);
        let told = (turn.text.as_str(), turn.finish, turn.tokens());
        assert_eq!(told, ("The toll is", Finish::Length, 3));
        let turn = chat(r#"{"max_tokens": 30}"#);
        assert_eq!((turn.finish, turn.tokens()), (Finish::Stop, 20));
    }

    #[test]
    fn tools_are_called_when_they_may_be() {
        let tools = r#""tools": [{"type": "function", "function": {"name": "a"}},
            {"type": "function", "function": {"name": "b", "parameters": {"type": "object",
                "properties": {"city": {"type": "string"}}}}}]"#;
        let b = r#""tool_choice": {"type": "function", "function": {"name": "b"}}"#;
        for (rest, call, text) in [
            (String::new(), Some("a"), "{}"),
            (r#", "tool_choice": "required""#.into(), Some("a"), "{}"),
            (format!(", {b}"), Some("b"), r#"{"city":"text"}"#),
            (r#", "messages": [{"role": "user"}]"#.into(), Some("a"), "{}"),
        ] {
            let turn = chat(&format!("{{{tools}{rest}}}"));
            assert_eq!((turn.call.as_deref(), turn.text.as_str()), (call, text));
            assert_eq!(turn.finish, Finish::Call);
        }
        for rest in [r#""tool_choice": "none""#, r#""messages": [{"role": "tool"}]"#] {
            assert_eq!(chat(&format!("{{{tools}, {rest}}}")).call, None);
        }
    }
}
