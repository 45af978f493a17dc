//! A stream from one dialect to another: events in, bytes out, nothing held longer than it must.
//!
//! It stands above the framing: whoever reads the upstream's bytes gives the data of one event at a time.

use super::mould::{Cast, Mould};
use super::under_way::UnderWay;
use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::answer::Finish;
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
    mould: Mould,
    losses: Losses,
    usage: Option<TokenUsage>,
    under_way: UnderWay,
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
        let mould = Mould::new(from);
        let (usage, under_way, state) = (None, UnderWay::default(), State::Open);
        StreamTranslator { reader, writer, mould, losses, usage, under_way, state }
    }

    /// Takes the data of one event and appends what the client gets for it.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Step {
        if let Some(delta) = self.mould.fits(data) {
            return self.step(out, |_, _, sink| {
                sink(delta);
                Ok(())
            });
        }
        let Ok(data) = std::str::from_utf8(data) else {
            return self.step(out, |_, _, _| {
                Err(Fault::new(502, "the model's provider sent text that is not UTF-8"))
            });
        };
        let mut cast = Cast::default();
        let step = self.step(out, |reader, losses, sink| {
            let noted = &mut |event: Event<'_>| {
                cast.note(data, &event);
                sink(event);
            };
            reader.event(data, losses, noted)
        });
        self.mould.take(data, &cast);
        step
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

    /// Whether the answer has begun and may still be ended.
    pub fn is_under_way(&self) -> bool {
        self.state == State::Open && !self.under_way.choices.is_empty()
    }

    /// Ends the answer here, as if it had reached its limit of tokens; `used` stands for what the upstream did
    /// not tell.
    pub fn stop(&mut self, used: TokenUsage, out: &mut Vec<u8>) {
        if !self.is_under_way() {
            return;
        }
        self.state = State::Ended;
        let UnderWay { choices, blocks } = std::mem::take(&mut self.under_way);
        let usage = self.usage.map_or(used, |told| TokenUsage { output: used.output, ..told });
        let blocks = blocks.into_iter().map(|(choice, block)| Event::Close { choice, block });
        let (finish, stop_sequence) = (Finish::Length, None);
        let choices = choices.into_iter();
        let choices = choices.map(|choice| Event::Finish {
            choice,
            finish,
            stop_sequence: stop_sequence.clone(),
        });
        for event in blocks.chain(choices).chain([Event::Usage(usage), Event::End]) {
            // What is refused is a block that is too long: the end needs none.
            let _refused = self.writer.event(&event, &mut self.losses, out);
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
        let under_way = &mut self.under_way;
        // What only one side cannot say goes into a list of its own while the other is at work.
        let mut written = Losses::like(&self.losses);
        let mut refused = None;
        let mut sink = |event: Event<'_>| {
            let event = event.shortly_named();
            if let Event::Usage(tokens) | Event::Start { usage: Some(tokens), .. } = &event {
                *usage = Some(*tokens);
            }
            under_way.note(&event);
            if refused.is_none() {
                refused = writer.event(&event, &mut written, out).err();
            }
            if matches!(event, Event::End) {
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

#[cfg(test)]
mod tests {
    use super::{Step, StreamOptions, StreamTranslator};
    use crate::dialect::gemini::stream_writer::Framing;
    use crate::dialect::ir::{Dialect, Reply};
    use serde_json::{Value, json};

    /// Whether a stream whose blocks begin and go on like this is refused before its hundredth event.
    fn refused(from: Dialect, to: Dialect, event: impl Fn(u32) -> Value) -> bool {
        let reply = Reply { id: "reply-1", created: 1, model: "demo" };
        let options = StreamOptions { reply, include_usage: true, framing: Framing::Sse };
        let mut translator = StreamTranslator::new(from, to, &options);
        (0..100).any(|place| {
            let mut out = Vec::new();
            let step = translator.event(event(place).to_string().as_bytes(), &mut out);
            matches!(step, Step::Failed(fault) if fault.message.contains("too long"))
        })
    }

    /// A chunk of Chat that begins, or goes on with, a call.
    fn call(place: u32, call: &Value) -> Value {
        let mut call = call.clone();
        call["index"] = json!(place);
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    }

    #[test]
    fn what_is_held_for_a_client_is_limited_in_all_of_its_parts() {
        let long = "x".repeat(100_000);
        let named = json!({"id": "a", "function": {"name": long, "arguments": ""}});
        let known = json!({"id": long, "function": {"name": "f", "arguments": ""}});
        let signed = json!({
            "id": "a", "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": long}},
        });
        let filled = json!({"function": {"arguments": long}});
        for to in [Dialect::Responses, Dialect::Gemini] {
            for part in [&named, &known, &signed] {
                assert!(refused(Dialect::Chat, to, |place| call(place, part)), "{to:?}");
            }
            let begun = json!({"id": "a", "function": {"name": "f"}});
            let same_call = |place| call(0, if place == 0 { &begun } else { &filled });
            assert!(refused(Dialect::Chat, to, same_call), "{to:?}");
        }
        let text = |_| json!({"choices": [{"index": 0, "delta": {"content": long}}]});
        assert!(refused(Dialect::Chat, Dialect::Responses, text));
        assert!(!refused(Dialect::Chat, Dialect::Gemini, text), "texts are not held");
        assert!(!refused(Dialect::Chat, Dialect::Anthropic, |place| call(place, &filled)));
        let cited = |_| {
            let citation =
                json!({"type": "url_citation", "url_citation": {"url": long, "title": "t"}});
            json!({"choices": [{"index": 0, "delta": {"annotations": [citation]}}]})
        };
        assert!(refused(Dialect::Chat, Dialect::Responses, cited));
    }

    #[test]
    fn a_name_that_every_event_would_repeat_is_short() {
        let chunk =
            json!({"id": "x".repeat(300), "model": "y".repeat(300), "choices": [{"index": 0}]});
        for to in Dialect::ALL {
            let reply = Reply { id: "reply-1", created: 1, model: "demo" };
            let options = StreamOptions { reply, include_usage: true, framing: Framing::Sse };
            let mut translator = StreamTranslator::new(Dialect::Chat, to, &options);
            let mut out = Vec::new();
            translator.event(chunk.to_string().as_bytes(), &mut out);
            translator.event(b"[DONE]", &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("reply-1") && text.contains("demo"), "{to:?}: {text}");
            assert!(!text.contains("xxx") && !text.contains("yyy"), "{to:?}: {text}");
        }
    }

    #[test]
    fn arguments_that_come_with_a_calls_beginning_are_told_once() {
        for (input, pieces, expected) in [
            (json!({}), &[r#"{"a""#, ":1}"][..], r#"{"a":1}"#),
            (json!({"a": 1}), &[], r#"{"a":1}"#),
            (json!({"a": 1}), &[r#"{"a":1}"#], r#"{"a":1}"#),
            (json!(""), &[r#"{"a":1}"#], r#"{"a":1}"#),
            (json!({}), &[], "{}"),
            (json!(null), &[], "{}"),
        ] {
            let block = json!({"type": "tool_use", "id": "a", "name": "f", "input": input});
            let mut events =
                vec![json!({"type": "content_block_start", "index": 0, "content_block": block})];
            events.extend(pieces.iter().map(|piece| {
                let delta = json!({"type": "input_json_delta", "partial_json": piece});
                json!({"type": "content_block_delta", "index": 0, "delta": delta})
            }));
            events.push(json!({"type": "content_block_stop", "index": 0}));
            assert_eq!(told(&events), expected, "{input} {pieces:?}");
        }
    }

    /// The arguments that a client of Chat gets for events of Messages.
    fn told(events: &[Value]) -> String {
        let reply = Reply { id: "reply-1", created: 1, model: "demo" };
        let options = StreamOptions { reply, include_usage: true, framing: Framing::Sse };
        let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::Chat, &options);
        let mut out = Vec::new();
        for event in events {
            translator.event(event.to_string().as_bytes(), &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        let chunks = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let chunks = chunks.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let piece = "/choices/0/delta/tool_calls/0/function/arguments";
        chunks.filter_map(|chunk| chunk.pointer(piece)?.as_str().map(str::to_owned)).collect()
    }
}
