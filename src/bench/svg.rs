//! Latency against rate, as a picture that any browser shows: lines on a logarithmic scale.

use std::fmt::Write;

use super::figures::{Figures, Report, Spread, Step};
use super::table::duration;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
/// Room for the labels beside the plot: left, top, right, bottom.
const LEFT: f64 = 80.0;
const TOP: f64 = 50.0;
const RIGHT: f64 = 150.0;
const BOTTOM: f64 = 60.0;
/// About so many labels on the axis of rates.
const X_LABELS: f64 = 8.0;

/// A line of the picture.
struct Line {
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
    value: fn(&Spread) -> f64,
    side: fn(&Step) -> Option<&Figures>,
}

const LINES: [Line; 6] = [
    line("p50", "#1f77b4", "", |spread| spread.p50, through),
    line("p90", "#2ca02c", "", |spread| spread.p90, through),
    line("p99", "#ff7f0e", "", |spread| spread.p99, through),
    line("p99.9", "#d62728", "", |spread| spread.p99_9, through),
    line("direct p50", "#1f77b4", "5 4", |spread| spread.p50, direct),
    line("direct p99", "#ff7f0e", "5 4", |spread| spread.p99, direct),
];

/// From figures to places on the picture.
struct Scale {
    rate_max: f64,
    /// Powers of ten, in microseconds, between which all latencies lie.
    lowest: i32,
    highest: i32,
}

/// The picture of a report with rates.
pub(super) fn draw(report: &Report) -> String {
    let scale = Scale::of(&report.steps);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let title = format!("Latency against rate: {}", report.load.kinds.join(" + "));
    text(&mut svg, (LEFT, TOP - 20.0), "start", &title);
    axes(&mut svg, &scale);
    let mut place = TOP + 10.0;
    for line in &LINES {
        let points: Vec<(f64, f64)> =
            report.steps.iter().filter_map(|step| point(line, step, &scale)).collect();
        if !points.is_empty() {
            curve(&mut svg, line, &points);
            legend(&mut svg, line, place);
            place += 20.0;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

impl Scale {
    fn of(steps: &[Step]) -> Self {
        let rates = steps.iter().filter_map(|step| step.rate_asked);
        let latencies = || {
            let sides = |line: &'static Line| {
                let figures = steps.iter().filter_map(line.side);
                figures.map(|figures| (line.value)(&figures.latency_us))
            };
            LINES.iter().flat_map(sides).filter(|latency| *latency > 0.0)
        };
        // Nothing measured leaves an empty plot from 1 µs to 1 s.
        let lowest = latencies().reduce(f64::min).unwrap_or(1.0).log10().floor();
        let highest = latencies().reduce(f64::max).unwrap_or(1e6).log10().ceil();
        Self {
            rate_max: rates.fold(1.0, f64::max),
            lowest: lowest as i32,
            highest: (highest as i32).max(lowest as i32 + 1),
        }
    }

    fn x(&self, rate: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * rate / self.rate_max
    }

    fn y(&self, microseconds: f64) -> f64 {
        let decades = f64::from(self.highest - self.lowest);
        let share = (microseconds.max(1e-3).log10() - f64::from(self.lowest)) / decades;
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share.clamp(0.0, 1.0)
    }

    /// Rates to label: 1, 2 or 5 times a power of ten apart.
    fn rates(&self) -> impl Iterator<Item = f64> {
        let least = self.rate_max / X_LABELS;
        let power = 10_f64.powf(least.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = steps.into_iter().find(|step| *step >= least).unwrap_or(self.rate_max);
        let last = self.rate_max;
        (0..).map(move |n| f64::from(n) * step).take_while(move |rate| *rate <= last)
    }
}

const fn line(
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
    value: fn(&Spread) -> f64,
    side: fn(&Step) -> Option<&Figures>,
) -> Line {
    Line { name, colour, dashes, value, side }
}

fn through(step: &Step) -> Option<&Figures> {
    Some(&step.through)
}

fn direct(step: &Step) -> Option<&Figures> {
    step.direct.as_ref()
}

fn point(line: &Line, step: &Step, scale: &Scale) -> Option<(f64, f64)> {
    let spread = &(line.side)(step)?.latency_us;
    (spread.count > 0).then_some(())?;
    Some((scale.x(step.rate_asked?), scale.y((line.value)(spread))))
}

fn axes(svg: &mut String, scale: &Scale) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for decade in scale.lowest..=scale.highest {
        for factor in 1..10 {
            let latency = f64::from(factor) * 10_f64.powi(decade);
            if factor > 1 && decade == scale.highest {
                break;
            }
            let y = scale.y(latency);
            let colour = if factor == 1 { "#bbb" } else { "#eee" };
            stroke(svg, (LEFT, y), (right, y), colour);
            if matches!(factor, 1 | 2 | 5) {
                text(svg, (LEFT - 8.0, y + 4.0), "end", &label(latency));
            }
        }
    }
    for rate in scale.rates() {
        let x = scale.x(rate);
        stroke(svg, (x, TOP), (x, bottom), "#eee");
        text(svg, (x, bottom + 18.0), "middle", &rate.to_string());
    }
    stroke(svg, (LEFT, bottom), (right, bottom), "#000");
    stroke(svg, (LEFT, TOP), (LEFT, bottom), "#000");
    text(
        svg,
        (f64::midpoint(LEFT, right), bottom + 42.0),
        "middle",
        "requests a second, asked for",
    );
}

fn curve(svg: &mut String, line: &Line, points: &[(f64, f64)]) {
    let Line { colour, dashes, .. } = line;
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    // Writing into a string cannot fail.
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dashes}\"/>",
        path.join(" ")
    );
    for (x, y) in points {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}

fn legend(svg: &mut String, line: &Line, y: f64) {
    let x = WIDTH - RIGHT + 15.0;
    curve(svg, line, &[(x, y), (x + 25.0, y)]);
    text(svg, (x + 35.0, y + 4.0), "start", line.name);
}

fn stroke(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

/// A round duration: `200 µs`, not `200.0 µs`.
fn label(microseconds: f64) -> String {
    let text = duration(microseconds);
    match text.split_once(' ') {
        Some((number, unit)) => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_round() {
        assert_eq!([50.0, 1000.0, 20_000.0, 5e6].map(label), ["50 µs", "1 ms", "20 ms", "5 s"]);
    }

    #[test]
    fn rates_are_labelled_in_round_steps_up_to_the_highest() {
        let check = |rate_max, expected: &[f64]| {
            let scale = Scale { rate_max, lowest: 0, highest: 1 };
            assert_eq!(scale.rates().collect::<Vec<_>>(), expected);
        };
        check(1.0, &[0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        check(2400.0, &[0.0, 500.0, 1000.0, 1500.0, 2000.0]);
    }

    #[test]
    fn higher_latency_is_higher_up_within_the_plot() {
        let scale = Scale { rate_max: 100.0, lowest: 1, highest: 4 };
        assert_eq!((scale.y(10.0), scale.y(10_000.0)), (HEIGHT - BOTTOM, TOP));
        assert!(scale.y(200.0) < scale.y(100.0));
        assert_eq!((scale.x(0.0), scale.x(100.0)), (LEFT, WIDTH - RIGHT));
    }
}
