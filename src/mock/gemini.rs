//! Gemini's content: a turn of the model as parts of a candidate, whole or streamed.
//!
//! Shapes: Gemini API reference, `models.generateContent`, `models.streamGenerateContent`,
//! `models.countTokens`.

use serde_json::json;

use super::answer::{Answer, Events};
use super::asked::Asked;
use super::dialect::{Dialect, element_start};
use super::json::{put, put_number, put_string};
use super::refusal::Refusal;
use super::route::{Route, gemini_model, path_of};
use super::turn::{Finish, SIGNATURE, Turn};
use request::Body;

pub(crate) use embed::embed;

mod embed;
mod request;

/// Roughly the bytes of one event beside its content: room that is made beforehand.
const EVENT_BYTES: usize = 320;

/// `POST /v1beta/models/{id}:generateContent`
pub(crate) fn generate(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    reply(asked, |reply| reply.whole())
}

/// `POST /v1beta/models/{id}:streamGenerateContent`
pub(crate) fn stream_generate(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let array = asked.request.head.route == Route::StreamGenerateArray;
    let dialect = if array { Dialect::GeminiArray } else { Dialect::Gemini };
    reply(asked, |reply| reply.stream(dialect))
}

/// `POST /v1beta/models/{id}:countTokens`
pub(crate) fn count_tokens(asked: &mut Asked<'_>) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    if let Some(echo) = asked.echo()? {
        return Ok(Answer::json(echo));
    }
    body.check_count()?;
    let tokens = asked.prompt_tokens();
    let details = json!([{ "modality": "TEXT", "tokenCount": tokens }]);
    Ok(Answer::value(&json!({ "totalTokens": tokens, "promptTokensDetails": details })))
}

fn reply(
    asked: &mut Asked<'_>,
    give: impl FnOnce(&Reply<'_>) -> Answer,
) -> Result<Answer, Refusal> {
    let body: Body<'_> = asked.read()?;
    body.check()?;
    let turn = match asked.echo()? {
        Some(echo) => Turn::exactly(echo),
        None => Turn::of(&body.ask()?, asked.behaviour),
    };
    let model = gemini_model(path_of(asked.target()?)).unwrap_or_default().0;
    let mut tail = Vec::new();
    put(&mut tail, &[r#","modelVersion":"#]);
    put_string(&mut tail, model);
    put(&mut tail, &[r#","responseId":"mock"#, &format!("{:016x}", asked.number), r#""}"#]);
    Ok(give(&Reply {
        tail,
        turn: &turn,
        shows_thoughts: body.shows_thoughts(),
        prompt_tokens: asked.prompt_tokens(),
        usage: !asked.behaviour.no_usage,
        chunks: asked.behaviour.chunks,
    }))
}

/// Everything that an answer is made of.
struct Reply<'a> {
    /// The end of an answer and of each of its events, which names both model and answer.
    tail: Vec<u8>,
    turn: &'a Turn,
    /// Whether thoughts are told, or only counted.
    shows_thoughts: bool,
    prompt_tokens: usize,
    /// Whether the answer carries token counts.
    usage: bool,
    /// How many events the content of a stream is cut into.
    chunks: Option<usize>,
}

impl Reply<'_> {
    /// The answer in one piece.
    fn whole(&self) -> Answer {
        let mut out = Vec::with_capacity(EVENT_BYTES * 3 + self.turn.text.len());
        self.put_answer(&mut out, true, |out| {
            if self.shows_thoughts && !self.turn.thought.is_empty() {
                put_thought(out, &self.turn.thought.concat());
                put(out, &[","]);
            }
            for call in 0..self.turn.calls {
                put(out, &[if call > 0 { "," } else { "" }]);
                self.put_content(out, &self.turn.text);
            }
        });
        Answer::json(out).tokens(self.turn.all_tokens())
    }

    /// The answer event by event.
    fn stream(&self, dialect: Dialect) -> Answer {
        let count = self.turn.all_tokens() + 1;
        let mut events = Events::with_capacity(count, count * EVENT_BYTES);
        events.begin_pace();
        if self.shows_thoughts {
            for token in self.turn.thought {
                self.event(&mut events, dialect, false, |out| put_thought(out, token));
            }
        }
        if self.turn.call.is_some() {
            // Calls come whole.
            for _ in 0..self.turn.calls {
                let call = |out: &mut Vec<u8>| self.put_content(out, &self.turn.text);
                self.event(&mut events, dialect, false, call);
            }
        } else {
            for piece in self.turn.pieces(self.chunks) {
                self.event(&mut events, dialect, false, |out| self.put_content(out, piece));
            }
        }
        events.end_pace();
        self.event(&mut events, dialect, true, |out| put(out, &[r#"{"text":""}"#]));
        Answer::stream(dialect, events, self.turn.all_tokens())
    }

    fn event(
        &self,
        events: &mut Events,
        dialect: Dialect,
        last: bool,
        parts: impl FnOnce(&mut Vec<u8>),
    ) {
        let (before, behind) = match dialect {
            Dialect::GeminiArray => (element_start(events.len()), ""),
            _ => ("data: ", "\n\n"),
        };
        events.push(|out| {
            put(out, &[before]);
            self.put_answer(out, last, parts);
            put(out, &[behind]);
        });
    }

    /// A whole answer, or one event, with these parts of the content.
    fn put_answer(&self, out: &mut Vec<u8>, last: bool, parts: impl FnOnce(&mut Vec<u8>)) {
        put(out, &[r#"{"candidates":[{"content":{"role":"model","parts":["#]);
        parts(out);
        put(out, &["]}"]);
        if last {
            let reason = match self.turn.finish {
                Finish::Stop | Finish::Call => "STOP",
                Finish::Length => "MAX_TOKENS",
            };
            put(out, &[r#","finishReason":""#, reason, r#"""#]);
        }
        put(out, &[r#","index":0}]"#]);
        if self.usage {
            self.put_usage(out, last);
        }
        out.extend_from_slice(&self.tail);
    }

    /// One part: a piece of the text, or the call.
    fn put_content(&self, out: &mut Vec<u8>, piece: &str) {
        let Some(name) = &self.turn.call else {
            put(out, &[r#"{"text":"#]);
            put_string(out, piece);
            return put(out, &["}"]);
        };
        put(out, &[r#"{"functionCall":{"name":"#]);
        put_string(out, name);
        put(out, &[r#","args":"#, piece, "}"]);
        if !self.turn.thought.is_empty() {
            put(out, &[r#","thoughtSignature":""#, SIGNATURE, r#"""#]);
        }
        put(out, &["}"]);
    }

    /// The counts: of the prompt from the first event on, of the answer at its end.
    fn put_usage(&self, out: &mut Vec<u8>, last: bool) {
        put(out, &[r#","usageMetadata":{"promptTokenCount":"#]);
        put_number(out, self.prompt_tokens);
        let mut total = self.prompt_tokens;
        if last {
            total += self.turn.all_tokens();
            put(out, &[r#","candidatesTokenCount":"#]);
            put_number(out, self.turn.tokens());
            if !self.turn.thought.is_empty() {
                put(out, &[r#","thoughtsTokenCount":"#]);
                put_number(out, self.turn.thought.len());
            }
        }
        put(out, &[r#","totalTokenCount":"#]);
        put_number(out, total);
        put(out, &["}"]);
    }
}

fn put_thought(out: &mut Vec<u8>, thought: &str) {
    put(out, &[r#"{"text":"#]);
    put_string(out, thought);
    put(out, &[r#","thought":true}"#]);
}
