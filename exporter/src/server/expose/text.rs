//! Prometheus' text format 0.0.4 and `OpenMetrics` 1.0, which differ in their heads and their end.

use std::io::Write;

use super::Merged;
use crate::protocol::metrics::{Histogram, LabelPair, Metric, MetricType};
use crate::server::check::INSTANCE;

/// Bytes that a series takes about.
const SERIES: usize = 120;

pub(super) fn write(families: &[Merged<'_>], open_metrics: bool) -> Vec<u8> {
    let series: usize =
        families.iter().flat_map(|family| &family.parts).map(|(_, part)| part.metric.len()).sum();
    let mut out = Vec::with_capacity(series * SERIES);
    for family in families {
        head(&mut out, family, open_metrics);
        for (instance, part) in &family.parts {
            for metric in &part.metric {
                value(&mut out, family, *instance, metric);
            }
        }
    }
    if open_metrics {
        out.extend_from_slice(b"# EOF\n");
    }
    out
}

fn head(out: &mut Vec<u8>, family: &Merged<'_>, open_metrics: bool) {
    let (mut name, mut kind) = (family.name, kind(family.kind));
    if open_metrics && family.kind == MetricType::Counter {
        // OpenMetrics names a counter without its suffix, and knows none that has no suffix.
        match name.strip_suffix("_total") {
            Some(bare) => name = bare,
            None => kind = "unknown",
        }
    }
    line(out, &["# HELP ", name, " "]);
    escape(out, family.help, open_metrics);
    line(out, &["\n# TYPE ", name, " ", kind, "\n"]);
}

fn kind(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::Summary | MetricType::Untyped => "untyped",
    }
}

fn value(out: &mut Vec<u8>, family: &Merged<'_>, instance: Option<&str>, metric: &Metric) {
    if let Some(histogram) = &metric.histogram {
        return buckets(out, family.name, instance, metric, histogram);
    }
    let value = metric.counter.or(metric.gauge).map_or(0.0, |value| value.value);
    line(out, &[family.name]);
    labels(out, instance, &metric.label, None);
    number(out, value);
}

fn buckets(out: &mut Vec<u8>, name: &str, instance: Option<&str>, metric: &Metric, histogram: &Histogram) {
    let bounded = histogram.bucket.iter().filter(|bucket| bucket.upper_bound.is_finite());
    let bounded = bounded.map(|bucket| (bucket.upper_bound, bucket.cumulative_count));
    for (bound, count) in bounded.chain([(f64::INFINITY, histogram.sample_count)]) {
        line(out, &[name, "_bucket"]);
        labels(out, instance, &metric.label, Some(bound));
        whole(out, count);
    }
    line(out, &[name, "_sum"]);
    labels(out, instance, &metric.label, None);
    number(out, histogram.sample_sum);
    line(out, &[name, "_count"]);
    labels(out, instance, &metric.label, None);
    whole(out, histogram.sample_count);
}

fn labels(out: &mut Vec<u8>, instance: Option<&str>, labels: &[LabelPair], bound: Option<f64>) {
    let instance = instance.map(|instance| (INSTANCE, instance));
    let named = labels.iter().map(|label| (&*label.name, &*label.value));
    let mut before: &[u8] = b"{";
    for (name, value) in instance.into_iter().chain(named) {
        out.extend_from_slice(before);
        line(out, &[name, "=\""]);
        escape(out, value, true);
        out.push(b'"');
        before = b",";
    }
    if let Some(bound) = bound {
        out.extend_from_slice(before);
        line(out, &["le=\""]);
        float(out, bound);
        // As OpenMetrics, protobuf and newer versions of Prometheus have it: one series, whatever was asked for.
        if bound.fract() == 0.0 {
            out.extend_from_slice(b".0");
        }
        out.push(b'"');
        before = b",";
    }
    out.extend_from_slice(if before == b"{" { b" " } else { b"} " });
}

fn line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Backslashes and line ends, and quotes where the text is quoted.
fn escape(out: &mut Vec<u8>, text: &str, quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            byte => out.push(byte),
        }
    }
}

fn number(out: &mut Vec<u8>, value: f64) {
    float(out, value);
    out.push(b'\n');
}

fn whole(out: &mut Vec<u8>, value: u64) {
    // Writing to a vector cannot fail.
    let _written = writeln!(out, "{value}");
}

fn float(out: &mut Vec<u8>, value: f64) {
    let _written = if value.is_nan() {
        out.write_all(b"NaN")
    } else if value.is_infinite() {
        out.write_all(if value > 0.0 { b"+Inf" } else { b"-Inf" })
    } else {
        write!(out, "{value}")
    };
}
