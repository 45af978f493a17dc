//! One block of a Responses stream while it is open: an item of the answer that is not yet done.

use super::answer::{call_item, message_item, reasoning_item, refusal_part, text_part};
use super::event::{Message, Nothing};
use super::wire::{Annotation, Item, Part};
use crate::dialect::ir::stream::Held;
use crate::dialect::ir::wire::{Json, Text, append_number, append_text, to_raw};
use crate::dialect::ir::{Call, Dialect, Signature};

/// An open block: an item that is not yet done.
#[derive(Debug)]
pub struct Open {
    pub index: u32,
    pub id: Text<'static>,
    pub kind: Kind,
    pub text: Held,
    pub annotations: Vec<Annotation<'static>>,
    pub signature: Option<Signature<'static>>,
}

#[derive(Debug)]
pub enum Kind {
    Text,
    Refusal,
    Thinking,
    Call { id: String, name: String },
}

impl Open {
    pub const fn delta_name(&self) -> &'static str {
        match self.kind {
            Kind::Text => "response.output_text.delta",
            Kind::Refusal => "response.refusal.delta",
            Kind::Thinking => "response.reasoning_summary_text.delta",
            Kind::Call { .. } => "response.function_call_arguments.delta",
        }
    }

    /// What stands for log-probabilities in the events of a text.
    pub fn logprobs(&self) -> Option<Nothing> {
        matches!(self.kind, Kind::Text).then_some([])
    }

    /// Where in the answer this block's events belong.
    pub fn place(&self) -> Message<'_> {
        let (content_index, summary_index) = match self.kind {
            Kind::Text | Kind::Refusal => (Some(0), None),
            Kind::Thinking => (None, Some(0)),
            Kind::Call { .. } => (None, None),
        };
        let (item_id, output_index) = (Some(&*self.id), Some(self.index));
        Message { item_id, output_index, content_index, summary_index, ..Message::default() }
    }

    /// Appends the event of a piece of text: nearly every event is one, so it is written without a serializer.
    pub fn append_delta(&self, sequence: u64, text: &str, out: &mut Vec<u8>) {
        let name = self.delta_name();
        for piece in ["event: ", name, "\ndata: {\"type\":\"", name, "\",\"sequence_number\":"] {
            out.extend_from_slice(piece.as_bytes());
        }
        append_number(out, sequence);
        out.extend_from_slice(b",\"output_index\":");
        append_number(out, self.index);
        out.extend_from_slice(b",\"item_id\":");
        append_text(out, &self.id);
        out.extend_from_slice(match self.kind {
            Kind::Text => b",\"content_index\":0,\"logprobs\":[],\"delta\":".as_slice(),
            Kind::Refusal => b",\"content_index\":0,\"delta\":",
            Kind::Thinking => b",\"summary_index\":0,\"delta\":",
            Kind::Call { .. } => b",\"delta\":",
        });
        append_text(out, text);
        out.extend_from_slice(b"}\n\n");
    }

    /// The one part of a message or of a thought, as far as it is known.
    pub fn part(&self) -> Part<'_> {
        let text = Text::from(self.text.text());
        match self.kind {
            Kind::Refusal => refusal_part(text),
            Kind::Thinking => {
                Part { r#type: Text::from("summary_text"), text: Some(text), ..Part::default() }
            }
            Kind::Text | Kind::Call { .. } => {
                text_part(text, self.annotations.iter().map(Annotation::view).collect())
            }
        }
    }

    pub fn item(&self, status: &'static str) -> Json<'static> {
        let begun = status == "in_progress";
        let item = match &self.kind {
            Kind::Text | Kind::Refusal => {
                let parts = if begun { Vec::new() } else { vec![self.part()] };
                message_item(self.id.view(), parts)
            }
            Kind::Thinking => {
                reasoning_item(self.id.view(), self.text.text(), self.signature.as_ref())
            }
            Kind::Call { id, name } => {
                let call = Call {
                    id: Text::from(id.as_str()),
                    name: Text::from(name.as_str()),
                    arguments: Text::from(self.text.text()),
                    signature: None,
                };
                return to_raw(&with_status(call_item(self.id.view(), &call), status));
            }
        };
        to_raw(&with_status(item, status))
    }
}

fn with_status<'a>(item: Item<'a>, status: &'static str) -> Item<'a> {
    let status = item.status.as_ref().map(|_| Text::from(status));
    Item { status, ..item }
}

/// A signature that outlives its event. What is not this dialect's own is tagged already.
pub fn owned(signature: &Signature<'_>) -> Signature<'static> {
    let data = Text::from(signature.written(Dialect::Responses).into_owned());
    Signature { origin: Dialect::Responses, data }
}
