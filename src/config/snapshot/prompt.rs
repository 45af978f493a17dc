//! Messages that the gateway puts into chats.

use std::sync::Arc;

use http::HeaderName;

use crate::template::Template;

/// A message put into chats by the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptMessage {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: Box<str>,
    /// Where it goes.
    pub position: Position,
    /// The text, in parts.
    pub content: Vec<Piece>,
}

/// Where a message is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the first message.
    BeforeSystem,
    /// Behind the leading system and developer messages.
    AfterSystem,
    /// Behind the last message.
    End,
}

/// A part of a template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(Box<str>),
    /// `{{tenant}}`: the caller's tenant.
    Tenant,
    /// `{{key}}`: the public id of the caller's key.
    Key,
    /// `{{model}}`: the alias asked for.
    Model,
    /// `{{date}}`: the day in UTC, `2026-01-31`.
    Date,
    /// `{{header.x-name}}`: a request header, empty where absent.
    Header(HeaderName),
    /// A text made of the context's data; a message has nothing beside it.
    Template(Arc<Template>),
}
