//! Chats and completions: a turn of the model in OpenAI's two shapes, whole or streamed.
//!
//! Shapes: OpenAI API reference, "Create chat completion", "Chat completion chunk" and "Create
//! completion".

use super::answer::{Answer, CREATED, Events};
use super::dialect::Dialect;
use super::json::{put, put_number, put_string};
use super::turn::{Finish, Turn};

/// Which of the two endpoints answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
}

/// Everything that an answer is made of.
pub(crate) struct Reply<'a> {
    pub(crate) shape: Shape,
    /// The model's name as JSON, quotes included.
    pub(crate) model: &'a str,
    /// A number that no other answer has.
    pub(crate) number: u64,
    pub(crate) turn: &'a Turn,
    /// How many choices, all alike.
    pub(crate) n: u32,
    pub(crate) prompt_tokens: usize,
    /// Whether a whole answer carries token counts.
    pub(crate) usage: bool,
    /// Whether a stream ends with token counts.
    pub(crate) stream_usage: bool,
    /// How many events the content of a stream is cut into.
    pub(crate) chunks: Option<usize>,
}

/// Roughly the bytes of one event beside its content: room that is made beforehand.
const EVENT_BYTES: usize = 320;

impl Reply<'_> {
    /// The answer in one piece.
    pub(crate) fn whole(&self) -> Answer {
        let size = EVENT_BYTES * 2 + self.turn.text.len();
        let mut out = Vec::with_capacity(size * self.n as usize);
        self.begin(&mut out, "");
        for index in 0..self.n {
            put(&mut out, &[if index > 0 { r#",{"index":"# } else { r#"{"index":"# }]);
            put_number(&mut out, index as usize);
            self.message(&mut out);
            put(&mut out, &[r#","logprobs":null,"finish_reason":"#, self.finish(), "}"]);
        }
        put(&mut out, &["]"]);
        if self.usage {
            self.put_usage(&mut out);
        }
        put(&mut out, &["}"]);
        Answer::json(out).tokens(self.completion_tokens())
    }

    /// The answer event by event, `[DONE]` included.
    pub(crate) fn stream(&self) -> Answer {
        let writer = self.event_writer();
        let count = self.n as usize * (self.turn.tokens() + 2) + 2;
        let mut events = Events::with_capacity(count, count * EVENT_BYTES);
        if self.shape == Shape::Chat {
            for index in 0..self.n {
                events.push(|out| writer.choice(out, index, "null", |out| self.opening(out)));
            }
        }
        events.begin_pace();
        for piece in self.turn.pieces(self.chunks) {
            for index in 0..self.n {
                let delta = |out: &mut Vec<u8>| self.delta(out, piece);
                events.push(|out| writer.choice(out, index, "null", delta));
            }
        }
        for call in 1..self.turn.calls {
            for index in 0..self.n {
                self.further_call(&mut events, &writer, index, call);
            }
        }
        events.end_pace();
        for index in 0..self.n {
            events.push(|out| writer.choice(out, index, self.finish(), |out| self.closing(out)));
        }
        if self.stream_usage {
            events.push(|out| {
                put(out, &[&writer.prefix, "]"]);
                self.put_usage(out);
                put(out, &["}\n\n"]);
            });
        }
        events.push(|out| put(out, &["data: [DONE]\n\n"]));
        Answer::stream(Dialect::OpenAi, events, self.completion_tokens())
    }

    fn finish(&self) -> &'static str {
        match self.turn.finish {
            Finish::Stop => r#""stop""#,
            Finish::Length => r#""length""#,
            Finish::Call => r#""tool_calls""#,
        }
    }

    fn event_writer(&self) -> EventWriter {
        let mut prefix = Vec::with_capacity(EVENT_BYTES);
        self.begin(&mut prefix, "data: ");
        EventWriter {
            prefix: String::from_utf8(prefix).unwrap_or_default(),
            suffix: if self.stream_usage { "],\"usage\":null}\n\n" } else { "]}\n\n" },
        }
    }

    /// Everything up to the list of choices.
    fn begin(&self, out: &mut Vec<u8>, before: &str) {
        let streams = !before.is_empty();
        let (id, object) = match self.shape {
            Shape::Chat if streams => ("chatcmpl-mock", "chat.completion.chunk"),
            Shape::Chat => ("chatcmpl-mock", "chat.completion"),
            Shape::Text => ("cmpl-mock", "text_completion"),
        };
        let number = format!("{:016x}", self.number);
        put(out, &[before, r#"{"id":""#, id, &number, r#"","object":""#, object]);
        put(out, &[r#"","created":"#]);
        put_number(out, CREATED as usize);
        put(out, &[r#","model":"#, self.model]);
        if self.shape == Shape::Chat {
            put(out, &[r#","service_tier":"default""#]);
        }
        put(out, &[r#","system_fingerprint":"fp_mock","choices":["#]);
    }

    /// The content of a whole answer's choice.
    fn message(&self, out: &mut Vec<u8>) {
        if self.shape == Shape::Text {
            put(out, &[r#","text":"#]);
            return put_string(out, &self.turn.text);
        }
        put(out, &[r#","message":{"role":"assistant","content":"#]);
        match &self.turn.call {
            None => put_string(out, &self.turn.text),
            Some(_) => put(out, &["null"]),
        }
        put(out, &[r#","refusal":null,"annotations":[]"#]);
        if let Some(name) = &self.turn.call {
            put(out, &[r#","tool_calls":["#]);
            for call in 0..self.turn.calls {
                let open = if call > 0 { ",{" } else { "{" };
                self.put_call(out, (open, call), name, &self.turn.text);
            }
            put(out, &["]"]);
        }
        put(out, &["}"]);
    }

    /// A chat's first event: who speaks, and which tool is called.
    fn opening(&self, out: &mut Vec<u8>) {
        put(out, &[r#","delta":{"role":"assistant","content":"#]);
        match &self.turn.call {
            None => put(out, &[r#""""#]),
            Some(name) => {
                put(out, &[r#"null,"tool_calls":["#]);
                self.put_call(out, (r#"{"index":0,"#, 0), name, "");
                put(out, &["]"]);
            }
        }
        put(out, &[r#","refusal":null}"#]);
    }

    /// One piece of the content.
    fn delta(&self, out: &mut Vec<u8>, piece: &str) {
        let (before, behind) = match (self.shape, &self.turn.call) {
            (Shape::Text, _) => (r#","text":"#, ""),
            (Shape::Chat, None) => (r#","delta":{"content":"#, "}"),
            (Shape::Chat, Some(_)) => {
                (r#","delta":{"tool_calls":[{"index":0,"function":{"arguments":"#, "}}]}")
            }
        };
        put(out, &[before]);
        put_string(out, piece);
        put(out, &[behind]);
    }

    /// A call behind the first one: its opening and its arguments.
    fn further_call(&self, events: &mut Events, writer: &EventWriter, index: u32, call: usize) {
        let name = self.turn.call.as_deref().unwrap_or_default();
        let place = format!(r#"{{"index":{call},"#);
        events.push(|out| {
            writer.choice(out, index, "null", |out| {
                put(out, &[r#","delta":{"tool_calls":["#]);
                self.put_call(out, (&place, call), name, "");
                put(out, &["]}"]);
            });
        });
        for piece in self.turn.pieces(self.chunks) {
            let delta = |out: &mut Vec<u8>| {
                put(out, &[r#","delta":{"tool_calls":["#, &place]);
                put(out, &[r#""function":{"arguments":"#]);
                put_string(out, piece);
                put(out, &["}}]}"]);
            };
            events.push(|out| writer.choice(out, index, "null", delta));
        }
    }

    /// The event that says why the content ends.
    fn closing(&self, out: &mut Vec<u8>) {
        put(out, &[if self.shape == Shape::Text { r#","text":"""# } else { r#","delta":{}"# }]);
    }

    /// A call with its number, behind what opens it.
    fn put_call(
        &self,
        out: &mut Vec<u8>,
        (open, call): (&str, usize),
        name: &str,
        arguments: &str,
    ) {
        let number = format!("{:016x}", self.number);
        put(out, &[open, r#""id":"call_mock"#, &number, "_"]);
        put_number(out, call);
        put(out, &[r#"","type":"function","function":{"#]);
        put(out, &[r#""name":"#]);
        put_string(out, name);
        put(out, &[r#","arguments":"#]);
        put_string(out, arguments);
        put(out, &["}}"]);
    }

    fn put_usage(&self, out: &mut Vec<u8>) {
        let completion = self.completion_tokens();
        put(out, &[r#","usage":{"prompt_tokens":"#]);
        put_number(out, self.prompt_tokens);
        put(out, &[r#","completion_tokens":"#]);
        put_number(out, completion);
        put(out, &[r#","total_tokens":"#]);
        put_number(out, self.prompt_tokens + completion);
        put(out, &[DETAILS]);
    }

    fn completion_tokens(&self) -> usize {
        self.turn.tokens() * self.n as usize
    }
}

/// The classes of tokens that are always none.
const DETAILS: &str = concat!(
    r#","prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"#,
    r#""completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"#,
    r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
);

/// What all events of one stream have in common.
struct EventWriter {
    prefix: String,
    suffix: &'static str,
}

impl EventWriter {
    /// An event with one choice.
    fn choice(&self, out: &mut Vec<u8>, index: u32, finish: &str, delta: impl Fn(&mut Vec<u8>)) {
        put(out, &[&self.prefix, r#"{"index":"#]);
        put_number(out, index as usize);
        delta(out);
        put(out, &[r#","logprobs":null,"finish_reason":"#, finish, "}", self.suffix]);
    }
}
