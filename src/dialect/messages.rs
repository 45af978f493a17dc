//! Putting messages into a chat's `messages` array without touching those that are there.
//!
//! Only the leading run of system and developer messages is looked at, so the cost does not
//! grow with the conversation. What is put in is rendered by the caller: this module sees to
//! places and commas.

use std::ops::Range;

use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::scan::Cursor;
use crate::dialect::splice::{Overlap, Splice};

/// What to put in, by place: JSON messages joined by commas, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Insertions<'t> {
    /// Before the first message.
    pub start: &'t [u8],
    /// Behind the leading run of system and developer messages.
    pub after_system: &'t [u8],
    /// Behind the last message.
    pub end: &'t [u8],
}

/// The places in a `messages` array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where the first message begins; behind the bracket where there is none.
    start: usize,
    /// Where the last leading system or developer message ends, if there is one.
    system_end: Option<usize>,
    /// Where the last message ends, if there is one.
    end: Option<usize>,
}

impl Places {
    /// Finds the places in the value of the member `messages`.
    pub fn find(members: &Members<'_>, messages: &Member<'_>) -> Result<Self, JsonError> {
        let text = members.text();
        let Range { start: open, end: behind } = messages.value();
        let mut cursor = Cursor::new(text.as_bytes(), open);
        if !cursor.eat(b'[') {
            return Err(JsonError::at(text, open, "`messages` must be an array"));
        }
        cursor.space();
        let start = cursor.at();
        if cursor.eat(b']') {
            return Ok(Self { start: open + 1, system_end: None, end: None });
        }
        let inside = text.get(start..behind.saturating_sub(1)).unwrap_or_default();
        let end = start + inside.trim_ascii_end().len();
        let mut system_end = None;
        while cursor.peek() == Some(b'{') {
            let message = Members::object(text, &mut cursor, 2)?;
            let role = message.get("role").and_then(Member::string);
            if !matches!(role.as_deref(), Some("system" | "developer")) {
                break;
            }
            system_end = Some(cursor.at());
            cursor.space();
            cursor.eat(b',');
            cursor.space();
        }
        Ok(Self { start, system_end, end: Some(end) })
    }

    /// Adds the edits that put the messages in.
    pub fn insert(&self, texts: &Insertions<'_>, splice: &mut Splice) -> Result<(), Overlap> {
        let Some(end) = self.end else {
            let filled = [texts.start, texts.after_system, texts.end];
            let filled: Vec<_> = filled.into_iter().filter(|text| !text.is_empty()).collect();
            return put(splice, self.start, &filled.join(&b','), b"", b"");
        };
        put(splice, self.start, texts.start, b"", b",")?;
        match self.system_end {
            Some(system_end) => put(splice, system_end, texts.after_system, b",", b"")?,
            None => put(splice, self.start, texts.after_system, b"", b",")?,
        }
        put(splice, end, texts.end, b",", b"")
    }
}

fn put(
    splice: &mut Splice,
    at: usize,
    text: &[u8],
    before: &[u8],
    behind: &[u8],
) -> Result<(), Overlap> {
    if text.is_empty() {
        return Ok(());
    }
    splice.insert(at, &[before, text, behind])
}

#[cfg(test)]
mod tests {
    use super::{Insertions, Places};
    use crate::dialect::members::Members;
    use crate::dialect::splice::Splice;
    use bytes::Bytes;
    use proptest::prelude::prop;
    use proptest::{prop_assert_eq, proptest};

    fn insert(messages: &str, texts: Insertions<'_>) -> String {
        let body = format!("{{\"messages\":{messages}}}");
        let members = Members::parse(body.as_bytes()).unwrap();
        let places = Places::find(&members, members.get("messages").unwrap()).unwrap();
        let mut splice = Splice::default();
        places.insert(&texts, &mut splice).unwrap();
        let out = splice.apply(&Bytes::from(body.clone().into_bytes()));
        assert!(Members::parse(&out).is_ok(), "{out:?}");
        let out = std::str::from_utf8(&out).unwrap();
        out.strip_prefix("{\"messages\":").unwrap().strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn messages_are_put_where_they_belong() {
        let all = Insertions { start: b"1", after_system: b"2", end: b"3" };
        let none = Insertions::default();
        let after = Insertions { after_system: b"2", ..none };
        let system = r#"{"role":"system","content":"s"}"#;
        let developer = r#"{"content":[{"role":"user"}], "role" : "dev\u0065loper"}"#;
        let user = r#"{"role":"user","content":"]"}"#;
        for (messages, texts, expected) in [
            ("[]".to_owned(), all, "[1,2,3]".to_owned()),
            ("[ \n ]".to_owned(), all, "[1,2,3 \n ]".to_owned()),
            ("[]".to_owned(), after, "[2]".to_owned()),
            ("[]".to_owned(), none, "[]".to_owned()),
            (format!("[{user}]"), all, format!("[1,2,{user},3]")),
            (format!("[ {user} ]"), all, format!("[ 1,2,{user},3 ]")),
            (format!("[{system}]"), all, format!("[1,{system},2,3]")),
            (format!("[{system} , {user}]"), all, format!("[1,{system},2 , {user},3]")),
            (
                format!("[{system},{developer},{user},{system}]"),
                after,
                format!("[{system},{developer},2,{user},{system}]"),
            ),
            (format!("[{user},{system}]"), after, format!("[2,{user},{system}]")),
            ("[7, null]".to_owned(), all, "[1,2,7, null,3]".to_owned()),
        ] {
            assert_eq!(insert(&messages, texts), expected);
        }
    }

    #[test]
    fn messages_must_be_an_array() {
        let members = Members::parse(br#"{"messages": {"a":1}}"#).unwrap();
        let error = Places::find(&members, members.get("messages").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "`messages` must be an array at line 1 column 14");
    }

    proptest! {
        #[test]
        fn order_and_neighbours_are_kept(
            roles in prop::collection::vec("system|developer|user|assistant", 0..6),
            gap in "[ \t\r\n]{0,3}",
            counts in (0_usize..3, 0_usize..3, 0_usize..3),
        ) {
            let message = |role: &str| serde_json::json!({ "role": role, "content": "x" });
            let rendered = |place: &str, n: usize| (0..n).map(|_| message(place)).collect::<Vec<_>>();
            let (start, after, end) = (rendered("a", counts.0), rendered("b", counts.1), rendered("c", counts.2));
            let join = |list: &[serde_json::Value]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let own: Vec<_> = roles.iter().map(|role| message(role)).collect();
            let text = own.iter().map(|m| format!("{gap}{m}{gap}")).collect::<Vec<_>>().join(",");
            let out = insert(&format!("[{text}{gap}]"), Insertions {
                start: join(&start).as_bytes(),
                after_system: join(&after).as_bytes(),
                end: join(&end).as_bytes(),
            });
            let lead = roles.iter().take_while(|r| *r == "system" || *r == "developer").count();
            let (system, rest) = own.split_at(lead);
            let expected = [&start, system, &after, rest, &end].concat();
            prop_assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&out).unwrap(), expected);
        }
    }
}
