//! A whole answer that passes untouched, but only once it is whole: for a header that tells of it.

use bytes::Bytes;

use super::End;
use super::translated::WHOLE_BYTES_MAX;
use crate::dialect::openai::answer::UsageTap;
use crate::types::TokenUsage;

/// An answer that is kept until its end.
pub struct Kept {
    tap: UsageTap,
    held: Vec<u8>,
}

impl Kept {
    /// An answer of which nothing has come yet.
    pub const fn new(tap: UsageTap) -> Self {
        Self { tap, held: Vec::new() }
    }

    /// Keeps the next bytes; at the end leaves all of them in their place.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> End {
        if let Some(bytes) = body.take() {
            if self.held.len() + bytes.len() > WHOLE_BYTES_MAX {
                self.held = Vec::new();
                return End::Unreadable(format!("the answer is over {WHOLE_BYTES_MAX} bytes"));
            }
            self.tap.feed(&bytes);
            self.held.extend_from_slice(&bytes);
        }
        if end {
            *body = Some(Bytes::from(std::mem::take(&mut self.held)));
        }
        End::Fine
    }

    /// Tokens used, as far as they are told.
    pub fn usage(&self) -> Option<TokenUsage> {
        self.tap.usage()
    }
}
