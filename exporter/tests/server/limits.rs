//! Every limit has its answer and its counter, and nothing of what is refused is kept.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use exporter::protocol::Snapshot;
use exporter::protocol::metrics::{Metric, MetricFamily, MetricType, Value};
use exporter::server::Options;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Exporter, counter, family, gauge, histogram, of, pack, pass, patiently, refusal, request, snapshot, value,
};

const SILENCE: Duration = Duration::from_secs(15);

fn rejected(reason: &str) -> String {
    format!("exporter_rejected_total{{reason=\"{reason}\"}}")
}

/// Looks at the counters after one refusal, and at what is held.
async fn nothing_is_kept(exporter: &Exporter, reason: &str) {
    let metrics = exporter.metrics().await;
    assert_eq!(value(&metrics, &rejected(reason)), Some(1.0), "{reason}\n{metrics}");
    assert_eq!(value(&metrics, "exporter_snapshots_total{outcome=\"refused\"}"), Some(1.0));
    assert_eq!(value(&metrics, "exporter_series"), Some(0.0));
    assert_eq!(value(&metrics, "exporter_instances"), Some(0.0));
}

/// Pushes what must be refused, by status and reason.
async fn refuse(change: impl FnOnce(&mut Options), snapshot: &Snapshot, expected: (u16, &str)) {
    let exporter = Exporter::with(change).await;
    let answer = exporter.answer(snapshot).await;
    let told = String::from_utf8_lossy(answer.body()).into_owned();
    assert_eq!(answer.status(), expected.0, "{snapshot:?}\n{told}");
    assert_eq!(refusal(&answer), (expected.0, expected.1.to_owned()), "{snapshot:?}");
    nothing_is_kept(&exporter, expected.1).await;
}

#[tokio::test]
async fn series_labels_and_gateways_are_bounded() {
    let buckets: Vec<(f64, u64)> = (0..8).map(|bound| (f64::from(bound), 0)).collect();
    // Eight buckets, the one without a bound, sum and count.
    let eleven = of("a", (1, 1), vec![histogram("x", &buckets, (0, 0.0))]);
    refuse(|options| options.max_series = Some(10), &eleven, (422, "series")).await;
    let labels = of("a", (1, 1), vec![gauge("x", &[("a", "1"), ("b", "2")], 1.0)]);
    refuse(|options| options.max_labels = Some(1), &labels, (422, "labels")).await;
    let exporter = Exporter::with(|options| options.max_series = Some(11)).await;
    assert_eq!(exporter.push(&eleven).await, 204);
    assert_eq!(exporter.value("exporter_series").await, Some(11.0));
}

#[tokio::test]
async fn bodies_are_bounded_packed_and_unpacked() {
    let noise: String = (0..400).map(|_| char::from(b'0' + rand::random::<u8>() % 64)).collect();
    let large = of("a", (1, 1), vec![gauge("x", &[("a", &noise)], 1.0)]);
    refuse(|options| options.max_body_bytes = Some(128), &large, (413, "body")).await;
    let help = of("a", (1, 1), vec![MetricFamily { help: "x".repeat(2000), ..gauge("x", &[], 1.0) }]);
    assert!(pack(&help).len() < 100);
    refuse(|options| options.max_body_bytes = Some(100), &help, (413, "body")).await;
}

#[tokio::test]
async fn a_bomb_that_does_not_say_how_large_it_is_is_refused_as_one_that_does() {
    let exporter = Exporter::start().await;
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packer.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 64 << 10, "{}", bomb.len());
    let answer = exporter.send(request(bomb.into())).await;
    assert_eq!(refusal(&answer), (413, "body".to_owned()));
    nothing_is_kept(&exporter, "body").await;
}

#[tokio::test]
async fn two_bytes_that_ask_for_a_hundred_are_refused_before_they_are_decoded() {
    let exporter = Exporter::start().await;
    let empty = family("x", MetricType::Gauge, vec![Metric::default(); 1_000_000]);
    let body = pack(&of("a", (1, 1), vec![empty]));
    assert!(body.len() < 1024, "{}", body.len());
    assert_eq!(refusal(&exporter.send(request(body)).await), (422, "series".to_owned()));
    nothing_is_kept(&exporter, "series").await;
}

#[tokio::test]
async fn the_answer_to_a_body_that_is_far_too_long_arrives() {
    let exporter = Exporter::start().await;
    let answer = exporter.send(request(vec![0; 12 << 20].into())).await;
    assert_eq!(refusal(&answer), (413, "body".to_owned()));
}

