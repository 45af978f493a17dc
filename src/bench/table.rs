//! The report as text for a terminal.

use std::fmt;

use super::figures::{Figures, Range, Report, Spread, Step};

/// Width of the first column.
const LABEL: usize = 18;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = &self.load;
        write!(f, "{} at {}: {}", load.kinds.join(" + "), load.url, load.pace)?;
        if let Some(bytes) = load.body_bytes {
            write!(f, ", {bytes} bytes")?;
        }
        write!(f, ", {} connections", load.connections)?;
        if load.streams > 1 {
            write!(f, " of {} requests at once", load.streams)?;
        }
        writeln!(f, ", HTTP/{}, {} rounds", load.http, load.rounds)?;
        for step in &self.steps {
            writeln!(f)?;
            step.fmt(f)?;
        }
        if self.interrupted {
            writeln!(f, "\nInterrupted: the figures are those up to then.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rate) = self.rate_asked {
            writeln!(f, "asked for {rate} requests a second")?;
        }
        self.through.fmt(f)?;
        if let Some(direct) = &self.direct {
            writeln!(f, "direct")?;
            direct.fmt(f)?;
        }
        if let Some(added) = &self.added {
            writeln!(f, "added latency, median of the rounds (lowest to highest)")?;
            writeln!(f, "  {:LABEL$}{}", "p50", added.p50_us)?;
            writeln!(f, "  {:LABEL$}{}", "p99", added.p99_us)?;
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = |count: f64| if self.seconds > 0.0 { count / self.seconds } else { 0.0 };
        writeln!(
            f,
            "  {:LABEL$}{} in {:.2} s, {:.1} a second, {:.2} MB a second",
            "answered",
            self.answered,
            self.seconds,
            self.rate,
            per_second(self.body_bytes as f64 / 1e6),
        )?;
        writeln!(f, "  {:LABEL$}{}", "failed", self.failed)?;
        for (name, count) in &self.errors {
            writeln!(f, "    {name:16}{count}")?;
        }
        if let Some(error) = &self.first_error {
            writeln!(f, "    {:16}{error}", "the first")?;
        }
        write!(f, "  {:LABEL$}", "")?;
        for name in ["mean", "p50", "p90", "p99", "p99.9", "max"] {
            write!(f, "{name:>10}")?;
        }
        writeln!(f)?;
        row(f, "latency", &self.latency_us)?;
        if let Some(spread) = &self.first_token_us {
            row(f, "first token", spread)?;
        }
        if let Some(spread) = &self.between_tokens_us {
            row(f, "between tokens", spread)?;
        }
        row(f, "sent late by", &self.send_delay_us)?;
        if self.kinds.len() > 1 {
            for kind in &self.kinds {
                row(f, &format!("{} × {}", kind.name, kind.answered), &kind.latency_us)?;
            }
        }
        if let Some(process) = &self.process {
            writeln!(
                f,
                "  {:LABEL$}{:.1} µs of CPU a request, {:.1} MiB, {} descriptors",
                "process",
                process.cpu_us_per_request,
                process.resident_bytes as f64 / f64::from(1 << 20),
                process.descriptors,
            )?;
        }
        writeln!(
            f,
            "  {:LABEL$}{:.1} µs of CPU a request, {} connections made",
            "generator", self.generator_cpu_us_per_request, self.connections_made,
        )
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = self;
        write!(f, "{median:+.1} µs ({min:+.1} to {max:+.1})")
    }
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, spread: &Spread) -> fmt::Result {
    write!(f, "  {label:LABEL$}")?;
    let Spread { count: _, mean, p50, p90, p99, p99_9, max } = *spread;
    for microseconds in [mean, p50, p90, p99, p99_9, max] {
        write!(f, "{:>10}", duration(microseconds))?;
    }
    writeln!(f)
}

/// A duration in the unit that suits it.
pub(super) fn duration(microseconds: f64) -> String {
    match microseconds {
        ..1000.0 => format!("{microseconds:.1} µs"),
        1000.0..1_000_000.0 => format!("{:.2} ms", microseconds / 1e3),
        _ => format!("{:.2} s", microseconds / 1e6),
    }
}
