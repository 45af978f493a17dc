//! What a translation cannot carry: the table of it as data, and the list that one translation keeps.
//!
//! The table has one row a feature and one column a dialect, so the losses of a pair are read off
//! two columns. Writers report losses by feature; the client reads the name that its own dialect
//! has for it. A test checks that the writers and the table agree.

use std::borrow::Cow;

use Cell::{Hears, Nothing, Partly, Says};
use Side::{Answer, Request};

use super::Dialect;

/// The most losses that one translation lists.
pub const LOSSES_MAX: usize = 32;

/// The longest name of an unknown member that is listed, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Something that could not be carried as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The member, in the words of the dialect that it was read from; `[]` stands for any element.
    pub field: Cow<'static, str>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of something that could not be carried as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is gone.
    Dropped,
    /// It was put where the target has a place for it.
    Moved,
    /// The nearest thing that the target has stands for it.
    Changed,
}

/// What is done about losses, beside saying them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing.
    #[default]
    Drop,
    /// The operator is warned.
    Warn,
    /// What was not merely moved is refused before it goes anywhere.
    Reject,
}

/// The losses of one translation.
#[derive(Debug)]
pub struct Losses {
    from: Dialect,
    list: Vec<Loss>,
}

impl Losses {
    /// No losses yet, of something said in `from`.
    pub const fn new(from: Dialect) -> Self {
        Losses { from, list: Vec::new() }
    }

    /// No losses yet, of something said where `other` was said.
    pub const fn like(other: &Losses) -> Self {
        Losses::new(other.from)
    }

    /// Adds the losses of another list.
    pub fn append(&mut self, other: Losses) {
        for loss in other.list {
            self.push(loss.field, loss.fate);
        }
    }

    /// A feature that the target has no word for.
    pub fn feature(&mut self, feature: Feature) {
        self.feature_with(feature, Fate::Dropped);
    }

    /// A feature that the target says otherwise.
    pub fn feature_with(&mut self, feature: Feature, fate: Fate) {
        let name = feature.name_in(self.from).unwrap_or(feature.label());
        self.push(Cow::Borrowed(name), fate);
    }

    /// A member that no other dialect knows.
    pub fn unknown(&mut self, prefix: &'static str, name: &str) {
        let name = name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
        self.push(Cow::Owned(format!("{prefix}{name}")), Fate::Dropped);
    }

    /// What was listed, in the order of reading.
    pub fn into_list(self) -> Vec<Loss> {
        self.list
    }

    fn push(&mut self, field: Cow<'static, str>, fate: Fate) {
        let known = self.list.iter().any(|loss| loss.field == field);
        if !known && self.list.len() < LOSSES_MAX {
            self.list.push(Loss { field, fate });
        }
    }
}

/// A thing that at least one dialect can say and at least one cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each is called in each dialect")]
pub enum Feature {
    TopK,
    Temperature,
    TopP,
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    SeveralAnswers,
    StopSequences,
    Logprobs,
    ParallelToolCalls,
    StrictTools,
    AllowedTools,
    ForbiddenCalls,
    FreeJson,
    SchemaDescription,
    EffortWithoutThinking,
    User,
    ServiceTier,
    CacheMarks,
    ThinkingHistory,
    ThinkingBesideCalls,
    Reasoning,
    RedactedThinking,
    InstructionsLater,
    SpeakerName,
    ImageDetail,
    ImageByUrl,
    Audio,
    Video,
    FileByUrl,
    ProviderFiles,
    FailedResult,
    MediaInResults,
    BrokenArguments,
    Citations,
    AnswerLogprobs,
    AnswerChoices,
    AnswerCitations,
    AnswerDocumentCitations,
    AnswerMedia,
    AnswerRedactedThinking,
    TextSignatures,
}

/// Whether a row is about what clients ask or what models answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Requests: from the client's dialect to the upstream's.
    Request,
    /// Answers: from the upstream's dialect to the client's.
    Answer,
}

