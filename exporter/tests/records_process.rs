//! A real exporter between a gateway and a sink that refuses, hangs, fails and comes back: nothing that was taken is lost
//! or there twice, the counters say so, and a hostile body costs nothing.

#![cfg(feature = "influx")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use exporter::client::{Connection, Endpoint, SendError};
use exporter::protocol;
use exporter::records::wire::{RECORDS_PATH, RecordBatch};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const EACH: u64 = 50;
const PATIENCE: Duration = Duration::from_mins(2);

/// What the service does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Fails,
    Hangs,
    Breaks,
}

/// A service that takes lines, and what it has.
#[derive(Clone)]
struct Service {
    mood: Arc<Mutex<Mood>>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start(listener: TcpListener, tasks: &mut JoinSet<()>) -> Self {
        let service = Self { mood: Arc::new(Mutex::new(Mood::Takes)), lines: Arc::default() };
        let serving = service.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                open.spawn(async move { drop(serving.serve(stream).await) });
            }
        });
        service
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut read = Vec::new();
        loop {
            let body = request(&mut stream, &mut read).await?;
            let mood = *self.mood.lock();
            match mood {
                Mood::Takes => {
                    self.lines.lock().extend(body.lines().map(ToOwned::to_owned));
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
                }
                Mood::Fails => {
                    stream.write_all(b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n").await?;
                }
                Mood::Hangs => std::future::pending().await,
                Mood::Breaks => return Ok(()),
            }
        }
    }

    /// All records that it has, and how many of them are different.
    fn has(&self) -> (u64, u64) {
        let lines = self.lines.lock();
        // The time is the record's own.
        let times: BTreeSet<_> = lines.iter().filter_map(|line| line.rsplit(' ').next()).collect();
        (lines.len() as u64, times.len() as u64)
    }
}

