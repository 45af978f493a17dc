//! A page of metric families, in the shape that the `prometheus` crate encodes.
//!
//! It knows the format and none of Tollgate's metrics.

use prometheus::proto;

use super::cells::Distribution;

/// Label names and values of one sample.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Families in the order in which they were added.
#[derive(Default)]
pub(super) struct Page {
    families: Vec<proto::MetricFamily>,
}

/// One family, while its samples are added.
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: proto::MetricType,
    metrics: Vec<proto::Metric>,
}

impl Page {
    /// Adds a family; one without samples is left out, for the format knows no empty ones.
    pub(super) fn add(&mut self, family: Family) {
        if family.metrics.is_empty() {
            return;
        }
        let mut added = proto::MetricFamily::default();
        added.set_name(family.name.to_owned());
        added.set_help(family.help.to_owned());
        added.set_field_type(family.kind);
        added.set_metric(family.metrics);
        self.families.push(added);
    }

    /// Adds families made elsewhere.
    pub(super) fn extend(&mut self, families: Vec<proto::MetricFamily>) {
        self.families.extend(families);
    }

    /// What was added.
    pub(super) fn into_families(self) -> Vec<proto::MetricFamily> {
        self.families
    }
}

impl Family {
    /// Numbers that only grow; `name` ends in `_total`.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: proto::MetricType::COUNTER, metrics: Vec::new() }
    }

    /// Numbers that go up and down.
    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: proto::MetricType::GAUGE, metrics: Vec::new() }
    }

    /// Distributions of durations; `name` ends in `_seconds`.
    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: proto::MetricType::HISTOGRAM, metrics: Vec::new() }
    }

    /// Adds a counter's or a gauge's sample.
    #[expect(clippy::cast_precision_loss, reason = "samples are doubles in Prometheus too")]
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: u64) {
        let mut metric = labelled(labels);
        if self.kind == proto::MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value as f64);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value as f64);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// Adds a sample unless it is zero: for labels of which most combinations never occur.
    pub(super) fn nonzero(&mut self, labels: Labels<'_>, value: u64) {
        if value > 0 {
            self.sample(labels, value);
        }
    }

    /// Adds a histogram's samples.
    pub(super) fn distribution(&mut self, labels: Labels<'_>, seen: Distribution) {
        let buckets = seen.cumulative.into_iter().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(seen.count);
        histogram.set_sample_sum(seen.seconds);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }
}

fn labelled(labels: Labels<'_>) -> proto::Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    proto::Metric::from_label(pairs.collect())
}
