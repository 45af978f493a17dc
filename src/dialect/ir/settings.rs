//! How a model is to answer: how much it thinks, how it chooses tokens, in what class of service.

use super::wire::Text;

/// How much the model should think before it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// Switched on or off; `None` leaves it to the model.
    pub enabled: Option<bool>,
    /// As a degree.
    pub effort: Option<Effort>,
    /// As a number of tokens.
    pub budget: Option<u64>,
}

/// Degrees of thinking, of all dialects together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// Very much.
    XHigh,
    /// As much as there is.
    Max,
}

impl Effort {
    /// In tokens, for models that want a number (the steps of Google's own OpenAI endpoint).
    pub const fn budget(self) -> u64 {
        match self {
            Effort::Minimal | Effort::Low => 1024,
            Effort::Medium => 8192,
            Effort::High | Effort::XHigh | Effort::Max => 24_576,
        }
    }

    /// The degree that a number of tokens comes nearest to.
    pub const fn of_budget(tokens: u64) -> Effort {
        match tokens {
            0..=2048 => Effort::Low,
            2049..=12_288 => Effort::Medium,
            _ => Effort::High,
        }
    }
}

/// How tokens are chosen, and how many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling<'a> {
    /// 0 to 2; Anthropic's ends at 1.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// The number of tokens looked at in each step.
    pub top_k: Option<u64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// For an answer that can be had again.
    pub seed: Option<i64>,
    /// The most tokens of an answer.
    pub max_tokens: Option<u64>,
    /// Texts at which the answer ends.
    pub stop: Vec<Text<'a>>,
    /// The number of answers.
    pub n: Option<u64>,
    /// Whether the tokens' probabilities are given, and how many alternatives.
    pub logprobs: Option<u64>,
}

/// Classes of service that more than one provider knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTier {
    /// As the account is set up.
    Auto,
    /// The normal one.
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer.
    Priority,
}
