//! How fast records are taken in and written, and what handing them over costs those who serve requests.
//!
//! `cargo bench -p exporter --bench records -- [THREADS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and ends by panicking")]

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exporter::client::{LinkError, SendError};
use exporter::protocol::{self, Bounds};
use exporter::records::batcher::{self, Batcher, Counts, Transport};
use exporter::records::wire::{Record, RecordBatch};
use exporter::server::records::ndjson;
use parking_lot::Mutex;

const BATCH: usize = 500;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// Of a ring, before it loses the oldest.
const RING: usize = 4096;
/// How often rings are emptied.
const PAUSE: Duration = Duration::from_millis(50);

fn main() {
    let threads = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    pipeline();
    for threads in threads.map_or_else(|| vec![1, cores, 4 * cores], |threads| vec![threads]) {
        handing_over(threads);
    }
}

fn record(number: u64) -> Record {
    Record {
        time_unix_ns: 1_790_000_000_000_000_000 + number * 1_234_567,
        duration_ns: 1_500_000_000 + number * 1_000,
        id: format!("req_{number:024x}"),
        trace_id: u128::from(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c42_1ab3)
            .to_be_bytes()
            .to_vec(),
        span_id: number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec(),
        parent_span_id: number.to_be_bytes().to_vec(),
        route: "create_chat_completion".to_owned(),
        model: "small-instruct".to_owned(),
        subject: format!("user-{}", number % 97),
        role: "user".to_owned(),
        status: 200,
        outcome: "ok".to_owned(),
        finish: "stop".to_owned(),
        prompt_tokens: 1000,
        cached_tokens: 800,
        completion_tokens: 200,
        queue_ns: 12_345_678,
        first_token_ns: 250_000_000,
        stream: true,
        weight: 10.0,
        kept: "sampled".to_owned(),
        ..Record::default()
    }
}

fn batch() -> RecordBatch {
    let records = (0..BATCH as u64).map(record).collect();
    RecordBatch { protocol: 1, instance: "gateway-1".to_owned(), epoch: 1, sequence: 1, records }
}

/// CPU time that this thread has used: what others do on the machine hardly changes it.
fn used() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// The best of some rounds: caches are shared.
fn best(mut round: impl FnMut() -> usize) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (began, before, mut count) = (Instant::now(), used(), 0);
        while began.elapsed() < ROUND {
            count += round();
        }
        best = best.max(count as f64 / used().saturating_sub(before).as_secs_f64());
    }
    best
}

/// One thread: what the exporter does with a body.
fn pipeline() {
    let body = protocol::encode(&batch()).unwrap();
    let decode = || protocol::decode::<RecordBatch>(&body, Bounds::default()).unwrap();
    let lines = ndjson::lines(&batch()).unwrap();
    println!("a batch of {BATCH}: {} bytes as sent, {} as JSON", body.len(), lines.len());
    let show = |what: &str, rate: f64| println!("{what:<42} {rate:>12.0} records/s of CPU time");
    show("decode", best(|| black_box(decode()).records.len()));
    let decoded = decode();
    show("to JSON", best(|| black_box(ndjson::lines(&decoded).unwrap()).len() * BATCH / lines.len()));
    show(
        "decode, to JSON",
        best(|| black_box(ndjson::lines(&decode()).unwrap()).len() * BATCH / lines.len()),
    );
    let mut file = tempfile::tempfile().unwrap();
    show(
        "decode, to JSON, write to a file",
        best(|| {
            file.write_all(&ndjson::lines(&decode()).unwrap()).unwrap();
            if file.stream_position().unwrap() > 256 << 20 {
                file.set_len(0).unwrap();
                file.rewind().unwrap();
            }
            BATCH
        }),
    );
}

/// What a thread that serves requests pays for each record.
fn handing_over(threads: usize) {
    println!("\n{threads} threads hand over records for {} s each way:", ROUND.as_secs());
    let file = Mutex::new(tempfile::tempfile().unwrap());
    let locked = hand_over(threads, |_, number| write_one(&file, number));
    report("one lock, a write a record", &locked);
    let shards: Vec<_> = (0..threads).map(|_| Mutex::new(VecDeque::with_capacity(RING))).collect();
    let (ended, written, lost) = (AtomicBool::new(false), Mutex::new(0_usize), Mutex::new(0_usize));
    let costs = std::thread::scope(|scope| {
        scope.spawn(|| *written.lock() = drain(&shards, &ended));
        let costs = hand_over(threads, |thread, number| {
            let mut ring = shards.get(thread).unwrap().lock();
            if ring.len() == RING {
                ring.pop_front();
                *lost.lock() += 1;
            }
            ring.push_back(record(number));
        });
        ended.store(true, Ordering::Relaxed);
        costs
    });
    report("a ring a thread, batches of 500", &costs);
    println!("    of them {} written, {} lost to a full ring", written.lock(), lost.lock());
    let mean = |costs: &[u64]| costs.iter().sum::<u64>() as f64 / costs.len().max(1) as f64;
    let (times, more) = (mean(&locked) / mean(&costs), costs.len() as f64 / locked.len() as f64);
    println!(
        "  ratio: a thread waits {times:.1} times as long by the lock; {more:.1} times as many by the rings"
    );
    let times = mean(&locked) / mean(&by_inbox(threads));
    println!("  ratio: a thread waits {times:.1} times as long by the lock as by the gateway's queue");
}

