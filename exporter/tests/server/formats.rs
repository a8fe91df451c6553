//! What a scraper gets, in every format and compression: the same series; promtool reads it where it is installed.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use bytes::Bytes;
use exporter::protocol::metrics::{Metric, MetricFamily, MetricType};
use http::{Request, Response};
use http_body_util::Full;
use prost::Message;

use crate::support::{Exporter, counter, gauge, histogram, of, text, value};

const OPEN: &str = "application/openmetrics-text;version=1.0.0";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

async fn filled() -> Exporter {
    let exporter = Exporter::start().await;
    for (name, by) in [("a", 1.0), ("b", 2.0)] {
        let families = vec![
            counter("work_total", &[("route", "x\"y\\z\nw"), ("status", "200")], 10.0 * by),
            counter("odd", &[], by),
            gauge("depth", &[], -0.5 * by),
            histogram("took_seconds", &[(0.5, 1), (1.0, 2), (1e9, 2)], (3, 7.5)),
            gauge("process_open_fds", &[], by),
        ];
        assert_eq!(exporter.push(&of(name, (1, 1), families)).await, 204);
    }
    exporter
}

async fn ask(exporter: &Exporter, header: &str, value: &str) -> Response<Bytes> {
    let request = Request::get("/metrics").header(header, value).body(Full::default()).unwrap();
    let answer = exporter.send(request).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["vary"], "accept, accept-encoding");
    answer
}

/// The gateways' series of a text, without their values.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains("instance="));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn text_is_the_default_and_has_each_family_once() {
    let exporter = filled().await;
    let answer = exporter.get("/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = text(&answer);
    assert!(
        text.contains("work_total{instance=\"a\",route=\"x\\\"y\\\\z\\nw\",status=\"200\"} 10\n"),
        "{text}"
    );
    // The exporter and the gateways have this one.
    assert_eq!(text.matches("# TYPE process_open_fds gauge").count(), 1);
    assert!(value(&text, "process_open_fds").is_some());
    assert_eq!(value(&text, "process_open_fds{instance=\"b\"}"), Some(2.0));
}

#[tokio::test]
async fn open_metrics_names_the_same_series() {
    let exporter = filled().await;
    let answer = ask(&exporter, "accept", OPEN).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers()["content-type"], kind);
    let open = text(&answer);
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE work counter\n"), "{open}");
    assert_eq!(series(&open), series(&exporter.metrics().await));
}

#[tokio::test]
async fn protobuf_names_the_same_series() {
    let exporter = filled().await;
    let answer = ask(&exporter, "accept", PROTOBUF).await;
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/vnd.google.protobuf; "), "{kind}");
    let mut body = answer.body().clone();
    let mut families = Vec::new();
    while !body.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut body).unwrap());
    }
    let text = exporter.metrics().await;
    assert_eq!(families.len(), text.matches("# TYPE ").count());
    let named: BTreeSet<String> = families.iter().flat_map(named).collect();
    assert_eq!(named, series(&text));
    let took = families.iter().find(|family| family.name == "took_seconds").unwrap();
    assert_eq!((took.r#type(), &*took.help), (MetricType::Histogram, "About took_seconds."));
}

/// A family's series of gateways, as the text names them.
fn named(family: &MetricFamily) -> Vec<String> {
    let mut all = Vec::new();
    for metric in &family.metric {
        let Some(histogram) = &metric.histogram else {
            all.push(format!("{}{}", family.name, labels(metric, None)));
            continue;
        };
        let bounds = histogram.bucket.iter().map(|bucket| format!("{:?}", bucket.upper_bound));
        for bound in bounds.chain(["+Inf".to_owned()]) {
            all.push(format!("{}_bucket{}", family.name, labels(metric, Some(&bound))));
        }
        for part in ["_sum", "_count"] {
            all.push(format!("{}{part}{}", family.name, labels(metric, None)));
        }
    }
    all.retain(|name| name.contains("instance="));
    all
}

fn labels(metric: &Metric, bound: Option<&str>) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs = metric.label.iter().map(|label| format!("{}=\"{}\"", label.name, escaped(&label.value)));
    let bound = bound.map(|bound| format!("le=\"{bound}\""));
    format!("{{{}}}", pairs.chain(bound).collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn answers_are_compressed_where_it_is_asked_for() {
    let exporter = filled().await;
    let gzipped = ask(&exporter, "accept-encoding", "gzip").await;
    assert_eq!(gzipped.headers()["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzipped.body()[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("work_total{instance=\"b\""));
    let packed = ask(&exporter, "accept-encoding", "zstd, gzip;q=0.5").await;
    assert_eq!(packed.headers()["content-encoding"], "zstd");
    let text = String::from_utf8(zstd::stream::decode_all(&packed.body()[..]).unwrap()).unwrap();
    assert!(text.contains("work_total{instance=\"b\""));
    assert!(!ask(&exporter, "accept-encoding", "br").await.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn of_two_kinds_of_one_name_the_first_is_shown_and_the_other_counted() {
    let exporter = Exporter::start().await;
    exporter.push(&of("a", (1, 1), vec![gauge("x", &[], 1.0)])).await;
    exporter.push(&of("b", (1, 1), vec![counter("x", &[], 2.0), gauge("z", &[], 5.0)])).await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.matches("# TYPE x ").count(), 1);
    let values = ["x{instance=\"a\"}", "x{instance=\"b\"}", "z{instance=\"b\"}"];
    assert_eq!(values.map(|series| value(&metrics, series)), [Some(1.0), None, Some(5.0)]);
    // The first scrape counted it after it was made.
    assert!(exporter.value("exporter_rejected_total{reason=\"kind\"}").await >= Some(1.0));
}

#[tokio::test]
async fn promtool_reads_the_text_where_it_is_installed() {
    let text = filled().await.metrics().await;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // 3 is its opinion on names and help; 1 is that it could not read them.
    assert!(matches!(output.status.code(), Some(0 | 3)) && !said.contains("error while linting"), "{said}");
}
