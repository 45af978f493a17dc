//! The prompt of a turn: which messages go upstream, and their text.
//!
//! It is what is kept and what is new; where that is too long, a summary stands for the oldest turns, or they stay behind.

use std::sync::Arc;

use super::Contexts;
use super::message::Message;
use super::store::Key;
use super::summary::{Fold, Wanted, digest};
use super::window::{self, Limit, View};
use crate::config::snapshot::contexts::{Summary, WindowStrategy};
use crate::dialect::turns::Frame;
use crate::error::{Error, Kind, Result};

/// What a prompt is made of.
pub struct Material<'a> {
    /// The conversation, with what is new at its end.
    pub messages: Vec<&'a Message>,
    /// How many of its last messages the request brought.
    pub own: usize,
    /// What stands around them.
    pub frame: &'a Frame,
}

/// How a prompt is made to fit.
pub struct Fitting {
    /// The most tokens that it may have, where there is a limit.
    pub tokens_max: Option<u32>,
    /// What is done where it has more.
    pub strategy: WindowStrategy,
    /// What a cut leaves, in percent.
    pub keep_percent: u32,
    /// Who summarises.
    pub summary: Option<Arc<Summary>>,
}

/// A prompt.
pub struct Prompt {
    /// The messages to send, in their frame.
    pub text: String,
    /// How many there are.
    pub messages: usize,
    /// Their tokens, as estimated.
    pub tokens: u32,
    /// Messages of the conversation that are not among them.
    pub dropped: usize,
    /// The messages that a summary stands for.
    pub summarized: usize,
    /// The summary that the next turns need.
    pub wanted: Option<Wanted>,
}

/// The messages that could go.
struct List<'a> {
    messages: Vec<&'a Message>,
    /// Where in it the messages behind the summary begin, and where they begin in the conversation.
    rest: (usize, usize),
}

impl Contexts {
    /// Makes the prompt of a turn.
    ///
    /// # Errors
    /// `ContextTooLong`, `ContextStore`, `InvalidBody` for a strategy that is not configured.
    pub async fn prompt(
        &self,
        key: &Key,
        material: &Material<'_>,
        fitting: &Fitting,
    ) -> Result<Prompt> {
        let Material { messages, own, frame } = material;
        let summary = fitting.summary()?;
        let is_near = |messages: &[&Message]| {
            let limit = summary.map(|(summary, max)| percent(max, summary.at_percent));
            limit.is_some_and(|limit| u64::from(window::whole(messages).tokens) > limit)
        };
        let fold = match is_near(messages) {
            true => self.fold(key, messages).await?,
            false => None,
        };
        let list = list(fold.as_ref(), messages);
        let wanted = match summary.filter(|_| is_near(&list.messages)) {
            Some((summary, max)) => list.wanted(messages, summary, fitting.limit(max)),
            None => None,
        };
        let view = fitting.fit(&list.messages)?;
        self.tell(&list.messages, *own, &view);
        let sent = list.messages.len() - view.dropped;
        let added = usize::from(fold.is_some());
        Ok(Prompt {
            text: joined(&list.messages, &view, frame),
            messages: sent,
            tokens: view.tokens,
            dropped: (messages.len() + added).saturating_sub(sent),
            summarized: fold.map_or(0, |fold| fold.count),
            wanted,
        })
    }

    /// Counts what the prompt has beyond the request's own messages, and what it lacks.
    fn tell(&self, messages: &[&Message], own: usize, view: &View) {
        let stored = messages.iter().zip(&view.kept).take(messages.len() - own);
        let (mut bytes, mut dropped) = (0, (0, 0));
        for (message, kept) in stored {
            match kept {
                true => bytes += message.text.len(),
                false => {
                    dropped.0 += message.text.len();
                    dropped.1 += u64::from(message.tokens);
                }
            }
        }
        self.metrics.contexts.prompt(bytes, dropped);
    }
}

/// What must stay of what was folded, its summary, and the rest.
fn list<'a>(fold: Option<&'a Fold>, messages: &[&'a Message]) -> List<'a> {
    let mut list: Vec<&Message> = Vec::with_capacity(messages.len());
    let mut behind = 0;
    if let Some(fold) = fold {
        let stays = window::stays(messages);
        let folded = messages.iter().zip(stays).take(fold.count);
        list.extend(folded.filter(|(_, stays)| *stays).map(|(message, _)| *message));
        list.push(&fold.message);
        behind = fold.count;
    }
    let rest = (list.len(), behind);
    list.extend(messages.iter().skip(behind));
    List { messages: list, rest }
}

impl List<'_> {
    /// The summary that would bring it down; `None` where only the last turn is left to fold.
    fn wanted(
        &self,
        messages: &[&Message],
        summary: &Arc<Summary>,
        limit: Limit,
    ) -> Option<Wanted> {
        let (place, behind) = self.rest;
        let end = window::to_fold(&self.messages, limit);
        let count = behind + end.checked_sub(place).filter(|more| *more > 0)?;
        // The summary before is told again; what stays is sent anyway.
        let stays = window::stays(messages);
        let told = messages.iter().zip(stays).take(count).skip(behind);
        let told = told.filter(|(_, stays)| !*stays).map(|(message, _)| (*message).clone());
        let before = self.messages.get(place.wrapping_sub(1)).filter(|_| behind > 0);
        let before = before.map(|message| (*message).clone());
        Some(Wanted {
            count,
            digest: digest(messages.get(..count)?),
            messages: before.into_iter().chain(told).collect(),
            summary: summary.clone(),
        })
    }
}

impl Fitting {
    /// Who summarises, and the limit that summaries are made for; `None` where none are wanted.
    fn summary(&self) -> Result<Option<(&Arc<Summary>, u32)>> {
        if self.strategy != WindowStrategy::Summarize {
            return Ok(None);
        }
        let summary = self.summary.as_ref().ok_or_else(|| {
            let text = "`context.window.strategy`: no model is configured here that summarizes.";
            Error::new(Kind::InvalidBody, text).param("context.window.strategy")
        })?;
        Ok(self.tokens_max.map(|max| (summary, max)))
    }

    fn limit(&self, tokens_max: u32) -> Limit {
        Limit { tokens_max, keep_percent: self.keep_percent }
    }

    /// Which messages go.
    fn fit(&self, messages: &[&Message]) -> Result<View> {
        let whole = window::whole(messages);
        let Some(tokens_max) = self.tokens_max.filter(|max| whole.tokens > *max) else {
            return Ok(whole);
        };
        let (view, advice) = match self.strategy {
            WindowStrategy::None => (Err(whole.tokens), "Shorten it, or let old turns stay behind"),
            WindowStrategy::OldestTurns | WindowStrategy::Summarize => (
                window::oldest_turns(messages, self.limit(tokens_max))
                    .map_err(|too_long| too_long.tokens),
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

fn percent(of: u32, percent: u32) -> u64 {
    u64::from(of) * u64::from(percent) / 100
}

/// The messages that go, as a JSON array in its frame.
fn joined(messages: &[&Message], view: &View, frame: &Frame) -> String {
    let kept = || messages.iter().zip(&view.kept).filter(|(_, kept)| **kept).map(|(m, _)| &m.text);
    let size: usize = kept().map(|text| text.len() + 1).sum();
    let mut out = String::with_capacity(size + 2 + frame.before.len() + frame.behind.len());
    out.push_str(&frame.before);
    out.push('[');
    for (index, text) in kept().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(text);
    }
    out.push(']');
    out.push_str(&frame.behind);
    out
}
