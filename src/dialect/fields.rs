//! Members of a request that rules name, found and set in any dialect.
//!
//! Rules are written with the names of Chat Completions, and [`ROWS`] says what stands for each in the
//! other dialects: `max_tokens` is `generationConfig.maxOutputTokens` in Gemini's. Bytes that no rule
//! touches stay as they are. What a rule means is not decided here.

use std::fmt;

use crate::dialect::ir::Dialect;
use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::splice::{ObjectEdit, Overlap, Splice, write_json_string};

/// What stands for a member of Chat Completions in the other dialects: `parent.name`, or `name`.
struct Row {
    chat: &'static str,
    anthropic: &'static [&'static str],
    gemini: &'static [&'static str],
    responses: &'static [&'static str],
    /// Whether the value means the same everywhere, so that it can be set or lowered.
    same: bool,
}

const fn row(
    chat: &'static str,
    [anthropic, gemini, responses]: [&'static [&'static str]; 3],
    same: bool,
) -> Row {
    Row { chat, anthropic, gemini, responses, same }
}

/// Every member of Chat Completions that other dialects have, under whatever name.
#[rustfmt::skip]
const ROWS: [Row; 20] = [
    row("max_tokens", [&["max_tokens"], &["generationConfig.maxOutputTokens"], &["max_output_tokens"]], true),
    row("max_completion_tokens", [&["max_tokens"], &["generationConfig.maxOutputTokens"], &["max_output_tokens"]], true),
    row("temperature", [&["temperature"], &["generationConfig.temperature"], &["temperature"]], true),
    row("top_p", [&["top_p"], &["generationConfig.topP"], &["top_p"]], true),
    row("top_k", [&["top_k"], &["generationConfig.topK"], &[]], true),
    row("frequency_penalty", [&[], &["generationConfig.frequencyPenalty"], &[]], true),
    row("presence_penalty", [&[], &["generationConfig.presencePenalty"], &[]], true),
    row("seed", [&[], &["generationConfig.seed"], &[]], true),
    row("n", [&[], &["generationConfig.candidateCount"], &[]], true),
    row("top_logprobs", [&[], &["generationConfig.logprobs"], &["top_logprobs"]], true),
    row("user", [&["metadata.user_id"], &[], &["user"]], true),
    row("parallel_tool_calls", [&["tool_choice.disable_parallel_tool_use"], &[], &["parallel_tool_calls"]], false),
    row("logprobs", [&[], &["generationConfig.responseLogprobs"], &["top_logprobs"]], false),
    row("stop", [&["stop_sequences"], &["generationConfig.stopSequences"], &[]], false),
    row("tools", [&["tools"], &["tools"], &["tools"]], false),
    row("tool_choice", [&["tool_choice"], &["toolConfig"], &["tool_choice"]], false),
    row("response_format", [&["output_config.format", "output_format"],
        &["generationConfig.responseMimeType", "generationConfig.responseSchema", "generationConfig.responseJsonSchema"],
        &["text.format"]], false),
    row("reasoning_effort", [&["thinking", "output_config.effort"], &["generationConfig.thinkingConfig"], &["reasoning"]], false),
    row("service_tier", [&["service_tier"], &["serviceTier"], &["service_tier"]], false),
    row("metadata", [&[], &[], &["metadata"]], false),
];

/// What a rule's name stands for in a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'n> {
    /// These members. `same`: a value of Chat Completions can be set there.
    Known {
        /// Their paths; none where the dialect cannot say it.
        paths: &'static [&'static str],
        /// Whether values mean the same.
        same: bool,
    },
    /// Not a member of Chat Completions that is known here: the name as it stands.
    Other(&'n str),
}

/// What the name of a rule stands for.
pub fn named(name: &str, dialect: Dialect) -> Named<'_> {
    let Some(row) = ROWS.iter().find(|row| row.chat == name) else { return Named::Other(name) };
    let paths = match dialect {
        // Nobody asks in Bedrock's.
        Dialect::Chat | Dialect::Bedrock => return Named::Other(name),
        Dialect::Anthropic => row.anthropic,
        Dialect::Gemini => row.gemini,
        Dialect::Responses => row.responses,
    };
    Named::Known { paths, same: row.same }
}

