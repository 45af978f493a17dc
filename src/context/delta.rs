//! Changes to a context: JSON Patch (RFC 6902) on the document, JSON Merge Patch (RFC 7396) on its
//! `data`.
//!
//! A patch is small and may still ask for something huge: ten `copy` operations in a row make a
//! thousand of one. So every operation pays for what it writes, in bytes, before it is carried out,
//! and none may nest deeper than [`DEPTH_MAX`]. Where one operation fails, nothing has changed.

use std::collections::HashMap;
use std::sync::Arc;

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use super::log::Document;
use super::message::Message;
use crate::error::{Error, Kind, Result};

/// How deep a document may nest. Far less than what could exhaust a stack.
pub const DEPTH_MAX: usize = 64;

/// What a delta may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Operations of one patch.
    pub operations_max: usize,
    /// Bytes that all operations may write, and that `data` may have.
    pub bytes_max: usize,
}

/// A change, read and not yet applied.
#[derive(Clone, Debug)]
pub enum Delta {
    /// JSON Patch, on `{"messages": […], "data": {…}}`.
    Patch(Patch),
    /// JSON Merge Patch, on `data`.
    Merge(Value),
}

impl Delta {
    /// Reads a JSON Patch.
    ///
    /// # Errors
    /// `DeltaRefused` where it is none, or has too many operations.
    pub fn patch(text: &[u8], bounds: Bounds) -> Result<Self> {
        let patch: Patch = serde_json::from_slice(text)
            .map_err(|error| refused(format!("it is no JSON Patch (RFC 6902): {error}")))?;
        if patch.0.len() > bounds.operations_max {
            return Err(refused(format!("it has more than {} operations", bounds.operations_max)));
        }
        Ok(Self::Patch(patch))
    }

    /// Reads a JSON Merge Patch.
    ///
    /// # Errors
    /// `DeltaRefused` where it is no JSON.
    pub fn merge(text: &[u8]) -> Result<Self> {
        let value = serde_json::from_slice(text)
            .map_err(|error| refused(format!("it is no JSON Merge Patch (RFC 7396): {error}")))?;
        Ok(Self::Merge(value))
    }

    /// The changed document. Messages are parsed only where the delta may touch them, and one that
    /// is the same afterwards keeps its text, so that prompts do not change for nothing.
    ///
    /// # Errors
    /// `DeltaRefused` where it cannot be applied, writes too much, or leaves no document.
    pub fn apply(&self, document: &Document, bounds: Bounds) -> Result<Change> {
        let data = parse(&document.data)?;
        let patch = match self {
            Self::Merge(patch) => return merged(data, patch, bounds).map(Change::Data),
            Self::Patch(patch) => patch,
        };
        let touches_messages = patch.0.iter().any(|operation| !is_on_data(operation));
        let known = if touches_messages { known(&document.messages)? } else { HashMap::new() };
        let messages = if touches_messages { values(&document.messages)? } else { Vec::new() };
        let mut root = Map::new();
        root.insert("data".into(), data);
        root.insert("messages".into(), Value::Array(messages));
        let mut root = Value::Object(root);
        patched(&mut root, patch, bounds)?;
        let (messages, data) = parts(root)?;
        let data = rendered(&data, bounds)?;
        if !touches_messages {
            return Ok(Change::Data(data));
        }
        let messages: Result<Vec<_>> =
            messages.iter().map(|message| restored(message, &known)).collect();
        Ok(Change::Whole(Document { messages: messages?, data }))
    }
}

/// Reads the `data` of a context that is made: as it is said, with the nulls that a merge would take
/// away.
///
/// # Errors
/// `DeltaRefused` where it is no object, too large or too deep.
pub fn data(text: &str, bounds: Bounds) -> Result<Arc<str>> {
    let data = parse(text)?;
    check_depth(&data)?;
    rendered(&data, bounds)
}

/// What a delta changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only `data`, to this JSON object.
    Data(Arc<str>),
    /// Everything.
    Whole(Document),
}

fn patched(root: &mut Value, patch: &Patch, bounds: Bounds) -> Result<()> {
    let mut written = 0;
    for (index, operation) in patch.0.iter().enumerate() {
        let at = |why: String| refused(format!("operation {index}: {why}"));
        let cost = cost(root, operation).map_err(at)?;
        written += cost;
        if written > bounds.bytes_max {
            return Err(at(format!("the patch writes more than {} bytes", bounds.bytes_max)));
        }
        json_patch::patch(root, std::slice::from_ref(operation))
            .map_err(|error| at(error.kind.to_string()))?;
    }
    Ok(())
}

