//! Answers that are translated: streams event by event, whole ones once they are there.

use std::time::Duration;

use bytes::Bytes;

use super::{CUT_SHORT, End, Passage};
use crate::dialect::bedrock::frames::Frames;
use crate::dialect::counting::translate_count;
use crate::dialect::embeddings::{Form, answer_to_gemini, answer_to_openai};
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::Loss;
use crate::dialect::ir::{Dialect, Reply};
use crate::dialect::sse::{Event, Scanner};
use crate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use crate::dialect::translate::{TranslatedAnswer, translate_answer, translate_error};
use crate::error::{Error, Kind};
use crate::types::{Operation, TokenUsage};

/// The largest whole answer that is translated, in bytes: it is held until it is complete.
pub const WHOLE_BYTES_MAX: usize = 32 << 20;

/// The largest event of a stream that is translated, in bytes: it is held until it is complete.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// A stream that is translated.
pub struct Streamed {
    events: Events,
    translator: StreamTranslator,
    end: Option<End>,
}

/// What cuts a stream's bytes into events.
enum Events {
    /// Server-sent events.
    Sse(Scanner),
    /// Bedrock's binary frames.
    Frames(Frames),
}

/// A whole answer that is translated.
pub struct Whole {
    status: u16,
    operation: Operation,
    embeddings: Form,
    from: Dialect,
    to: Dialect,
    id: String,
    created: u64,
    model: String,
    held: Vec<u8>,
    usage: Option<TokenUsage>,
    losses: Vec<Loss>,
    retry_after: Option<Duration>,
}

impl Streamed {
    /// The start of a stream, of server-sent events or of binary frames.
    pub fn new(passage: &Passage<'_>, frames: bool) -> Self {
        let request = passage.request;
        let options = StreamOptions {
            reply: passage.reply,
            include_usage: request.include_usage,
            framing: request.framing,
        };
        let events = if frames {
            Events::Frames(Frames::default())
        } else {
            Events::Sse(Scanner::new(EVENT_BYTES_MAX))
        };
        Self {
            events,
            translator: StreamTranslator::new(passage.from, request.dialect, &options),
            end: None,
        }
    }

    /// Reads the next bytes, and leaves in their place those that go to the client. Behind the end of
    /// an answer, or behind an error, there is nothing more.
    pub fn read(&mut self, body: &mut Option<Bytes>, end: bool) -> End {
        let bytes = body.take().filter(|_| self.end.is_none()).unwrap_or_default();
        // What an event is in one dialect is seldom more than twice as long in another.
        let mut out = Vec::with_capacity(bytes.len() * 2);
        self.feed(&bytes, &mut out);
        if end {
            self.finish(&mut out);
        }
        *body = Some(Bytes::from(out)).filter(|out| !out.is_empty());
        if end { self.end.clone().unwrap_or(End::Fine) } else { End::Fine }
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { events, translator, end } = self;
        let mut steps = Steps { translator, end };
        match events {
            Events::Sse(scanner) => scanner.feed(bytes, |event| steps.take(&event, out)),
            Events::Frames(frames) => {
                frames.feed(bytes);
                steps.take_frames(frames, out);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let Self { events, translator, end } = self;
        if let Events::Sse(scanner) = events {
            let mut steps = Steps { translator, end };
            scanner.finish(|event| steps.take(&event, out));
        }
        if end.is_none() {
            let step = translator.finish(out);
            *end = Some(match step {
                Step::Failed(_) => End::CutShort,
                Step::More | Step::Done => End::Fine,
            });
        }
    }

    /// Tokens used, as far as they are told.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.translator.usage()
    }

    /// What could not be carried.
    pub fn losses(&mut self) -> Vec<Loss> {
        self.translator.take_losses()
    }

    /// Whether the stream can be ended here.
    pub fn is_under_way(&self) -> bool {
        self.end.is_none() && self.translator.is_under_way()
    }

    /// The events that end the stream as at its limit of tokens.
    pub fn last_events(&mut self, used: TokenUsage) -> Bytes {
        let mut out = Vec::new();
        self.translator.stop(used, &mut out);
        Bytes::from(out)
    }

    /// The bytes that end the stream with an error; none where it has ended.
    pub fn fail(&mut self, error: &Error) -> Bytes {
        let mut out = Vec::new();
        self.translator.error(error, &mut out);
        Bytes::from(out)
    }
}

/// The events of a stream, one by one, until one of them is its end.
struct Steps<'s> {
    translator: &'s mut StreamTranslator,
    end: &'s mut Option<End>,
}

impl Steps<'_> {
    fn take(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            _ if self.end.is_some() => {}
            Event::Message { data, .. } => *self.end = ended(self.translator.event(data, out)),
            Event::Oversized => {
                self.fail("An event of the model's answer is too large to be passed on.", out);
            }
        }
    }

    fn take_frames(&mut self, frames: &mut Frames, out: &mut Vec<u8>) {
        while self.end.is_none() {
            match frames.next_event() {
                Ok(Some(data)) => *self.end = ended(self.translator.event(data, out)),
                Ok(None) => return,
                Err(_) => self.fail("The model's answer came in a form that cannot be read.", out),
            }
        }
    }

    fn fail(&mut self, text: &'static str, out: &mut Vec<u8>) {
        self.translator.error(&Error::new(Kind::UpstreamBroken, text), out);
        *self.end = Some(End::Failed(text.to_owned()));
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
            operation: passage.request.operation,
            embeddings: passage.request.embeddings,
            from: passage.from,
            to: passage.request.dialect,
            id: id.to_owned(),
            created,
            model: model.to_owned(),
            held: Vec::new(),
            usage: None,
            losses: Vec::new(),
            retry_after: None,
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
            let told = translate_error(self.from, self.to, self.status, &held);
            self.retry_after = told.fault.retry_after;
            *body = Some(told.body.into());
            return End::Fine;
        }
        match self.translate(&held) {
            Ok(done) => {
                (self.usage, self.losses) = (done.usage, done.losses);
                *body = Some(done.body.into());
                End::Fine
            }
            Err(_) if held.is_empty() => End::Unreadable(CUT_SHORT.to_owned()),
            Err(fault) => End::Unreadable(fault.message),
        }
    }

    fn translate(&self, body: &[u8]) -> Result<TranslatedAnswer, Fault> {
        let reply = Reply { id: &self.id, created: self.created, model: &self.model };
        match (self.operation, self.to) {
            (Operation::CountTokens, to) => translate_count(to, body),
            (Operation::Embedding, Dialect::Gemini) => answer_to_gemini(body, self.embeddings),
            (Operation::Embedding, _) => answer_to_openai(body, self.embeddings, &self.model),
            _ => translate_answer(self.from, self.to, body, &reply),
        }
    }

    /// Tokens used, once they are told.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// When to ask again, where an error told it.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What could not be carried.
    pub fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}

#[cfg(test)]
mod tests {
    use super::{Scanner, Streamed};

    #[test]
    fn the_state_of_a_stream_is_small() {
        // Beside this a scanner keeps at most 8 KiB of buffer from one event to the next; readers and
        // writers keep a few bytes for each open block.
        let fixed = size_of::<Streamed>() + size_of::<Scanner>();
        assert!(fixed < 4 << 10, "{fixed} bytes");
    }
}
