//! What the simulated model says: words, a JSON value, or a call of a tool.
//!
//! A turn is a text and the ends of its tokens, whatever it is used for; how it is wrapped in
//! a chat or a completion is the business of `chat`.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::refusal::Refusal;
use super::request::{Body, Function};
use super::schema::sample;

/// The words of an answer, over and over.
const WORDS: [&str; 16] = [
    "The", " toll", " is", " paid", ",", " the", " gate", " is", " open", ",", " and", " the",
    " road", " goes", " on", ".",
];

/// One answer of the model.
pub(crate) struct Turn {
    /// What is said, or the arguments of the call.
    pub(crate) text: String,
    /// The name of the function called.
    pub(crate) call: Option<String>,
    /// Why it ends: `stop`, `length` or `tool_calls`.
    pub(crate) finish: &'static str,
    ends: Vec<usize>,
}

impl Turn {
    /// Words: as many as are asked for, or as the caller allows.
    pub(crate) fn words(body: &Body<'_>, behaviour: &Behaviour) -> Self {
        let wished = behaviour.length();
        let length = body.tokens_max().unwrap_or(wished).clamp(1, wished);
        let finish = if length < wished { "length" } else { "stop" };
        let mut text = String::with_capacity(length * 5);
        let mut ends = Vec::with_capacity(length);
        for word in WORDS.into_iter().cycle().take(length) {
            text.push_str(word);
            ends.push(text.len());
        }
        Self { text, call: None, finish, ends }
    }

    /// A text with a meaning of its own, in tokens of four bytes.
    pub(crate) fn exactly(text: String) -> Self {
        let is_end = |at: &usize| at.is_multiple_of(4) && text.is_char_boundary(*at);
        let mut ends: Vec<usize> = (1..text.len()).filter(is_end).collect();
        ends.push(text.len());
        Self { text, call: None, finish: "stop", ends }
    }

    /// What a chat is answered with: a call if there are tools, JSON if that is asked for.
    pub(crate) fn of_chat(body: &Body<'_>, behaviour: &Behaviour) -> Result<Self, Refusal> {
        if let Some(function) = called(body)? {
            let schema = function.parameters.map(parse).transpose()?;
            let arguments =
                schema.map_or_else(|| "{}".into(), |schema| sample(&schema).to_string());
            let call = Some(function.name.clone().into_owned());
            return Ok(Self { call, finish: "tool_calls", ..Self::exactly(arguments) });
        }
        match body.response_format.map(parse::<ResponseFormat>).transpose()? {
            Some(ResponseFormat::JsonSchema { json_schema }) => {
                let value = json_schema.schema.map_or_else(|| json!({}), |schema| sample(&schema));
                Ok(Self::exactly(value.to_string()))
            }
            Some(ResponseFormat::JsonObject) => Ok(Self::exactly(r#"{"answer":"open"}"#.into())),
            Some(ResponseFormat::Text) | None => Ok(Self::words(body, behaviour)),
        }
    }

    /// Its length in tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.ends.len()
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

/// The function that the model calls: never behind a tool's result, so that a conversation ends.
fn called<'b, 'a>(body: &'b Body<'a>) -> Result<Option<&'b Function<'a>>, Refusal> {
    let answers_tool = body.messages.iter().flatten().last().is_some_and(|m| m.role == "tool");
    let mut functions = body.tools.iter().flatten().filter_map(|tool| tool.function.as_ref());
    if answers_tool {
        return Ok(None);
    }
    match body.tool_choice.map(parse::<ToolChoice>).transpose()? {
        Some(ToolChoice::Mode(mode)) if mode == "none" => Ok(None),
        Some(ToolChoice::Function { function: Named { name } }) => {
            let missing = || Refusal::bad(format!("'tool_choice' names no tool: '{name}'."));
            functions.find(|function| function.name == name).map(Some).ok_or_else(missing)
        }
        _ => Ok(functions.next()),
    }
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error| {
        Refusal::bad(format!("'tools', 'tool_choice' or 'response_format' is wrong: {error}."))
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ToolChoice {
    Mode(String),
    Function { function: Named },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: JsonSchema },
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::Turn;
    use crate::mock::behaviour::Behaviour;
    use crate::mock::request::Body;

    fn chat(json: &str) -> Turn {
        let body = Body::read(json.as_bytes()).unwrap();
        Turn::of_chat(&body, &Behaviour::default()).unwrap()
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
        assert_eq!((turn.text.as_str(), turn.finish, turn.tokens()), ("The toll is", "length", 3));
        let turn = chat(r#"{"max_tokens": 30}"#);
        assert_eq!((turn.finish, turn.tokens()), ("stop", 20));
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
            assert_eq!(turn.finish, "tool_calls");
        }
        for rest in [r#""tool_choice": "none""#, r#""messages": [{"role": "tool"}]"#] {
            assert_eq!(chat(&format!("{{{tools}, {rest}}}")).call, None);
        }
    }
}
