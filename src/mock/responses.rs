//! OpenAI's responses: a turn of the model as a list of items, whole or streamed.
//!
//! Shapes: OpenAI API reference, "Create a model response" and "Streaming events".

use super::answer::{Answer, CREATED};
use super::asked::Asked;
use super::json::{put, put_number, put_string};
use super::refusal::Refusal;
use super::turn::{Finish, SIGNATURE, Turn};
use request::Body;

mod request;
mod stream;

/// `POST /v1/responses`
pub(crate) fn create(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    let model = body.check()?;
    let turn = match asked.echo()? {
        Some(echo) => Turn::exactly(echo),
        None => Turn::of(&body.ask()?, asked.behaviour),
    };
    let reply = Reply {
        model,
        number: format!("{:016x}", asked.number),
        turn: &turn,
        body: &body,
        input_tokens: asked.prompt_tokens(),
        usage: !asked.behaviour.no_usage,
        chunks: asked.behaviour.chunks,
    };
    Ok(if body.stream == Some(true) { reply.stream() } else { reply.whole() })
}

/// Everything that an answer is made of.
struct Reply<'a> {
    /// The model's name as JSON, quotes included.
    model: &'a str,
    /// In the ids of the answer; no other has it.
    number: String,
    turn: &'a Turn,
    body: &'a Body<'a>,
    input_tokens: usize,
    /// Whether the answer carries token counts.
    usage: bool,
    /// How many events the content of a stream is cut into.
    chunks: Option<usize>,
}

/// How far an answer has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begun,
    Done,
}

impl Reply<'_> {
    /// The answer in one piece.
    fn whole(&self) -> Answer {
        let mut out = Vec::with_capacity(2048 + self.turn.text.len());
        self.put_response(&mut out, Progress::Done);
        Answer::json(out).tokens(self.turn.all_tokens())
    }

    fn put_response(&self, out: &mut Vec<u8>, progress: Progress) {
        put(out, &[r#"{"id":"resp_mock"#, &self.number, r#"","object":"response","created_at":"#]);
        put_number(out, CREATED as usize);
        put(out, &[r#","model":"#, self.model, r#","status":""#, self.status(progress)]);
        put(out, &[r#"","background":false,"error":null,"incomplete_details":"#]);
        let cut = progress == Progress::Done && self.turn.finish == Finish::Length;
        put(out, &[if cut { r#"{"reason":"max_output_tokens"}"# } else { "null" }]);
        for (name, value) in self.body.repeated() {
            put(out, &[",\"", name, "\":", value]);
        }
        put(out, &[r#","truncation":"disabled","output":["#]);
        if progress == Progress::Done {
            if self.thinks() {
                self.put_reasoning(out, progress);
                put(out, &[","]);
            }
            for call in 0..self.turn.calls {
                put(out, &[if call > 0 { "," } else { "" }]);
                self.put_item(out, progress, call);
            }
        }
        put(out, &["]"]);
        match progress {
            Progress::Done if self.usage => self.put_usage(out),
            _ => put(out, &[r#","usage":null"#]),
        }
        put(out, &["}"]);
    }

    fn status(&self, progress: Progress) -> &'static str {
        match progress {
            Progress::Begun => "in_progress",
            Progress::Done if self.turn.finish == Finish::Length => "incomplete",
            Progress::Done => "completed",
        }
    }

    fn thinks(&self) -> bool {
        !self.turn.thought.is_empty()
    }

    /// The thought as an item: its summary where that was asked for, and itself under seal.
    fn put_reasoning(&self, out: &mut Vec<u8>, progress: Progress) {
        put(out, &[r#"{"id":"rs_mock"#, &self.number, r#"","type":"reasoning","summary":["#]);
        if progress == Progress::Done && self.body.shows_thoughts() {
            self.put_summary(out, &self.turn.thought.concat());
        }
        put(out, &["]"]);
        if self.body.seals_thoughts() {
            put(out, &[r#","encrypted_content":""#, SIGNATURE, r#"""#]);
        }
        put(out, &["}"]);
    }

    fn put_summary(&self, out: &mut Vec<u8>, text: &str) {
        put(out, &[r#"{"type":"summary_text","text":"#]);
        put_string(out, text);
        put(out, &["}"]);
    }

    /// What is said, or the call with this number.
    fn put_item(&self, out: &mut Vec<u8>, progress: Progress, call: usize) {
        let status = self.status(progress);
        let text = if progress == Progress::Done { &*self.turn.text } else { "" };
        put(out, &[r#"{"id":""#]);
        self.put_item_id(out, call);
        put(out, &[r#"","type":""#]);
        let Some(name) = &self.turn.call else {
            put(out, &[r#"message","status":""#, status, r#"","role":"assistant","content":["#]);
            if progress == Progress::Done {
                self.put_text(out, text);
            }
            return put(out, &["]}"]);
        };
        put(out, &[r#"function_call","status":""#, status, r#"","call_id":"call_mock"#]);
        put(out, &[&self.number, "_"]);
        put_number(out, call);
        put(out, &[r#"","name":"#]);
        put_string(out, name);
        put(out, &[r#","arguments":"#]);
        put_string(out, text);
        put(out, &["}"]);
    }

    fn put_text(&self, out: &mut Vec<u8>, text: &str) {
        put(out, &[r#"{"type":"output_text","annotations":[],"logprobs":[],"text":"#]);
        put_string(out, text);
        put(out, &["}"]);
    }

    /// The id of what is said, or of the call with this number.
    fn put_item_id(&self, out: &mut Vec<u8>, call: usize) {
        let kind = if self.turn.call.is_some() { "fc" } else { "msg" };
        put(out, &[kind, "_mock", &self.number, "_"]);
        put_number(out, call);
    }

    fn put_usage(&self, out: &mut Vec<u8>) {
        let output = self.turn.all_tokens();
        put(out, &[r#","usage":{"input_tokens":"#]);
        put_number(out, self.input_tokens);
        put(out, &[r#","input_tokens_details":{"cached_tokens":0},"output_tokens":"#]);
        put_number(out, output);
        put(out, &[r#","output_tokens_details":{"reasoning_tokens":"#]);
        put_number(out, self.turn.thought.len());
        put(out, &[r#"},"total_tokens":"#]);
        put_number(out, self.input_tokens + output);
        put(out, &["}"]);
    }
}
