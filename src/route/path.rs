//! Paths of dialects: Gemini's, which hold the model and what is asked of it, and those at upstreams.

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};

use super::{openai_path, platform};
use crate::config::snapshot::platform::Platform;
use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::Dialect;
use crate::types::Operation;

/// What must not stand in a path as it is (RFC 3986, section 3.3). Slashes and colons may: Google's
/// own names hold them.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'%');

/// What must not stand in a segment as it is: Bedrock's models may be named by ARNs, with slashes and colons.
pub(super) const IN_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a Gemini path says: `/v1beta/models/{model}:{method}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gemini {
    /// The model asked for.
    pub model: String,
    /// What is asked of it.
    pub method: GeminiMethod,
    /// How a stream is wanted: as events with `?alt=sse`, else as one JSON array.
    pub framing: Framing,
}

/// What Gemini models are asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeminiMethod {
    /// `generateContent`
    Generate,
    /// `streamGenerateContent`
    Stream,
    /// `countTokens`
    CountTokens,
    /// `embedContent`
    Embed,
    /// `batchEmbedContents`
    BatchEmbed,
}

impl GeminiMethod {
    /// Every one of them.
    pub const ALL: [GeminiMethod; 5] = [
        GeminiMethod::Generate,
        GeminiMethod::Stream,
        GeminiMethod::CountTokens,
        GeminiMethod::Embed,
        GeminiMethod::BatchEmbed,
    ];

    /// Its name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            GeminiMethod::Generate => "generateContent",
            GeminiMethod::Stream => "streamGenerateContent",
            GeminiMethod::CountTokens => "countTokens",
            GeminiMethod::Embed => "embedContent",
            GeminiMethod::BatchEmbed => "batchEmbedContents",
        }
    }

    /// What it stands for.
    pub const fn operation(self) -> Operation {
        match self {
            GeminiMethod::Generate | GeminiMethod::Stream => Operation::Chat,
            GeminiMethod::CountTokens => Operation::CountTokens,
            GeminiMethod::Embed | GeminiMethod::BatchEmbed => Operation::Embedding,
        }
    }
}

impl Gemini {
    /// Reads what follows `/models/`, and the query; `None` where no method of Gemini's stands at the
    /// path's end.
    pub fn read(text: &str, query: Option<&str>) -> Option<Self> {
        let (model, name) = text.rsplit_once(':')?;
        let method = GeminiMethod::ALL.into_iter().find(|method| method.name() == name)?;
        let model = percent_decode_str(model).decode_utf8().ok()?.into_owned();
        let events = query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
        let framing = if events { Framing::Sse } else { Framing::Array };
        Some(Self { model, method, framing })
    }
}

/// The path of a request at an upstream.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamPath<'a> {
    /// Whose servers they are.
    pub platform: &'a Platform,
    /// The path of the endpoint's URL, without a trailing slash.
    pub base: &'a str,
    /// The dialect spoken there.
    pub dialect: Dialect,
    /// What is asked for.
    pub operation: Operation,
    /// The model, as the upstream names it.
    pub model: &'a str,
    /// What an upstream is asked to do whose path says it, in Gemini's words.
    pub gemini: GeminiMethod,
    /// Whether a Gemini upstream is asked for server-sent events.
    pub sse: bool,
}

impl UpstreamPath<'_> {
    /// The path with its query. The version is put in where the base does not end in one, as SDKs do:
    /// their base URLs have it for OpenAI only.
    pub fn render(&self) -> String {
        if let Some(path) = platform::path(self) {
            return path;
        }
        let Self { base, dialect, operation, model, gemini, sse, .. } = *self;
        let versions = |known: &[&str]| known.iter().any(|version| base.ends_with(version));
        match dialect {
            Dialect::Chat | Dialect::Responses => [base, self.openai_path()].concat(),
            Dialect::Anthropic => {
                let version = if versions(&["/v1"]) { "" } else { "/v1" };
                format!("{base}{version}{}", openai_path(operation, dialect))
            }
            Dialect::Gemini => {
                let known = versions(&["/v1beta", "/v1", "/v1alpha"]);
                let version = if known { "" } else { "/v1beta" };
                let kind = if model.contains('/') { "" } else { "models/" };
                let model = utf8_percent_encode(model, IN_PATH);
                let query = if sse { "?alt=sse" } else { "" };
                format!("{base}{version}/{kind}{model}:{}{query}", gemini.name())
            }
            Dialect::Bedrock => {
                let model = utf8_percent_encode(model, IN_SEGMENT);
                let suffix = if gemini == GeminiMethod::Stream { "-stream" } else { "" };
                format!("{base}/model/{model}/converse{suffix}")
            }
        }
    }

    /// The path at OpenAI. Which of its two ways an operation is asked for: Responses is one of chats alone.
    pub(super) fn openai_path(&self) -> &'static str {
        let is_chat = self.operation == Operation::Chat;
        openai_path(self.operation, if is_chat { self.dialect } else { Dialect::Chat })
    }
}

/// Whether servers of a dialect, on a platform, have an operation.
pub fn serves(operation: Operation, dialect: Dialect, platform: &Platform) -> bool {
    // There, embeddings are predictions, of another form.
    let predicts = matches!(platform, Platform::Vertex { .. }) && dialect != Dialect::Chat;
    match operation {
        Operation::Chat => true,
        Operation::Context => false,
        Operation::CountTokens => matches!(dialect, Dialect::Anthropic | Dialect::Gemini),
        Operation::Embedding => {
            !predicts && !matches!(dialect, Dialect::Anthropic | Dialect::Bedrock)
        }
        Operation::Completion
        | Operation::Moderation
        | Operation::Image
        | Operation::Speech
        | Operation::Transcription
        | Operation::Translation
        | Operation::Rerank
        | Operation::Capabilities
        | Operation::Access
        | Operation::Models => matches!(dialect, Dialect::Chat | Dialect::Responses),
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, GeminiMethod, Operation, Platform, UpstreamPath};

    #[test]
    fn each_dialect_has_its_paths_upstream() {
        let path = |base, dialect, operation, model, gemini, sse| {
            let platform = &Platform::Plain;
            UpstreamPath { platform, base, dialect, operation, model, gemini, sse }.render()
        };
        let plain = |base, dialect, operation| {
            path(base, dialect, operation, "m", GeminiMethod::Generate, false)
        };
        let chat = Operation::Chat;
        assert_eq!(plain("/v1", Dialect::Chat, chat), "/v1/chat/completions");
        assert_eq!(plain("/v1", Dialect::Responses, chat), "/v1/responses");
        assert_eq!(plain("/v1", Dialect::Responses, Operation::Embedding), "/v1/embeddings");
        assert_eq!(plain("", Dialect::Anthropic, chat), "/v1/messages");
        assert_eq!(plain("/a/v1", Dialect::Anthropic, chat), "/a/v1/messages");
        let count = plain("", Dialect::Anthropic, Operation::CountTokens);
        assert_eq!(count, "/v1/messages/count_tokens");
        let gemini = Dialect::Gemini;
        assert_eq!(plain("", gemini, chat), "/v1beta/models/m:generateContent");
        assert_eq!(plain("/v1", gemini, chat), "/v1/models/m:generateContent");
        let stream = path("/v1beta", gemini, chat, "a b/c?", GeminiMethod::Stream, true);
        assert_eq!(stream, "/v1beta/a%20b/c%3F:streamGenerateContent?alt=sse");
        let bedrock = Dialect::Bedrock;
        let model = "us.anthropic.claude-x-v1:0";
        let whole = path("", bedrock, chat, model, GeminiMethod::Generate, false);
        assert_eq!(whole, "/model/us.anthropic.claude-x-v1%3A0/converse");
        let stream = path("", bedrock, chat, "arn:aws:b/p", GeminiMethod::Stream, false);
        assert_eq!(stream, "/model/arn%3Aaws%3Ab%2Fp/converse-stream");
    }
}
