//! What a snapshot must be like to be kept: well-formed names, bounded counts, nothing that is the exporter's to say.

use std::collections::HashSet;

use crate::protocol::metrics::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use crate::protocol::{Snapshot, VERSION};

/// The label by which gateways are told apart; the exporter's to set.
pub const INSTANCE: &str = "instance";
/// Names that are the exporter's own begin so.
const OWN: &str = "exporter_";
/// The longest name of a metric or a label, bytes.
const LONGEST_NAME: usize = 128;
/// The longest value of a label, bytes.
const LONGEST_VALUE: usize = 512;
/// The longest help, bytes.
const LONGEST_HELP: usize = 1024;

/// How much a snapshot may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Gateways at once.
    pub instances: usize,
    /// Series of one gateway; each bucket, count and sum of a histogram is one.
    pub series: usize,
    /// Labels of a series, `instance` not counted.
    pub labels: usize,
}

/// Why a snapshot is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It speaks another version.
    #[error("protocol version {0} is not known here; this exporter speaks {VERSION}")]
    Protocol(u32),
    /// It has more series than a gateway may have.
    #[error("more than {0} series")]
    Series(usize),
    /// It has more labels than a series may have, or one that is not well-formed.
    #[error("the labels of `{0}` are too many, not well-formed, or not a gateway's to set")]
    Labels(String),
    /// A name is not well-formed, or not a gateway's to use, or there twice.
    #[error("`{0}` is no name for a metric of a gateway, or there twice")]
    Name(String),
    /// A family is of no kind that is shown, or a series has another value than one of it.
    #[error("`{0}` is of no kind that is shown, or a series of it has not one sound value of that kind")]
    Value(String),
}

impl Fault {
    /// A bounded label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "protocol",
            Self::Series(_) => "series",
            Self::Labels(_) => "labels",
            Self::Name(_) | Self::Value(_) => "decode",
        }
    }
}

/// Checks a snapshot, and says how many series it has.
///
/// # Errors
/// The first fault found.
pub fn check(snapshot: &Snapshot, limits: &Limits) -> Result<usize, Fault> {
    if snapshot.protocol != VERSION {
        return Err(Fault::Protocol(snapshot.protocol));
    }
    if snapshot.instance.is_empty() || !is_value(&snapshot.instance) {
        return Err(Fault::Labels(INSTANCE.to_owned()));
    }
    let mut seen = HashSet::new();
    let mut series = 0;
    for family in &snapshot.families {
        if !is_metric_name(&family.name) || !seen.insert(family.name.as_str()) {
            return Err(Fault::Name(shorten(&family.name)));
        }
        series += check_family(family, limits)?;
        if series > limits.series {
            return Err(Fault::Series(limits.series));
        }
    }
    match clash(&snapshot.families, &seen) {
        Some(name) => Err(Fault::Name(shorten(&name))),
        None => Ok(series),
    }
}

