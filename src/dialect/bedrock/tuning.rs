//! How a model of Bedrock may be told to think and to choose tokens: Converse has a few settings for all models,
//! and the rest goes to each maker under its own names (`additionalModelRequestFields`).

use super::wire::{Effort, InferenceConfig, ModelFields, ReasoningConfig, TopK};
use crate::dialect::anthropic::tuning::{self, note_foreign};
use crate::dialect::ir::loss::{Fate, Feature, Losses};
use crate::dialect::ir::model::Maker;
use crate::dialect::ir::settings::{self, Sampling};
use crate::dialect::ir::wire::Text;
use crate::dialect::ir::{Request, Target};

/// The members of a request that go together.
#[derive(Debug)]
pub struct Tuning<'a> {
    pub config: InferenceConfig<'a>,
    pub fields: Option<ModelFields>,
    pub response_fields: &'static [&'static str],
}

impl<'a> Tuning<'a> {
    /// What the model takes of a request. The rest is noted.
    pub fn of(
        request: &'a Request<'a>,
        target: Target<'_>,
        maker: Maker,
        losses: &mut Losses,
    ) -> Tuning<'a> {
        let stop_sequences: Vec<_> = request.sampling.stop.iter().map(Text::view).collect();
        if maker == Maker::Claude {
            return claude(request, target, stop_sequences, losses);
        }
        let sampling = &request.sampling;
        note_foreign(sampling, losses);
        let config = InferenceConfig {
            max_tokens: sampling.max_tokens,
            temperature: temperature(sampling, losses),
            top_p: sampling.top_p,
            stop_sequences,
        };
        Tuning { config, fields: fields(request, maker, losses), response_fields: &[] }
    }
}

/// Claude is told what it would be told by Anthropic, under Anthropic's names.
fn claude<'a>(
    request: &Request<'_>,
    target: Target<'_>,
    stop_sequences: Vec<Text<'a>>,
    losses: &mut Losses,
) -> Tuning<'a> {
    let tuning::Tuning { thinking, effort, max_tokens, temperature, top_p, top_k } =
        tuning::Tuning::of(request, target, losses);
    let any = thinking.is_some() || effort.is_some() || top_k.is_some();
    let fields = ModelFields {
        thinking,
        output_config: effort.map(|effort| Effort { effort }),
        top_k,
        ..ModelFields::default()
    };
    Tuning {
        // Converse does not tell which sequence it was; Claude does, if asked.
        response_fields: if stop_sequences.is_empty() { &[] } else { &["/stop_sequence"] },
        config: InferenceConfig {
            max_tokens: Some(max_tokens),
            temperature,
            top_p,
            stop_sequences,
        },
        fields: any.then_some(fields),
    }
}

/// At most 1 for every model (API reference, "InferenceConfiguration").
fn temperature(sampling: &Sampling<'_>, losses: &mut Losses) -> Option<f64> {
    let degree = sampling.temperature?;
    if degree > 1.0 {
        losses.feature_with(Feature::Temperature, Fate::Changed);
    }
    Some(degree.min(1.0))
}

fn fields(request: &Request<'_>, maker: Maker, losses: &mut Losses) -> Option<ModelFields> {
    let mut fields = ModelFields::default();
    let mut any = false;
    if let Some(top_k) = request.sampling.top_k {
        match maker {
            Maker::Nova { .. } => {
                fields.inference_config = Some(TopK { top_k });
                any = true;
            }
            Maker::Claude | Maker::GptOss | Maker::Other => losses.feature(Feature::TopK),
        }
    }
    if request.reasoning.enabled == Some(true) {
        let effort = effort(request.reasoning);
        match maker {
            Maker::Nova { thinks: true } => {
                let max_reasoning_effort = effort;
                fields.reasoning_config =
                    Some(ReasoningConfig { r#type: "enabled", max_reasoning_effort });
                any = true;
            }
            Maker::GptOss => {
                fields.reasoning_effort = Some(effort);
                any = true;
            }
            Maker::Claude | Maker::Nova { .. } | Maker::Other => losses.feature(Feature::Reasoning),
        }
    }
    any.then_some(fields)
}

/// Three degrees are what these makers know.
fn effort(reasoning: settings::Reasoning) -> &'static str {
    let asked = reasoning.effort.or(reasoning.budget.map(settings::Effort::of_budget));
    match asked {
        Some(settings::Effort::Minimal | settings::Effort::Low) => "low",
        None | Some(settings::Effort::Medium) => "medium",
        Some(settings::Effort::High | settings::Effort::XHigh | settings::Effort::Max) => "high",
    }
}
