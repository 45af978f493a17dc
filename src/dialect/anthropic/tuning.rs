//! How an Anthropic model may be told to think and to choose tokens: it depends on the model, and each on the other.

use super::wire::Thinking;
use crate::dialect::ir::loss::{Fate, Feature, Losses};
use crate::dialect::ir::model::{anthropic_takes_sampling, anthropic_thinks_by_budget};
use crate::dialect::ir::settings::{Effort, Sampling};
use crate::dialect::ir::wire::Text;
use crate::dialect::ir::{Dialect, PartKind, Request, Role, Target, ToolChoice};

/// The limit of an answer whose client gave none; Anthropic requires one, and every model takes this.
const MAX_TOKENS: u64 = 4096;

/// The least budget of thinking that Anthropic takes.
const BUDGET_MIN: u64 = 1024;

/// The members of a request that go together.
#[derive(Debug)]
pub struct Tuning {
    pub thinking: Option<Thinking<'static>>,
    pub effort: Option<Text<'static>>,
    pub max_tokens: u64,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
}

impl Tuning {
    /// What the model takes of a request. The rest is noted.
    pub fn of(request: &Request<'_>, target: Target<'_>, losses: &mut Losses) -> Tuning {
        note_foreign(&request.sampling, losses);
        let (thinking, effort) = thinking(request, target, losses);
        let budget = thinking.as_ref().and_then(|thinking| thinking.budget_tokens).unwrap_or(0);
        let max_tokens = match request.sampling.max_tokens {
            Some(max) if max > budget => max,
            // The budget counts into the limit, which must be higher.
            Some(max) => max.saturating_add(budget),
            None => budget.saturating_add(MAX_TOKENS),
        };
        let sampling = &request.sampling;
        let takes_sampling = anthropic_takes_sampling(target.model);
        // A model that thinks chooses by itself.
        let free = takes_sampling && thinking.is_none();
        // Anthropic's advice, and since Claude 4.1 its rule: a temperature or a `top_p`, not both.
        let takes_top_p = takes_sampling && !(free && sampling.temperature.is_some());
        Tuning {
            thinking,
            effort: effort.map(Text::from),
            max_tokens,
            temperature: temperature(sampling, free, losses),
            top_p: taken(sampling.top_p, takes_top_p, Feature::TopP, losses),
            top_k: taken(sampling.top_k, free, Feature::TopK, losses),
        }
    }
}

/// Notes what neither Anthropic nor Bedrock has a word for.
pub fn note_foreign(sampling: &Sampling<'_>, losses: &mut Losses) {
    let lost = [
        (sampling.frequency_penalty.is_some_and(|degree| degree != 0.0), Feature::FrequencyPenalty),
        (sampling.presence_penalty.is_some_and(|degree| degree != 0.0), Feature::PresencePenalty),
        (sampling.seed.is_some(), Feature::Seed),
        (sampling.n.is_some_and(|n| n > 1), Feature::SeveralAnswers),
        (sampling.logprobs.is_some(), Feature::Logprobs),
    ];
    for (_, feature) in lost.into_iter().filter(|(present, _)| *present) {
        losses.feature(feature);
    }
}

fn taken<T>(value: Option<T>, takes: bool, feature: Feature, losses: &mut Losses) -> Option<T> {
    if value.is_some() && !takes {
        losses.feature(feature);
    }
    value.filter(|_| takes)
}

/// At most 1; only 1 where the model is not free to take another.
fn temperature(sampling: &Sampling<'_>, free: bool, losses: &mut Losses) -> Option<f64> {
    let degree = sampling.temperature?;
    if !free && degree < 1.0 {
        losses.feature(Feature::Temperature);
        return None;
    }
    if degree > 1.0 {
        losses.feature_with(Feature::Temperature, Fate::Changed);
    }
    Some(degree.min(1.0))
}

/// Older models think by a budget, newer ones by an effort.
fn thinking(
    request: &Request<'_>,
    target: Target<'_>,
    losses: &mut Losses,
) -> (Option<Thinking<'static>>, Option<&'static str>) {
    let reasoning = request.reasoning;
    if reasoning.enabled != Some(true) {
        return (None, None);
    }
    if forbids_thinking(request, target) {
        losses.feature(Feature::ThinkingBesideCalls);
        return (None, None);
    }
    if anthropic_thinks_by_budget(target.model) {
        let asked = reasoning.budget.or(reasoning.effort.map(Effort::budget));
        let budget = asked.unwrap_or(Effort::Medium.budget()).max(BUDGET_MIN);
        let kind = Text::from("enabled");
        return (Some(Thinking { r#type: kind, budget_tokens: Some(budget), display: None }), None);
    }
    let effort = reasoning.effort.or(reasoning.budget.map(Effort::of_budget));
    let effort = effort.map(|effort| match effort {
        Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
        Effort::Max => "max",
    });
    // These models keep their thoughts to themselves unless told otherwise.
    let display = Some(Text::from("summarized"));
    (Some(Thinking { r#type: Text::from("adaptive"), budget_tokens: None, display }), effort)
}

/// Anthropic does not think where a call is forced, and its older models only go on thinking if the
/// thought before the last call is there ("Extended thinking with tool use").
fn forbids_thinking(request: &Request<'_>, target: Target<'_>) -> bool {
    let forced = matches!(
        request.tool_choice,
        Some(
            ToolChoice::Required
                | ToolChoice::Function(_)
                | ToolChoice::Allowed { required: true, .. }
        )
    );
    let last = request.messages.iter().rfind(|message| message.role == Role::Assistant);
    let has = |wanted: fn(&PartKind<'_>) -> bool| {
        last.is_some_and(|last| last.content.iter().any(|part| wanted(&part.kind)))
    };
    let calls = has(|kind| matches!(kind, PartKind::Call(_)));
    let thought = has(|kind| match kind {
        PartKind::Redacted(_) => true,
        PartKind::Thinking { signature: Some(signature), .. } => {
            signature.origin == Dialect::Anthropic
        }
        _ => false,
    });
    forced || (calls && !thought && anthropic_thinks_by_budget(target.model))
}
