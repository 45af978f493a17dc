//! An answer as a stream: what happens, one event at a time.
//!
//! A reader turns what its dialect sends into well-formed events: one `Start`, then for each
//! choice blocks that are opened, filled and closed, a `Finish`, and at the very end `End`.
//! A call's arguments are never left empty: a call without any has the delta `{}`.
//! Blocks of calls may be open side by side; a text or a thought is closed before the next
//! block of its choice opens.

use super::Signature;
use super::answer::{Citation, Finish};
use super::fault::Fault;
use super::wire::Text;
use crate::types::TokenUsage;

/// The most blocks of one choice. It bounds the state of readers and writers.
pub const BLOCKS_MAX: u32 = 1024;

/// The most choices of one stream (OpenAI's limit of `n`).
pub const CHOICES_MAX: u32 = 128;

/// The longest id of an answer, and name of its model, that is taken over, in bytes: some dialects
/// repeat both in every event.
pub const NAME_BYTES_MAX: usize = 256;

/// What happens in a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The answer begins.
    Start {
        /// The provider's id of the answer.
        id: Option<Text<'a>>,
        /// The model that answers.
        model: Option<Text<'a>>,
        /// The prompt's tokens, where the provider tells them first.
        usage: Option<TokenUsage>,
    },
    /// A block begins.
    Open {
        /// The number of the answer, from 0.
        choice: u32,
        /// The number of the block in its choice, from 0.
        block: u32,
        /// What it holds.
        kind: Block<'a>,
    },
    /// A block goes on.
    Delta {
        /// The number of the answer.
        choice: u32,
        /// The number of the block.
        block: u32,
        /// What is added.
        delta: Delta<'a>,
    },
    /// A block is complete.
    Close {
        /// The number of the answer.
        choice: u32,
        /// The number of the block.
        block: u32,
    },
    /// An answer is complete.
    Finish {
        /// The number of the answer.
        choice: u32,
        /// Why it ended.
        finish: Finish,
        /// The stop sequence that ended it.
        stop_sequence: Option<Text<'a>>,
    },
    /// Tokens used, all of them so far; the last one counts.
    Usage(TokenUsage),
    /// Nothing more comes.
    End,
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Block<'a> {
    /// Text.
    Text,
    /// A thought.
    Thinking,
    /// A thought that the provider keeps to itself, whole.
    Redacted(Text<'a>),
    /// A refusal, in the model's words.
    Refusal,
    /// A call of a function.
    Call {
        /// Ties the result to the call.
        id: Text<'a>,
        /// The function's name.
        name: Text<'a>,
        /// Gemini's proof of the thought that led here.
        signature: Option<Signature<'a>>,
    },
}

/// What is added to a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta<'a> {
    /// To a text, a thought, a refusal, or the JSON text of a call's arguments.
    Text(Text<'a>),
    /// The proof of a thought.
    Signature(Signature<'a>),
    /// A source of a text.
    Citation(Citation<'a>),
}

/// Takes events one by one.
pub type Sink<'s> = dyn FnMut(Event<'_>) + 's;

/// The blocks of one choice, as a reader of a dialect without explicit blocks keeps them.
///
/// It opens a block where its kind changes and closes the one before it.
#[derive(Debug, Default)]
pub struct Blocks {
    /// The number of the choice.
    pub choice: u32,
    next: u32,
    open: Option<(u32, Running)>,
}

/// The kinds of blocks that go on over several events without a number of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Text.
    Text,
    /// A thought.
    Thinking,
    /// A refusal.
    Refusal,
}

impl Event<'_> {
    /// The event without names that are too long: the gateway's own stand then.
    pub fn shortly_named(self) -> Self {
        let short = |name: &Text<'_>| name.len() <= NAME_BYTES_MAX;
        match self {
            Event::Start { id, model, usage } => {
                Event::Start { id: id.filter(short), model: model.filter(short), usage }
            }
            other => other,
        }
    }
}

/// Text that has to be held until its block is complete, with little room left over: it stays for as
/// long as the stream goes on.
#[derive(Debug, Default)]
pub struct Held(String);

impl Held {
    /// The text so far.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Adds to it. It grows by an eighth and not, as a `String` would, to twice its size.
    pub fn push(&mut self, text: &str) {
        if self.0.capacity() - self.0.len() < text.len() {
            self.0.reserve_exact(text.len() + (self.0.len() / 8).max(64));
        }
        self.0.push_str(text);
    }
}

impl Blocks {
    /// The blocks of a choice: none yet.
    pub const fn new(choice: u32) -> Self {
        Blocks { choice, next: 0, open: None }
    }

    /// A new number for a block that the caller opens itself; the running block is closed.
    pub fn number(&mut self, sink: &mut Sink<'_>) -> Result<u32, Fault> {
        self.close(sink);
        let block = self.next;
        if block == BLOCKS_MAX {
            return Err(Fault::new(502, "the answer has too many parts"));
        }
        self.next += 1;
        Ok(block)
    }

    /// Adds to the running block of a kind, which is opened if need be.
    pub fn add(
        &mut self,
        kind: Running,
        delta: Delta<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let block = match self.open {
            Some((block, running)) if running == kind => block,
            _ => {
                let block = self.number(sink)?;
                self.open = Some((block, kind));
                let kind = match kind {
                    Running::Text => Block::Text,
                    Running::Thinking => Block::Thinking,
                    Running::Refusal => Block::Refusal,
                };
                sink(Event::Open { choice: self.choice, block, kind });
                block
            }
        };
        sink(Event::Delta { choice: self.choice, block, delta });
        Ok(())
    }

    /// Closes the running block, if there is one.
    pub fn close(&mut self, sink: &mut Sink<'_>) {
        if let Some((block, _)) = self.open.take() {
            sink(Event::Close { choice: self.choice, block });
        }
    }
}
