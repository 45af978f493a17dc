//! A model request on its way to an answer: its body, and the behaviour that the body may change.

use std::borrow::Cow;

use serde::Deserialize;

use super::behaviour::Behaviour;
use super::echo::describe;
use super::http::parse;
use super::refusal::Refusal;
use super::respond::Request;

/// A request's body that may carry settings for the mock.
pub(crate) trait Settings {
    /// The list of settings.
    fn settings(&self) -> Option<Cow<'_, str>>;
}

/// A request that is being answered.
pub(crate) struct Asked<'r> {
    pub(crate) request: &'r Request<'r>,
    /// What the answer is like.
    pub(crate) behaviour: &'r mut Behaviour,
    /// A number that no other answer has.
    pub(crate) number: u64,
}

impl<'r> Asked<'r> {
    /// Reads the body, puts its settings in force, and fails as they say.
    pub(crate) fn read<B: Deserialize<'r> + Settings>(&mut self) -> Result<B, Refusal> {
        let body: Result<B, _> = serde_json::from_slice(self.request.body);
        if let Some(list) = body.as_ref().ok().and_then(Settings::settings) {
            self.behaviour.set_all(&list).map_err(|e| Refusal::bad(e).param("metadata"))?;
        }
        self.fail()?;
        body.map_err(|error| {
            Refusal::bad(format!("The body is not the JSON that this endpoint takes: {error}."))
        })
    }

    /// What the request line asks for, with its query.
    pub(crate) fn target(&self) -> Result<&'r str, Refusal> {
        let target = parse(self.request.head_bytes, |head, _| head.path.unwrap_or_default())?;
        Ok(target.unwrap_or_default())
    }

    /// Fails where the answer is to be an error.
    pub(crate) fn fail(&self) -> Result<(), Refusal> {
        match self.behaviour.status {
            Some(status @ 400..) => {
                Err(Refusal::new(status, format!("A simulated failure: {status}.")))
            }
            _ => Ok(()),
        }
    }

    /// A description of the request, where that is to be the answer.
    pub(crate) fn echo(&self) -> Result<Option<String>, Refusal> {
        let describe = || describe(self.request.head_bytes, self.request.body);
        self.behaviour.echo.then(describe).transpose()
    }

    /// The prompt's length in tokens: simple, so that a test can foretell it.
    pub(crate) fn prompt_tokens(&self) -> usize {
        (self.request.body.len() / 4).max(1)
    }
}
