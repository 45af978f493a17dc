//! From one dialect to another: requests, whole answers, streams and errors.
//!
//! This is the only door to the readers and writers. It is for pairs of different dialects; where client
//! and upstream speak the same one, the client's bytes go through untouched and nothing here is called.
//! It is pure: it reads no configuration, no clock and no socket.
//!
//! [`Dialect::Bedrock`] is spoken to providers only. Its requests are not read, so nobody is ever answered in it:
//! where an exhaustive match asks for its writer of answers, OpenAI's stands.

mod mould;
pub mod stream;
mod under_way;

use crate::dialect::ir::answer::Answer;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::{Loss, Losses};
use crate::dialect::ir::{Dialect, Reply, Request, Target};
use crate::dialect::{anthropic, bedrock, chat, gemini, responses};
use crate::error::{Error, Kind, Result};
use crate::types::TokenUsage;

/// A request in the upstream's dialect.
#[derive(Debug)]
pub struct TranslatedRequest {
    /// The body to send.
    pub body: Vec<u8>,
    /// What could not be carried.
    pub losses: Vec<Loss>,
    /// Whether the client wants a stream: for the path of a Gemini upstream.
    pub stream: bool,
    /// Whether the client wants to see the usage at the stream's end: for [`stream::StreamOptions`].
    pub include_usage: bool,
}

/// A whole answer in the client's dialect.
#[derive(Debug)]
pub struct TranslatedAnswer {
    /// The body to send.
    pub body: Vec<u8>,
    /// What could not be carried.
    pub losses: Vec<Loss>,
    /// Tokens used, as the upstream told.
    pub usage: Option<TokenUsage>,
}

/// An error in the client's dialect.
#[derive(Debug)]
pub struct TranslatedError {
    /// The status to send.
    pub status: u16,
    /// The body to send.
    pub body: Vec<u8>,
    /// What was read: also when to ask again, where the upstream's body tells it.
    pub fault: Fault,
}

/// Translates a client's request for an upstream. `stream` counts only for dialects whose path says it (Gemini).
///
/// An error is the client's: its body is not what its dialect says.
pub fn translate_request(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    target: Target<'_>,
    stream: bool,
) -> Result<TranslatedRequest> {
    let mut losses = Losses::new(from);
    let request = read_request(from, body, stream, &mut losses)?;
    let body = write_request(to, &request, target, &mut losses);
    Ok(TranslatedRequest {
        body,
        losses: losses.into_list(),
        stream: request.stream,
        include_usage: request.include_usage,
    })
}

/// Translates an upstream's whole answer for a client.
///
/// An error is the upstream's: it answered what is no answer, or an error under a status of success.
pub fn translate_answer(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    reply: &Reply<'_>,
) -> std::result::Result<TranslatedAnswer, Fault> {
    let mut losses = Losses::new(from);
    let answer = read_answer(from, body, reply, &mut losses)?;
    let body = write_answer(to, &answer, reply, &mut losses);
    Ok(TranslatedAnswer { body, losses: losses.into_list(), usage: answer.usage })
}

/// Translates an upstream's error answer for a client. The status stays as it is, but for those that
/// only one dialect knows; so whether asking again helps stays as it is too.
pub fn translate_error(from: Dialect, to: Dialect, status: u16, body: &[u8]) -> TranslatedError {
    let mut fault = match from {
        Dialect::Chat | Dialect::Responses => chat::error::read(status, body),
        Dialect::Anthropic => anthropic::error::read(status, body),
        Dialect::Gemini => gemini::error::read(status, body),
        Dialect::Bedrock => bedrock::error::read(status, body),
    };
    if fault.status == 529 && to != Dialect::Anthropic {
        fault.status = 503;
    }
    TranslatedError { status: fault.status, body: write_error(to, &fault), fault }
}

/// An error as a client's dialect says it: for errors of the gateway's own too, by `Fault::from`.
pub fn write_error(to: Dialect, fault: &Fault) -> Vec<u8> {
    match to {
        Dialect::Chat | Dialect::Responses | Dialect::Bedrock => chat::error::write(fault),
        Dialect::Anthropic => anthropic::error::write(fault),
        Dialect::Gemini => gemini::error::write(fault),
    }
}

/// Reads a request of a dialect.
pub fn read_request<'a>(
    from: Dialect,
    body: &'a [u8],
    stream: bool,
    losses: &mut Losses,
) -> Result<Request<'a>> {
    match from {
        Dialect::Chat => chat::request_reader::read(body, losses),
        Dialect::Anthropic => anthropic::request_reader::read(body, losses),
        Dialect::Gemini => gemini::request_reader::read(body, stream, losses),
        Dialect::Responses => responses::request_reader::read(body, losses),
        Dialect::Bedrock => {
            Err(Error::new(Kind::Internal, "Converse is spoken to providers, not by clients."))
        }
    }
}

/// Writes a request in a dialect.
pub fn write_request(
    to: Dialect,
    request: &Request<'_>,
    target: Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    match to {
        Dialect::Chat => chat::request_writer::write(request, target, losses),
        Dialect::Anthropic => anthropic::request_writer::write(request, target, losses),
        Dialect::Gemini => gemini::request_writer::write(request, target, losses),
        Dialect::Responses => responses::request_writer::write(request, target, losses),
        Dialect::Bedrock => bedrock::request_writer::write(request, target, losses),
    }
}

/// Reads a whole answer of a dialect.
pub fn read_answer<'a>(
    from: Dialect,
    body: &'a [u8],
    reply: &Reply<'_>,
    losses: &mut Losses,
) -> std::result::Result<Answer<'a>, Fault> {
    match from {
        Dialect::Chat => chat::answer::read(body, losses),
        Dialect::Anthropic => anthropic::answer::read(body, losses),
        Dialect::Gemini => gemini::answer::read(body, reply, losses),
        Dialect::Responses => responses::answer::read(body, losses),
        Dialect::Bedrock => bedrock::answer::read(body),
    }
}

/// Writes a whole answer in a dialect.
pub fn write_answer(
    to: Dialect,
    answer: &Answer<'_>,
    reply: &Reply<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    match to {
        Dialect::Chat | Dialect::Bedrock => chat::answer::write(answer, reply, losses),
        Dialect::Anthropic => anthropic::answer::write(answer, reply, losses),
        Dialect::Gemini => gemini::answer::write(answer, reply, losses),
        Dialect::Responses => responses::answer::write(answer, reply, losses),
    }
}
