//! The answer of a turn on its way to the client: named where it is a response that is kept, and
//! gathered for the context.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use pingora::http::ResponseHeader;

use crate::context::turn::Turn;
use crate::dialect::gather::{Form, Gatherer};
use crate::dialect::openai::capture::Gathered;
use crate::dialect::responses::naming::Naming;
use crate::request::Request;
use crate::stream::{End, Meter, Passage};

/// What a turn does with its answer.
pub struct Keeping {
    naming: Option<Naming>,
    gatherer: Option<Gatherer>,
}

impl Keeping {
    /// What is done with the answer behind this header.
    pub fn of(
        turn: &Turn,
        response: &ResponseHeader,
        meter: &Meter,
        passage: &Passage<'_>,
    ) -> Option<Box<Self>> {
        let (wanted, named) = (turn.wants_answer(), !turn.names.is_empty());
        if !wanted && !named {
            return None;
        }
        let length = response.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let Request { dialect, framing, .. } = *passage.request;
        let form = if meter.is_stream() { Form::Stream(framing) } else { Form::Whole(length) };
        let gatherer = || Gatherer::new(dialect, form, passage.reply, turn.answer_bytes_max);
        let naming = || Naming::new(turn.names.clone(), meter.is_stream());
        Some(Box::new(Self { naming: named.then(naming), gatherer: wanted.then(gatherer) }))
    }

    /// Reads bytes that go to the client, in its own dialect whatever the upstream speaks, and leaves
    /// in their place those that do.
    pub fn read(&mut self, turn: &Turn, body: &mut Option<Bytes>, end: bool, told: &End) {
        if let Some(naming) = &mut self.naming {
            naming.read(body, end);
        }
        let Some(gatherer) = self.gatherer.as_mut().filter(|_| *told == End::Fine) else { return };
        let mut gathered = gatherer.feed(body.as_deref().unwrap_or_default(), end);
        if let Some(naming) = &self.naming {
            if naming.is_too_long {
                gathered = Gathered::TooLong;
            }
            if let Some(answer) = naming.answer().filter(|_| gathered != Gathered::Underway) {
                turn.responded(answer);
            }
        }
        turn.answered(gathered);
    }
}
