//! Messages that the configuration puts into chats.

use std::fmt::Write;

use super::{Rewriting, invalid_member, overlap, wrong_field};
use crate::config::snapshot::prompt::{Piece, Position, PromptMessage};
use crate::dialect::inserts::{Inserts, Turn};
use crate::dialect::ir::Dialect;
use crate::dialect::members::Members;
use crate::dialect::messages::{Insertions, Places};
use crate::dialect::splice::Splice;
use crate::error::Result;
use crate::types::Operation;

/// Puts the tenant's messages and then the alias's into the chat.
///
/// # Errors
/// `InvalidBody` where `messages`, or what stands for it, is no array.
pub(super) fn insert(
    dialect: Dialect,
    operation: Operation,
    members: &Members<'_>,
    rewriting: &Rewriting<'_>,
    splice: &mut Splice,
) -> Result<()> {
    // Anthropic counts the tokens of what it would otherwise answer, in the same body.
    let counts = operation == Operation::CountTokens && dialect == Dialect::Anthropic;
    let is_chat = operation == Operation::Chat || counts;
    let none = rewriting.caller.prompt.is_empty() && rewriting.model.rewrite.prompt.is_empty();
    if none || !is_chat {
        return Ok(());
    }
    if dialect != Dialect::Chat {
        return inserts(rewriting).write(dialect, members, splice).map_err(wrong_field);
    }
    let Some(messages) = members.get("messages") else { return Ok(()) };
    let places = Places::find(members, messages)
        .map_err(|error| invalid_member("messages", &format!("must be an array ({error})")))?;
    let texts = Insertions {
        start: &rendered(rewriting, Position::BeforeSystem),
        after_system: &rendered(rewriting, Position::AfterSystem),
        end: &rendered(rewriting, Position::End),
    };
    places.insert(&texts, splice).map_err(overlap)
}

/// The messages where instructions stand apart from turns: what is no instruction is a turn, and
/// instructions have no place between turns.
fn inserts(rewriting: &Rewriting<'_>) -> Inserts {
    let mut inserts = Inserts::default();
    for message in rewriting.caller.prompt.iter().chain(&rewriting.model.rewrite.prompt) {
        let text = filled(message, rewriting);
        let is_instruction = matches!(&*message.role, "system" | "developer");
        let is_models = &*message.role == "assistant";
        match (is_instruction, message.position) {
            (true, Position::BeforeSystem) => inserts.before.push(text),
            (true, Position::AfterSystem | Position::End) => inserts.behind.push(text),
            (false, Position::End) => inserts.last.push(Turn { is_models, text }),
            (false, _) => inserts.first.push(Turn { is_models, text }),
        }
    }
    inserts
}

/// The messages of one place as JSON, joined by commas.
fn rendered(rewriting: &Rewriting<'_>, position: Position) -> Vec<u8> {
    let mut out = Vec::new();
    let all = rewriting.caller.prompt.iter().chain(&rewriting.model.rewrite.prompt);
    for message in all.filter(|message| message.position == position) {
        if !out.is_empty() {
            out.push(b',');
        }
        render(message, rewriting, &mut out);
    }
    out
}

fn render(message: &PromptMessage, rewriting: &Rewriting<'_>, out: &mut Vec<u8>) {
    let text = filled(message, rewriting);
    out.extend_from_slice(br#"{"role":""#);
    out.extend_from_slice(message.role.as_bytes());
    out.extend_from_slice(br#"","content":"#);
    // Writing a string into memory cannot fail.
    let _written = serde_json::to_writer(&mut *out, &text);
    out.push(b'}');
}

fn filled(message: &PromptMessage, rewriting: &Rewriting<'_>) -> String {
    let mut text = String::new();
    for piece in &message.content {
        fill(piece, rewriting, &mut text);
    }
    text
}

fn fill(piece: &Piece, rewriting: &Rewriting<'_>, text: &mut String) {
    match piece {
        Piece::Text(plain) => text.push_str(plain),
        Piece::Tenant => text.push_str(rewriting.caller.tenant.as_str()),
        Piece::Key => text.push_str(rewriting.caller.id.as_str()),
        Piece::Model => text.push_str(rewriting.model.alias.as_str()),
        Piece::Date => {
            let _written = write!(text, "{}", rewriting.today);
        }
        Piece::Header(name) => {
            let value = rewriting.headers.get(name).and_then(|value| value.to_str().ok());
            text.push_str(value.unwrap_or_default());
        }
    }
}
