//! The little that must be known of a model by its name, because its dialect changed with it.
//!
//! An unknown name counts as a new model. Nothing else may depend on names.

/// Whether an Anthropic model thinks by a budget of tokens (`thinking: enabled`): all before Opus 4.6.
/// Later ones think by themselves (`thinking: adaptive`) and take an effort.
pub fn anthropic_thinks_by_budget(model: &str) -> bool {
    BEFORE_OPUS_4_6.iter().any(|part| model.contains(part))
}

/// Whether an Anthropic model takes `temperature`, `top_p` and `top_k`: those after Opus 4.6 refuse them.
pub fn anthropic_takes_sampling(model: &str) -> bool {
    model.contains("-4-6") || anthropic_thinks_by_budget(model)
}

const BEFORE_OPUS_4_6: [&str; 9] = [
    "claude-2",
    "claude-instant",
    "claude-3",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2025",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "-4-5",
];

/// Whether a Gemini model takes a level of thinking: those before 3 take a number of tokens.
pub fn gemini_thinks_by_level(model: &str) -> bool {
    !["gemini-1", "gemini-2", "gemma"].iter().any(|part| model.contains(part))
}

/// Whose model Bedrock is asked for: each maker takes some settings under names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Anthropic's Claude.
    Claude,
    /// Amazon's Nova: from the second generation on it thinks.
    Nova {
        /// Whether it can be told to think.
        thinks: bool,
    },
    /// OpenAI's open models.
    GptOss,
    /// Any other, or one whose name does not tell (the ARN of an inference profile of one's own).
    Other,
}

/// The maker of a model of Bedrock, by the model's id.
pub fn bedrock_maker(model: &str) -> Maker {
    if model.contains("claude") {
        Maker::Claude
    } else if model.contains("amazon.nova") {
        Maker::Nova { thinks: model.contains("nova-2") }
    } else if model.contains("openai.gpt-oss") {
        Maker::GptOss
    } else {
        Maker::Other
    }
}