/// Why a member cannot be found or set.
#[derive(Debug)]
pub enum FieldError {
    /// It stands twice, in two spellings, or in what is no object.
    Wrong(String, &'static str),
    /// The JSON of a member is no object.
    Json(JsonError),
    /// Two edits of the same bytes.
    Overlap(Overlap),
}

/// The members of a request, with what is to be set.
pub struct Fields<'m, 'a> {
    dialect: Dialect,
    members: &'m Members<'a>,
    sets: Vec<(Path, Vec<u8>)>,
}

/// Where a member stands.
#[derive(Clone, PartialEq, Eq)]
struct Path {
    parent: Option<Box<str>>,
    name: Box<str>,
}

impl Path {
    fn of(text: &str) -> Self {
        match text.split_once('.') {
            Some((parent, name)) => Self { parent: Some(parent.into()), name: name.into() },
            None => Self { parent: None, name: text.into() },
        }
    }
}

impl<'m, 'a> Fields<'m, 'a> {
    /// The members of a request; nothing is set yet.
    pub fn new(dialect: Dialect, members: &'m Members<'a>) -> Self {
        Self { dialect, members, sets: Vec::new() }
    }

    /// The member at a path, if it is there and not `null`.
    pub fn get(&self, path: &str) -> Result<Option<Member<'a>>, FieldError> {
        let Path { parent, name } = Path::of(path);
        let Some(parent) = parent else { return self.find(self.members, &name) };
        match self.find(self.members, &parent)? {
            Some(parent) => {
                let inner = self.members.within(&parent).map_err(FieldError::Json)?;
                self.find(&inner, &name)
            }
            None => Ok(None),
        }
    }

    /// Sets the member at a path to a value given as JSON text.
    pub fn set(&mut self, path: &str, json: &[u8]) {
        let path = Path::of(path);
        self.sets.retain(|(known, _)| *known != path);
        self.sets.push((path, json.to_vec()));
    }

    /// Adds the edits that set what is to be set.
    pub fn write(self, splice: &mut Splice) -> Result<(), FieldError> {
        let mut top = ObjectEdit::new(self.members);
        let mut done: Vec<&str> = Vec::new();
        for (path, json) in &self.sets {
            let Some(parent) = path.parent.as_deref() else {
                top.set(&self.spelled(self.members, &path.name)?, json);
                continue;
            };
            if done.contains(&parent) {
                continue;
            }
            done.push(parent);
            match self.find(self.members, parent)? {
                Some(member) => self.write_inside(&member, parent, splice)?,
                None => top.set(&self.spelled(self.members, parent)?, &self.object(parent)),
            }
        }
        splice.object(&top).map_err(FieldError::Overlap)
    }

    fn write_inside(
        &self,
        member: &Member<'a>,
        parent: &str,
        splice: &mut Splice,
    ) -> Result<(), FieldError> {
        let inner = self.members.within(member).map_err(FieldError::Json)?;
        let mut edit = ObjectEdit::new(&inner);
        for (path, json) in self.sets_of(parent) {
            edit.set(&self.spelled(&inner, &path.name)?, json);
        }
        splice.object(&edit).map_err(FieldError::Overlap)
    }

    /// An object of all that is set in a parent that is not there.
    fn object(&self, parent: &str) -> Vec<u8> {
        let mut out = vec![b'{'];
        for (path, json) in self.sets_of(parent) {
            if out.len() > 1 {
                out.push(b',');
            }
            write_json_string(&mut out, &path.name);
            out.push(b':');
            out.extend_from_slice(json);
        }
        out.push(b'}');
        out
    }

    fn sets_of<'s>(&'s self, parent: &str) -> impl Iterator<Item = &'s (Path, Vec<u8>)> {
        self.sets.iter().filter(move |(path, _)| path.parent.as_deref() == Some(parent))
    }

    /// The member of a name, whatever its spelling; `null` is none.
    fn find(&self, members: &Members<'a>, name: &str) -> Result<Option<Member<'a>>, FieldError> {
        let found = self.spelling(members, name)?;
        Ok(found.filter(|member| !member.is_null()).cloned())
    }

    /// The name as the client spells it; as it stands where the client does not say it.
    fn spelled(&self, members: &Members<'a>, name: &str) -> Result<String, FieldError> {
        let found = self.spelling(members, name)?;
        Ok(found.map_or(name, |member| &*member.name).to_owned())
    }

    /// Gemini's servers take names in camel case and with underscores, so one may hide the other.
    fn spelling<'x>(
        &self,
        members: &'x Members<'a>,
        name: &str,
    ) -> Result<Option<&'x Member<'a>>, FieldError> {
        if self.dialect != Dialect::Gemini {
            return Ok(members.get_any_case(name));
        }
        let mut all = members.iter().filter(|member| same_letters(&member.name, name));
        match (all.next(), all.next()) {
            (_, Some(_)) => {
                Err(FieldError::Wrong(name.to_owned(), "stands twice, in two spellings"))
            }
            (found, None) => Ok(found),
        }
    }
}

