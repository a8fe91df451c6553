//! What is written reads back as it was, whatever is in it, in each format.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;

use super::{Format, merge, write};
use crate::protocol::metrics::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType, Value};
use crate::server::instances::Live;

/// Series of the text: name and labels to value.
type Samples = BTreeMap<(String, Vec<(String, String)>), f64>;

fn live(name: &str, families: Vec<MetricFamily>) -> Live {
    Live { name: name.into(), families: Arc::new(families) }
}

fn counter(name: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    let label =
        labels.iter().map(|(name, value)| LabelPair { name: (*name).to_owned(), value: (*value).to_owned() });
    let metric = Metric { label: label.collect(), counter: Some(Value { value }), ..Metric::default() };
    MetricFamily {
        name: name.to_owned(),
        help: "of a \\ and\na \"line\"".to_owned(),
        r#type: MetricType::Counter.into(),
        metric: vec![metric],
    }
}

/// A reader of the text format, made after its description and knowing nothing of the writer.
fn read(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name_end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                let mut value = String::new();
                let mut characters = after.char_indices();
                let end = loop {
                    match characters.next().unwrap() {
                        (at, '"') => break at,
                        (_, '\\') => value.push(match characters.next().unwrap().1 {
                            'n' => '\n',
                            other => other,
                        }),
                        (_, other) => value.push(other),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = &after[end + 1..];
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            rest = rest.strip_prefix('}').unwrap();
        }
        labels.sort();
        let value = rest.trim();
        let number = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert((name.to_owned(), labels), number).is_none(), "there twice: {line}");
    }
    samples
}

fn text(own: &[MetricFamily], live: &[Live], format: Format) -> String {
    String::from_utf8(write(&merge(own, live).0, format)).unwrap()
}

#[test]
fn gateways_stand_side_by_side_and_are_never_summed() {
    let all = [
        live("a", vec![counter("x_total", &[("k", "v")], 1.5)]),
        live("b", vec![counter("x_total", &[("k", "v")], 2.0)]),
    ];
    let own = [counter("exporter_x_total", &[], 7.0)];
    let expected = "# HELP exporter_x_total of a \\\\ and\\na \"line\"\n# TYPE exporter_x_total counter\nexporter_x_total 7\n\
                    # HELP x_total of a \\\\ and\\na \"line\"\n# TYPE x_total counter\n\
                    x_total{instance=\"a\",k=\"v\"} 1.5\nx_total{instance=\"b\",k=\"v\"} 2\n";
    assert_eq!(text(&own, &all, Format::Text), expected);
}

#[test]
fn open_metrics_names_counters_without_their_suffix_and_ends() {
    let all = [live("a", vec![counter("x_total", &[], 1.0), counter("odd", &[], 1.0)])];
    let text = text(&[], &all, Format::OpenMetrics);
    assert!(text.contains("# TYPE x counter\nx_total{instance=\"a\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE odd unknown\nodd{instance=\"a\"} 1\n"), "{text}");
    assert!(text.contains("a \\\"line\\\"") && text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn of_two_kinds_of_one_name_the_first_is_shown() {
    let mut gauge = counter("x_total", &[], 1.0);
    gauge.r#type = MetricType::Gauge.into();
    let all = [live("a", vec![counter("x_total", &[], 1.0)]), live("b", vec![gauge])];
    let (merged, left_out) = merge(&[], &all);
    assert_eq!((merged.len(), merged[0].parts.len(), left_out), (1, 1, 1));
}

#[test]
fn a_histogram_has_all_its_buckets_and_the_one_without_bound() {
    let bucket = |cumulative_count, upper_bound| Bucket { cumulative_count, upper_bound };
    let histogram =
        Histogram { sample_count: 9, sample_sum: 2.25, bucket: vec![bucket(4, 0.5), bucket(7, 1.0)] };
    let metric = Metric { histogram: Some(histogram), ..Metric::default() };
    let family = MetricFamily {
        name: "h".to_owned(),
        help: String::new(),
        r#type: MetricType::Histogram.into(),
        metric: vec![metric],
    };
    let text = text(&[], &[live("a", vec![family])], Format::Text);
    let expected = "# HELP h \n# TYPE h histogram\nh_bucket{instance=\"a\",le=\"0.5\"} 4\n\
                    h_bucket{instance=\"a\",le=\"1.0\"} 7\nh_bucket{instance=\"a\",le=\"+Inf\"} 9\n\
                    h_sum{instance=\"a\"} 2.25\nh_count{instance=\"a\"} 9\n";
    assert_eq!(text, expected);
}

proptest! {
    #[test]
    fn any_label_and_number_reads_back(
        values in prop::collection::btree_set(any::<String>(), 1..8),
        instance in any::<String>(),
        number in prop::num::f64::ANY.prop_filter("equal to itself", |number| !number.is_nan()),
    ) {
        let mut family = counter("x_total", &[], number);
        let one = family.metric.remove(0);
        for value in &values {
            let label = vec![LabelPair { name: "k".to_owned(), value: value.clone() }];
            family.metric.push(Metric { label, ..one.clone() });
        }
        let all = [live(&instance, vec![family])];
        let expected: Samples = values
            .iter()
            .map(|value| {
                let labels = vec![("instance".to_owned(), instance.clone()), ("k".to_owned(), value.clone())];
                (("x_total".to_owned(), labels), number)
            })
            .collect();
        prop_assert_eq!(&read(&text(&[], &all, Format::Text)), &expected);
        prop_assert_eq!(&read(&text(&[], &all, Format::OpenMetrics)), &expected);
        let bytes = write(&merge(&[], &all).0, Format::Protobuf);
        let family = MetricFamily::decode_length_delimited(&*bytes).unwrap();
        let told: Vec<&str> = family.metric.iter().map(|metric| &*metric.label[1].value).collect();
        prop_assert_eq!(told, values.iter().map(String::as_str).collect::<Vec<&str>>());
        prop_assert!(family.metric.iter().all(|metric| metric.label[0].value == instance));
    }
}
