//! Vocabularies: how many tokens a text has for a family of models.
//!
//! Each is a table of 20 MB and more that is made when it is asked for the first time, within a tenth of
//! a second, and stays. So nothing on the way of a request may ask: see [`super::later`].

use std::sync::OnceLock;

use tiktoken::{CoreBpe, encoding, model_to_encoding};

use crate::config::snapshot::terms::Tokenizer;
use crate::context::tokens::estimate;

/// What tokens are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// None: an estimate by kinds of characters.
    Estimate,
    /// OpenAI's, of gpt-4o and later.
    O200k,
    /// OpenAI's, of gpt-4 and before.
    Cl100k,
    /// Of Llama 3 and 4.
    Llama3,
    /// Of Qwen 2 and 3.
    Qwen2,
    /// Of DeepSeek 3.
    DeepseekV3,
    /// Of Mistral's models.
    MistralV3,
}

impl Vocabulary {
    /// What the tokens of a model are counted by, under the name that its provider knows it by.
    pub fn of(tokenizer: Tokenizer, model: &str) -> Self {
        match tokenizer {
            Tokenizer::Auto => Self::of_model(model),
            Tokenizer::Estimate => Vocabulary::Estimate,
            Tokenizer::O200k => Vocabulary::O200k,
            Tokenizer::Cl100k => Vocabulary::Cl100k,
        }
    }

    /// Open models are named behind their owner: `meta-llama/Llama-3.1-8B`.
    fn of_model(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        match model_to_encoding(name).unwrap_or_default() {
            "o200k_base" | "o200k_harmony" => Vocabulary::O200k,
            "cl100k_base" => Vocabulary::Cl100k,
            "llama3" => Vocabulary::Llama3,
            "qwen2" => Vocabulary::Qwen2,
            "deepseek_v3" => Vocabulary::DeepseekV3,
            "mistral_v3" => Vocabulary::MistralV3,
            _ => Vocabulary::Estimate,
        }
    }

    /// Tokens of a text.
    pub fn count(self, text: &str) -> u64 {
        static O200K: OnceLock<CoreBpe> = OnceLock::new();
        static CL100K: OnceLock<CoreBpe> = OnceLock::new();
        static LLAMA3: OnceLock<CoreBpe> = OnceLock::new();
        static QWEN2: OnceLock<CoreBpe> = OnceLock::new();
        static DEEPSEEK_V3: OnceLock<CoreBpe> = OnceLock::new();
        static MISTRAL_V3: OnceLock<CoreBpe> = OnceLock::new();
        let table = match self {
            Vocabulary::Estimate => return u64::from(estimate(text)),
            Vocabulary::O200k => O200K.get_or_init(encoding::o200k_base),
            Vocabulary::Cl100k => CL100K.get_or_init(encoding::cl100k_base),
            Vocabulary::Llama3 => LLAMA3.get_or_init(encoding::llama3),
            Vocabulary::Qwen2 => QWEN2.get_or_init(encoding::qwen2),
            Vocabulary::DeepseekV3 => DEEPSEEK_V3.get_or_init(encoding::deepseek_v3),
            Vocabulary::MistralV3 => MISTRAL_V3.get_or_init(encoding::mistral_v3),
        };
        table.count(text) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Tokenizer, Vocabulary};

    #[test]
    fn models_have_the_vocabulary_of_their_family() {
        for (model, expected) in [
            ("gpt-4o-mini", Vocabulary::O200k),
            ("gpt-5", Vocabulary::O200k),
            ("openai/gpt-oss-20b", Vocabulary::O200k),
            ("gpt-4-turbo", Vocabulary::Cl100k),
            ("text-embedding-3-small", Vocabulary::Cl100k),
            ("meta-llama/Llama-3.1-8B-Instruct", Vocabulary::Llama3),
            ("claude-sonnet-4-5", Vocabulary::Estimate),
            ("gemini-2.5-pro", Vocabulary::Estimate),
            ("", Vocabulary::Estimate),
        ] {
            assert_eq!(Vocabulary::of(Tokenizer::Auto, model), expected, "{model}");
        }
        assert_eq!(Vocabulary::of(Tokenizer::Estimate, "gpt-4o"), Vocabulary::Estimate);
        assert_eq!(Vocabulary::of(Tokenizer::Cl100k, "claude"), Vocabulary::Cl100k);
    }

    #[test]
    fn texts_have_the_counts_that_are_known_of_them() {
        // Of OpenAI's cookbook on counting tokens.
        for (text, cl100k, o200k) in [
            ("tiktoken is great!", 6, 6),
            ("antidisestablishmentarianism", 6, 6),
            ("2 + 2 = 4", 7, 7),
            ("\u{304a}\u{8a95}\u{751f}\u{65e5}\u{304a}\u{3081}\u{3067}\u{3068}\u{3046}", 9, 8),
        ] {
            let counts = [Vocabulary::Cl100k, Vocabulary::O200k].map(|known| known.count(text));
            assert_eq!(counts, [cl100k, o200k], "{text}");
        }
        assert!(Vocabulary::O200k.count("<|endoftext|>") > 1, "no text ends a text");
        assert_eq!(Vocabulary::O200k.count(""), 0);
    }
}
