//! What the client is told of its turn, by headers.

use http::{HeaderName, HeaderValue};

use super::ask::{X_CONTEXT_ID, X_CONTEXT_VERSION};
use crate::types::{ContextId, Version};

const X_CONTEXT_MESSAGES: HeaderName = HeaderName::from_static("x-context-messages");
const X_CONTEXT_TOKENS: HeaderName = HeaderName::from_static("x-context-tokens");
const X_CONTEXT_DROPPED: HeaderName = HeaderName::from_static("x-context-dropped");
const X_CONTEXT_SUMMARIZED: HeaderName = HeaderName::from_static("x-context-summarized");

/// What the client is told of its turn.
pub struct Facts {
    /// The version that the turn makes, or reads.
    pub version: Version,
    /// Messages sent upstream.
    pub messages: usize,
    /// Their tokens, as estimated.
    pub tokens: u32,
    /// Messages that the window left out.
    pub dropped: usize,
    /// Messages that a summary stands for.
    pub summarized: usize,
}

impl Facts {
    /// The headers of a turn of this context.
    pub fn headers(
        &self,
        id: &ContextId,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let number = |number: u64| HeaderValue::from(number);
        let Facts { version, messages, tokens, dropped, summarized } = self;
        let id = HeaderValue::from_str(id.as_str()).ok();
        let numbers = [
            (X_CONTEXT_VERSION, number(version.0)),
            (X_CONTEXT_MESSAGES, number(*messages as u64)),
            (X_CONTEXT_TOKENS, number(u64::from(*tokens))),
            (X_CONTEXT_DROPPED, number(*dropped as u64)),
        ];
        let summarized = (*summarized > 0).then(|| number(*summarized as u64));
        let summarized = summarized.map(|count| (X_CONTEXT_SUMMARIZED, count));
        id.map(|id| (X_CONTEXT_ID, id)).into_iter().chain(numbers).chain(summarized)
    }
}
