//! What a request asks of the model, in no dialect: each reads its own words into this.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::refusal::Refusal;

/// All that a turn of the model depends on.
#[derive(Default)]
pub(crate) struct Ask<'a> {
    /// The most tokens that the caller wants.
    pub(crate) tokens_max: Option<usize>,
    /// The function to call.
    pub(crate) call: Option<Function<'a>>,
    /// What is said where nothing is called.
    pub(crate) format: Format,
    /// Whether the model thinks first.
    pub(crate) thinks: bool,
}

/// The form of what is said.
#[derive(Default)]
pub(crate) enum Format {
    #[default]
    Words,
    /// Any JSON object.
    Json,
    /// JSON that this schema accepts.
    Schema(Value),
}

/// A function that the model may call.
pub(crate) struct Function<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The JSON Schema of its arguments.
    pub(crate) schema: Option<Value>,
}

/// Which function may be called.
pub(crate) enum Choice<'a> {
    Any,
    None,
    Named(Cow<'a, str>),
}

impl Choice<'_> {
    /// The function that is called: the first, unless one is named.
    pub(crate) fn of<T>(
        &self,
        mut functions: impl Iterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Option<T>, Refusal> {
        match self {
            Choice::Any => Ok(functions.next()),
            Choice::None => Ok(None),
            Choice::Named(wished) => {
                let found = functions.find(|function| name(function) == wished);
                let missing =
                    || Refusal::bad(format!("The function to call is no tool: '{wished}'."));
                found.map(Some).ok_or_else(missing)
            }
        }
    }
}

/// What ids and names of tools may consist of.
pub(crate) fn is_name(text: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !text.is_empty() && text.bytes().all(may)
}

/// Whether each call has its result in the message behind it, and each result its call before.
pub(crate) fn check_results(calls: &[&str], results: &[&str]) -> Result<(), Refusal> {
    if let Some(call) = calls.iter().find(|call| !results.contains(call)) {
        let wrong = format!("The call '{call}' has no result in the next message.");
        return Err(Refusal::bad(wrong).param("messages"));
    }
    if let Some(result) = results.iter().find(|result| !calls.contains(result)) {
        let wrong = format!("The result '{result}' has no call in the message before.");
        return Err(Refusal::bad(wrong).param("messages"));
    }
    Ok(())
}

/// Reads a member of a request that was kept as it stands.
pub(crate) fn parse<'a, T: Deserialize<'a>>(
    member: &'static str,
    raw: &'a RawValue,
) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error| {
        Refusal::bad(format!("'{member}' is not what it should be: {error}.")).param(member)
    })
}

/// The model's name as it stands in a body, quotes included.
pub(crate) fn model_name(model: Option<&RawValue>) -> Result<&str, Refusal> {
    let model = model.ok_or_else(|| Refusal::missing("model"))?.get();
    if model.starts_with('"') {
        return Ok(model);
    }
    Err(Refusal::bad("'model' must be a string.").param("model"))
}

/// Settings for the mock, among what a caller may attach to a request.
#[derive(Deserialize)]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    mock: Option<Cow<'a, str>>,
}

impl<'a> Metadata<'a> {
    /// The list of settings.
    pub(crate) fn settings(&self) -> Option<Cow<'_, str>> {
        self.mock.as_deref().map(Cow::Borrowed)
    }

    /// The same, of metadata that are not kept.
    pub(crate) fn into_settings(self) -> Option<Cow<'a, str>> {
        self.mock
    }
}
