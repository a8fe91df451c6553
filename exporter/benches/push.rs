//! What the exporter takes and gives: snapshots of 1,000 series for a second of a core's CPU time, how long a gateway waits
//! for an answer, and how long Prometheus waits for a scrape of 10,000 series.
//!
//! `cargo bench -p exporter --bench push -- [SECONDS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and ends by panicking")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exporter::client::{Connection, Endpoint};
use exporter::protocol::metrics::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType, Value};
use exporter::protocol::{self, Bounds, PUSH_PATH, Snapshot};
use exporter::server::check::{self, Limits};
use exporter::server::instances::{Instances, Verdict};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Gateways that push, each over a connection of its own.
const GATEWAYS: u64 = 10;
/// Between two snapshots of one, as gateways do.
const INTERVAL: Duration = Duration::from_secs(1);
/// Snapshots of each while CPU time is measured.
const SNAPSHOTS: u64 = 200;
/// Scrapes of each kind.
const SCRAPES: usize = 100;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// The kernel's unit of CPU time in `/proc`: 100 a second on every Linux.
const TICKS: f64 = 100.0;
const LIMITS: Limits = Limits { instances: 100, series: 20_000, labels: 16 };

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(30);
    pipeline();
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(as_fast_as_they_can(&server));
    runtime.block_on(each_interval(&server, seconds));
    for (name, accept, encoding) in [
        ("text", "text/plain", "identity"),
        ("OpenMetrics, gzip, as Prometheus asks", "application/openmetrics-text", "gzip"),
        (
            "protobuf",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            "identity",
        ),
    ] {
        scrapes(&server, name, (accept, encoding));
    }
    println!("memory of the exporter: {} KiB", server.resident());
}

/// Forty histograms of seventeen series and 320 counters: 1,000 series, of values that have nothing in common.
fn snapshot(gateway: u64, sequence: u64) -> Snapshot {
    let mut random = SmallRng::seed_from_u64(gateway << 32 | sequence);
    let label = |name: &str, value: String| LabelPair { name: name.to_owned(), value };
    let histogram = |number: u64, random: &mut SmallRng| {
        let mut count = 0;
        let mut bucket = |place: u32| {
            count += random.random_range(0..1000);
            Bucket { cumulative_count: count, upper_bound: f64::from(place) * 0.25 }
        };
        let bucket = (1..15).map(&mut bucket).collect();
        let histogram = Histogram { sample_count: count, sample_sum: random.random(), bucket };
        let label = vec![label("method", "POST".to_owned()), label("route", format!("route_{number}"))];
        Metric { label, histogram: Some(histogram), ..Metric::default() }
    };
    let counter = |number: u64, random: &mut SmallRng| Metric {
        label: vec![
            label("method", "POST".to_owned()),
            label("route", format!("route_{number}")),
            label("status", "200".to_owned()),
        ],
        counter: Some(Value { value: random.random_range(0..1_000_000_u32).into() }),
        ..Metric::default()
    };
    let family = |name: String, kind: MetricType, metric: Vec<Metric>| MetricFamily {
        help: format!("What {name} counts."),
        name,
        r#type: kind.into(),
        metric,
    };
    let mut families = Vec::new();
    for number in 0..8 {
        let counters = (0..40).map(|route| counter(route, &mut random)).collect();
        families.push(family(format!("work_{number}_total"), MetricType::Counter, counters));
        let histograms = (0..5).map(|route| histogram(route, &mut random)).collect();
        families.push(family(format!("took_{number}_seconds"), MetricType::Histogram, histograms));
    }
    Snapshot {
        protocol: protocol::VERSION,
        instance: format!("gateway-{gateway}"),
        epoch: 1,
        sequence,
        r#final: false,
        families,
    }
}

fn body(gateway: u64, sequence: u64) -> Bytes {
    protocol::encode(&snapshot(gateway, sequence)).unwrap()
}

/// CPU time that this thread has used: what others do on the machine hardly changes it.
fn used() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// The best of some rounds: caches are shared.
fn best(mut round: impl FnMut()) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (began, before, mut count) = (Instant::now(), used(), 0_u32);
        while began.elapsed() < ROUND {
            round();
            count += 1;
        }
        best = best.max(f64::from(count) / used().saturating_sub(before).as_secs_f64());
    }
    best
}

