//! Chat messages as the items of a conversation of OpenAI's.

use bytes::Bytes;

use crate::dialect::ir::loss::Losses;
use crate::dialect::ir::{Dialect, Target};
use crate::dialect::members::{Member, Members};
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::dialect::translate::{read_request, write_request};
use crate::error::{Error, Kind, Result};

/// Nobody is asked here: only messages are read and written.
const NOWHERE: Target<'static> = Target { model: "", extensions: false, usage_in_streams: false };

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// The item, with its id.
    pub json: String,
}

/// The items that a message is: its words, and each of its calls or its result. `name` tells the
/// message from others of the conversation.
///
/// # Errors
/// `InvalidBody` where it is no chat message.
pub fn of_message(text: &str, name: &str) -> Result<Vec<Item>> {
    let chat = format!("{{\"messages\":[{text}]}}");
    let mut losses = Losses::new(Dialect::Chat);
    let request = read_request(Dialect::Chat, chat.as_bytes(), false, &mut losses)?;
    let written = Bytes::from(write_request(Dialect::Responses, &request, NOWHERE, &mut losses));
    let members = Members::parse(&written).map_err(|error| unreadable(&error))?;
    let Some(input) = members.get("input") else { return Ok(Vec::new()) };
    let items = members.objects(input).map_err(|error| unreadable(&error))?;
    items
        .iter()
        .enumerate()
        .map(|(place, item)| written_item(&written, item, place, name))
        .collect()
}

fn written_item(body: &Bytes, item: &Members<'_>, place: usize, name: &str) -> Result<Item> {
    let kind = item.get("type").and_then(Member::string);
    let prefix = match kind.as_deref() {
        Some("function_call") => "fc",
        Some("function_call_output") => "fco",
        _ => "msg",
    };
    let id = format!("{prefix}_{name}_{place}");
    let range = item.range();
    let own = body.slice_ref(body.get(range).unwrap_or_default());
    let members = Members::parse(&own).map_err(|error| unreadable(&error))?;
    let mut edit = ObjectEdit::new(&members);
    edit.set_string("id", &id);
    edit.set_string("status", "completed");
    let mut splice = Splice::default();
    splice.object(&edit).map_err(|error| unreadable(&error))?;
    let json =
        String::from_utf8(splice.apply(&own).to_vec()).map_err(|error| unreadable(&error))?;
    Ok(Item { id, json })
}

fn unreadable(why: &impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidBody, format!("The item cannot be read: {why}."))
}

#[cfg(test)]
mod tests {
    use super::of_message;

    #[test]
    fn a_message_is_one_item_or_several() {
        for (message, expected) in [
            (r#"{"role":"user","content":"Hi"}"#, &["msg_n_0"][..]),
            (r#"{"role":"tool","tool_call_id":"c","content":"1"}"#, &["fco_n_0"]),
            (
                r#"{"role":"assistant","content":"a","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
                &["msg_n_0", "fc_n_1"],
            ),
        ] {
            let items = of_message(message, "n").unwrap();
            let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
            assert_eq!(ids, expected);
            for item in items {
                let json: serde_json::Value = serde_json::from_str(&item.json).unwrap();
                assert_eq!((&json["id"], &json["status"]), (&item.id.into(), &"completed".into()));
            }
        }
        assert!(of_message("7", "n").is_err());
    }
}
