//! The one error of the request path: kind, public text, source.
//!
//! The kind alone decides the HTTP status, the error type and code that a client
//! sees, and the metric label; each is one exhaustive match, so a new kind cannot
//! be half added. The public text is written for the caller and names no upstream
//! address, credential or internal detail; those belong in the source, which only
//! the log sees.

mod kind;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use self::kind::Kind;

use crate::types::Quota;

/// An error on the way of one request.
#[derive(Debug)]
pub struct Error {
    /// Decides status, type, code and label.
    pub kind: Kind,
    /// What the caller reads: what is wrong, which value, what would be right.
    pub public: Cow<'static, str>,
    /// The request member or header at fault, if one is (`error.param`).
    pub param: Option<Cow<'static, str>>,
    /// When asking again may help (`Retry-After`, whole seconds rounded up).
    pub retry_after: Option<Duration>,
    /// What is left of the limits that refused, for the headers that tell so.
    pub quota: Option<Box<Quota>>,
    /// What the operator reads; never sent.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a kind and its public text.
    pub fn new(kind: Kind, public: impl Into<Cow<'static, str>>) -> Self {
        let public = public.into();
        Self { kind, public, param: None, retry_after: None, quota: None, source: None }
    }

    /// Names the request member or header at fault.
    pub fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when asking again may help.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says what is left of the limits.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(Box::new(quota));
        self
    }

    /// Keeps the cause for the log.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.public)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The result of a step on the request path.
pub type Result<T> = std::result::Result<T, Error>;

/// How much of a caller's text an error repeats, in characters.
const EXCERPT_MAX: usize = 80;

/// A caller's text as an error may repeat it: bounded, control characters replaced.
pub fn excerpt(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(EXCERPT_MAX).map(clean).collect();
    if text.chars().nth(EXCERPT_MAX).is_some() {
        short.push('…');
    }
    short
}
