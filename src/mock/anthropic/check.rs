//! Whether Anthropic would take a message at all: the rules that a translation could break.
//!
//! Source: Anthropic's guides, "Tool use", "Extended thinking" and "Vision"; API reference, "Create a
//! message".

use super::request::{Block, Body, Source};
use crate::mock::ask::{check_results, is_name};
use crate::mock::refusal::Refusal;

/// The least that a model may be told to think, in tokens.
const BUDGET_MIN: usize = 1024;

/// Refuses what Anthropic refuses.
pub(super) fn check(body: &Body<'_>) -> Result<(), Refusal> {
    let mut before: Vec<Block<'_>> = Vec::new();
    for message in body.messages()? {
        if !matches!(&*message.role, "user" | "assistant") {
            let wrong = format!("'role' must be user or assistant, not {}.", message.role);
            return Err(Refusal::bad(wrong).param("messages"));
        }
        let blocks = message.blocks()?;
        blocks.iter().try_for_each(check_block)?;
        check_results(&calls(&before), &results(&blocks))?;
        before = blocks;
    }
    check_results(&calls(&before), &[])?;
    check_tuning(body)
}

fn check_block(block: &Block<'_>) -> Result<(), Refusal> {
    let kind = &*block.r#type;
    let is_right = match kind {
        "image" | "document" => block.source.as_ref().is_some_and(is_whole),
        "text" => block.text.as_deref().is_some_and(|text| !text.is_empty()),
        "tool_use" => block.id.as_deref().is_some_and(is_name) && block.name.is_some(),
        "tool_result" => block.tool_use_id.as_deref().is_some_and(is_name),
        "thinking" => block.signature.is_some(),
        _ => true,
    };
    let wrong = || Refusal::bad(format!("A block of type '{kind}' is not what it should be."));
    is_right.then_some(()).ok_or_else(|| wrong().param("messages"))
}

fn is_whole(source: &Source<'_>) -> bool {
    match &*source.r#type {
        "base64" | "text" => source.media_type.is_some() && source.data.is_some(),
        "url" => source.url.is_some(),
        _ => true,
    }
}

fn calls<'b>(blocks: &'b [Block<'_>]) -> Vec<&'b str> {
    blocks.iter().filter_map(|block| block.id.as_deref()).collect()
}

fn results<'b>(blocks: &'b [Block<'_>]) -> Vec<&'b str> {
    blocks.iter().filter_map(|block| block.tool_use_id.as_deref()).collect()
}

fn check_tuning(body: &Body<'_>) -> Result<(), Refusal> {
    if body.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(Refusal::bad("'temperature' must be from 0 to 1.").param("temperature"));
    }
    let Some(budget) = body.thinking_budget() else { return Ok(()) };
    check_budget(budget, body.max_tokens)?;
    if body.forces_a_call() {
        let wrong = "Thinking and a 'tool_choice' that forces a call exclude each other.";
        return Err(Refusal::bad(wrong).param("tool_choice"));
    }
    if body.temperature.is_some_and(|temperature| temperature < 1.0) {
        let wrong = "'temperature' may only be 1 where the model thinks.";
        return Err(Refusal::bad(wrong).param("temperature"));
    }
    Ok(())
}

/// Whether Claude may think this much, where its answer may have so many tokens.
pub(crate) fn check_budget(budget: usize, tokens_max: Option<usize>) -> Result<(), Refusal> {
    if (BUDGET_MIN..tokens_max.unwrap_or(usize::MAX)).contains(&budget) {
        return Ok(());
    }
    let wrong =
        format!("'budget_tokens' must be from {BUDGET_MIN} to below what the answer may have.");
    Err(Refusal::bad(wrong).param("thinking"))
}
