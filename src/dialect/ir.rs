//! The intermediate form: what any dialect can say, said once.
//!
//! Each dialect has one reader into this form and one writer out of it, so a new dialect
//! costs two pieces of code and not two for every other dialect. The form is a superset:
//! what a target cannot say is written down as a [`loss::Loss`] by its writer. Text is
//! borrowed from the body wherever it can be, so an image of some megabytes is not copied.
//!
//! Nothing here knows how a dialect spells things; that belongs in the dialects.

pub mod answer;
pub mod fault;
pub mod loss;
pub mod model;
pub mod schema;
pub mod settings;
pub mod stream;
pub mod wire;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use answer::Citation;
use settings::{Reasoning, Sampling, ServiceTier};
use wire::{Json, Text};

/// A way of speaking to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI Chat Completions, and all who speak like it.
    Chat,
    /// Anthropic Messages.
    Anthropic,
    /// Google Gemini `generateContent` and `streamGenerateContent`.
    Gemini,
    /// OpenAI Responses.
    Responses,
    /// AWS Bedrock's Converse and ConverseStream: spoken to providers only, never by clients.
    Bedrock,
}

impl Dialect {
    /// Every dialect that clients speak, in the order of the tables. Providers speak them too.
    pub const ALL: [Dialect; 4] =
        [Dialect::Chat, Dialect::Anthropic, Dialect::Gemini, Dialect::Responses];

    /// Every dialect that providers speak, in the order of the tables.
    pub const UPSTREAMS: [Dialect; 5] =
        [Dialect::Chat, Dialect::Anthropic, Dialect::Gemini, Dialect::Responses, Dialect::Bedrock];

    /// A short name, for paths, labels and tagged signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::Responses => "responses",
            Dialect::Bedrock => "bedrock",
        }
    }

    /// The dialect of that name.
    pub fn named(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model, as the upstream names it.
    pub model: &'a str,
    /// Whether the upstream takes the usual extensions of self-hosted engines to Chat Completions:
    /// `top_k`, `reasoning_content`, and `max_tokens` for `max_completion_tokens`.
    pub extensions: bool,
    /// Whether the upstream knows `stream_options`, with which Chat Completions are asked for usage.
    pub usage_in_streams: bool,
}

/// What an answer says where its provider says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// An id, unlike any other answer's.
    pub id: &'a str,
    /// The time, in seconds since 1970.
    pub created: u64,
    /// The model asked for.
    pub model: &'a str,
}

/// What a client asks of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The model asked for; `None` where the dialect names it in the path.
    pub model: Option<Text<'a>>,
    /// The conversation, instructions included, in order.
    pub messages: Vec<Message<'a>>,
    /// The functions that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Which of them it must or must not call.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The shape of the answer, if it is not free text.
    pub output: Option<OutputFormat<'a>>,
    /// How much the model should think before it answers.
    pub reasoning: Reasoning,
    /// How tokens are chosen, and how many.
    pub sampling: Sampling<'a>,
    /// Who the end user is, as the client names them.
    pub user: Option<Text<'a>>,
    /// The class of service asked for.
    pub service_tier: Option<ServiceTier>,
    /// Whether the answer is to come as a stream.
    pub stream: bool,
    /// Whether the client asked to see the usage at the end of a stream.
    pub include_usage: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator, in the older word.
    System,
    /// The operator, in the word of newer OpenAI models.
    Developer,
    /// The person, or the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// A name to tell speakers of one role apart.
    pub name: Option<Text<'a>>,
    /// What is said, in order. Results of tools are parts of a user's message.
    pub content: Vec<Part<'a>>,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'a> {
    /// What it is.
    pub kind: PartKind<'a>,
    /// Whether the prompt up to here is worth caching.
    pub cache: Option<CacheMark<'a>>,
}

impl<'a> Part<'a> {
    /// A part without a cache mark.
    pub const fn new(kind: PartKind<'a>) -> Self {
        Part { kind, cache: None }
    }

    /// Plain text.
    pub fn text(text: impl Into<Text<'a>>) -> Self {
        Part::new(PartKind::Text { text: text.into(), citations: Vec::new() })
    }
}