/// The body of the next request; what was read behind it stays in `read`.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<String> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap();
            if body.len() >= length {
                read.drain(..head.len() + 4 + length);
                return Ok(body.chars().take(length).collect());
            }
        }
        if stream.read_buf(read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    async fn start(folder: &Path) -> Self {
        let address = folder.join("address");
        drop(std::fs::remove_file(&address));
        let child = Command::new(env!("CARGO_BIN_EXE_exporter"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(folder.join("exporter.toml"))
            .arg("--address-file")
            .arg(&address)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let read = || std::fs::read_to_string(&address).ok().filter(|text| text.ends_with('\n'));
        until("the exporter listens", || read().is_some()).await;
        Self { child, address: read().unwrap().trim().to_owned() }
    }

    async fn post(&self, body: Bytes) -> Result<(), SendError> {
        Connection::new(Endpoint::Tcp(self.address.clone()), None).post(RECORDS_PATH, body).await
    }

    async fn give(&self, sequences: std::ops::Range<u64>, start: u64) {
        for sequence in sequences {
            let batch = support::batch(start + sequence * 1_000_000, EACH);
            let batch = RecordBatch { epoch: 1, sequence, ..batch };
            self.post(protocol::encode(&batch).unwrap()).await.unwrap();
        }
    }

    /// The value of `exporter_records_total` by outcome.
    async fn count(&self, outcome: &str) -> u64 {
        let line = format!("exporter_records_total{{outcome=\"{outcome}\",sink=\"influx\"}} ");
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|found| found.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{line} in {metrics}")).parse().unwrap()
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn signal(mut self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
        let mut ended = false;
        until("the exporter ends", || {
            ended = ended || self.child.try_wait().unwrap().is_some();
            ended
        })
        .await;
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn prepare(folder: &Path, spool_mib: u32, tasks: &mut JoinSet<()>) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config =
        format!("[records]\nspool_mib = {spool_mib}\n[records.influx]\nurl = \"{url}\"\ndatabase = \"a\"\n");
    std::fs::write(folder.join("exporter.toml"), config).unwrap();
    Service::start(listener, tasks)
}

#[tokio::test]
async fn a_sink_that_is_away_for_a_while_gets_every_record_once() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let service = prepare(folder.path(), 64, &mut tasks).await;
    let start = support::now_ns();
    let exporter = Exporter::start(folder.path()).await;
    exporter.give(0..10, start).await;
    // A repeat after a lost answer.
    exporter.give(5..10, start).await;
    until("it has the first ones", || service.has() == (10 * EACH, 10 * EACH)).await;
    for (mood, from) in [(Mood::Breaks, 10), (Mood::Fails, 110)] {
        service.becomes(mood);
        exporter.give(from..from + 100, start).await;
    }
    assert!(exporter.count("spooled").await > 0, "more than the queue holds");
    assert!(exporter.count("retried").await > 0);
    service.becomes(Mood::Takes);
    until("it has all", || service.has() == (210 * EACH, 210 * EACH)).await;
    assert_eq!((exporter.count("delivered").await, exporter.count("dropped").await), (210 * EACH, 0));
    // It ends while the service hangs, and goes on in the next life.
    service.becomes(Mood::Hangs);
    exporter.give(210..310, start).await;
    exporter.signal("-TERM").await;
    service.becomes(Mood::Takes);
    let exporter = Exporter::start(folder.path()).await;
    until("it has the rest", || service.has() == (310 * EACH, 310 * EACH)).await;
    assert_eq!((exporter.count("delivered").await, exporter.count("dropped").await), (100 * EACH, 0));
}

#[tokio::test]
async fn a_killed_exporter_loses_no_more_than_its_queue() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let service = prepare(folder.path(), 64, &mut tasks).await;
    let start = support::now_ns();
    let exporter = Exporter::start(folder.path()).await;
    service.becomes(Mood::Fails);
    exporter.give(0..200, start).await;
    let spooled = exporter.count("spooled").await;
    exporter.signal("-KILL").await;
    service.becomes(Mood::Takes);
    let exporter = Exporter::start(folder.path()).await;
    until("it has what was in the spool", || service.has().1 >= spooled).await;
    assert_eq!(exporter.count("dropped").await, 0);
    // 64 wait in the queue, and one was being tried.
    assert!(spooled >= (200 - 65) * EACH, "{spooled}");
}

#[tokio::test]
async fn a_spool_that_is_full_counts_what_left_it() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let service = prepare(folder.path(), 1, &mut tasks).await;
    let start = support::now_ns();
    let exporter = Exporter::start(folder.path()).await;
    service.becomes(Mood::Fails);
    exporter.give(0..2000, start).await;
    let dropped = exporter.count("dropped").await;
    assert!(dropped > 0);
    service.becomes(Mood::Takes);
    let mut delivered = 0;
    let began = Instant::now();
    while delivered + exporter.count("dropped").await < 2000 * EACH {
        assert!(began.elapsed() < PATIENCE, "{delivered} of {}", 2000 * EACH);
        delivered = exporter.count("delivered").await;
    }
    assert_eq!(delivered + exporter.count("dropped").await, 2000 * EACH);
    assert_eq!(service.has(), (delivered, delivered));
}

#[tokio::test]
async fn a_body_that_asks_for_much_memory_is_refused_before_it_gets_any() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let _service = prepare(folder.path(), 1, &mut tasks).await;
    let exporter = Exporter::start(folder.path()).await;
    let bomb = zstd::bulk::compress(&[0x2a, 0].repeat(4 << 20), 1).unwrap();
    let refused = exporter.post(bomb.into()).await.unwrap_err();
    assert!(matches!(&refused, SendError::Status { status, .. } if status.as_u16() == 413), "{refused}");
    let peak = std::fs::read_to_string(format!("/proc/{}/status", exporter.child.id())).unwrap();
    let peak =
        peak.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
    let peak: u64 = peak.unwrap();
    assert!(peak < 100 << 10, "{peak} KiB");
}