fn same_letters(a: &str, b: &str) -> bool {
    let letters = |text: &str| {
        let kept = text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase());
        kept.collect::<Vec<_>>()
    };
    letters(a) == letters(b)
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(name, rule) => write!(f, "`{name}` {rule}"),
            Self::Json(error) => error.fmt(f),
            Self::Overlap(overlap) => overlap.fmt(f),
        }
    }
}

impl std::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::{Dialect, Fields, Members, Named, Splice, named};
    use bytes::Bytes;

    fn set(dialect: Dialect, body: &str, sets: &[(&str, &str)]) -> String {
        let members = Members::parse(body.as_bytes()).unwrap();
        let mut fields = Fields::new(dialect, &members);
        for (path, json) in sets {
            fields.set(path, json.as_bytes());
        }
        let mut splice = Splice::default();
        fields.write(&mut splice).unwrap();
        let out = splice.apply(&Bytes::from(body.to_owned()));
        assert!(Members::parse(&out).is_ok(), "{out:?}");
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn members_are_set_where_they_belong_in_the_clients_spelling() {
        let both = [("generationConfig.topK", "5"), ("generationConfig.maxOutputTokens", "7")];
        for (dialect, body, sets, expected) in [
            (
                Dialect::Anthropic,
                r#"{"a":1}"#,
                &[("max_tokens", "7")][..],
                r#"{"a":1,"max_tokens":7}"#,
            ),
            (
                Dialect::Anthropic,
                r#"{"Max_tokens" : 9}"#,
                &[("max_tokens", "7")],
                r#"{"Max_tokens" : 7}"#,
            ),
            (
                Dialect::Anthropic,
                "{}",
                &[("x", "1"), ("metadata.user_id", "\"u\"")],
                r#"{"x":1,"metadata":{"user_id":"u"}}"#,
            ),
            (
                Dialect::Gemini,
                "{}",
                &both,
                r#"{"generationConfig":{"topK":5,"maxOutputTokens":7}}"#,
            ),
            (
                Dialect::Gemini,
                r#"{"generationConfig":null}"#,
                &both,
                r#"{"generationConfig":{"topK":5,"maxOutputTokens":7}}"#,
            ),
            (
                Dialect::Gemini,
                r#"{"generation_config":{"max_output_tokens":9 }}"#,
                &both,
                r#"{"generation_config":{"max_output_tokens":7,"topK":5 }}"#,
            ),
        ] {
            assert_eq!(set(dialect, body, sets), expected);
        }
    }

    #[test]
    fn members_are_found_in_any_spelling_and_never_in_two() {
        let body = r#"{"generation_config":{"TopK":5},"tools":null}"#;
        let members = Members::parse(body.as_bytes()).unwrap();
        let fields = Fields::new(Dialect::Gemini, &members);
        assert_eq!(fields.get("generationConfig.topK").unwrap().unwrap().raw, "5");
        assert!(fields.get("generationConfig.seed").unwrap().is_none());
        assert!(fields.get("tools").unwrap().is_none());
        for body in [
            r#"{"generation_config":{},"generationConfig":{"topK":5}}"#,
            r#"{"generationConfig":{"top_k":1,"topK":5}}"#,
            r#"{"generationConfig":[]}"#,
        ] {
            let members = Members::parse(body.as_bytes()).unwrap();
            let fields = Fields::new(Dialect::Gemini, &members);
            assert!(fields.get("generationConfig.topK").is_err(), "{body}");
        }
    }

    #[test]
    fn names_are_chats_or_stand_for_themselves() {
        let paths = |name, dialect| match named(name, dialect) {
            Named::Known { paths, .. } => paths.join(" "),
            Named::Other(name) => format!("as it stands: {name}"),
        };
        assert_eq!(paths("max_tokens", Dialect::Responses), "max_output_tokens");
        assert_eq!(paths("seed", Dialect::Anthropic), "");
        assert_eq!(paths("thinking", Dialect::Anthropic), "as it stands: thinking");
        assert_eq!(paths("seed", Dialect::Chat), "as it stands: seed");
    }
}