/// What a dialect has for a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It says it, under this name.
    Says(&'static str),
    /// Its clients may say it under this name, by a usage that its servers do not share.
    Hears(&'static str),
    /// It carries some of it, or carries it in another way.
    Partly(&'static str),
    /// It has nothing of the kind.
    Nothing,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The feature.
    pub feature: Feature,
    /// What the row is about.
    pub side: Side,
    /// In the order of [`Dialect::UPSTREAMS`].
    pub cells: [Cell; 5],
}

const fn row(feature: Feature, side: Side, cells: [Cell; 5]) -> Row {
    Row { feature, side, cells }
}

/// Every feature that some pair loses.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    //                                              chat                                         anthropic                                      gemini, responses, bedrock
    row(Feature::TopK, Request,                    [Hears("top_k"),                              Partly("top_k"),                            Says("generationConfig.topK"), Nothing, Partly("additionalModelRequestFields.top_k")]),
    row(Feature::Temperature, Request,             [Says("temperature"),                         Partly("temperature"),                      Says("generationConfig.temperature"), Says("temperature"), Partly("inferenceConfig.temperature")]),
    row(Feature::TopP, Request,                    [Says("top_p"),                               Partly("top_p"),                            Says("generationConfig.topP"), Says("top_p"), Partly("inferenceConfig.topP")]),
    row(Feature::FrequencyPenalty, Request,        [Says("frequency_penalty"),                   Nothing,                                       Says("generationConfig.frequencyPenalty"), Nothing, Nothing]),
    row(Feature::PresencePenalty, Request,         [Says("presence_penalty"),                    Nothing,                                       Says("generationConfig.presencePenalty"), Nothing, Nothing]),
    row(Feature::Seed, Request,                    [Says("seed"),                                Nothing,                                       Says("generationConfig.seed"), Nothing, Nothing]),
    row(Feature::SeveralAnswers, Request,          [Says("n"),                                   Nothing,                                       Says("generationConfig.candidateCount"), Nothing, Nothing]),
    row(Feature::StopSequences, Request,           [Says("stop"),                                Says("stop_sequences"),                        Says("generationConfig.stopSequences"), Nothing, Says("inferenceConfig.stopSequences")]),
    row(Feature::Logprobs, Request,                [Says("logprobs"),                            Nothing,                                       Says("generationConfig.responseLogprobs"), Says("top_logprobs"), Nothing]),
    row(Feature::ParallelToolCalls, Request,       [Says("parallel_tool_calls"),                 Says("tool_choice.disable_parallel_tool_use"), Nothing, Says("parallel_tool_calls"), Nothing]),
    row(Feature::StrictTools, Request,             [Says("tools[].function.strict"),             Says("tools[].strict"),                        Nothing, Says("tools[].strict"), Says("toolConfig.tools[].toolSpec.strict")]),
    row(Feature::AllowedTools, Request,            [Says("tool_choice.allowed_tools"),           Nothing,                                       Says("toolConfig.functionCallingConfig.allowedFunctionNames"), Says("tool_choice.allowed_tools"), Nothing]),
    row(Feature::ForbiddenCalls, Request,          [Says("tool_choice (none)"),                  Says("tool_choice.none"),                      Says("toolConfig.functionCallingConfig.mode (none)"), Says("tool_choice (none)"), Partly("toolConfig")]),
    row(Feature::FreeJson, Request,                [Says("response_format"),                     Nothing,                                       Says("generationConfig.responseMimeType"), Says("text.format"), Nothing]),
    row(Feature::SchemaDescription, Request,       [Says("response_format.json_schema.description"), Nothing,                                   Nothing, Says("text.format.description"), Says("outputConfig.textFormat.structure.jsonSchema.description")]),
    row(Feature::EffortWithoutThinking, Request,   [Nothing,                                     Says("output_config.effort (without thinking)"), Nothing, Nothing, Nothing]),
    row(Feature::User, Request,                    [Says("user"),                                Says("metadata.user_id"),                      Nothing, Says("user"), Says("requestMetadata")]),
    row(Feature::ServiceTier, Request,             [Says("service_tier"),                        Partly("service_tier"),                     Says("serviceTier"), Says("service_tier"), Says("serviceTier")]),
    row(Feature::CacheMarks, Request,              [Hears("cache_control"),                      Says("cache_control"),                         Nothing, Nothing, Partly("messages[].content[].cachePoint")]),
    row(Feature::ThinkingHistory, Request,         [Hears("messages[].reasoning_content"),       Partly("messages[].content[].thinking"),    Partly("contents[].parts[].thought"), Partly("input[].reasoning"), Partly("messages[].content[].reasoningContent")]),
    row(Feature::ThinkingBesideCalls, Request,     [Says("reasoning_effort (beside calls)"),     Partly("thinking (beside calls)"),          Says("generationConfig.thinkingConfig (beside calls)"), Says("reasoning.effort (beside calls)"), Partly("additionalModelRequestFields.thinking (beside calls)")]),
    row(Feature::Reasoning, Request,               [Says("reasoning_effort"),                    Says("thinking"),                              Says("generationConfig.thinkingConfig"), Says("reasoning.effort"), Partly("additionalModelRequestFields (thinking)")]),
    row(Feature::RedactedThinking, Request,        [Hears("messages[].thinking_blocks[].data"),  Says("messages[].content[].redacted_thinking"), Nothing, Nothing, Partly("messages[].content[].reasoningContent.redactedContent")]),
    row(Feature::InstructionsLater, Request,       [Says("messages[] (system after the first turn)"), Partly("messages[] (system after the first turn)"), Nothing, Says("input[] (system after the first turn)"), Partly("system (after the first turn)")]),
    row(Feature::SpeakerName, Request,             [Says("messages[].name"),                     Nothing,                                       Nothing, Nothing, Nothing]),
    row(Feature::ImageDetail, Request,             [Says("messages[].content[].image_url.detail"), Nothing,                                     Nothing, Says("input[].content[].detail"), Nothing]),
    row(Feature::ImageByUrl, Request,              [Says("messages[].content[].image_url.url"),  Says("messages[].content[].source.url (image)"), Says("contents[].parts[].fileData (image)"), Says("input[].content[].image_url"), Nothing]),
    row(Feature::Audio, Request,                   [Says("messages[].content[].input_audio"),    Nothing,                                       Says("contents[].parts[].inlineData (audio)"), Says("input[].content[].input_audio"), Says("messages[].content[].audio")]),
    row(Feature::Video, Request,                   [Nothing,                                     Nothing,                                       Says("contents[].parts[] (video)"), Nothing, Says("messages[].content[].video")]),
    row(Feature::FileByUrl, Request,               [Nothing,                                     Says("messages[].content[].source.url"),       Says("contents[].parts[].fileData"), Says("input[].content[].file_url"), Nothing]),
    row(Feature::ProviderFiles, Request,           [Partly("messages[].content[].file.file_id"), Partly("messages[].content[].source.file_id"), Partly("contents[].parts[].fileData (at the provider)"), Partly("input[].content[].file_id"), Nothing]),
    row(Feature::FailedResult, Request,            [Nothing,                                     Says("messages[].content[].is_error"),         Says("contents[].parts[].functionResponse.response.error"), Nothing, Says("messages[].content[].toolResult.status")]),
    row(Feature::MediaInResults, Request,          [Partly("messages[].content[] (media in a tool's result)"), Says("messages[].content[].content[] (media in a tool_result)"), Says("contents[].parts[].functionResponse.parts"), Says("input[].output[] (media)"), Says("messages[].content[].toolResult.content[] (media)")]),
    row(Feature::BrokenArguments, Request,         [Says("messages[].tool_calls[].function.arguments"), Nothing,                                Nothing, Says("input[].arguments"), Nothing]),
    row(Feature::Citations, Request,               [Hears("messages[].annotations"),             Partly("messages[].content[].citations"),   Nothing, Partly("input[].content[].annotations"), Nothing]),
    row(Feature::AnswerLogprobs, Answer,           [Says("choices[].logprobs"),                  Nothing,                                       Says("candidates[].logprobsResult"), Partly("output[].content[].logprobs"), Nothing]),
    row(Feature::AnswerChoices, Answer,            [Says("choices[] (after the first)"),         Nothing,                                       Says("candidates[] (after the first)"), Nothing, Nothing]),
    row(Feature::AnswerCitations, Answer,          [Says("choices[].message.annotations"),       Says("content[].citations"),                   Says("candidates[].citationMetadata"), Says("output[].content[].annotations"), Says("output.message.content[].citationsContent")]),
    row(Feature::AnswerDocumentCitations, Answer,  [Nothing,                                     Says("content[].citations (of documents)"),    Nothing, Nothing, Says("output.message.content[].citationsContent (of documents)")]),
    row(Feature::AnswerMedia, Answer,              [Partly("choices[].message.audio"),        Nothing,                                       Partly("candidates[].content.parts[].inlineData"), Nothing, Nothing]),
    row(Feature::AnswerRedactedThinking, Answer,   [Says("choices[].message.thinking_blocks[].data"), Says("content[].redacted_thinking"),      Nothing, Nothing, Says("output.message.content[].reasoningContent.redactedContent")]),
    row(Feature::TextSignatures, Answer,           [Nothing,                                     Nothing,                                       Partly("candidates[].content.parts[].thoughtSignature (of text)"), Nothing, Nothing]),
];

impl Feature {
    /// What the dialect calls it, if it has a word for it.
    pub fn name_in(self, dialect: Dialect) -> Option<&'static str> {
        match self.cell(dialect) {
            Says(name) | Hears(name) | Partly(name) => Some(name),
            Nothing => None,
        }
    }

    fn cell(self, dialect: Dialect) -> Cell {
        let row = TABLE.iter().find(|row| row.feature == self);
        row.map_or(Nothing, |row| row.cell(dialect))
    }

    /// Its name where the dialect has none.
    const fn label(self) -> &'static str {
        match self {
            Feature::FailedResult => "failed tool result",
            _ => "a part of the message",
        }
    }
}

impl Row {
    /// What the dialect has for the feature.
    pub fn cell(&self, dialect: Dialect) -> Cell {
        let at = Dialect::UPSTREAMS.iter().position(|known| *known == dialect);
        at.and_then(|at| self.cells.get(at)).copied().unwrap_or(Nothing)
    }
}

/// The features that are lost on the way `from` → `to`, under their names in `from`.
///
/// For [`Side::Request`] `from` is the client's dialect, for [`Side::Answer`] the upstream's.
pub fn of_pair(
    from: Dialect,
    to: Dialect,
    side: Side,
) -> impl Iterator<Item = (Feature, &'static str)> {
    TABLE.iter().filter(move |row| row.side == side && from != to).filter_map(move |row| {
        let name = row.feature.name_in(from)?;
        (!matches!(row.cell(to), Says(_))).then_some((row.feature, name))
    })
}