/// One thread: what the exporter does with a body.
fn pipeline() {
    let bodies: Vec<Bytes> = (0..64).map(|sequence| body(0, sequence)).collect();
    let decode = |body: &Bytes| protocol::decode::<Snapshot>(body, Bounds::default()).unwrap();
    let one = decode(bodies.first().unwrap());
    println!(
        "a snapshot of {} series: {} bytes as sent",
        check::check(&one, &LIMITS).unwrap(),
        bodies.first().unwrap().len()
    );
    let show = |what: &str, rate: f64| println!("{what:<42} {rate:>8.0} snapshots/s of CPU time");
    let mut turns = bodies.iter().cycle();
    show("decode", best(|| drop(black_box(decode(turns.next().unwrap())))));
    show("check", best(|| drop(black_box(check::check(black_box(&one), &LIMITS)))));
    let instances = Instances::new(Duration::from_secs(15), Duration::from_hours(1), 100);
    let mut sequence = 0;
    show(
        "decode, check, keep (target: 700)",
        best(|| {
            sequence += 1;
            let snapshot = Snapshot { sequence, ..decode(turns.next().unwrap()) };
            let series = check::check(&snapshot, &LIMITS).unwrap();
            assert_eq!(instances.take(snapshot, series, 0.0), Verdict::Accepted);
        }),
    );
}

/// Every gateway pushes as fast as it can: what a push costs the process, HTTP included.
async fn as_fast_as_they_can(server: &Server) {
    let mut pushing = JoinSet::new();
    for gateway in 0..GATEWAYS {
        let bodies: Vec<Bytes> = (1..=SNAPSHOTS).map(|sequence| body(gateway, sequence)).collect();
        let mut connection = server.connection();
        pushing.spawn(async move {
            for body in bodies {
                connection.post(PUSH_PATH, body).await.unwrap();
            }
        });
    }
    let cpu = server.cpu_seconds();
    pushing.join_all().await;
    let (cpu, count) = (server.cpu_seconds() - cpu, (GATEWAYS * SNAPSHOTS) as f64);
    println!("{:<42} {:>8.0} snapshots/s of CPU time", "the process, HTTP included", count / cpu);
}

/// Every gateway pushes once an interval, and something scrapes as often: what a gateway waits.
async fn each_interval(server: &Server, seconds: u64) {
    let mut pushing = JoinSet::new();
    for gateway in 0..GATEWAYS {
        let mut connection = server.connection();
        pushing.spawn(async move {
            let mut times = Vec::new();
            let first = tokio::time::Instant::now() + INTERVAL.mul_f64(gateway as f64 / GATEWAYS as f64);
            let mut tick = tokio::time::interval_at(first, INTERVAL);
            for sequence in 1..=seconds {
                let body = body(gateway, SNAPSHOTS + sequence);
                tick.tick().await;
                let began = Instant::now();
                connection.post(PUSH_PATH, body).await.unwrap();
                times.push(began.elapsed());
            }
            times
        });
    }
    let address = server.address.clone();
    let scraping = std::thread::spawn(move || {
        for _ in 0..seconds {
            scrape(&address, "application/openmetrics-text", "gzip");
            std::thread::sleep(INTERVAL);
        }
    });
    let mut times = pushing.join_all().await.concat();
    scraping.join().unwrap();
    println!("an accepted push, 10 gateways, 1/s each, a scrape a second (target: p99 ≤ 10 ms):");
    report(&mut times);
}

fn scrapes(server: &Server, name: &str, (accept, encoding): (&str, &str)) {
    let (mut times, mut size) = (Vec::new(), 0);
    for _ in 0..SCRAPES {
        let began = Instant::now();
        size = scrape(&server.address, accept, encoding);
        times.push(began.elapsed());
    }
    println!("a scrape of 10,000 series, {name} ({} KiB):", size / 1024);
    report(&mut times);
}

/// A whole scrape over a new connection; its length.
fn scrape(address: &str, accept: &str, encoding: &str) -> usize {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(
        socket,
        "GET /metrics HTTP/1.1\r\nhost: a\r\naccept: {accept}\r\naccept-encoding: {encoding}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "the scrape was refused");
    answer.len()
}

fn report(times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| {
        let place = (times.len() * share / 100).min(times.len() - 1);
        times.get(place).copied().unwrap_or_default()
    };
    let (half, most, all) = (at(50), at(99), at(100));
    println!("  p50 {half:.2?}, p99 {most:.2?}, longest {all:.2?} of {}", times.len());
}

/// The built exporter.
struct Server {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("address");
        let child = Command::new(env!("CARGO_BIN_EXE_exporter"))
            .args(["serve", "--listen", "127.0.0.1:0", "--silence", "600", "--address-file"])
            .arg(&file)
            .arg("--data-dir")
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address: read(&file), _folder: folder }
    }

    fn connection(&self) -> Connection {
        Connection::new(Endpoint::Tcp(self.address.clone()), None)
    }

    fn told(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    fn cpu_seconds(&self) -> f64 {
        let told = self.told("stat");
        let ticks = told.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
    }

    fn resident(&self) -> u64 {
        let told = self.told("status");
        let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// The line of a file that is being written.
fn read(file: &Path) -> String {
    loop {
        let told = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(line) = told.strip_suffix('\n') {
            return line.to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
