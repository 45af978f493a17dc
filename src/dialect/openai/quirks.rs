//! Servers that follow OpenAI's API but for some members: what each refuses or calls otherwise, as data.
//!
//! The body is changed where it must be and nowhere else. What is left out is told, so that it can be named.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::scan::Cursor;
use crate::dialect::splice::{ObjectEdit, Overlap, Splice};

/// What a server wants otherwise.
#[derive(Debug)]
pub struct Quirks {
    /// Members that it refuses.
    refused: &'static [&'static str],
    /// Members that have another name there.
    renamed: &'static [(&'static str, &'static str)],
    /// Whether the operator speaks as `system` only.
    system_only: bool,
    /// The length of a call's id, in letters and digits, where it has one.
    call_id_chars: Option<usize>,
}

/// Mistral's chats (Mistral API reference, "Chat completion"): unknown members are refused with 422.
pub const MISTRAL: Quirks = Quirks {
    refused: &[
        "user",
        "stream_options",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "store",
        "service_tier",
        "modalities",
        "audio",
        "verbosity",
        "functions",
        "function_call",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "web_search_options",
    ],
    renamed: &[("seed", "random_seed"), ("max_completion_tokens", "max_tokens")],
    system_only: true,
    call_id_chars: Some(9),
};

/// Mistral's embeddings.
pub const MISTRAL_EMBEDDINGS: Quirks = Quirks {
    refused: &["user"],
    renamed: &[("dimensions", "output_dimension")],
    system_only: false,
    call_id_chars: None,
};

/// Cohere's chats (Cohere documentation, "Compatibility API").
pub const COHERE: Quirks = Quirks {
    refused: &[
        "user",
        "store",
        "metadata",
        "logit_bias",
        "top_logprobs",
        "n",
        "modalities",
        "prediction",
        "audio",
        "service_tier",
        "parallel_tool_calls",
    ],
    renamed: &[("max_completion_tokens", "max_tokens")],
    system_only: false,
    call_id_chars: None,
};

/// Cohere's embeddings.
pub const COHERE_EMBEDDINGS: Quirks = Quirks {
    refused: &["user", "dimensions"],
    renamed: &[],
    system_only: false,
    call_id_chars: None,
};

/// Why a body could not be changed.
#[derive(Debug)]
pub enum QuirkError {
    /// It is no JSON object, or its messages are none.
    Json(JsonError),
    /// Edits overlap.
    Overlap(Overlap),
}

impl fmt::Display for QuirkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuirkError::Json(error) => error.fmt(f),
            QuirkError::Overlap(overlap) => write!(f, "edits overlap at {:?}", overlap.at),
        }
    }
}

impl Quirks {
    /// The body as the server wants it, uncopied where that is how it is, and the members left out.
    pub fn apply(&self, body: &Bytes) -> Result<(Bytes, Vec<&'static str>), QuirkError> {
        let members = Members::parse(body).map_err(QuirkError::Json)?;
        let mut edit = ObjectEdit::new(&members);
        let dropped = self.members(&members, &mut edit);
        let mut splice = Splice::default();
        splice.object(&edit).map_err(QuirkError::Overlap)?;
        if let Some(messages) = members.get("messages") {
            self.messages(members.text(), messages, &mut splice)?;
        }
        Ok((splice.apply(body), dropped))
    }

    fn members(&self, members: &Members<'_>, edit: &mut ObjectEdit<'_, '_>) -> Vec<&'static str> {
        let mut dropped = Vec::new();
        for name in self.refused {
            if let Some(member) = members.get(name) {
                edit.remove(name);
                // The gateway itself may have asked for the usage.
                if !member.is_null() && *name != "stream_options" {
                    dropped.push(*name);
                }
            }
        }
        for (from, to) in self.renamed {
            if let Some(member) = members.get(from) {
                edit.remove(from);
                if members.get(to).is_none() {
                    let value = members.text().get(member.value()).unwrap_or("null");
                    edit.set(to, value.as_bytes());
                }
            }
        }
        dropped
    }

    fn messages(
        &self,
        text: &str,
        messages: &Member<'_>,
        splice: &mut Splice,
    ) -> Result<(), QuirkError> {
        if !self.system_only && self.call_id_chars.is_none() {
            return Ok(());
        }
        each(text, messages, 2, &mut |message| {
            let role = message.get("role").filter(|_| self.system_only);
            if let Some(role) = role.filter(|role| role.string().as_deref() == Some("developer")) {
                splice.replace_string(role.value(), "system").map_err(QuirkError::Overlap)?;
            }
            self.call_id(message.get("tool_call_id"), splice)?;
            let Some(calls) = message.get("tool_calls") else { return Ok(()) };
            each(text, calls, 4, &mut |call| self.call_id(call.get("id"), splice))
        })
    }

    fn call_id(&self, member: Option<&Member<'_>>, splice: &mut Splice) -> Result<(), QuirkError> {
        let (Some(member), Some(chars)) = (member, self.call_id_chars) else { return Ok(()) };
        let Some(id) = member.string() else { return Ok(()) };
        if id.len() == chars && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(());
        }
        splice.replace_string(member.value(), &short(&id, chars)).map_err(QuirkError::Overlap)
    }
}

