//! The message that an answer is, gathered in the client's dialect while its bytes pass by.
//!
//! A chat's answer is gathered as it stands ([`Capture`]); an answer of another dialect is read into
//! a chat's first, piece by piece where it is a stream. It must not change what passes.

use serde_json::value::RawValue;

use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::{Dialect, Reply};
use crate::dialect::openai::capture::{Capture, Gathered};
use crate::dialect::sse::{Event, Scanner};
use crate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use crate::dialect::translate::translate_answer;

/// The largest event of a stream that is read, in bytes: the last one of Responses repeats the answer.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// An answer is kept for what it says; so many times that may stand around it.
const AROUND: usize = 8;

/// Gathers one answer of any dialect.
pub struct Gatherer {
    front: Front,
    capture: Capture,
    bytes_max: usize,
    over: bool,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whole, and of this length, if that is known.
    Whole(Option<usize>),
    /// As a stream, framed as a Gemini client asked for it.
    Stream(Framing),
}

/// What stands before a chat's capture.
enum Front {
    /// Nothing: it is a chat.
    Chat,
    /// A whole answer, held up to its end.
    Whole { from: Dialect, id: String, held: Vec<u8>, length: Option<usize> },
    /// Events, as they come.
    Events { scanner: Scanner, translator: Box<StreamTranslator> },
    /// A JSON array of Gemini's, held up to its end.
    Array { held: Vec<u8>, translator: Box<StreamTranslator> },
}

impl Gatherer {
    /// A gatherer of an answer in a dialect. `reply` names calls that have no id.
    pub fn new(dialect: Dialect, form: Form, reply: Reply<'_>, bytes_max: usize) -> Self {
        let options = StreamOptions { reply, include_usage: false, framing: Framing::Sse };
        let translator = || Box::new(StreamTranslator::new(dialect, Dialect::Chat, &options));
        let is_chat = dialect == Dialect::Chat;
        let (front, capture) = match form {
            Form::Whole(length) if is_chat => (Front::Chat, Capture::whole(length, bytes_max)),
            Form::Stream(_) if is_chat => (Front::Chat, Capture::stream(bytes_max)),
            Form::Whole(length) => (
                Front::Whole { from: dialect, id: reply.id.to_owned(), held: Vec::new(), length },
                Capture::whole(None, bytes_max),
            ),
            Form::Stream(Framing::Array) if dialect == Dialect::Gemini => (
                Front::Array { held: Vec::new(), translator: translator() },
                Capture::stream(bytes_max),
            ),
            Form::Stream(_) => {
                let scanner = Scanner::new(EVENT_BYTES_MAX.max(bytes_max));
                let events = Front::Events { scanner, translator: translator() };
                (events, Capture::stream(bytes_max))
            }
        };
        Self { front, capture, bytes_max, over: false }
    }

    /// Reads on; `end` says that these were the last bytes. Once something else than `Underway` was
    /// told, everything further is ignored.
    pub fn feed(&mut self, chunk: &[u8], end: bool) -> Gathered {
        if self.over {
            return Gathered::Underway;
        }
        let held_max = self.bytes_max.saturating_mul(AROUND);
        let capture = &mut self.capture;
        let gathered = match &mut self.front {
            Front::Chat => return capture.feed(chunk, end),
            Front::Whole { held, .. } | Front::Array { held, .. }
                if held.len() + chunk.len() > held_max =>
            {
                Gathered::TooLong
            }
            Front::Whole { from, id, held, length } => {
                held.extend_from_slice(chunk);
                let is_whole = end || *length == Some(held.len());
                if is_whole { whole(*from, id, held, capture) } else { Gathered::Underway }
            }
            Front::Array { held, translator } => {
                held.extend_from_slice(chunk);
                let may_be_whole = end || held.trim_ascii_end().ends_with(b"]");
                if may_be_whole {
                    array(held, translator, capture, end)
                } else {
                    Gathered::Underway
                }
            }
            Front::Events { scanner, translator } => {
                let mut reader =
                    Reader { translator, out: Vec::new(), is_done: false, oversized: false };
                scanner.feed(chunk, |event| reader.event(&event));
                if end {
                    scanner.finish(|event| reader.event(&event));
                }
                reader.told(capture, end)
            }
        };
        self.over = gathered != Gathered::Underway;
        if self.over {
            self.front = Front::Chat;
        }
        gathered
    }
}

fn whole(from: Dialect, id: &str, held: &[u8], capture: &mut Capture) -> Gathered {
    let reply = Reply { id, created: 0, model: "" };
    match translate_answer(from, Dialect::Chat, held, &reply) {
        Ok(answer) => capture.feed(&answer.body, true),
        Err(_) => Gathered::Unreadable,
    }
}

fn array(
    held: &[u8],
    translator: &mut StreamTranslator,
    capture: &mut Capture,
    end: bool,
) -> Gathered {
    let Ok(pieces) = serde_json::from_slice::<Vec<&RawValue>>(held) else {
        return if end { Gathered::Broken } else { Gathered::Underway };
    };
    let mut reader = Reader { translator, out: Vec::new(), is_done: false, oversized: false };
    for piece in pieces {
        reader.data(piece.get().as_bytes());
    }
    reader.told(capture, true)
}

/// The events of a stream on their way into a chat's.
struct Reader<'t> {
    translator: &'t mut StreamTranslator,
    out: Vec<u8>,
    is_done: bool,
    oversized: bool,
}

impl Reader<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Message { data, .. } => self.data(data),
            Event::Oversized => self.oversized = true,
        }
    }

    fn data(&mut self, data: &[u8]) {
        self.is_done |= matches!(self.translator.event(data, &mut self.out), Step::Done);
    }

    fn told(mut self, capture: &mut Capture, end: bool) -> Gathered {
        if self.oversized {
            return Gathered::TooLong;
        }
        if end && !self.is_done {
            // One that is cut short ends in an error, which the capture sees.
            let _step = self.translator.finish(&mut self.out);
        }
        capture.feed(&self.out, end || self.is_done)
    }
}

#[cfg(test)]
mod tests;