/// The kinds of pieces.
#[derive(Clone, Debug, PartialEq)]
pub enum PartKind<'a> {
    /// Text, and where it was taken from.
    Text {
        /// The text itself.
        text: Text<'a>,
        /// Its sources.
        citations: Vec<Citation<'a>>,
    },
    /// An image, a sound, a film or a document.
    Media(Media<'a>),
    /// What the model thought.
    Thinking {
        /// The thought, or a summary of it; may be empty where only the signature is known.
        text: Text<'a>,
        /// The provider's proof that the thought is its own.
        signature: Option<Signature<'a>>,
    },
    /// A thought that the provider keeps to itself, encrypted (Anthropic).
    Redacted(Text<'a>),
    /// A call of a function by the model.
    Call(Call<'a>),
    /// What a call gave.
    Result(CallResult<'a>),
    /// The model's refusal, in its words.
    Refusal(Text<'a>),
}

/// A mark up to which the prompt is worth caching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMark<'a> {
    /// How long, as Anthropic says it: `5m` or `1h`.
    pub ttl: Option<Text<'a>>,
}

/// An image, a sound, a film or a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Media<'a> {
    /// What it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: Source<'a>,
    /// The file's name.
    pub name: Option<Text<'a>>,
    /// How closely an image is looked at: `low`, `high` or `auto`.
    pub detail: Option<Text<'a>>,
}

/// What a medium is, as far as dialects treat it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// A film.
    Video,
    /// A document: PDF, plain text and the like.
    File,
}

impl MediaKind {
    /// The kind that a MIME type belongs to.
    pub fn of_mime(mime: &str) -> MediaKind {
        match mime.split('/').next() {
            Some("image") => MediaKind::Image,
            Some("audio") => MediaKind::Audio,
            Some("video") => MediaKind::Video,
            _ => MediaKind::File,
        }
    }
}

/// Where the bytes of a medium are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<'a> {
    /// In the body, as base64.
    Data {
        /// MIME type.
        mime: Text<'a>,
        /// The bytes in standard base64.
        base64: Text<'a>,
    },
    /// At an address that the provider fetches.
    Url {
        /// MIME type where the client says it.
        mime: Option<Text<'a>>,
        /// The address.
        url: Text<'a>,
    },
    /// At the provider, under an id of its own.
    Id(Text<'a>),
    /// In the body, as plain text (Anthropic's text documents).
    Plain(Text<'a>),
}

/// A provider's proof that a thought is its own. Another provider refuses it, so it knows where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Whose it is.
    pub origin: Dialect,
    /// The proof, opaque.
    pub data: Text<'a>,
}

impl<'a> Signature<'a> {
    const TAG: &'static str = "tollgate.";

    /// [`Self::TAG`] in base64, in either of its alphabets: nine bytes make twelve letters.
    const TAG_BASE64: &'static str = "dG9sbGdhdGUu";

    /// Reads a signature found in a place that belongs to `home`: a tag names another origin.
    pub fn read(home: Dialect, data: Text<'a>) -> Signature<'a> {
        let foreign = match home {
            Dialect::Gemini => decoded(&data).as_deref().and_then(Self::tagged),
            Dialect::Chat | Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => {
                Self::tagged(&data)
            }
        };
        foreign.unwrap_or(Signature { origin: home, data })
    }

    /// How it is written in a place that belongs to `home`: tagged if it is another's, so that it
    /// comes back to its own provider with the next turn. Gemini's clients take only base64.
    pub fn written(&self, home: Dialect) -> Cow<'_, str> {
        if self.origin == home {
            return Cow::Borrowed(&self.data);
        }
        let tagged = format!("{}{}.{}", Self::TAG, self.origin.name(), &*self.data);
        Cow::Owned(match home {
            Dialect::Gemini => STANDARD.encode(tagged),
            Dialect::Chat | Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => tagged,
        })
    }

    fn tagged(text: &str) -> Option<Signature<'static>> {
        let (name, data) = text.strip_prefix(Self::TAG)?.split_once('.')?;
        let origin = Dialect::named(name)?;
        Some(Signature { origin, data: Text::from(data.to_owned()) })
    }
}

/// The text of a tagged signature in base64. Clients may write it in the alphabet for addresses.
fn decoded(data: &str) -> Option<String> {
    if !data.starts_with(Signature::TAG_BASE64) {
        return None;
    }
    let standard = data.replace('-', "+").replace('_', "/");
    String::from_utf8(STANDARD.decode(standard).ok()?).ok()
}

/// A call of a function by the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Call<'a> {
    /// Ties the result to the call; empty where the dialect has none.
    pub id: Text<'a>,
    /// The function's name.
    pub name: Text<'a>,
    /// Its arguments: JSON text, normally an object. A model may write what is no JSON.
    pub arguments: Text<'a>,
    /// Gemini's proof of the thought that led here.
    pub signature: Option<Signature<'a>>,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq)]
pub struct CallResult<'a> {
    /// The call's id.
    pub id: Text<'a>,
    /// The function's name, where the dialect says it.
    pub name: Option<Text<'a>>,
    /// Text and media.
    pub content: Vec<Part<'a>>,
    /// Whether the function failed.
    pub is_error: bool,
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// What it does.
    pub description: Option<Text<'a>>,
    /// JSON Schema of its arguments.
    pub schema: Option<Json<'a>>,
    /// Whether the arguments must keep to the schema.
    pub strict: Option<bool>,
    /// Whether the prompt up to here is worth caching.
    pub cache: Option<CacheMark<'a>>,
}

/// Which functions the model must or must not call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice<'a> {
    /// As it likes.
    Auto,
    /// None at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Function(Text<'a>),
    /// Some of these only.
    Allowed {
        /// Whether at least one must be called.
        required: bool,
        /// The names.
        names: Vec<Text<'a>>,
    },
}

/// The shape of an answer that is not free text.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputFormat<'a> {
    /// Any JSON.
    Json,
    /// JSON after a schema.
    Schema {
        /// A name for the schema.
        name: Option<Text<'a>>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// The JSON Schema.
        schema: Json<'a>,
        /// Whether the answer must keep to it.
        strict: Option<bool>,
    },
}

#[cfg(test)]
mod tests;