#[tokio::test]
async fn gateways_are_bounded_and_a_place_is_free_again_after_silence() {
    let exporter = Exporter::with(|options| options.max_instances = Some(2)).await;
    for name in ["a", "b"] {
        assert_eq!(exporter.push(&snapshot(name, (1, 1), 1.0)).await, 204);
    }
    let answer = exporter.answer(&snapshot("c", (1, 1), 1.0)).await;
    assert_eq!(refusal(&answer), (503, "instances".to_owned()));
    assert_eq!(answer.headers()["retry-after"], "30");
    assert_eq!(exporter.value(&rejected("instances")).await, Some(1.0));
    assert_eq!(exporter.push(&snapshot("a", (1, 2), 1.0)).await, 204, "those that are known go on");
    pass(SILENCE).await;
    assert_eq!(exporter.push(&snapshot("c", (1, 1), 1.0)).await, 204);
}

#[tokio::test]
async fn names_without_end_do_not_fill_the_memory() {
    let exporter = Exporter::with(|options| options.max_instances = Some(3)).await;
    for number in 0..20 {
        assert_eq!(exporter.push(&snapshot(&format!("gateway-{number}"), (1, 1), 1.0)).await, 204);
        pass(SILENCE).await;
    }
    let metrics = exporter.metrics().await;
    let known: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("exporter_instance_up")).collect();
    assert_eq!(
        known,
        ["{instance=\"gateway-17\"} 0", "{instance=\"gateway-18\"} 0", "{instance=\"gateway-19\"} 0"]
    );
}

