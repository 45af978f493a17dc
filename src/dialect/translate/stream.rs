//! A stream from one dialect to another: events in, bytes out, nothing held longer than it must.
//!
//! It stands above the framing: whoever reads the upstream's bytes gives the data of one event at a time.

use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Loss, Losses};
use crate::dialect::ir::stream::{Event, Sink};
use crate::dialect::ir::{Dialect, Reply};
use crate::dialect::{anthropic, bedrock, chat, gemini, responses};
use crate::error::Error;
use crate::types::TokenUsage;

/// What the client is to get.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions<'a> {
    /// What the answer says where its provider says nothing.
    pub reply: Reply<'a>,
    /// Whether a Chat client asked for the usage at the end.
    pub include_usage: bool,
    /// How a Gemini client wants its answers framed.
    pub framing: Framing,
}

/// How it stands with a stream.
#[derive(Debug)]
pub enum Step {
    /// More may come.
    More,
    /// The answer is complete and its end is written. What comes after it is passed over.
    Done,
    /// The upstream failed. The error is written in the client's dialect; the stream must end here.
    Failed(Fault),
}

/// Translates one stream.
#[derive(Debug)]
pub struct StreamTranslator {
    reader: Reader,
    writer: Writer,
    losses: Losses,
    usage: Option<TokenUsage>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

#[derive(Debug)]
enum Reader {
    Chat(chat::stream_reader::Reader),
    Anthropic(anthropic::stream_reader::Reader),
    Gemini(gemini::stream_reader::Reader),
    Responses(responses::stream_reader::Reader),
    Bedrock(bedrock::stream_reader::Reader),
}

#[derive(Debug)]
enum Writer {
    Chat(chat::stream_writer::Writer),
    Anthropic(anthropic::stream_writer::Writer),
    Gemini(gemini::stream_writer::Writer),
    Responses(responses::stream_writer::Writer),
}

impl StreamTranslator {
    /// A stream of an upstream's dialect for a client of another.
    pub fn new(from: Dialect, to: Dialect, options: &StreamOptions<'_>) -> Self {
        let reply = &options.reply;
        let reader = match from {
            Dialect::Chat => Reader::Chat(chat::stream_reader::Reader::default()),
            Dialect::Anthropic => Reader::Anthropic(anthropic::stream_reader::Reader::default()),
            Dialect::Gemini => Reader::Gemini(gemini::stream_reader::Reader::new(reply)),
            Dialect::Responses => Reader::Responses(responses::stream_reader::Reader::default()),
            Dialect::Bedrock => Reader::Bedrock(bedrock::stream_reader::Reader::default()),
        };
        let writer = match to {
            Dialect::Chat | Dialect::Bedrock => {
                Writer::Chat(chat::stream_writer::Writer::new(reply, options.include_usage))
            }
            Dialect::Anthropic => Writer::Anthropic(anthropic::stream_writer::Writer::new(reply)),
            Dialect::Gemini => {
                Writer::Gemini(gemini::stream_writer::Writer::new(reply, options.framing))
            }
            Dialect::Responses => Writer::Responses(responses::stream_writer::Writer::new(reply)),
        };
        let losses = Losses::new(from);
        StreamTranslator { reader, writer, losses, usage: None, state: State::Open }
    }

    /// Takes the data of one event and appends what the client gets for it.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Step {
        match std::str::from_utf8(data) {
            Ok(data) => self.step(out, |reader, losses, sink| reader.event(data, losses, sink)),
            Err(_) => self.step(out, |_, _, _| {
                Err(Fault::new(502, "the model's provider sent text that is not UTF-8"))
            }),
        }
    }

    /// The upstream's stream is over: a failure, if its answer is not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Step {
        self.step(out, |reader, _, sink| reader.finish(sink))
    }

    /// Ends the stream with an error of the gateway's own. Nothing is written after an end.
    pub fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        if self.state == State::Open {
            self.fail(&Fault::from(error), out);
        }
    }

    /// Tokens used, as far as the upstream told.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// What could not be carried so far, each once.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        let none = Losses::like(&self.losses);
        std::mem::replace(&mut self.losses, none).into_list()
    }

    /// What could not be carried.
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.into_list()
    }

    fn step(
        &mut self,
        out: &mut Vec<u8>,
        read: impl FnOnce(&mut Reader, &mut Losses, &mut Sink<'_>) -> Result<(), Fault>,
    ) -> Step {
        if self.state == State::Ended {
            return Step::Done;
        }
        let (writer, usage, state) = (&mut self.writer, &mut self.usage, &mut self.state);
        // What only one side cannot say goes into a list of its own while the other is at work.
        let mut written = Losses::like(&self.losses);
        let mut refused = None;
        let mut sink = |event: Event<'_>| {
            if let Event::Usage(tokens) | Event::Start { usage: Some(tokens), .. } = &event {
                *usage = Some(*tokens);
            }
            if refused.is_none() {
                refused = writer.event(&event, &mut written, out).err();
            }
            if event == Event::End {
                *state = State::Ended;
            }
        };
        let read = read(&mut self.reader, &mut self.losses, &mut sink);
        self.losses.append(written);
        match read.err().or(refused) {
            Some(fault) => {
                self.fail(&fault, out);
                Step::Failed(fault)
            }
            None if self.state == State::Ended => Step::Done,
            None => Step::More,
        }
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.state = State::Ended;
        match &mut self.writer {
            Writer::Chat(writer) => writer.error(fault, out),
            Writer::Anthropic(writer) => writer.error(fault, out),
            Writer::Gemini(writer) => writer.error(fault, out),
            Writer::Responses(writer) => writer.error(fault, out),
        }
    }
}

impl Reader {
    fn event(&mut self, data: &str, losses: &mut Losses, sink: &mut Sink<'_>) -> Result<(), Fault> {
        match self {
            Reader::Chat(reader) => reader.event(data, losses, sink),
            Reader::Anthropic(reader) => reader.event(data, losses, sink),
            Reader::Gemini(reader) => reader.event(data, losses, sink),
            Reader::Responses(reader) => reader.event(data, losses, sink),
            Reader::Bedrock(reader) => reader.event(data, sink),
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        match self {
            Reader::Chat(reader) => reader.finish(sink),
            Reader::Anthropic(reader) => reader.finish(sink),
            Reader::Gemini(reader) => reader.finish(sink),
            Reader::Responses(reader) => reader.finish(sink),
            Reader::Bedrock(reader) => reader.finish(sink),
        }
    }
}

impl Writer {
    fn event(
        &mut self,
        event: &Event<'_>,
        losses: &mut Losses,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match self {
            Writer::Chat(writer) => writer.event(event, losses, out),
            Writer::Anthropic(writer) => writer.event(event, losses, out),
            Writer::Gemini(writer) => return writer.event(event, losses, out),
            Writer::Responses(writer) => return writer.event(event, losses, out),
        }
        Ok(())
    }
}
