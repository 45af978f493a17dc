//! Which messages of a conversation go upstream, so that they fit the model's window.
//!
//! The cut is a pure function of the messages and the limit: it replays the conversation, prompt
//! by prompt, and where a prompt was over the limit it leaves out the oldest turns until the rest
//! is down to a share of it. So nothing about the window is stored, the same conversation is cut in
//! the same way on every node, and from one cut to the next the prompt only grows at its end, which
//! is what an upstream's prompt cache needs.

use super::message::{Message, Part};

/// What a prompt may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tokens of a prompt.
    pub tokens_max: u32,
    /// What a cut leaves, in percent of it.
    pub keep_percent: u32,
}

/// The messages that go upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether each message goes.
    pub kept: Vec<bool>,
    /// Tokens of those that go.
    pub tokens: u32,
    /// How many stay behind.
    pub dropped: usize,
}

/// A prompt does not fit, and nothing more may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Tokens of what must go.
    pub tokens: u32,
}

/// Everything goes.
pub fn whole(messages: &[&Message]) -> View {
    let tokens = messages.iter().fold(0, |sum: u32, message| sum.saturating_add(message.tokens));
    View { kept: vec![true; messages.len()], tokens, dropped: 0 }
}

/// The oldest turns stay behind where a prompt is over the limit. Instructions and pinned messages
/// always go; a turn goes whole or not at all, and with it its calls and their results.
///
/// # Errors
/// Where the last turn, with all that must go, is over the limit.
pub fn oldest_turns(messages: &[&Message], limit: Limit) -> Result<View, TooLong> {
    let stays = stays(messages);
    let keep = u64::from(limit.tokens_max) * u64::from(limit.keep_percent) / 100;
    // What must go lies in `fixed`, what may stay behind in `loose`, from the cut on.
    let (mut fixed, mut loose, mut cut) = (0_u64, 0_u64, 0_usize);
    for (index, message) in messages.iter().enumerate() {
        // Here a prompt ended, and an answer followed.
        if begins_answer(messages, index) && fixed + loose > u64::from(limit.tokens_max) {
            cut = advance(messages, &stays, (cut, index), &mut loose, keep.saturating_sub(fixed));
        }
        let tokens = u64::from(message.tokens);
        *(if is_at(&stays, index) { &mut fixed } else { &mut loose }) += tokens;
    }
    if fixed + loose > u64::from(limit.tokens_max) {
        let keep = keep.saturating_sub(fixed);
        cut = advance(messages, &stays, (cut, messages.len()), &mut loose, keep);
    }
    let tokens = u32::try_from(fixed + loose).unwrap_or(u32::MAX);
    if tokens > limit.tokens_max {
        return Err(TooLong { tokens });
    }
    let kept: Vec<bool> = (0..messages.len()).map(|at| at >= cut || is_at(&stays, at)).collect();
    let dropped = kept.iter().filter(|kept| !**kept).count();
    Ok(View { kept, tokens, dropped })
}

/// How many messages, from the first on, are to be folded into one so that the rest is down to the
/// share of the limit that a cut leaves; 0 where only the last turn is left to go.
pub fn to_fold(messages: &[&Message], limit: Limit) -> usize {
    let stays = stays(messages);
    let (mut fixed, mut loose) = (0_u64, 0_u64);
    for (message, stays) in messages.iter().zip(&stays) {
        *(if *stays { &mut fixed } else { &mut loose }) += u64::from(message.tokens);
    }
    let keep = u64::from(limit.tokens_max) * u64::from(limit.keep_percent) / 100;
    let all = (0, messages.len());
    advance(messages, &stays, all, &mut loose, keep.saturating_sub(fixed))
}

/// Moves the cut to the first turn from which on at most `room` tokens are left, and no further
/// than the last turn before `end`, which is the one that is asked about.
fn advance(
    messages: &[&Message],
    stays: &[bool],
    (cut, end): (usize, usize),
    loose: &mut u64,
    room: u64,
) -> usize {
    let (mut best, mut left) = (cut, *loose);
    for (index, message) in messages.iter().enumerate().take(end).skip(cut) {
        if index > cut && begins_turn(messages, index) {
            (best, *loose) = (index, left);
            if left <= room {
                break;
            }
        }
        if !is_at(stays, index) {
            left -= u64::from(message.tokens);
        }
    }
    best
}

/// Whether each message must go: instructions, what is pinned, and what a pinned call or result
/// belongs with.
pub fn stays(messages: &[&Message]) -> Vec<bool> {
    let mut stays: Vec<bool> = messages
        .iter()
        .map(|message| message.part == Part::Instruction || message.pinned)
        .collect();
    let mut start = 0;
    while start < messages.len() {
        let results = messages.iter().skip(start + 1);
        let length = 1 + results.take_while(|message| message.part == Part::Outcome).count();
        if let Some(group) = stays.get_mut(start..start + length)
            && group.contains(&true)
            && length > 1
        {
            group.fill(true);
        }
        start += length;
    }
    stays
}

/// Whether a turn begins here: with the first user message behind others.
fn begins_turn(messages: &[&Message], index: usize) -> bool {
    let part = |at: usize| messages.get(at).map(|message| message.part);
    part(index) == Some(Part::User)
        && index.checked_sub(1).and_then(part).is_none_or(|before| before != Part::User)
}

/// Whether an answer begins here, and so a prompt ended.
fn begins_answer(messages: &[&Message], index: usize) -> bool {
    messages.get(index).is_some_and(|message| matches!(message.part, Part::Answer | Part::Call))
}

fn is_at(list: &[bool], index: usize) -> bool {
    list.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