#[tokio::test]
async fn what_would_break_the_exposition_is_refused() {
    let two = |labels: [&[(&str, &str)]; 2]| {
        let metric = labels.map(|labels| gauge("x", labels, 1.0).metric.remove(0));
        family("x", MetricType::Gauge, metric.to_vec())
    };
    let also = |kind, other: Metric| family("x", kind, vec![other]);
    let many = histogram("x", &[(1.0, 1), (2.0, 1)], (1, 0.0)).metric.remove(0).histogram;
    let value = Some(Value { value: 1.0 });
    let (decode, labels) = ((422, "decode"), (422, "labels"));
    let cases = [
        (vec![gauge("x{y=\"z\"} 1\nfake", &[], 1.0)], decode),
        (vec![gauge("x", &[("a", "b")], 1.0), gauge("x", &[], 1.0)], decode),
        (vec![two([&[("a", "b"), ("c", "d")], &[("c", "d"), ("a", "b")]])], labels),
        // To Prometheus a label that is empty is none.
        (vec![two([&[("a", "")], &[]])], labels),
        (vec![histogram("x", &[(1.0, 1), (1.0, 2)], (2, 0.0))], decode),
        (vec![histogram("x", &[(2.0, 1), (1.0, 2)], (2, 0.0))], decode),
        (vec![histogram("x", &[(f64::NAN, 1)], (2, 0.0))], decode),
        (vec![histogram("x", &[(f64::NEG_INFINITY, 1)], (2, 0.0))], decode),
        (vec![histogram("x", &[(1.0, 2), (2.0, 1)], (2, 0.0))], decode),
        (vec![histogram("x", &[(1.0, 3)], (2, 0.0))], decode),
        (vec![histogram("x", &[], (3, 1.0)), gauge("x_count", &[], 4.0)], decode),
        (vec![gauge("x_bucket", &[], 4.0), histogram("x", &[], (3, 1.0))], decode),
        // A value of another kind would be shown instead, and not be counted.
        (
            vec![also(
                MetricType::Gauge,
                Metric { gauge: value, histogram: many.clone(), ..Metric::default() },
            )],
            decode,
        ),
        (vec![also(MetricType::Gauge, Metric { gauge: value, counter: value, ..Metric::default() })], decode),
        (vec![also(MetricType::Counter, Metric { gauge: value, ..Metric::default() })], decode),
        // OpenMetrics has no such type, even for no series.
        (vec![family("x", MetricType::Untyped, vec![])], decode),
        (vec![family("x", MetricType::Summary, vec![])], decode),
        (vec![MetricFamily { r#type: 9, ..family("x", MetricType::Gauge, vec![]) }], decode),
    ];
    for (families, expected) in cases {
        refuse(|_| (), &of("a", (1, 1), families), expected).await;
    }
    refuse(|_| (), &snapshot("", (1, 1), 1.0), labels).await;
    refuse(|_| (), &snapshot(&"a".repeat(600), (1, 1), 1.0), labels).await;
    let other = Snapshot { protocol: 2, ..snapshot("a", (1, 1), 1.0) };
    refuse(|_| (), &other, (422, "protocol")).await;
}

#[tokio::test]
async fn whatever_is_a_number_is_welcome() {
    let exporter = Exporter::start().await;
    let families = vec![
        counter("x_total", &[("a", "\n\"\\")], f64::MAX),
        gauge("y", &[], f64::NEG_INFINITY),
        histogram("z", &[(-1.0, 0), (f64::MAX, 5)], (5, f64::NAN)),
        histogram("z_seconds", &[], (0, 0.0)),
    ];
    assert_eq!(exporter.push(&of("a", (1, 1), families)).await, 204);
}

#[tokio::test]
async fn a_secret_is_needed_where_there_is_one_and_any_line_of_the_file_will_do() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "a-secret-of-many-bytes\n\n another-secret-of-many-bytes ").unwrap();
    let exporter = Exporter::with(|options| options.secret_file = Some(file.path().to_owned())).await;
    let body = pack(&snapshot("a", (1, 1), 1.0));
    let with = |credential: Option<&str>| {
        let mut request = request(body.clone());
        if let Some(credential) = credential {
            request.headers_mut().insert("authorization", credential.parse().unwrap());
        }
        request
    };
    let wrong = [
        None,
        Some("Bearer a-secret-of-many-bytez"),
        Some("Bearer a-secret"),
        Some("Bearer "),
        Some("Basic YQ=="),
        Some("a-secret-of-many-bytes"),
    ];
    for credential in wrong {
        let answer = exporter.send(with(credential)).await;
        assert_eq!(refusal(&answer), (401, "auth".to_owned()), "{credential:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
    assert_eq!(exporter.value(&rejected("auth")).await, Some(6.0));
    for credential in ["Bearer a-secret-of-many-bytes", "bearer another-secret-of-many-bytes"] {
        assert_eq!(exporter.send(with(Some(credential))).await.status(), 204, "{credential}");
    }
}

#[test]
fn a_file_without_a_fit_secret_is_refused() {
    for text in ["", "\n\n", "two words\n", "fine\nnot\tfine\n", "sëcret"] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{text}").unwrap();
        let options = Options { secret_file: Some(file.path().to_owned()), ..Options::default() };
        assert!(options.resolve().is_err(), "{text:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_not_zstd_are_refused() {
    let exporter = Exporter::start().await;
    for encoding in [None, Some(""), Some("gzip"), Some("zstd, gzip")] {
        let mut request = Request::post("/v1/push").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
        if let Some(encoding) = encoding {
            request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        }
        assert_eq!(refusal(&exporter.send(request).await), (415, "decode".to_owned()));
    }
}

const HEAD: &str = "POST /v1/push HTTP/1.1\r\nhost: a\r\ncontent-encoding: zstd\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let exporter = Exporter::start().await;
    let mut socket = exporter.socket().await;
    socket.write_all(HEAD.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    patiently("to be told to go on", socket.read_exact(&mut go_on)).await.unwrap();
    // It waits for the body now; nothing else does, so time goes to the end of its patience.
    tokio::time::pause();
    socket.write_all(b"begun").await.unwrap();
    let mut answer = String::new();
    patiently("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"body\""), "{answer}");
    tokio::time::resume();
    nothing_is_kept(&exporter, "body").await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let exporter = Exporter::start().await;
    let mut socket = exporter.socket().await;
    socket.write_all(HEAD.as_bytes()).await.unwrap();
    socket.write_all(b"begun").await.unwrap();
    drop(socket);
    crate::support::eventually!(exporter.value(&rejected("body")).await == Some(1.0), "the refusal");
    nothing_is_kept(&exporter, "body").await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_given_up() {
    let exporter = Exporter::start().await;
    let mut socket = exporter.socket().await;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost:").await.unwrap();
    tokio::time::pause();
    let mut answer = Vec::new();
    // Ends by an answer or without one; what counts is that it ends.
    drop(patiently("the end", socket.read_to_end(&mut answer)).await);
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_there_is_a_place() {
    let exporter = Exporter::with(|options| options.max_connections = Some(1)).await;
    let mut first = exporter.socket().await;
    let get = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    first.write_all(get).await.unwrap();
    let mut byte = [0];
    patiently("an answer", first.read_exact(&mut byte)).await.unwrap();
    let mut second = exporter.socket().await;
    second.write_all(get).await.unwrap();
    assert_eq!(second.try_read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    patiently("an answer", second.read_exact(&mut byte)).await.unwrap();
}
