//! The figures of a bench as data: what `--json` writes and what the table is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::leg::Outcome;
use super::tally::{Durations, Tally};

/// Everything that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) tollgate: &'static str,
    pub(super) load: Description,
    /// One for each rate, or a single one.
    pub(super) steps: Vec<Step>,
    /// It was ended by hand: what follows is missing.
    pub(super) interrupted: bool,
}

/// The load in the words of the command line.
#[derive(Serialize)]
pub(super) struct Description {
    pub(super) url: String,
    pub(super) direct: Option<String>,
    pub(super) kinds: Vec<String>,
    pub(super) pace: &'static str,
    pub(super) body_bytes: Option<usize>,
    pub(super) connections: u16,
    pub(super) streams: u16,
    pub(super) threads: u16,
    pub(super) http: &'static str,
    pub(super) rounds: u32,
}

/// The load at one rate.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) rate_asked: Option<f64>,
    pub(super) through: Figures,
    pub(super) direct: Option<Figures>,
    pub(super) added: Option<Added>,
}

/// What all rounds against one server measured together. Durations are in microseconds.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    pub(super) rate: f64,
    pub(super) body_bytes: u64,
    pub(super) connections_made: u64,
    pub(super) errors: BTreeMap<&'static str, u64>,
    pub(super) first_error: Option<String>,
    pub(super) latency_us: Spread,
    pub(super) first_token_us: Option<Spread>,
    pub(super) between_tokens_us: Option<Spread>,
    pub(super) send_delay_us: Spread,
    pub(super) kinds: Vec<KindFigures>,
    pub(super) process: Option<ProcessFigures>,
    pub(super) generator_cpu_us_per_request: f64,
}

/// One kind of request of a mix.
#[derive(Serialize)]
pub(super) struct KindFigures {
    pub(super) name: String,
    pub(super) answered: u64,
    pub(super) latency_us: Spread,
}

/// The watched processes together.
#[derive(Serialize)]
pub(super) struct ProcessFigures {
    pub(super) cpu_us_per_request: f64,
    /// The most that was seen.
    pub(super) resident_bytes: u64,
    /// The most that were seen.
    pub(super) descriptors: u64,
}

/// How durations are spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

/// The latency through the server above the latency direct, in microseconds, round by round.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Added {
    pub(super) p50_us: Range,
    pub(super) p99_us: Range,
}

/// A median with the lowest and the highest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Range {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Figures {
    /// Of all rounds; `names` are those of the kinds of requests. `None` without a round.
    pub(super) fn of(rounds: Vec<Outcome>, names: &[String]) -> Option<Self> {
        let mut rounds = rounds.into_iter();
        let mut all = rounds.next()?;
        for round in rounds {
            all.tally.merge(&round.tally);
            all.elapsed += round.elapsed;
            all.own_cpu += round.own_cpu;
            if let (Some(usage), Some(more)) = (&mut all.usage, round.usage) {
                usage.cpu += more.cpu;
                usage.resident_bytes = usage.resident_bytes.max(more.resident_bytes);
                usage.descriptors = usage.descriptors.max(more.descriptors);
            }
        }
        let tally = &all.tally;
        let requests = (tally.good() + tally.failures()).max(1) as f64;
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / requests;
        let seconds = all.elapsed.as_secs_f64();
        Some(Self {
            answered: tally.good(),
            failed: tally.failures(),
            seconds,
            rate: if seconds > 0.0 { tally.good() as f64 / seconds } else { 0.0 },
            body_bytes: tally.body_bytes,
            connections_made: tally.connections,
            errors: tally.faults().collect(),
            first_error: tally.first_fault.clone(),
            latency_us: Spread::of(&tally.latency),
            first_token_us: Spread::of_some(&tally.first_token),
            between_tokens_us: Spread::of_some(&tally.between_tokens),
            send_delay_us: Spread::of(&tally.send_delay),
            kinds: kinds(tally, names),
            process: all.usage.map(|usage| ProcessFigures {
                cpu_us_per_request: each(usage.cpu),
                resident_bytes: usage.resident_bytes,
                descriptors: usage.descriptors,
            }),
            generator_cpu_us_per_request: each(all.own_cpu),
        })
    }
}

impl Added {
    /// Of rounds that were run in pairs; `None` without a whole pair.
    pub(super) fn of(through: &[Outcome], direct: &[Outcome]) -> Option<Self> {
        let added = |share: f64| {
            let pairs = through.iter().zip(direct);
            let latency = |outcome: &Outcome| outcome.tally.latency.quantile(share);
            Range::of(pairs.map(|(through, direct)| latency(through) - latency(direct)).collect())
        };
        Some(Self { p50_us: added(0.5)?, p99_us: added(0.99)? })
    }
}

impl Range {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), min, max })
    }
}

impl Spread {
    fn of(durations: &Durations) -> Self {
        Self {
            count: durations.count(),
            mean: durations.mean(),
            p50: durations.quantile(0.5),
            p90: durations.quantile(0.9),
            p99: durations.quantile(0.99),
            p99_9: durations.quantile(0.999),
            max: durations.max(),
        }
    }

    fn of_some(durations: &Durations) -> Option<Self> {
        (durations.count() > 0).then(|| Self::of(durations))
    }
}

fn kinds(tally: &Tally, names: &[String]) -> Vec<KindFigures> {
    let figures = |(name, kind): (&String, &super::tally::Kind)| KindFigures {
        name: name.clone(),
        answered: kind.answered,
        latency_us: Spread::of(&kind.latency),
    };
    names.iter().zip(&tally.kinds).map(figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let check = |values: &[f64], median, min, max| {
            assert_eq!(Range::of(values.to_vec()), Some(Range { median, min, max }));
        };
        check(&[3.0, -1.0, 2.0], 2.0, -1.0, 3.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5, 1.0, 4.0);
        assert_eq!(Range::of(Vec::new()), None);
    }
}
