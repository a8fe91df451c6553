//! The real client against a real exporter that comes and goes.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exporter::client::{Endpoint, Outcome, Pusher, Settings, Source};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Registry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Exporter, eventually, patiently, snapshot, value};

const WORK: &str = "work_total{instance=\"a\"}";

/// A gateway as far as its metrics go.
struct Gateway {
    parts: Arc<Parts>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

#[derive(Default)]
struct Parts {
    registry: Registry,
    sent: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    /// So many times it panics instead of telling its metrics.
    panics: AtomicU64,
}

impl Source for Parts {
    fn gather(&self) -> Vec<MetricFamily> {
        let less = |left: u64| left.checked_sub(1);
        let panics = self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        assert!(panics.is_err(), "as it was told to");
        self.registry.gather()
    }

    fn pushed(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Sent => &self.sent,
            Outcome::Failed => &self.failed,
            Outcome::Refused => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn settings(endpoint: &Endpoint) -> Settings {
    let (endpoint, interval) = (endpoint.clone(), Duration::from_millis(10));
    Settings { endpoint, secret: None, instance: "a".to_owned(), interval }
}

impl Gateway {
    fn start(settings: Settings, epoch: u64) -> (Self, IntCounter) {
        Self::with(settings, epoch, Parts::default())
    }

    fn with(settings: Settings, epoch: u64, parts: Parts) -> (Self, IntCounter) {
        let work = IntCounter::new("work_total", "Work.").unwrap();
        parts.registry.register(Box::new(work.clone())).unwrap();
        let (parts, stop, mut running) = (Arc::new(parts), CancellationToken::new(), JoinSet::new());
        let source = Arc::clone(&parts) as Arc<dyn Source>;
        running.spawn(Pusher::new(settings, source, epoch).run(stop.clone().cancelled_owned()));
        (Self { parts, stop, running }, work)
    }

    fn sent(&self) -> u64 {
        self.parts.sent.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.parts.failed.load(Ordering::Relaxed)
    }

    fn refused(&self) -> u64 {
        self.parts.refused.load(Ordering::Relaxed)
    }

    /// Ends it in order; what became of its pushes.
    async fn stop(mut self) -> Arc<Parts> {
        self.stop.cancel();
        patiently("the last push", self.running.join_next()).await.unwrap().unwrap();
        self.parts
    }
}

#[tokio::test]
async fn what_a_gateway_counted_last_is_pushed_at_its_end() {
    let exporter = Exporter::start().await;
    let settings = Settings { interval: Duration::from_hours(1), ..settings(&exporter.endpoint) };
    let (gateway, work) = Gateway::start(settings, 10);
    work.inc_by(42);
    gateway.stop().await;
    let metrics = exporter.metrics().await;
    assert_eq!(value(&metrics, WORK), Some(42.0));
    assert_eq!(value(&metrics, "exporter_snapshots_total{outcome=\"accepted\"}"), Some(1.0));
}

#[tokio::test]
async fn after_a_restart_of_the_exporter_the_next_push_restores_everything() {
    let exporter = Exporter::start().await;
    let (gateway, work) = Gateway::start(settings(&exporter.endpoint), 10);
    work.inc_by(100);
    eventually!(exporter.value(WORK).await == Some(100.0), "the push before");
    let address = exporter.address.clone();
    exporter.stop().await;
    eventually!(gateway.failed() > 2, "failing pushes");
    work.inc_by(11);
    let exporter = Exporter::with(|options| options.listen = Some(address)).await;
    eventually!(exporter.value(WORK).await == Some(111.0), "the push after");
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_another_replaced_is_refused_and_goes_on_trying() {
    let exporter = Exporter::start().await;
    let (gateway, _work) = Gateway::start(settings(&exporter.endpoint), 10);
    eventually!(exporter.value(WORK).await == Some(0.0), "its first push");
    assert_eq!(exporter.push(&snapshot("a", (1000, 1), 5.0)).await, 204);
    eventually!(gateway.refused() > 2, "refusals");
    eventually!(exporter.value(WORK).await == Some(5.0), "the other's values");
    let parts = gateway.stop().await;
    assert_eq!(exporter.value(WORK).await, Some(5.0), "its last word neither");
    assert_eq!(parts.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_socket_serves_as_well_and_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exporter.sock");
    let listen = format!("unix:{}", path.display());
    let exporter = Exporter::with(|options| options.listen = Some(listen.clone())).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let (gateway, work) = Gateway::start(settings(&exporter.endpoint), 10);
    work.inc();
    eventually!(exporter.value(WORK).await == Some(1.0), "a push through the socket");
    exporter.stop().await;
    assert!(!path.exists());
    eventually!(gateway.failed() > 0, "a failing push");
    // What a killed process leaves behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let exporter = Exporter::with(|options| options.listen = Some(listen)).await;
    eventually!(exporter.value(WORK).await == Some(1.0), "a push through the new socket");
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_refused_until_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "another-secret\n").unwrap();
    let with_secret = |options: &mut exporter::server::Options| options.secret_file = Some(file.clone());
    let exporter = Exporter::with(with_secret).await;
    let secret = Some("a-secret".into());
    let (gateway, work) = Gateway::start(Settings { secret, ..settings(&exporter.endpoint) }, 10);
    work.inc_by(7);
    eventually!(gateway.refused() > 1, "refusals");
    assert_eq!(exporter.value(WORK).await, None);
    std::fs::write(&file, "another-secret\na-secret\n").unwrap();
    let address = exporter.address.clone();
    exporter.stop().await;
    let exporter = Exporter::with(|options| {
        with_secret(options);
        options.listen = Some(address);
    })
    .await;
    eventually!(exporter.value(WORK).await == Some(7.0), "a push");
    gateway.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_accepts_and_never_answers_holds_nobody_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(silent.local_addr().unwrap().to_string());
    let (gateway, _work) = Gateway::start(settings(&endpoint), 10);
    // Nothing else happens, so time goes to the end of each push's patience.
    while gateway.failed() < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let began = tokio::time::Instant::now();
    gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_gather_that_panics_is_a_lost_push_and_no_more() {
    let exporter = Exporter::start().await;
    let parts = Parts { panics: AtomicU64::new(2), ..Parts::default() };
    let (gateway, work) = Gateway::with(settings(&exporter.endpoint), 10, parts);
    work.inc();
    eventually!(gateway.sent() > 0, "a push after all");
    assert_eq!(exporter.value(WORK).await, Some(1.0));
    assert_eq!((gateway.refused(), gateway.failed()), (2, 0));
    gateway.stop().await;
}