/// A name that a histogram is written with, and that another family has.
fn clash(families: &[MetricFamily], names: &HashSet<&str>) -> Option<String> {
    let histograms = families.iter().filter(|family| family.r#type() == MetricType::Histogram);
    let mut written = histograms
        .flat_map(|family| ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", family.name)));
    written.find(|name| names.contains(&**name))
}

fn check_family(family: &MetricFamily, limits: &Limits) -> Result<usize, Fault> {
    if family.help.len() > LONGEST_HELP {
        return Err(Fault::Name(shorten(&family.name)));
    }
    let kind = MetricType::try_from(family.r#type);
    // What is shown without a kind breaks `OpenMetrics`, even where there are no series.
    let kind = kind.ok().filter(|kind| !matches!(kind, MetricType::Summary | MetricType::Untyped));
    let kind = kind.ok_or_else(|| Fault::Value(shorten(&family.name)))?;
    let mut series = 0;
    let mut seen = HashSet::with_capacity(family.metric.len());
    for metric in &family.metric {
        let is_new = identity(metric, limits.labels).is_some_and(|labels| seen.insert(labels));
        if !is_new {
            return Err(Fault::Labels(shorten(&family.name)));
        }
        // One value, of the family's kind: a second one would be shown in its place, or uncounted.
        series += match (kind, metric.counter, metric.gauge, &metric.histogram) {
            (MetricType::Counter, Some(_), None, None) | (MetricType::Gauge, None, Some(_), None) => 1,
            (MetricType::Histogram, None, None, Some(histogram)) if is_sound(histogram) => {
                // The bucket without a bound is not sent, and shown.
                histogram.bucket.len() + 3
            }
            _ => return Err(Fault::Value(shorten(&family.name))),
        };
    }
    Ok(series)
}

/// Bounds rise and counts do not fall: else a bucket would be there twice, or count less than one within it.
fn is_sound(histogram: &Histogram) -> bool {
    let buckets = &histogram.bucket;
    buckets.iter().all(|bucket| bucket.upper_bound.is_finite())
        && buckets.is_sorted_by(|one, next| {
            one.upper_bound < next.upper_bound && one.cumulative_count <= next.cumulative_count
        })
        && buckets.last().is_none_or(|last| last.cumulative_count <= histogram.sample_count)
}

/// The labels by which Prometheus tells series apart: in any order, without those that are empty. `None` where there are
/// too many, or one that is not fine.
fn identity(metric: &Metric, most: usize) -> Option<Vec<(&str, &str)>> {
    let is_fine = |label: &LabelPair| {
        let own = matches!(&*label.name, INSTANCE | "le" | "job");
        !own && is_label_name(&label.name) && is_value(&label.value)
    };
    if metric.label.len() > most || !metric.label.iter().all(is_fine) {
        return None;
    }
    let mut labels: Vec<_> = metric.label.iter().map(|label| (&*label.name, &*label.value)).collect();
    labels.sort_unstable();
    let each_once = labels.is_sorted_by(|one, next| one.0 < next.0);
    labels.retain(|(_, value)| !value.is_empty());
    each_once.then_some(labels)
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':'));
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
    first && rest && name.len() <= LONGEST_NAME && !name.starts_with(OWN)
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first && rest && name.len() <= LONGEST_NAME && !name.starts_with("__")
}

pub(super) fn is_value(value: &str) -> bool {
    value.len() <= LONGEST_VALUE
}

/// Keeps a client's text from filling messages.
fn shorten(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::metrics::Value;

    const LIMITS: Limits = Limits { instances: 10, series: 3, labels: 2 };

    fn counter(labels: &[(&str, &str)]) -> Metric {
        let label = labels
            .iter()
            .map(|(name, value)| LabelPair { name: (*name).to_owned(), value: (*value).to_owned() });
        Metric { label: label.collect(), counter: Some(Value { value: 1.0 }), ..Metric::default() }
    }

    fn snapshot(name: &str, metric: Vec<Metric>) -> Snapshot {
        let family = MetricFamily { name: name.to_owned(), metric, ..MetricFamily::default() };
        Snapshot {
            protocol: VERSION,
            instance: "a".to_owned(),
            families: vec![family],
            ..Snapshot::default()
        }
    }

    fn fault(snapshot: &Snapshot) -> Option<&'static str> {
        check(snapshot, &LIMITS).err().map(|fault| fault.reason())
    }

    #[test]
    fn a_well_formed_snapshot_says_how_many_series_it_has() {
        let two = snapshot("a_total", vec![counter(&[("x", "1")]), counter(&[("x", "2"), ("y", "\"\n")])]);
        assert_eq!(check(&two, &LIMITS), Ok(2));
    }

    #[test]
    fn each_bound_is_held() {
        let four = (0..4).map(|number| counter(&[("x", &number.to_string())])).collect();
        assert_eq!(fault(&snapshot("a", four)), Some("series"));
        let three = [("x", "1"), ("y", "1"), ("z", "1")];
        assert_eq!(fault(&snapshot("a", vec![counter(&three)])), Some("labels"));
        assert_eq!(fault(&snapshot("a", vec![counter(&[("x", &"v".repeat(513))])])), Some("labels"));
        assert_eq!(fault(&Snapshot { protocol: 2, ..snapshot("a", vec![]) }), Some("protocol"));
        assert_eq!(fault(&Snapshot { instance: String::new(), ..snapshot("a", vec![]) }), Some("labels"));
    }

    #[test]
    fn what_is_the_exporters_to_say_is_refused() {
        assert_eq!(fault(&snapshot("exporter_instance_up", vec![])), Some("decode"));
        for label in ["instance", "job", "le", "__name__"] {
            assert_eq!(fault(&snapshot("a", vec![counter(&[(label, "x")])])), Some("labels"), "{label}");
        }
    }

    #[test]
    fn what_would_break_the_text_is_refused() {
        for name in ["", "1a", "a-b", "a b", "a{", "ä"] {
            assert_eq!(fault(&snapshot(name, vec![])), Some("decode"), "{name}");
        }
        let twice = vec![counter(&[("x", "1")]), counter(&[("x", "1")])];
        assert_eq!(fault(&snapshot("a", twice)), Some("labels"));
        let valueless = Metric { counter: None, ..counter(&[]) };
        assert_eq!(fault(&snapshot("a", vec![valueless])), Some("decode"));
    }
}
