//! Messages that the configuration puts into chats.
//!
//! They are made once a request ([`Prompts::make`]), for a turn of a context before its window is
//! cut, since they take their part of it; and put into the body with the other edits.

use std::fmt::Write;

use super::{Rewriting, invalid_member, overlap, wrong_field};
use crate::config::snapshot::prompt::{Piece, Position, PromptMessage};
use crate::dialect::inserts::{Inserts, Turn};
use crate::dialect::ir::Dialect;
use crate::dialect::members::Members;
use crate::dialect::messages::{Insertions, Places};
use crate::dialect::splice::Splice;
use crate::error::{Error, Kind, Result};
use crate::template::Facts;
use crate::types::Operation;

/// Bytes of a message beside its text.
const MESSAGE_BYTES: usize = 48;

/// What the name of a tenant or a model, or a date, is seldom longer than.
const FACT_BYTES: usize = 24;

/// What a template is made of where there is no context.
pub const NO_DATA: &str = "{}";

/// The messages of one request.
#[derive(Default)]
pub struct Prompts<'a>(Vec<Said<'a>>);

/// One message; its text is not empty.
struct Said<'a> {
    role: &'a str,
    position: Position,
    text: String,
}

impl<'a> Prompts<'a> {
    /// Makes the tenant's messages and then the alias's. `data` is the context's, which templates
    /// are made of; without it templates are left out.
    ///
    /// # Errors
    /// `PromptTemplate` where a template cannot be made of this data.
    pub fn make(rewriting: &Rewriting<'a>, data: Option<&str>) -> Result<Self> {
        let (caller, model) = (rewriting.caller, rewriting.model);
        let (tenants, models) = (&caller.prompt, &model.rewrite.prompt);
        let mut said = Vec::with_capacity(tenants.len() + models.len());
        say(tenants, rewriting, data, &mut said)
            .map_err(|why| failed(&format!("the tenant `{}`", caller.tenant), &why))?;
        say(models, rewriting, data, &mut said)
            .map_err(|why| failed(&format!("the model `{}`", model.alias), &why))?;
        Ok(Self(said))
    }

    /// Their texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|said| said.text.as_str())
    }

    /// The messages where instructions stand apart from turns: what is no instruction is a turn, and
    /// instructions have no place between turns.
    fn inserts(&self) -> Inserts {
        let mut inserts = Inserts::default();
        for Said { role, position, text } in &self.0 {
            let is_instruction = matches!(*role, "system" | "developer");
            let (is_models, text) = (*role == "assistant", text.clone());
            match (is_instruction, position) {
                (true, Position::BeforeSystem) => inserts.before.push(text),
                (true, Position::AfterSystem | Position::End) => inserts.behind.push(text),
                (false, Position::End) => inserts.last.push(Turn { is_models, text }),
                (false, _) => inserts.first.push(Turn { is_models, text }),
            }
        }
        inserts
    }

    /// The messages of one place as JSON, joined by commas.
    fn written(&self, position: Position) -> Vec<u8> {
        let here = || self.0.iter().filter(|said| said.position == position);
        let usual = here().map(|said| said.text.len() + MESSAGE_BYTES);
        let mut out = Vec::with_capacity(usual.sum());
        for said in here() {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"role":""#);
            out.extend_from_slice(said.role.as_bytes());
            out.extend_from_slice(br#"","content":"#);
            // Writing a string into memory cannot fail.
            let _written = serde_json::to_writer(&mut out, &said.text);
            out.push(b'}');
        }
        out
    }
}

/// Puts the messages into the chat: those of its turn, or else those that are made now.
///
/// # Errors
/// `InvalidBody` where `messages`, or what stands for it, is no array; `PromptTemplate`.
pub(super) fn insert(
    dialect: Dialect,
    operation: Operation,
    members: &Members<'_>,
    rewriting: &Rewriting<'_>,
    splice: &mut Splice,
) -> Result<()> {
    let is_chat = operation == Operation::Chat;
    // Anthropic counts the tokens of what it would otherwise answer, in the same body; what a
    // context would say is not known then.
    let counts = operation == Operation::CountTokens && dialect == Dialect::Anthropic;
    let none = rewriting.caller.prompt.is_empty() && rewriting.model.rewrite.prompt.is_empty();
    if none || !(is_chat || counts) {
        return Ok(());
    }
    let made;
    let prompts = match &rewriting.prompts {
        Some(prompts) => prompts,
        None => {
            made = Prompts::make(rewriting, is_chat.then_some(NO_DATA))?;
            &made
        }
    };
    if dialect != Dialect::Chat {
        return prompts.inserts().write(dialect, members, splice).map_err(wrong_field);
    }
    let Some(messages) = members.get("messages") else { return Ok(()) };
    let places = Places::find(members, messages)
        .map_err(|error| invalid_member("messages", &format!("must be an array ({error})")))?;
    let texts = Insertions {
        start: &prompts.written(Position::BeforeSystem),
        after_system: &prompts.written(Position::AfterSystem),
        end: &prompts.written(Position::End),
    };
    places.insert(&texts, splice).map_err(overlap)
}

/// Adds the messages of one owner; what has no text is left out.
fn say<'a>(
    messages: &'a [PromptMessage],
    rewriting: &Rewriting<'_>,
    data: Option<&str>,
    said: &mut Vec<Said<'a>>,
) -> std::result::Result<(), String> {
    for message in messages {
        let usual = message.content.iter().map(|piece| match piece {
            Piece::Text(plain) => plain.len(),
            _ => FACT_BYTES,
        });
        let mut text = String::with_capacity(usual.sum());
        for piece in &message.content {
            fill(piece, rewriting, data, &mut text)?;
        }
        if !text.is_empty() {
            said.push(Said { role: &message.role, position: message.position, text });
        }
    }
    Ok(())
}

fn fill(
    piece: &Piece,
    rewriting: &Rewriting<'_>,
    data: Option<&str>,
    text: &mut String,
) -> std::result::Result<(), String> {
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
        Piece::Template(template) => {
            let Some(data) = data else { return Ok(()) };
            let model = rewriting.model.alias.as_str();
            let facts = Facts { data, model, tenant: rewriting.caller.tenant.as_str() };
            text.push_str(&template.render(&facts)?);
        }
    }
    Ok(())
}

fn failed(whose: &str, why: &str) -> Error {
    let text = format!(
        "A prompt of {whose} cannot be made of the context's data: {why}. A turn may bring data by \
         `context.merge` or `context.delta`."
    );
    Error::new(Kind::PromptTemplate, text).param("context")
}
