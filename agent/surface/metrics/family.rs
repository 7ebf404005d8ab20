//! Families of samples, as the text encoder takes them.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram as Buckets, LabelPair, Metric, MetricFamily, MetricType};

use crate::{
    judge::{Histogram, Standing},
    snapshot::Snapshot,
};

/// The labels of one sample.
pub(super) type Labels = Vec<LabelPair>;

/// One label.
pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The labels that every sample of a dependency carries.
pub(super) fn labels_of(standing: &Standing) -> Labels {
    let plan = &standing.dependency;
    vec![label("dependency", &plan.name), label("backend", plan.backend), label("criticality", plan.criticality.as_str())]
}

/// One metric with all its samples.
pub(super) struct Family {
    family: MetricFamily,
    /// What tells samples of one dependency apart; empty where nothing does.
    by: &'static str,
}

impl Family {
    /// A value that goes up and down.
    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    /// A value that only grows.
    pub(super) fn counter(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    /// Values in buckets.
    pub(super) fn histogram(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self { family, by: "" }
    }

    /// With the names of the labels that its samples have beside those of the dependency.
    pub(super) fn by(self, by: &'static str) -> Self {
        Self { by, ..self }
    }

    /// Adds a sample.
    pub(super) fn add(&mut self, labels: Labels, value: f64) {
        let mut metric = Metric::from_label(labels);
        if self.family.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
    }

    /// Adds a histogram.
    pub(super) fn add_histogram(&mut self, labels: Labels, histogram: &Histogram) {
        let mut cumulated = 0;
        let buckets = Histogram::BOUNDS.iter().zip(histogram.buckets).map(|(bound, count)| {
            cumulated += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulated);
            bucket
        });
        let mut filled = Buckets::default();
        filled.set_bucket(buckets.collect());
        filled.set_sample_count(histogram.count);
        filled.set_sample_sum(histogram.sum.as_secs_f64());
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(filled);
        self.family.mut_metric().push(metric);
    }

    /// With the one sample of a metric that has no labels.
    pub(super) fn of(mut self, value: f64) -> Self {
        self.add(Vec::new(), value);
        self
    }

    /// With a sample per dependency that has one.
    pub(super) fn each(mut self, snapshot: &Snapshot, value: impl Fn(&Standing) -> Option<f64>) -> Self {
        for standing in &snapshot.standings {
            if let Some(value) = value(standing) {
                self.add(labels_of(standing), value);
            }
        }
        self
    }

    /// With samples per dependency, told apart by one more label.
    pub(super) fn each_by(
        mut self,
        snapshot: &Snapshot,
        name: &'static str,
        values: impl Fn(&Standing) -> Vec<(&'static str, f64)>,
    ) -> Self {
        for standing in &snapshot.standings {
            let labels = labels_of(standing);
            for (value, sample) in values(standing) {
                let mut labels = labels.clone();
                labels.push(label(name, value));
                self.add(labels, sample);
            }
        }
        self.by(name)
    }

    /// What is to be known of it without samples.
    pub(super) fn row(&self) -> MetricRow {
        MetricRow::of(&self.family, self.by)
    }

    /// The family as the encoder takes it.
    pub(super) fn done(self) -> MetricFamily {
        self.family
    }
}

/// One metric of the reference.
pub struct MetricRow {
    /// Its name.
    pub name: String,
    /// `gauge`, `counter` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels beside those of a dependency.
    pub labels: &'static str,
    /// What it says, with its unit.
    pub meaning: String,
}

impl MetricRow {
    pub(super) fn of(family: &MetricFamily, labels: &'static str) -> Self {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        Self { name: family.name().to_owned(), kind, labels, meaning: family.help().to_owned() }
    }
}

/// A count as a sample.
#[expect(clippy::cast_precision_loss, reason = "metrics are doubles by definition")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// A switch as a sample.
pub(super) fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// A time as a sample.
#[expect(clippy::cast_precision_loss, reason = "metrics are doubles by definition")]
pub(super) fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
