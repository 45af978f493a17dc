//! Messages that the gateway puts into conversations of the dialects that keep instructions apart from
//! turns: Anthropic's `system`, Gemini's `systemInstruction`, Responses' `instructions`.
//!
//! What stands there stays; instructions go before or behind it, turns before the first or behind the
//! last. (Chat Completions has one list for both: see [`messages`](super::messages).)

use crate::dialect::fields::{FieldError, Fields};
use crate::dialect::ir::Dialect;
use crate::dialect::members::{Member, Members};
use crate::dialect::messages::{Insertions, Places};
use crate::dialect::splice::{Splice, write_json_string};

/// What to put in: instructions as texts, turns by role and text.
#[derive(Debug, Default)]
pub struct Inserts {
    /// Instructions before those of the client.
    pub before: Vec<String>,
    /// Instructions behind those of the client.
    pub behind: Vec<String>,
    /// Turns before the first.
    pub first: Vec<Turn>,
    /// Turns behind the last.
    pub last: Vec<Turn>,
}

/// One turn.
#[derive(Debug)]
pub struct Turn {
    /// Whether the model says it.
    pub is_models: bool,
    /// What is said.
    pub text: String,
}

/// What stands between two instructions that are joined to one text.
const BETWEEN: &str = "\n\n";

impl Inserts {
    /// Adds the edits that put everything in.
    pub fn write(
        &self,
        dialect: Dialect,
        members: &Members<'_>,
        splice: &mut Splice,
    ) -> Result<(), FieldError> {
        let mut fields = Fields::new(dialect, members);
        if !self.before.is_empty() || !self.behind.is_empty() {
            self.instructions(dialect, members, &mut fields, splice)?;
        }
        if !self.first.is_empty() || !self.last.is_empty() {
            self.turns(dialect, members, &mut fields, splice)?;
        }
        fields.write(splice)
    }

    fn instructions(
        &self,
        dialect: Dialect,
        members: &Members<'_>,
        fields: &mut Fields<'_, '_>,
        splice: &mut Splice,
    ) -> Result<(), FieldError> {
        // A text in JSON, and a piece of a list.
        let (name, list) = match dialect {
            Dialect::Anthropic => ("system", "system"),
            Dialect::Gemini => ("systemInstruction", "systemInstruction.parts"),
            Dialect::Chat | Dialect::Responses | Dialect::Bedrock => {
                ("instructions", "instructions")
            }
        };
        let there = fields.get(name)?;
        let pieces = |texts: &[String]| joined(texts.iter().map(|text| piece(dialect, text)));
        match there {
            Some(there) if there.raw.starts_with('"') && dialect != Dialect::Gemini => {
                let own = there.string().unwrap_or_default();
                let texts = self.before.iter().map(String::as_str).chain([&*own]);
                fields.set(name, &quoted(texts.chain(self.behind.iter().map(String::as_str))));
            }
            Some(_) => {
                let (before, behind) = (pieces(&self.before), pieces(&self.behind));
                let Some(list) = fields.get(list)? else {
                    let all: Vec<u8> = [&b"["[..], &either(&before, &behind), b"]"].concat();
                    fields.set(list, &all);
                    return Ok(());
                };
                extend(members, &list, (&before, &behind), splice)?;
            }
            None if dialect == Dialect::Gemini => {
                let all = either(&pieces(&self.before), &pieces(&self.behind));
                fields.set(list, &[b"[", &all[..], b"]"].concat());
            }
            None => {
                let texts = self.before.iter().chain(&self.behind).map(String::as_str);
                fields.set(name, &quoted(texts));
            }
        }
        Ok(())
    }

    fn turns(
        &self,
        dialect: Dialect,
        members: &Members<'_>,
        fields: &mut Fields<'_, '_>,
        splice: &mut Splice,
    ) -> Result<(), FieldError> {
        let name = match dialect {
            Dialect::Chat | Dialect::Anthropic | Dialect::Bedrock => "messages",
            Dialect::Gemini => "contents",
            Dialect::Responses => "input",
        };
        let turns = |turns: &[Turn]| joined(turns.iter().map(|turn| turn.written(dialect)));
        let (first, last) = (turns(&self.first), turns(&self.last));
        match fields.get(name)? {
            Some(text) if dialect == Dialect::Responses && text.raw.starts_with('"') => {
                let own = [br#"{"role":"user","content":"#, text.raw.as_bytes(), b"}"].concat();
                let all = either(&either(&first, &own), &last);
                fields.set(name, &[b"[", &all[..], b"]"].concat());
            }
            Some(list) => extend(members, &list, (&first, &last), splice)?,
            // The request says nothing, and its server will say so.
            None => {}
        }
        Ok(())
    }
}

impl Turn {
    fn written(&self, dialect: Dialect) -> Vec<u8> {
        let role = match (self.is_models, dialect) {
            (false, _) => "user",
            (true, Dialect::Gemini) => "model",
            (true, _) => "assistant",
        };
        let content = match dialect {
            Dialect::Gemini => ("parts", [&b"["[..], &piece(dialect, &self.text), b"]"].concat()),
            _ => ("content", quoted([&*self.text])),
        };
        let head = format!(r#"{{"role":"{role}","{}":"#, content.0);
        [head.as_bytes(), &content.1, b"}"].concat()
    }
}

/// A text as an element of a list of instructions.
fn piece(dialect: Dialect, text: &str) -> Vec<u8> {
    let head: &[u8] = match dialect {
        Dialect::Gemini => br#"{"text":"#,
        _ => br#"{"type":"text","text":"#,
    };
    [head, &quoted([text]), b"}"].concat()
}

/// Texts joined to one, as a JSON string.
fn quoted<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<u8> {
    let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(BETWEEN);
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_string(&mut out, &text);
    out
}

fn joined(elements: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    elements.collect::<Vec<_>>().join(&b","[..])
}

/// Two runs of elements as one.
fn either(a: &[u8], b: &[u8]) -> Vec<u8> {
    joined([a, b].into_iter().filter(|run| !run.is_empty()).map(<[u8]>::to_vec))
}

fn extend(
    members: &Members<'_>,
    list: &Member<'_>,
    (start, end): (&[u8], &[u8]),
    splice: &mut Splice,
) -> Result<(), FieldError> {
    if !list.raw.starts_with('[') {
        return Err(FieldError::Wrong(list.name.to_string(), "must be a list"));
    }
    let places = Places::find(members, list).map_err(FieldError::Json)?;
    let texts = Insertions { start, after_system: b"", end };
    places.insert(&texts, splice).map_err(FieldError::Overlap)
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Inserts, Members, Splice, Turn};
    use bytes::Bytes;

