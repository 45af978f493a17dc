//! The events of a Responses stream, as they are written.

use serde::Serialize;

use super::wire::{Annotation, Incomplete, Part, Usage};
use crate::dialect::chat::error::Written;
use crate::dialect::ir::wire::{Json, append_json};

/// One event, with the members of all types together.
#[derive(Default, Serialize)]
pub struct Message<'a> {
    pub r#type: &'static str,
    pub sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Snapshot<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<&'a Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<&'a Annotation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Written<'a>>,
}

/// Why an answer failed.
#[derive(Serialize)]
pub struct Failure<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

/// The answer as it stands.
#[derive(Serialize)]
pub struct Snapshot<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created_at: u64,
    pub status: &'static str,
    pub error: Option<Failure<'a>>,
    pub incomplete_details: Option<Incomplete<'a>>,
    pub model: &'a str,
    pub output: Vec<&'a Json<'static>>,
    pub usage: Option<Usage>,
}

impl Message<'_> {
    /// Appends the event.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.r#type.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        append_json(out, self);
        out.extend_from_slice(b"\n\n");
    }
}
