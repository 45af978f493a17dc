//! Answers that are translated: streams event by event, whole ones once they are there.

use bytes::Bytes;

use super::{CUT_SHORT, End, Passage};
use crate::dialect::ir::loss::Loss;
use crate::dialect::ir::{Dialect, Reply};
use crate::dialect::sse::{Event, Scanner};
use crate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use crate::dialect::translate::{translate_answer, translate_error};
use crate::error::{Error, Kind};
use crate::types::TokenUsage;

/// The largest whole answer that is translated, in bytes: it is held until it is complete.
pub const WHOLE_BYTES_MAX: usize = 32 << 20;

/// The largest event of a stream that is translated, in bytes: it is held until it is complete.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// A stream that is translated.
pub struct Streamed {
    scanner: Scanner,
    translator: StreamTranslator,
    end: Option<End>,
}

/// A whole answer that is translated.
pub struct Whole {
    status: u16,
    from: Dialect,
    to: Dialect,
    id: String,
    created: u64,
    model: String,
    held: Vec<u8>,
    usage: Option<TokenUsage>,
    losses: Vec<Loss>,
}

impl Streamed {
    /// The start of a stream.
    pub fn new(passage: &Passage<'_>) -> Self {
        let request = passage.request;
        let options = StreamOptions {
            reply: passage.reply,
            include_usage: request.include_usage,
            framing: request.framing,
        };
        Self {
            scanner: Scanner::new(EVENT_BYTES_MAX),
            translator: StreamTranslator::new(passage.from, request.dialect, &options),
            end: None,
        }
    }

    /// Reads the next bytes, and leaves in their place those that go to the client. Behind the end of
    /// an answer, or behind an error, there is nothing more.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> End {
        let mut out = Vec::new();
        let Self { scanner, translator, end: known } = self;
        let mut event = |event: Event<'_>, out: &mut Vec<u8>| {
            if known.is_some() {
                return;
            }
            let step = match event {
                Event::Message { data, .. } => translator.event(&data, out),
                Event::Oversized => {
                    let text = "An event of the model's answer is too large to be passed on.";
                    translator.error(&Error::new(Kind::UpstreamBroken, text), out);
                    *known = Some(End::Failed(text.to_owned()));
                    return;
                }
            };
            *known = ended(step);
        };
        if let Some(bytes) = body.take() {
            scanner.feed(&bytes, |read| event(read, &mut out));
        }
        if end {
            scanner.finish(|read| event(read, &mut out));
            if known.is_none() {
                let step = translator.finish(&mut out);
                *known = Some(match step {
                    Step::Failed(_) => End::CutShort,
                    Step::More | Step::Done => End::Fine,
                });
            }
        }
        *body = Some(Bytes::from(out)).filter(|out| !out.is_empty());
        if end { self.end.clone().unwrap_or(End::Fine) } else { End::Fine }
    }

    /// Tokens used, as far as they are told.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.translator.usage()
    }

    /// What could not be carried.
    pub fn losses(&mut self) -> Vec<Loss> {
        self.translator.take_losses()
    }

    /// The bytes that end the stream with an error; none where it has ended.
    pub fn fail(&mut self, error: &Error) -> Bytes {
        let mut out = Vec::new();
        self.translator.error(error, &mut out);
        Bytes::from(out)
    }
}

fn ended(step: Step) -> Option<End> {
    match step {
        Step::More => None,
        Step::Done => Some(End::Fine),
        Step::Failed(fault) => Some(End::Failed(fault.message)),
    }
}

impl Whole {
    /// An answer of which nothing has come yet.
    pub fn new(status: u16, passage: &Passage<'_>) -> Self {
        let Reply { id, created, model } = passage.reply;
        Self {
            status,
            from: passage.from,
            to: passage.request.dialect,
            id: id.to_owned(),
            created,
            model: model.to_owned(),
            held: Vec::new(),
            usage: None,
            losses: Vec::new(),
        }
    }

    /// Holds the next bytes; at the end leaves in their place what goes to the client.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> End {
        if let Some(bytes) = body.take() {
            if self.held.len() + bytes.len() > WHOLE_BYTES_MAX {
                self.held = Vec::new();
                return End::Unreadable(format!("the answer is over {WHOLE_BYTES_MAX} bytes"));
            }
            self.held.extend_from_slice(&bytes);
        }
        if !end {
            return End::Fine;
        }
        let held = std::mem::take(&mut self.held);
        if self.status >= 400 {
            *body = Some(translate_error(self.from, self.to, self.status, &held).body.into());
            return End::Fine;
        }
        let reply = Reply { id: &self.id, created: self.created, model: &self.model };
        match translate_answer(self.from, self.to, &held, &reply) {
            Ok(done) => {
                (self.usage, self.losses) = (done.usage, done.losses);
                *body = Some(done.body.into());
                End::Fine
            }
            Err(_) if held.is_empty() => End::Unreadable(CUT_SHORT.to_owned()),
            Err(fault) => End::Unreadable(fault.message),
        }
    }

    /// Tokens used, once they are told.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// What could not be carried.
    pub fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}
