//! What a request used where its upstream did not say: counted in the texts that were sent and came.
//!
//! A prompt is there in whole. Of an answer only the beginning is kept while it passes ([`Head`]), whatever
//! its length, and what its texts come to is carried on over the bytes behind: events of one stream are
//! alike. Texts are found by the names of their members, as one dialect's are no other's, so bytes that
//! break off in the midst of an event are read as far as they go.

pub mod later;
mod texts;
pub mod tokenizer;

use bytes::{Bytes, BytesMut};

use self::texts::Texts;
use self::tokenizer::Vocabulary;
use crate::config::snapshot::terms::Tokenizer;
use crate::dialect::splice::Pieces;
use crate::types::{ModelName, TokenUsage};

/// What is kept of an answer that comes in pieces, in bytes: some twenty events.
const HEAD_BYTES: usize = 4 * 1024;

/// Bytes of a stream for one token, where its beginning has no text: most servers send a token an event.
const EVENT_BYTES_PER_TOKEN: u64 = 200;

/// What a chat's template adds to each of its messages, and before the answer.
const MESSAGE_TOKENS: u64 = 4;
const ANSWER_OPENING_TOKENS: u64 = 3;

/// The beginning of an answer: all of it where it came as one piece.
#[derive(Clone, Debug, Default)]
pub enum Head {
    /// Nothing has come.
    #[default]
    Nothing,
    /// One piece, which is shared with whoever else has it.
    Piece(Bytes),
    /// Several, copied, up to [`HEAD_BYTES`].
    Copied(BytesMut),
}

impl Head {
    /// Takes the next piece in.
    pub fn see(&mut self, piece: &Bytes) {
        if piece.is_empty() {
            return;
        }
        match self {
            Head::Nothing => *self = Head::Piece(piece.clone()),
            Head::Piece(first) => {
                let mut copied = BytesMut::with_capacity(HEAD_BYTES);
                append(&mut copied, first);
                append(&mut copied, piece);
                *self = Head::Copied(copied);
            }
            Head::Copied(copied) => append(copied, piece),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Head::Nothing => &[],
            Head::Piece(piece) => piece,
            Head::Copied(copied) => copied,
        }
    }
}

fn append(copied: &mut BytesMut, piece: &[u8]) {
    let room = HEAD_BYTES - copied.len().min(HEAD_BYTES);
    copied.extend_from_slice(piece.get(..room).unwrap_or(piece));
}

/// What is known of an exchange that no usage was reported of.
#[derive(Debug)]
pub struct Unreported {
    /// The name that the upstream knows the model by.
    pub model: ModelName,
    /// The body that went upstream.
    pub sent: Pieces,
    /// How the answer began.
    pub head: Head,
    /// The answer's size.
    pub bytes: u64,
}

impl Unreported {
    /// Counts the tokens. What is counted is bounded, and yet may take milliseconds.
    pub fn measure(&self, tokenizer: Tokenizer) -> TokenUsage {
        let (input, output) = (self.prompt(tokenizer), self.answer(tokenizer));
        TokenUsage { input, output, ..TokenUsage::default() }
    }

    /// Tokens of the prompt.
    pub fn prompt(&self, tokenizer: Tokenizer) -> u64 {
        let texts = Texts::of_prompt(&self.sent.whole());
        let messages = match texts.messages {
            0 => 0,
            messages => messages * MESSAGE_TOKENS + ANSWER_OPENING_TOKENS,
        };
        texts.tokens(self.vocabulary(tokenizer)) + messages
    }

    /// Tokens of the answer.
    fn answer(&self, tokenizer: Tokenizer) -> u64 {
        answer(&self.head, self.bytes, self.vocabulary(tokenizer))
    }

    fn vocabulary(&self, tokenizer: Tokenizer) -> Vocabulary {
        Vocabulary::of(tokenizer, self.model.as_str())
    }
}

/// Tokens of an answer of which so many bytes have come, by an estimate that takes microseconds.
pub fn so_far(head: &Head, bytes: u64) -> u64 {
    answer(head, bytes, Vocabulary::Estimate)
}

fn answer(head: &Head, bytes: u64, vocabulary: Vocabulary) -> u64 {
    let head = head.bytes();
    let texts = Texts::of_answer(head);
    // Where there is no text in its beginning, there is none where that is all of it.
    let Some(first) = texts.first else {
        return bytes.saturating_sub(head.len() as u64).div_ceil(EVENT_BYTES_PER_TOKEN);
    };
    let tokens = texts.tokens(vocabulary);
    let (read, all) = (head.len() as u64 - first, bytes.saturating_sub(first));
    tokens.saturating_mul(all.max(read)).div_ceil(read.max(1))
}

#[cfg(test)]
mod tests;
