//! Identifiers and units that cross module boundaries, parsed once at the edge.
//!
//! A bare `String` or `u64` says nothing about what it holds; these say it in
//! the signature. This module knows nothing of HTTP, configuration or Pingora.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id! {
    /// An organisation that owns keys; everything stored at the gateway belongs to one.
    TenantId
}
text_id! {
    /// A part of a tenant; its name is unique within the tenant alone.
    TeamId
}
text_id! {
    /// The public name of a virtual key: it appears in logs, the key itself never does.
    KeyId
}
text_id! {
    /// The model name that clients ask for.
    ModelAlias
}
text_id! {
    /// The model name that an upstream is asked for.
    ModelName
}
text_id! {
    /// A provider's name in the configuration: one way to reach a group of endpoints.
    ProviderId
}
text_id! {
    /// One model server of one provider, `provider/host:port` unless it is named in the
    /// configuration. It is stable over reloads: live state is kept under it.
    EndpointId
}

text_id! {
    /// A conversation's name, unique within its tenant.
    ContextId
}

/// The state of a context: 1 at first, one more with every change.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Version(pub u64);

impl Version {
    /// The version that follows.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tokens as an upstream counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tokens(pub u64);

/// Money in millionths of a US dollar. Whole numbers add up exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MicroUsd(pub u64);

/// Tokens of one request in disjoint classes: each token counts in exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from the upstream's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the upstream's cache.
    pub cache_write: u64,
    /// Tokens of the visible answer.
    pub output: u64,
    /// Tokens of hidden or shown reasoning.
    pub reasoning: u64,
}

impl TokenUsage {
    /// All tokens, whatever they were for.
    pub const fn total(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.generated()
    }

    /// The tokens that the model wrote.
    pub const fn generated(&self) -> u64 {
        self.output + self.reasoning
    }
}

/// The number of a configuration that was taken into use: 1 at start, one more with every reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A text that must not be shown: it has no `Debug`, `Display` or `Serialize`.
///
/// It can be compared, which tells whether a reload changed it; what a client sends is compared by its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// What a request asks for, known from its method and path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A turn of a conversation: `POST /v1/chat/completions`, `/v1/responses`, `/v1/messages`,
    /// `/v1beta/models/{model}:generateContent`
    Chat,
    /// How many tokens a conversation has: `POST /v1/messages/count_tokens`,
    /// `/v1beta/models/{model}:countTokens`
    CountTokens,
    /// `POST /v1/completions`
    Completion,
    /// `POST /v1/embeddings`, `/v1beta/models/{model}:embedContent`
    Embedding,
    /// `POST /v1/moderations`
    Moderation,
    /// `POST /v1/images/generations`
    Image,
    /// `POST /v1/audio/speech`
    Speech,
    /// `POST /v1/audio/transcriptions`
    Transcription,
    /// `POST /v1/audio/translations`
    Translation,
    /// `POST /v1/rerank`
    Rerank,
    /// Everything below `/v1/contexts`
    Context,
    /// `GET /v1/capabilities`
    Capabilities,
    /// `/v1/access-requests`
    Access,
    /// `GET /v1/models` and `GET /v1/models/{id}`
    Models,
}

impl Operation {
    /// Every operation, in order of declaration; `Models` stays the last.
    pub const ALL: [Operation; Operation::Models as usize + 1] = [
        Operation::Chat,
        Operation::CountTokens,
        Operation::Completion,
        Operation::Embedding,
        Operation::Moderation,
        Operation::Image,
        Operation::Speech,
        Operation::Transcription,
        Operation::Translation,
        Operation::Rerank,
        Operation::Context,
        Operation::Capabilities,
        Operation::Access,
        Operation::Models,
    ];

    /// The label in metrics and the access log.
    pub const fn label(self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::CountTokens => "count_tokens",
            Operation::Completion => "completion",
            Operation::Embedding => "embedding",
            Operation::Moderation => "moderation",
            Operation::Image => "image",
            Operation::Speech => "speech",
            Operation::Transcription => "transcription",
            Operation::Translation => "translation",
            Operation::Rerank => "rerank",
            Operation::Context => "context",
            Operation::Capabilities => "capabilities",
            Operation::Access => "access",
            Operation::Models => "models",
        }
    }
}

/// What is left of a limit, as the headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The limit.
    pub limit: u64,
    /// What may still be taken now.
    pub remaining: u64,
    /// The window, by its place in `config::snapshot::terms::WINDOWS`: after so long without a request all is there again.
    pub window: usize,
}

/// What is left of the tightest limits of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Of requests.
    pub requests: Option<Left>,
    /// Of tokens.
    pub tokens: Option<Left>,
}
