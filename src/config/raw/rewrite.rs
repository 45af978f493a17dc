//! What is changed in bodies, as the file says it: messages put in, members set, lowered, refused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// What is changed in a body on its way upstream.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Messages put into chats.
    #[serde(default)]
    pub prompt: Vec<PromptMessage>,
    /// Members set where the client sent none.
    #[serde(default)]
    pub defaults: BTreeMap<String, serde_json::Value>,
    /// The largest value of numeric members.
    #[serde(default)]
    pub caps: BTreeMap<String, serde_json::Number>,
    /// Members that are refused with 400.
    #[serde(default)]
    pub refuse: Vec<String>,
}

/// How requests and answers are translated where client and provider speak different dialects.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// What is done about what cannot be carried. Default drop.
    #[serde(default)]
    pub losses: Losses,
}

/// What is done about what cannot be carried.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Losses {
    /// It is left out, and named in the answer's header.
    #[default]
    Drop,
    /// The same, with a warning in the log.
    Warn,
    /// The request is refused with 400, naming it.
    Reject,
}

/// A message put into chats.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptMessage {
    /// Who it is from. Default system.
    #[serde(default)]
    pub role: Role,
    /// Where it is put. Default before_system.
    #[serde(default)]
    pub position: Position,
    /// The text. `{{tenant}}`, `{{key}}`, `{{model}}`, `{{date}}` and `{{header.NAME}}` are filled
    /// in.
    pub content: Option<String>,
    /// Instead of content: a Jinja template of the context's `data`, see docs/contexts.md. The
    /// message is left out where it makes no text.
    pub template: Option<String>,
}

/// Who a message is from.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    #[default]
    System,
    /// Instructions, as newer models call them.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// Where a message is put.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Before the first message.
    #[default]
    BeforeSystem,
    /// Behind the leading system and developer messages.
    AfterSystem,
    /// Behind the last message.
    End,
}
