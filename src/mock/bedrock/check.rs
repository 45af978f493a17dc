//! Whether Bedrock would take a request at all: the rules that a translation could break.
//!
//! Source: Amazon Bedrock API reference, "Converse" and the blocks of its messages; user guide, "Inference request
//! parameters" of Claude.

use super::request::{Block, Body, Media, Reasoning, Source};
use crate::mock::anthropic::check_budget;
use crate::mock::ask::{check_results, is_name};
use crate::mock::refusal::Refusal;

/// The longest id of a call, in characters.
const ID_CHARS_MAX: usize = 64;

/// Refuses what Bedrock refuses.
pub(super) fn check(body: &Body<'_>) -> Result<(), Refusal> {
    check_blocks(&body.system, "system")?;
    let messages = body.messages()?;
    let roles = ["user", "assistant"].into_iter().cycle();
    let (mut called, mut any) = (Vec::new(), false);
    for (message, role) in messages.iter().zip(roles) {
        if message.role != role {
            let wrong = "Messages begin with the user's and alternate with the assistant's.";
            return Err(Refusal::bad(wrong).param("messages"));
        }
        if message.content.is_empty() {
            return Err(Refusal::bad("The content of a message is empty.").param("messages"));
        }
        check_blocks(&message.content, "messages")?;
        let results = message.results();
        check_results(&called, &results)?;
        called = message.calls();
        any |= !called.is_empty();
    }
    check_results(&called, &[])?;
    if any && body.tool_config.is_none() {
        let wrong = "The toolConfig field must be defined where toolUse and toolResult blocks are.";
        return Err(Refusal::bad(wrong).param("toolConfig"));
    }
    check_tuning(body)
}

fn check_blocks(blocks: &[Block<'_>], member: &'static str) -> Result<(), Refusal> {
    let wrong =
        |what: &str| Err(Refusal::bad(format!("{what} is not what it should be.")).param(member));
    for block in blocks {
        match block {
            Block::Text(text) if text.trim().is_empty() => return wrong("A blank text"),
            Block::Image(media) | Block::Audio(media) | Block::Video(media) if !is_whole(media) => {
                return wrong("A medium");
            }
            Block::Document(document) if !is_whole(document) || !is_named(document) => {
                return wrong("A document");
            }
            Block::ToolUse(call)
                if !is_id(&call.tool_use_id)
                    || !is_name(&call.name)
                    || !call.input.get().starts_with('{') =>
            {
                return wrong("A toolUse block");
            }
            Block::ToolResult(result) if !is_id(&result.tool_use_id) => {
                return wrong("A toolResult block");
            }
            Block::ToolResult(result) => check_blocks(&result.content, member)?,
            Block::ReasoningContent(Reasoning::ReasoningText(thought))
                if thought.signature.is_none() =>
            {
                return wrong("A thought without its signature");
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_id(id: &str) -> bool {
    is_name(id) && id.len() <= ID_CHARS_MAX
}

fn is_whole(media: &Media<'_>) -> bool {
    let is_format = media.format.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let has_bytes = match &media.source {
        Source::Bytes(bytes) => !bytes.is_empty() && !bytes.starts_with("data:"),
        Source::Text(_) | Source::S3Location(_) => true,
    };
    is_format && !media.format.is_empty() && has_bytes
}

/// Letters, digits, single spaces, hyphens, parentheses and brackets are all that a document's name may hold.
fn is_named(document: &Media<'_>) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b" -()[]".contains(&byte);
    let name = document.name.as_deref().unwrap_or_default();
    !name.is_empty() && name.bytes().all(may) && !name.contains("  ")
}

fn check_tuning(body: &Body<'_>) -> Result<(), Refusal> {
    let config = &body.inference_config;
    if config.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(Refusal::bad("'temperature' must be from 0 to 1.").param("inferenceConfig"));
    }
    if body.tool_config.as_ref().is_some_and(|config| config.specs().next().is_none()) {
        return Err(Refusal::bad("'tools' must not be empty.").param("toolConfig"));
    }
    match body.additional_model_request_fields.thinking_budget() {
        Some(budget) => check_budget(budget, config.max_tokens),
        None => Ok(()),
    }
}