    fn insert(dialect: Dialect, body: &str, inserts: &Inserts) -> String {
        let members = Members::parse(body.as_bytes()).unwrap();
        let mut splice = Splice::default();
        inserts.write(dialect, &members, &mut splice).unwrap();
        let out = splice.apply(&Bytes::from(body.to_owned()));
        assert!(Members::parse(&out).is_ok(), "{out:?}");
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn instructions() -> Inserts {
        Inserts { before: vec!["A\"".into()], behind: vec!["B".into()], ..Inserts::default() }
    }

    fn turns() -> Inserts {
        let turn = |is_models, text: &str| Turn { is_models, text: text.to_owned() };
        Inserts {
            first: vec![turn(false, "1"), turn(true, "2")],
            last: vec![turn(false, "3")],
            ..Inserts::default()
        }
    }

    #[test]
    fn instructions_go_around_those_of_the_client() {
        for (dialect, body, expected) in [
            (Dialect::Anthropic, "{}", r#"{"system":"A\"\n\nB"}"#),
            (Dialect::Anthropic, r#"{"system":"c\n"}"#, r#"{"system":"A\"\n\nc\n\n\nB"}"#),
            (
                Dialect::Anthropic,
                r#"{"system":[{"type":"text","text":"c"}]}"#,
                r#"{"system":[{"type":"text","text":"A\""},{"type":"text","text":"c"},{"type":"text","text":"B"}]}"#,
            ),
            (Dialect::Responses, r#"{"instructions":null}"#, r#"{"instructions":"A\"\n\nB"}"#),
            (
                Dialect::Gemini,
                "{}",
                r#"{"systemInstruction":{"parts":[{"text":"A\""},{"text":"B"}]}}"#,
            ),
            (
                Dialect::Gemini,
                r#"{"system_instruction":{"role":"user","parts":[{"text":"c"}]}}"#,
                r#"{"system_instruction":{"role":"user","parts":[{"text":"A\""},{"text":"c"},{"text":"B"}]}}"#,
            ),
            (
                Dialect::Gemini,
                r#"{"systemInstruction":{"role":"user"}}"#,
                r#"{"systemInstruction":{"role":"user","parts":[{"text":"A\""},{"text":"B"}]}}"#,
            ),
        ] {
            assert_eq!(insert(dialect, body, &instructions()), expected);
        }
    }

    #[test]
    fn turns_go_before_the_first_and_behind_the_last() {
        for (dialect, body, expected) in [
            (
                Dialect::Anthropic,
                r#"{"messages":[{"role":"user","content":"x"}]}"#,
                r#"{"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"x"},{"role":"user","content":"3"}]}"#,
            ),
            (
                Dialect::Gemini,
                r#"{"contents":[ ]}"#,
                r#"{"contents":[{"role":"user","parts":[{"text":"1"}]},{"role":"model","parts":[{"text":"2"}]},{"role":"user","parts":[{"text":"3"}]} ]}"#,
            ),
            (
                Dialect::Responses,
                r#"{"input":"x"}"#,
                r#"{"input":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"x"},{"role":"user","content":"3"}]}"#,
            ),
            (
                Dialect::Responses,
                r#"{"input":[{"type":"message"}]}"#,
                r#"{"input":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"type":"message"},{"role":"user","content":"3"}]}"#,
            ),
        ] {
            assert_eq!(insert(dialect, body, &turns()), expected);
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        let members = Members::parse(br#"{"messages":7,"system":7}"#).unwrap();
        let write = |inserts: Inserts| {
            inserts.write(Dialect::Anthropic, &members, &mut Splice::default()).unwrap_err()
        };
        assert_eq!(write(turns()).to_string(), "`messages` must be a list");
        assert_eq!(write(instructions()).to_string(), "`system` must be a list");
    }
}
