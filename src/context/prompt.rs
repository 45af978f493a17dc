//! The prompt of a turn: which messages go upstream, and their text.

use super::message::Message;
use super::window::{self, Limit, View};
use crate::config::snapshot::contexts::WindowStrategy;
use crate::error::{Error, Kind, Result};

/// How a prompt is made to fit.
pub struct Fitting {
    /// The most tokens that it may have, where there is a limit.
    pub tokens_max: Option<u32>,
    /// What is done where it has more.
    pub strategy: WindowStrategy,
    /// What a cut leaves, in percent.
    pub keep_percent: u32,
}

impl Fitting {
    /// Which messages go.
    ///
    /// # Errors
    /// `ContextTooLong`.
    pub fn fit(&self, messages: &[&Message]) -> Result<View> {
        let whole = window::whole(messages);
        let Some(tokens_max) = self.tokens_max.filter(|max| whole.tokens > *max) else {
            return Ok(whole);
        };
        let limit = Limit { tokens_max, keep_percent: self.keep_percent };
        let (view, advice) = match self.strategy {
            WindowStrategy::None => (Err(whole.tokens), "Shorten it, or let old turns stay behind"),
            WindowStrategy::OldestTurns => (
                window::oldest_turns(messages, limit).map_err(|too_long| too_long.tokens),
                "Its last turn alone, with what must stay, is too long",
            ),
        };
        view.map_err(|tokens| {
            let text = format!(
                "The conversation has about {tokens} tokens, and {tokens_max} fit. {advice}."
            );
            Error::new(Kind::ContextTooLong, text).param("messages")
        })
    }
}

/// The messages that go, as a JSON array.
pub fn joined(messages: &[&Message], view: &View) -> String {
    let kept = || messages.iter().zip(&view.kept).filter(|(_, kept)| **kept).map(|(m, _)| &m.text);
    let size: usize = kept().map(|text| text.len() + 1).sum();
    let mut out = String::with_capacity(size + 2);
    out.push('[');
    for (index, text) in kept().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(text);
    }
    out.push(']');
    out
}
