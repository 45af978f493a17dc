//! A response event by event: each item opens, grows and closes, and what has grown is told again.

use super::{Progress, Reply};
use crate::mock::answer::{Answer, Events};
use crate::mock::dialect::Dialect;
use crate::mock::json::{put, put_number, put_string};
use crate::mock::turn::Finish;

/// Roughly the bytes of one event beside its content: room that is made beforehand.
const EVENT_BYTES: usize = 224;
/// Room for the events that repeat the whole answer, beside its content.
const FRAME_BYTES: usize = 8 * 1024;

/// Events with their numbers.
struct Sequence(Events);

impl Sequence {
    fn push(&mut self, name: &str, rest: impl FnOnce(&mut Vec<u8>)) {
        let number = self.0.len();
        self.0.push(|out| {
            put(out, &["event: ", name, "\ndata: {\"type\":\"", name, "\",\"sequence_number\":"]);
            put_number(out, number);
            rest(out);
            put(out, &["}\n\n"]);
        });
    }
}

impl Reply<'_> {
    /// The answer event by event.
    pub(super) fn stream(&self) -> Answer {
        let tokens = self.turn.all_tokens();
        let bytes = tokens * EVENT_BYTES + self.turn.text.len() * 5 + FRAME_BYTES;
        let mut events = Sequence(Events::with_capacity(tokens + 16, bytes));
        for name in ["response.created", "response.in_progress"] {
            events.push(name, |out| self.response(out, Progress::Begun));
        }
        if self.thinks() {
            self.think(&mut events);
        }
        for call in 0..self.turn.calls {
            self.item(&mut events, call);
        }
        events.0.end_pace();
        let end = match self.turn.finish {
            Finish::Length => "response.incomplete",
            Finish::Stop | Finish::Call => "response.completed",
        };
        events.push(end, |out| self.response(out, Progress::Done));
        Answer::stream(Dialect::Responses, events.0, tokens)
    }

    fn response(&self, out: &mut Vec<u8>, progress: Progress) {
        put(out, &[r#","response":"#]);
        self.put_response(out, progress);
    }

    fn think(&self, events: &mut Sequence) {
        const INDEX: &str = r#","output_index":0"#;
        let item = |progress| {
            move |out: &mut Vec<u8>| {
                put(out, &[INDEX, r#","item":"#]);
                self.put_reasoning(out, progress);
            }
        };
        events.push("response.output_item.added", item(Progress::Begun));
        if self.body.shows_thoughts() {
            self.summarize(events, INDEX);
        }
        events.push("response.output_item.done", item(Progress::Done));
    }

    fn summarize(&self, events: &mut Sequence, index: &str) {
        let place = |out: &mut Vec<u8>| {
            put(out, &[r#","item_id":"rs_mock"#, &self.number, r#"""#, index]);
            put(out, &[r#","summary_index":0"#]);
        };
        let part = |text: &str, out: &mut Vec<u8>| {
            place(out);
            put(out, &[r#","part":"#]);
            self.put_summary(out, text);
        };
        let text = |member: &str, text: &str, out: &mut Vec<u8>| {
            place(out);
            put(out, &[",\"", member, "\":"]);
            put_string(out, text);
        };
        let whole = self.turn.thought.concat();
        events.push("response.reasoning_summary_part.added", |out| part("", out));
        events.0.begin_pace();
        for token in self.turn.thought {
            events.push("response.reasoning_summary_text.delta", |out| text("delta", token, out));
        }
        events.push("response.reasoning_summary_text.done", |out| text("text", &whole, out));
        events.push("response.reasoning_summary_part.done", |out| part(&whole, out));
    }

    /// What is said, or the call with this number.
    fn item(&self, events: &mut Sequence, call: usize) {
        self.tell_item(events, "response.output_item.added", Progress::Begun, call);
        match &self.turn.call {
            None => self.say(events),
            Some(name) => self.call(events, name, call),
        }
        self.tell_item(events, "response.output_item.done", Progress::Done, call);
    }

    fn tell_item(&self, events: &mut Sequence, name: &str, progress: Progress, call: usize) {
        events.push(name, |out| {
            self.put_index(out, call);
            put(out, &[r#","item":"#]);
            self.put_item(out, progress, call);
        });
    }

    fn say(&self, events: &mut Sequence) {
        events.push("response.content_part.added", |out| self.part(out, ""));
        self.begin_pace(events);
        for piece in self.turn.pieces(self.chunks) {
            events.push("response.output_text.delta", |out| {
                self.place(out, 0);
                put(out, &[r#","content_index":0,"logprobs":[],"delta":"#]);
                put_string(out, piece);
            });
        }
        events.push("response.output_text.done", |out| {
            self.place(out, 0);
            put(out, &[r#","content_index":0,"logprobs":[],"text":"#]);
            put_string(out, &self.turn.text);
        });
        events.push("response.content_part.done", |out| self.part(out, &self.turn.text));
    }

    fn call(&self, events: &mut Sequence, name: &str, call: usize) {
        if call == 0 {
            self.begin_pace(events);
        }
        for piece in self.turn.pieces(self.chunks) {
            events.push("response.function_call_arguments.delta", |out| {
                self.place(out, call);
                put(out, &[r#","delta":"#]);
                put_string(out, piece);
            });
        }
        events.push("response.function_call_arguments.done", |out| {
            self.place(out, call);
            put(out, &[r#","name":"#]);
            put_string(out, name);
            put(out, &[r#","arguments":"#]);
            put_string(out, &self.turn.text);
        });
    }

    /// The pace begins with the first piece that is shown.
    fn begin_pace(&self, events: &mut Sequence) {
        if !(self.thinks() && self.body.shows_thoughts()) {
            events.0.begin_pace();
        }
    }

    fn part(&self, out: &mut Vec<u8>, text: &str) {
        self.place(out, 0);
        put(out, &[r#","content_index":0,"part":"#]);
        self.put_text(out, text);
    }

    /// Which item an event is about.
    fn place(&self, out: &mut Vec<u8>, call: usize) {
        put(out, &[r#","item_id":""#]);
        self.put_item_id(out, call);
        put(out, &[r#"""#]);
        self.put_index(out, call);
    }

    fn put_index(&self, out: &mut Vec<u8>, call: usize) {
        put(out, &[r#","output_index":"#]);
        put_number(out, call + usize::from(self.thinks()));
    }
}