/// The gateway's own way: one bounded queue, a task that sends batches of 500.
fn by_inbox(threads: usize) -> Vec<u64> {
    let counted = Arc::new(Counted::default());
    let transport = ToFile(tempfile::tempfile().unwrap());
    let counts = Arc::clone(&counted) as Arc<dyn Counts>;
    let (inbox, batcher) = Batcher::new(batcher::Settings::default(), ("a".to_owned(), 1), transport, counts);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let costs = std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(batcher.run(async { drop(stopped.await) }));
        });
        let costs = hand_over(threads, |_, number| inbox.offer(record(number)));
        drop(stop);
        costs
    });
    report("the gateway's queue, batches of 500", &costs);
    let (sent, lost) = (counted.0.load(Ordering::Relaxed), counted.1.load(Ordering::Relaxed));
    println!("    of them {sent} written, {lost} dropped by a full queue");
    costs
}

/// Sent, and dropped.
#[derive(Default)]
struct Counted(AtomicU64, AtomicU64);

impl Counts for Counted {
    fn count(&self, outcome: &'static str, records: u64) {
        let counter = if outcome == "sent" { &self.0 } else { &self.1 };
        counter.fetch_add(records, Ordering::Relaxed);
    }
}

/// A file in the exporter's place.
struct ToFile(File);

impl Transport for ToFile {
    async fn post(&mut self, body: Bytes) -> Result<(), SendError> {
        Ok(self.0.write_all(&body).map_err(LinkError::from)?)
    }
}

fn write_one(file: &Mutex<File>, number: u64) {
    let record = record(number);
    let mut file = file.lock();
    let one =
        RecordBatch { instance: "gateway-1".to_owned(), records: vec![record], ..RecordBatch::default() };
    file.write_all(&ndjson::lines(&one).unwrap()).unwrap();
    if file.stream_position().unwrap() > 256 << 20 {
        file.set_len(0).unwrap();
        file.rewind().unwrap();
    }
}

/// Empties the rings into a file of batches; how many records there were.
fn drain(shards: &[Mutex<VecDeque<Record>>], ended: &AtomicBool) -> usize {
    let mut file = tempfile::tempfile().unwrap();
    let mut written = 0;
    loop {
        let is_last = ended.load(Ordering::Relaxed);
        for shard in shards {
            let mut taken = std::mem::replace(&mut *shard.lock(), VecDeque::with_capacity(RING));
            written += taken.len();
            while !taken.is_empty() {
                let some = taken.len().min(BATCH);
                let records = taken.drain(..some).collect();
                let batch =
                    RecordBatch { instance: "gateway-1".to_owned(), records, ..RecordBatch::default() };
                file.write_all(&protocol::encode(&batch).unwrap()).unwrap();
            }
        }
        if is_last {
            return written;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Nanoseconds that each thread waited for each record, by thread.
fn hand_over(threads: usize, give: impl Fn(usize, u64) + Sync) -> Vec<u64> {
    let give = &give;
    let costs = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let costs = Arc::clone(&costs);
            scope.spawn(move || {
                let (began, mut number, mut mine) = (Instant::now(), 0, Vec::with_capacity(1 << 20));
                while began.elapsed() < ROUND {
                    let before = Instant::now();
                    give(thread, number);
                    mine.push(u64::try_from(before.elapsed().as_nanos()).unwrap());
                    number += 1;
                    work();
                }
                costs.lock().extend(mine);
            });
        }
    });
    let mut costs = Arc::into_inner(costs).unwrap().into_inner();
    costs.sort_unstable();
    costs
}

/// A request does other work too: about 20 µs of it stands for that.
fn work() {
    let until = Instant::now() + Duration::from_micros(20);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn report(what: &str, costs: &[u64]) {
    // In thousandths.
    let at = |share: usize| costs.get(costs.len() * share / 1000).map_or(0.0, |nanos| *nanos as f64 / 1000.0);
    let (half, most, rare) = (at(500), at(990), at(999));
    let count = costs.len();
    println!("  {what:<36} {count:>8} records; p50 {half:.2} µs, p99 {most:.2} µs, p99.9 {rare:.2} µs");
}
