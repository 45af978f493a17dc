//! A whole answer of a model.

use super::Part;
use super::wire::Text;
use crate::types::TokenUsage;

/// What a model answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer<'a> {
    /// The provider's id of the answer.
    pub id: Option<Text<'a>>,
    /// The model that answered, as the provider names it.
    pub model: Option<Text<'a>>,
    /// When, in seconds since 1970.
    pub created: Option<u64>,
    /// One for each answer asked for.
    pub choices: Vec<Choice<'a>>,
    /// Tokens used, where the provider says it.
    pub usage: Option<TokenUsage>,
}

/// One of the answers asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice<'a> {
    /// Its number, from 0.
    pub index: u32,
    /// What is said, in order.
    pub content: Vec<Part<'a>>,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// The stop sequence that ended it.
    pub stop_sequence: Option<Text<'a>>,
    /// The probabilities of its tokens, where asked for.
    pub logprobs: Vec<TokenLogprob<'a>>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    Stop,
    /// A stop sequence came.
    StopSequence,
    /// The limit of tokens was reached.
    Length,
    /// The model waits for results of tools.
    ToolCalls,
    /// A filter cut it.
    ContentFilter,
    /// The model's provider refused.
    Refusal,
    /// The provider paused a long turn; the client sends it back to go on (Anthropic).
    Pause,
    /// For a reason that other dialects have no word for.
    Other,
}

/// Where a text was taken from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Citation<'a> {
    /// The page's address.
    pub url: Option<Text<'a>>,
    /// The page's or document's title.
    pub title: Option<Text<'a>>,
    /// The words cited.
    pub quote: Option<Text<'a>>,
    /// The part of the answer that rests on it, in characters: from, to.
    pub span: Option<(u64, u64)>,
}

/// A token, its probability, and what else might have stood there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenLogprob<'a> {
    /// The token's text.
    pub token: Text<'a>,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// Alternatives, the likeliest first.
    pub top: Vec<(Text<'a>, f64)>,
}