/// An id of so many letters and digits, the same for the same id.
fn short(id: &str, chars: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(id.as_bytes());
    let letters = digest.iter().filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()));
    letters.take(chars).map(|letter| char::from(*letter)).collect()
}

/// Takes each object of an array; other elements, and what is no array, are passed over.
fn each(
    text: &str,
    array: &Member<'_>,
    depth: u32,
    take: &mut dyn FnMut(&Members<'_>) -> Result<(), QuirkError>,
) -> Result<(), QuirkError> {
    let mut cursor = Cursor::new(text.as_bytes(), array.value().start);
    if !cursor.eat(b'[') {
        return Ok(());
    }
    cursor.space();
    while cursor.peek() == Some(b'{') {
        let object = Members::object(text, &mut cursor, depth).map_err(QuirkError::Json)?;
        take(&object)?;
        cursor.space();
        cursor.eat(b',');
        cursor.space();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{COHERE, MISTRAL, MISTRAL_EMBEDDINGS, Quirks, short};
    use bytes::Bytes;
    use proptest::proptest;

    fn check(quirks: &Quirks, body: &str, expected: &str, dropped: &[&str]) {
        let (changed, left_out) = quirks.apply(&Bytes::from(body.to_owned())).unwrap();
        assert_eq!(std::str::from_utf8(&changed).unwrap(), expected);
        assert_eq!(left_out, dropped);
    }

    #[test]
    fn members_are_left_out_and_renamed() {
        check(
            &MISTRAL,
            r#"{"model":"m", "seed": 7,"user":"u","messages":[],"stream_options":{"include_usage":true},"store":null}"#,
            r#"{"model":"m","messages":[],"random_seed":7}"#,
            &["user"],
        );
        check(&MISTRAL, r#"{"seed":1,"random_seed":2}"#, r#"{"random_seed":2}"#, &[]);
        check(
            &COHERE,
            r#"{"n":2,"seed":1,"max_completion_tokens":5}"#,
            r#"{"seed":1,"max_tokens":5}"#,
            &["n"],
        );
        check(
            &MISTRAL_EMBEDDINGS,
            r#"{"input":["a"],"dimensions":256}"#,
            r#"{"input":["a"],"output_dimension":256}"#,
            &[],
        );
    }

    #[test]
    fn what_fits_is_not_touched() {
        let body = r#"{"model":"m","messages":[{"role":"system","content":"s"}, 7,{"role":"tool","tool_call_id":"abcDEF123"}]}"#;
        check(&MISTRAL, body, body, &[]);
    }

    #[test]
    fn ids_of_calls_are_shortened_in_both_places_alike() {
        let id = short("call_abcdefghijkl", 9);
        assert_eq!(id.len(), 9);
        check(
            &MISTRAL,
            r#"{"messages":[{"role":"developer","content":"\"tool_calls\""},{"role":"assistant","tool_calls":[{"id":"call_abcdefghijkl","function":{"name":"f","arguments":"{\"id\":\"x\"}"}},{"id":"D681PevKs"}]},{"role":"tool","tool_call_id":"call_abcdefghijkl","content":"1"}]}"#,
            &format!(
                r#"{{"messages":[{{"role":"system","content":"\"tool_calls\""}},{{"role":"assistant","tool_calls":[{{"id":"{id}","function":{{"name":"f","arguments":"{{\"id\":\"x\"}}"}}}},{{"id":"D681PevKs"}}]}},{{"role":"tool","tool_call_id":"{id}","content":"1"}}]}}"#
            ),
            &[],
        );
        assert_ne!(id, short("call_abcdefghijkm", 9));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in r#"[{}\[\]",:a-z0-9 ]{0,60}"#) {
            let body = format!(r#"{{"seed":1,"messages":[{body}]}}"#);
            let _ = MISTRAL.apply(&Bytes::from(body));
        }
    }
}
