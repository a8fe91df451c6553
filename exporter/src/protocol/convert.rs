//! From what the crate `prometheus` gathers to what goes over the wire.

use prometheus::proto;

use super::metrics::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType, Value};

/// The families of a registry. Summaries have no place here: the crate has none.
pub fn families(gathered: &[proto::MetricFamily]) -> Vec<MetricFamily> {
    gathered.iter().map(family).collect()
}

fn family(family: &proto::MetricFamily) -> MetricFamily {
    let kind = match family.get_field_type() {
        proto::MetricType::COUNTER => MetricType::Counter,
        proto::MetricType::HISTOGRAM => MetricType::Histogram,
        proto::MetricType::GAUGE | proto::MetricType::SUMMARY | proto::MetricType::UNTYPED => {
            MetricType::Gauge
        }
    };
    MetricFamily {
        name: family.name().to_owned(),
        help: family.help().to_owned(),
        r#type: kind.into(),
        metric: family.get_metric().iter().map(|series| metric(kind, series)).collect(),
    }
}

fn metric(kind: MetricType, series: &proto::Metric) -> Metric {
    let label = series.get_label().iter();
    let label =
        label.map(|label| LabelPair { name: label.name().to_owned(), value: label.value().to_owned() });
    let mut metric = Metric { label: label.collect(), ..Metric::default() };
    match kind {
        MetricType::Counter => metric.counter = Some(Value { value: series.get_counter().get_value() }),
        MetricType::Histogram => metric.histogram = Some(histogram(series.get_histogram())),
        MetricType::Gauge | MetricType::Summary | MetricType::Untyped => {
            metric.gauge = Some(Value { value: series.get_gauge().get_value() });
        }
    }
    metric
}

fn histogram(histogram: &proto::Histogram) -> Histogram {
    let bucket = |bucket: &proto::Bucket| Bucket {
        cumulative_count: bucket.cumulative_count(),
        upper_bound: bucket.upper_bound(),
    };
    Histogram {
        sample_count: histogram.get_sample_count(),
        sample_sum: histogram.get_sample_sum(),
        bucket: histogram.get_bucket().iter().map(bucket).collect(),
    }
}