/// What an operation writes, in bytes, once it is known not to nest too deeply.
fn cost(root: &Value, operation: &PatchOperation) -> std::result::Result<usize, String> {
    let read = |from: &json_patch::jsonptr::PointerBuf| from.resolve(root).ok();
    let value = match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Copy(copy) => read(&copy.from),
        PatchOperation::Move(moved) => read(&moved.from),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    };
    let Some(value) = value else { return Ok(0) };
    let (size, depth) = measure(value);
    if operation.path().count() + depth > DEPTH_MAX {
        return Err(format!("it nests deeper than {DEPTH_MAX} levels"));
    }
    Ok(size)
}

/// A value's size in bytes, about as JSON, and its depth. Parsed JSON and all that is made of it
/// under [`DEPTH_MAX`] is shallow enough for recursion.
fn measure(value: &Value) -> (usize, usize) {
    let join = |(size, depth): (usize, usize), (more, inner): (usize, usize)| {
        (size + more + 1, depth.max(inner + 1))
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => (8, 0),
        Value::String(text) => (text.len() + 2, 0),
        Value::Array(items) => items.iter().map(measure).fold((2, 1), join),
        Value::Object(members) => {
            let names: usize = members.keys().map(|name| name.len() + 3).sum();
            members.values().map(measure).fold((2 + names, 1), join)
        }
    }
}

fn merged(mut data: Value, patch: &Value, bounds: Bounds) -> Result<Arc<str>> {
    check_depth(patch)?;
    json_patch::merge(&mut data, patch);
    rendered(&data, bounds)
}

fn check_depth(value: &Value) -> Result<()> {
    match measure(value).1 > DEPTH_MAX {
        true => Err(refused(format!("it nests deeper than {DEPTH_MAX} levels"))),
        false => Ok(()),
    }
}

/// `data` as text.
fn rendered(data: &Value, bounds: Bounds) -> Result<Arc<str>> {
    if !data.is_object() {
        return Err(refused("`data` must stay a JSON object"));
    }
    let text = data.to_string();
    if text.len() > bounds.bytes_max {
        return Err(refused(format!("`data` would have more than {} bytes", bounds.bytes_max)));
    }
    Ok(text.into())
}

/// The two members that a document must have, and nothing else.
fn parts(root: Value) -> Result<(Vec<Value>, Value)> {
    let Value::Object(mut members) = root else {
        return Err(refused("the document must stay a JSON object"));
    };
    let messages = members.remove("messages").unwrap_or(Value::Array(Vec::new()));
    let data = members.remove("data").unwrap_or(Value::Object(Map::new()));
    if let Some(name) = members.keys().next() {
        let name = crate::error::excerpt(name);
        return Err(refused(format!("a document has `messages` and `data`, and no `{name}`")));
    }
    match messages {
        Value::Array(messages) => Ok((messages, data)),
        _ => Err(refused("`messages` must stay an array")),
    }
}

/// Whether an operation keeps to `/data`.
fn is_on_data(operation: &PatchOperation) -> bool {
    let on_data = |pointer: &json_patch::jsonptr::Pointer| {
        pointer.as_str() == "/data" || pointer.as_str().starts_with("/data/")
    };
    let from = match operation {
        PatchOperation::Copy(copy) => Some(&copy.from),
        PatchOperation::Move(moved) => Some(&moved.from),
        _ => None,
    };
    on_data(operation.path()) && from.is_none_or(|from| on_data(from))
}

fn values(messages: &[Message]) -> Result<Vec<Value>> {
    messages.iter().map(value).collect()
}

/// A message as a client sees it.
fn value(message: &Message) -> Result<Value> {
    let mut text = String::new();
    message.write_public(&mut text);
    parse(&text)
}

/// Messages by what they say, whatever the order of their members.
fn known(messages: &[Message]) -> Result<HashMap<String, &Message>> {
    messages.iter().map(|message| Ok((value(message)?.to_string(), message))).collect()
}

fn restored(value: &Value, known: &HashMap<String, &Message>) -> Result<Message> {
    let text = value.to_string();
    match known.get(&text) {
        Some(message) => Ok((*message).clone()),
        None => Message::read(&text).map_err(|error| refused(error.public.trim_end_matches('.'))),
    }
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| refused(format!("the document: {error}")))
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::new(Kind::DeltaRefused, format!("The delta cannot be applied: {why}."))
        .param("context.delta")
}

#[cfg(test)]
mod tests;
