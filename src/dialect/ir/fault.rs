//! An error as providers tell it: what class, which words, when to ask again.
//!
//! The class alone decides how each dialect names the error, in exhaustive matches.

use std::time::Duration;

use crate::error::{Error, Kind};

/// The longest message taken from an upstream, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// What went wrong, from the point of view of the client's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request is wrong; sending it again does not help.
    InvalidRequest,
    /// No or a wrong credential.
    Authentication,
    /// A right credential that may not do this.
    Permission,
    /// The account is out of money or quota.
    Billing,
    /// No such model, path or thing.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// Too many requests; later it may work.
    RateLimit,
    /// Too much load at the provider; later it may work.
    Overloaded,
    /// Too slow.
    Timeout,
    /// Anything else on the provider's side.
    Server,
}

impl Class {
    /// The class that a status stands for (RFC 9110; 529 is Anthropic's "overloaded").
    pub const fn of_status(status: u16) -> Class {
        match status {
            401 => Class::Authentication,
            402 => Class::Billing,
            403 => Class::Permission,
            404 => Class::NotFound,
            408 | 504 => Class::Timeout,
            413 => Class::TooLarge,
            429 => Class::RateLimit,
            400..=499 => Class::InvalidRequest,
            503 | 529 => Class::Overloaded,
            _ => Class::Server,
        }
    }
}

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// Decides the dialect's name of it.
    pub class: Class,
    /// For people.
    pub message: String,
    /// For programs, more exact than the class (OpenAI's `code`).
    pub code: Option<String>,
    /// The request member at fault (OpenAI's `param`).
    pub param: Option<String>,
    /// When asking again may help.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// An error known by its status and words alone.
    pub fn new(status: u16, message: impl Into<String>) -> Fault {
        let mut message = message.into();
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        message.truncate(end);
        let class = Class::of_status(status);
        Fault { status, class, message, code: None, param: None, retry_after: None }
    }

    /// What an upstream's body says that no reader understands: its status is all that is known.
    pub fn unreadable(status: u16) -> Fault {
        Fault::new(status, format!("the model's provider answered with status {status}"))
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Fault {
        let mut fault = Fault::new(error.kind.status(), error.public.clone());
        fault.class = class_of(error.kind);
        fault.code = Some(error.kind.code().to_owned());
        fault.param = error.param.as_deref().map(str::to_owned);
        fault.retry_after = error.retry_after;
        fault
    }
}

const fn class_of(kind: Kind) -> Class {
    match kind {
        Kind::Unauthenticated
        | Kind::InvalidKey
        | Kind::KeyExpired
        | Kind::KeyDisabled
        | Kind::InvalidCertificate
        | Kind::InvalidToken
        | Kind::TokenExpired => Class::Authentication,
        Kind::NotFound | Kind::UnknownModel | Kind::ContextNotFound => Class::NotFound,
        Kind::BodyTooLarge | Kind::ContextLimit => Class::TooLarge,
        Kind::MethodNotAllowed
        | Kind::UnsupportedMediaType
        | Kind::BodyTimeout
        | Kind::InvalidBody
        | Kind::MissingModel
        | Kind::ParameterRefused
        | Kind::ContextConflict
        | Kind::ContextBusy
        | Kind::ContextTooLong
        | Kind::ContextPrecondition
        | Kind::ContextProtocol
        | Kind::DeltaRefused
        | Kind::PromptTemplate
        | Kind::UnsupportedOperation
        | Kind::Untranslatable
        | Kind::ClientGone => Class::InvalidRequest,
        Kind::ContextStore | Kind::TokenKeysUnavailable | Kind::AccessUnavailable => {
            Class::Overloaded
        }
        Kind::TokenNotPermitted | Kind::Unpriced | Kind::ModelNeedsApproval => Class::Permission,
        Kind::BudgetExceeded => Class::Billing,
        Kind::LimitExceeded | Kind::BeyondLimit | Kind::UpstreamRateLimited => Class::RateLimit,
        Kind::UpstreamTimeout => Class::Timeout,
        Kind::UpstreamUnreachable
        | Kind::UpstreamBroken
        | Kind::UpstreamCredential
        | Kind::CredentialUnavailable
        | Kind::QuotaUnavailable
        | Kind::UpstreamStatus
        | Kind::Internal => Class::Server,
    }
}
