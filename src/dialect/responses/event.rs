//! The events of a Responses stream, as they are written.

use std::collections::BTreeMap;

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
    pub response: Option<Snapshot<'a, &'a Json<'static>>>,
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
    /// Of a text and its pieces: none are carried, and the list is not optional.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Nothing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<&'a Annotation<'a>>,
}

/// An error in mid-stream: its members stand where OpenAI documents them, and once more in `error`,
/// where its servers send them and its clients look for them.
#[derive(Serialize)]
pub struct ErrorEvent<'a> {
    pub r#type: &'static str,
    pub sequence_number: u64,
    pub code: Option<&'a str>,
    pub message: &'a str,
    pub param: Option<&'a str>,
    pub error: Written<'a>,
}

/// Why an answer failed.
#[derive(Serialize)]
pub struct Failure<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

/// A list with nothing in it.
pub type Nothing = [(); 0];

/// The answer as it stands, whole or in an event.
#[derive(Serialize)]
pub struct Snapshot<'a, Item> {
    pub id: &'a str,
    pub object: &'static str,
    pub created_at: u64,
    pub status: &'static str,
    pub error: Option<Failure<'a>>,
    pub incomplete_details: Option<Incomplete<'a>>,
    pub model: &'a str,
    pub output: Vec<Item>,
    pub usage: Option<Usage>,
    #[serde(flatten)]
    pub request: Repeated,
}

/// Members of the request that an answer repeats, as they are by default: none of them is optional,
/// and the request is gone by now.
#[derive(Serialize)]
pub struct Repeated {
    instructions: Option<()>,
    metadata: BTreeMap<(), ()>,
    parallel_tool_calls: bool,
    temperature: Option<()>,
    tool_choice: &'static str,
    tools: Nothing,
    top_p: Option<()>,
}

impl Default for Repeated {
    fn default() -> Self {
        Repeated {
            instructions: None,
            metadata: BTreeMap::new(),
            parallel_tool_calls: true,
            temperature: None,
            tool_choice: "auto",
            tools: [],
            top_p: None,
        }
    }
}

impl Message<'_> {
    /// Appends the event.
    pub fn append(&self, out: &mut Vec<u8>) {
        append(self.r#type, self, out);
    }
}

impl ErrorEvent<'_> {
    /// Appends the event.
    pub fn append(&self, out: &mut Vec<u8>) {
        append(self.r#type, self, out);
    }
}

fn append(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    append_json(out, data);
    out.extend_from_slice(b"\n\n");
}
