//! What is changed in bodies: messages put in, members set, lowered and refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Number;

use super::template;
use crate::config::raw::rewrite as raw;
use crate::config::snapshot::Rewrite;
use crate::config::snapshot::prompt::{Piece, Position, PromptMessage};
use crate::config::spot::Spot;

/// Members that decide what a request is: the gateway reads them, and `rewrite` leaves them alone.
const OF_THE_CLIENT: [&str; 3] = ["model", "messages", "stream"];

/// Reads what a model changes.
pub(super) fn rewrite(raw: &raw::Rewrite, spot: &Spot<'_>) -> Rewrite {
    let defaults = spot.key("defaults");
    let caps = spot.key("caps");
    for member in raw.defaults.keys() {
        own_member(member, &defaults.name_of(member));
    }
    for (member, cap) in &raw.caps {
        own_member(member, &caps.name_of(member));
        default_within_cap(member, cap, &raw.defaults, &caps.key(member));
    }
    for (index, member) in raw.refuse.iter().enumerate() {
        own_member(member, &spot.key("refuse").item(index));
    }
    Rewrite {
        prompt: prompt(&raw.prompt, &spot.key("prompt")),
        defaults: raw
            .defaults
            .iter()
            .map(|(member, value)| (member.as_str().into(), value.to_string().into()))
            .collect(),
        caps: raw.caps.iter().map(|(member, cap)| (member.as_str().into(), cap.clone())).collect(),
        refuse: raw.refuse.iter().map(|member| member.as_str().into()).collect(),
    }
}

/// Reads messages that are put into chats.
pub(super) fn prompt(raw: &[raw::PromptMessage], spot: &Spot<'_>) -> Vec<PromptMessage> {
    raw.iter()
        .enumerate()
        .map(|(index, message)| PromptMessage {
            role: role(message.role).into(),
            position: position(message.position),
            content: content(message, &spot.item(index)),
        })
        .collect()
}

fn content(raw: &raw::PromptMessage, spot: &Spot<'_>) -> Vec<Piece> {
    match (&raw.content, &raw.template) {
        (Some(text), None) => pieces(text, &spot.key("content")),
        (None, Some(source)) => {
            let compiled = template::compile(source, &spot.key("template"));
            compiled.map(|template| Piece::Template(Arc::new(template))).into_iter().collect()
        }
        _ => {
            spot.refuse("must have either `content` or `template`");
            Vec::new()
        }
    }
}

fn pieces(text: &str, spot: &Spot<'_>) -> Vec<Piece> {
    if text.trim().is_empty() {
        spot.refuse("must not be empty");
    }
    template::parse(text).unwrap_or_else(|why| {
        spot.refuse(why);
        Vec::new()
    })
}

fn own_member(member: &str, spot: &Spot<'_>) {
    if member.is_empty() {
        spot.refuse("the name of a member must not be empty");
    } else if OF_THE_CLIENT.contains(&member) {
        spot.refuse(format!("`{member}` cannot be changed here: it decides what the request is"));
    }
}

fn default_within_cap(
    member: &str,
    cap: &Number,
    defaults: &BTreeMap<String, serde_json::Value>,
    spot: &Spot<'_>,
) {
    let default = defaults.get(member).and_then(serde_json::Value::as_f64);
    if let (Some(default), Some(most)) = (default, cap.as_f64())
        && default > most
    {
        spot.refuse(format!("is {cap}, which is less than the default of {default}"));
    }
}

fn role(role: raw::Role) -> &'static str {
    match role {
        raw::Role::System => "system",
        raw::Role::Developer => "developer",
        raw::Role::User => "user",
        raw::Role::Assistant => "assistant",
    }
}

fn position(position: raw::Position) -> Position {
    match position {
        raw::Position::BeforeSystem => Position::BeforeSystem,
        raw::Position::AfterSystem => Position::AfterSystem,
        raw::Position::End => Position::End,
    }
}
