//! An exporter in this process, what is pushed to it, and what is asked of it.

use std::time::Duration;

use bytes::Bytes;
use exporter::client::Endpoint;
use exporter::protocol::metrics::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType, Value};
use exporter::protocol::{self, PUSH_PATH, Snapshot};
use exporter::server::{App, Listener, Options, serve};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a test waits before it gives up: the machine may be shared with compilers.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Evaluates a condition again and again until it holds.
macro_rules! eventually {
    ($condition:expr, $what:expr) => {{
        let began = std::time::Instant::now();
        while !$condition {
            assert!(began.elapsed() < $crate::support::PATIENCE, "waited in vain: {}", $what);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}
pub(crate) use eventually;

/// An exporter that runs in this process. It ends with the test.
pub(crate) struct Exporter {
    pub(crate) endpoint: Endpoint,
    /// As it is written in `--listen`.
    pub(crate) address: String,
    stop: CancellationToken,
    serving: JoinSet<()>,
    _folder: TempDir,
}

impl Exporter {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// Starts one with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(folder.path().to_owned()),
            ..Options::default()
        };
        change(&mut options);
        let settings = options.resolve().unwrap();
        let listener = Listener::bind(&settings.listen).await.unwrap();
        let address = listener.address().unwrap().to_string();
        let endpoint = match address.strip_prefix("unix:") {
            Some(path) => Endpoint::Unix(path.into()),
            None => Endpoint::Tcp(address.clone()),
        };
        let (stop, mut serving) = (CancellationToken::new(), JoinSet::new());
        let stopped = stop.clone();
        serving.spawn(async move {
            serve(listener, App::new(&settings).into(), &settings, stopped).await.unwrap();
        });
        Self { endpoint, address, stop, serving, _folder: folder }
    }

    /// Ends it as a signal would.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        patiently("the end", self.serving.join_next()).await.unwrap().unwrap();
    }

    /// Pushes a snapshot; the status.
    pub(crate) async fn push(&self, snapshot: &Snapshot) -> u16 {
        self.answer(snapshot).await.status().as_u16()
    }

    pub(crate) async fn answer(&self, snapshot: &Snapshot) -> Response<Bytes> {
        self.send(request(pack(snapshot))).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        send(&self.endpoint, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path).body(Full::default()).unwrap()).await
    }

    /// All metrics as text.
    pub(crate) async fn metrics(&self) -> String {
        text(&self.get("/metrics").await)
    }

    /// The value of a series as it stands in the text.
    pub(crate) async fn value(&self, series: &str) -> Option<f64> {
        value(&self.metrics().await, series)
    }

    /// A bare connection.
    pub(crate) async fn socket(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }
}

/// Sends a request over a connection of its own, with what an HTTP client adds.
pub(crate) async fn send(endpoint: &Endpoint, mut request: Request<Full<Bytes>>) -> Response<Bytes> {
    let host = match endpoint {
        Endpoint::Tcp(address) => address.as_str(),
        Endpoint::Unix(_) => "localhost",
    };
    request.headers_mut().entry("host").or_insert(host.parse().unwrap());
    let mut driver = JoinSet::new();
    let answer = async {
        let mut sender = match endpoint {
            Endpoint::Tcp(address) => open(TcpStream::connect(address).await.unwrap(), &mut driver).await,
            Endpoint::Unix(path) => open(UnixStream::connect(path).await.unwrap(), &mut driver).await,
        };
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    };
    patiently("an answer", answer).await
}

async fn open(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    driver: &mut JoinSet<()>,
) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    driver.spawn(async move { drop(connection.await) });
    sender
}

/// Lets time go by, for everything in this process, at once.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// What a future gives, which must not take for ever.
pub(crate) async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

pub(crate) fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// Status and code of an answer in the envelope, which it must be.
pub(crate) fn refusal(answer: &Response<Bytes>) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
    (answer.status().as_u16(), body["error"]["code"].as_str().unwrap().to_owned())
}

pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

pub(crate) fn pack(snapshot: &Snapshot) -> Bytes {
    protocol::encode(snapshot).unwrap()
}

/// A push with all the right headers.
pub(crate) fn request(body: Bytes) -> Request<Full<Bytes>> {
    Request::post(PUSH_PATH)
        .header("content-type", protocol::CONTENT_TYPE)
        .header("content-encoding", protocol::CONTENT_ENCODING)
        .body(Full::new(body))
        .unwrap()
}

/// A snapshot of one counter `work_total`.
pub(crate) fn snapshot(instance: &str, (epoch, sequence): (u64, u64), work: f64) -> Snapshot {
    of(instance, (epoch, sequence), vec![counter("work_total", &[], work)])
}

pub(crate) fn of(instance: &str, (epoch, sequence): (u64, u64), families: Vec<MetricFamily>) -> Snapshot {
    let protocol = protocol::VERSION;
    Snapshot { protocol, instance: instance.to_owned(), epoch, sequence, r#final: false, families }
}

pub(crate) fn counter(name: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    let metric = Metric { counter: Some(Value { value }), ..labelled(labels) };
    family(name, MetricType::Counter, vec![metric])
}

pub(crate) fn gauge(name: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    let metric = Metric { gauge: Some(Value { value }), ..labelled(labels) };
    family(name, MetricType::Gauge, vec![metric])
}

pub(crate) fn histogram(name: &str, buckets: &[(f64, u64)], (count, sum): (u64, f64)) -> MetricFamily {
    let bucket = |(upper_bound, cumulative_count): &(f64, u64)| Bucket {
        cumulative_count: *cumulative_count,
        upper_bound: *upper_bound,
    };
    let bucket = buckets.iter().map(bucket).collect();
    let histogram = Some(Histogram { sample_count: count, sample_sum: sum, bucket });
    family(name, MetricType::Histogram, vec![Metric { histogram, ..labelled(&[]) }])
}

pub(crate) fn family(name: &str, kind: MetricType, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.to_owned(), help: format!("About {name}."), r#type: kind.into(), metric }
}

pub(crate) fn labelled(labels: &[(&str, &str)]) -> Metric {
    let label =
        |(name, value): &(&str, &str)| LabelPair { name: (*name).to_owned(), value: (*value).to_owned() };
    Metric { label: labels.iter().map(label).collect(), ..Metric::default() }
}
