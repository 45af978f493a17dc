//! Metrics in Prometheus' text format, as a test asks about them.

/// One scrape.
pub struct Metrics {
    text: String,
    series: Vec<Series>,
}

struct Series {
    name: String,
    labels: Vec<String>,
    value: f64,
}

impl Metrics {
    /// Reads a scrape; panics on a line that is not of the format.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| series(line).unwrap_or_else(|| panic!("`{line}`"))).collect();
        Self { text: text.to_owned(), series }
    }

    /// The scrape as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many series there are.
    pub fn count(&self) -> usize {
        self.series.len()
    }

    /// The sum of all series with this name and at least these labels: `name{a="b",c="d"}`.
    pub fn sum(&self, selector: &str) -> f64 {
        self.matching(selector).map(|series| series.value).sum()
    }

    /// Whether any series has this name and at least these labels.
    pub fn has(&self, selector: &str) -> bool {
        self.matching(selector).next().is_some()
    }

    fn matching(&self, selector: &str) -> impl Iterator<Item = &Series> {
        let (name, labels) = split(selector).unwrap_or_else(|| panic!("selector `{selector}`"));
        self.series.iter().filter(move |series| {
            series.name == name && labels.iter().all(|label| series.labels.contains(label))
        })
    }
}

fn series(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = split(series)?;
    Some(Series { name, labels, value: value.parse().ok()? })
}

/// `name{a="b",c="d"}` → the name and `a="b`, `c="d`: enough to compare.
fn split(series: &str) -> Option<(String, Vec<String>)> {
    let Some((name, labels)) = series.split_once('{') else {
        return Some((series.to_owned(), Vec::new()));
    };
    let labels = labels.strip_suffix('}')?.split_terminator("\",").map(|label| label.trim());
    let labels = labels.map(|label| label.trim_end_matches('"').to_owned());
    Some((name.to_owned(), labels.collect()))
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_selector_sums_what_it_names() {
        let metrics = Metrics::parse(
            "# HELP a_total Things.\n# TYPE a_total counter\n\
             a_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4.5\na_total{x=\"\"} 8\nb 1e3\n",
        );
        let rows = [
            ("a_total", 15.5),
            ("a_total{x=\"1\"}", 7.5),
            ("a_total{y=\"3\",x=\"1\"}", 4.5),
            ("a_total{x=\"\"}", 8.0),
            ("b", 1000.0),
            ("c", 0.0),
        ];
        for (selector, expected) in rows {
            assert_eq!(metrics.sum(selector), expected, "{selector}");
        }
        assert!(!metrics.has("c") && metrics.has("b"));
    }
}
