//! Batches on their way to a sink that says no at times.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;
use crate::records::wire::Record;
use crate::server::records::counters;
use crate::server::records::intake::{Intake, Taken};

/// Answers as it is told, and then with yes; keeps the numbers of the batches.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Result<(), SinkError>>>>,
    kept: Arc<Mutex<Vec<u64>>>,
    flushed: Arc<Mutex<bool>>,
    /// Never answers.
    hangs: bool,
    changed: Arc<Notify>,
}

impl Sink for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let answer = self.answers.lock().pop_front().unwrap_or(Ok(()));
        if answer.is_ok() {
            self.kept.lock().push(batch.sequence);
        }
        self.changed.notify_one();
        answer
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        *self.flushed.lock() = true;
        Ok(())
    }
}

impl Script {
    fn says(answers: impl IntoIterator<Item = Result<(), SinkError>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    async fn until_kept(&self, count: usize) -> Vec<u64> {
        loop {
            let kept = self.kept.lock().clone();
            if kept.len() >= count {
                return kept;
            }
            self.changed.notified().await;
        }
    }
}

struct Bench {
    counters: Counters,
    settings: Settings,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Some((folder.path().to_owned(), 1 << 20));
        Self {
            counters: counters::for_tests(),
            settings: Settings { spool, ..Settings::default() },
            _folder: folder,
        }
    }

    fn make(&self, sink: &Script) -> (Delivery<Script>, Intake) {
        let (delivery, feed) = Delivery::new(sink.clone(), self.settings.clone(), &self.counters).unwrap();
        (delivery, Intake::new(vec![feed], 10))
    }

    fn count(&self, outcome: &str) -> u64 {
        self.counters.records.with_label_values(&["script", outcome]).get()
    }

    fn spool_bytes(&self) -> i64 {
        self.counters.spool_bytes.with_label_values(&["script"]).get()
    }
}

fn no() -> Result<(), SinkError> {
    Err(SinkError::later("not now"))
}

fn give(intake: &Intake, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        let records = vec![Record::default(); 2];
        let batch = RecordBatch { instance: "a".to_owned(), sequence, records, ..RecordBatch::default() };
        assert_eq!(intake.take(batch), Taken::Accepted);
    }
}

fn started(delivery: Delivery<Script>) -> (JoinSet<()>, CancellationToken) {
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    tasks.spawn(delivery.run(stop.clone()));
    (tasks, stop)
}

async fn ended((mut tasks, stop): (JoinSet<()>, CancellationToken)) {
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_tried_again_until_it_is_kept() {
    let (bench, sink) = (Bench::new(), Script::says([no(), no()]));
    let (delivery, intake) = bench.make(&sink);
    let task = started(delivery);
    give(&intake, [1, 2]);
    assert_eq!(sink.until_kept(2).await, [1, 2]);
    ended(task).await;
    let counts = ["delivered", "retried", "spooled", "dropped"].map(|outcome| bench.count(outcome));
    assert_eq!((counts, *sink.flushed.lock()), ([4, 4, 0, 0], true));
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_has_no_place_for_comes_from_the_spool() {
    let mut bench = Bench::new();
    bench.settings.queue_batches = 2;
    let sink = Script::default();
    let (delivery, intake) = bench.make(&sink);
    give(&intake, 1..=5);
    assert_eq!(bench.count("spooled"), 6);
    assert!(bench.spool_bytes() > 0);
    let task = started(delivery);
    assert_eq!(sink.until_kept(5).await, [1, 3, 2, 4, 5], "the spool has its turns");
    ended(task).await;
    assert_eq!((bench.count("delivered"), bench.count("dropped"), bench.spool_bytes()), (10, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_the_queue_too() {
    let mut bench = Bench::new();
    bench.settings.queue_bytes = 1;
    let (_delivery, intake) = bench.make(&Script::default());
    give(&intake, 1..=3);
    assert_eq!(bench.count("spooled"), 4, "the first has all of it");
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_dropped_and_the_next_is_kept() {
    let (bench, sink) = (Bench::new(), Script::says([Err(SinkError::Never("no such field".to_owned()))]));
    let (delivery, intake) = bench.make(&sink);
    let task = started(delivery);
    give(&intake, [1, 2]);
    assert_eq!(sink.until_kept(1).await, [2]);
    ended(task).await;
    assert_eq!((bench.count("delivered"), bench.count("dropped")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_too_often_lets_others_pass_and_comes_back() {
    let mut bench = Bench::new();
    bench.settings.attempts = 2;
    let sink = Script::says([no(), no()]);
    let (delivery, intake) = bench.make(&sink);
    give(&intake, [1, 2]);
    let task = started(delivery);
    assert_eq!(sink.until_kept(2).await, [1, 2], "its turn comes with the spool's");
    assert_eq!(bench.count("spooled"), 2);
    ended(task).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_carries_what_it_can_and_spools_the_rest_for_the_next_life() {
    let bench = Bench::new();
    let sink = Script::says([Ok(()), no()]);
    let (delivery, intake) = bench.make(&sink);
    give(&intake, 1..=4);
    let stop = CancellationToken::new();
    stop.cancel();
    delivery.run(stop).await;
    assert_eq!((sink.kept.lock().clone(), bench.count("spooled"), *sink.flushed.lock()), (vec![1], 6, true));
    // Too late for the queue, and not for the spool.
    give(&intake, [5]);
    drop(intake);
    let (delivery, _intake) = bench.make(&sink);
    let task = started(delivery);
    assert_eq!(sink.until_kept(5).await, [1, 2, 3, 4, 5]);
    ended(task).await;
    assert_eq!(bench.count("dropped"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_holds_the_end_no_longer_than_it_may() {
    let bench = Bench::new();
    let sink = Script { hangs: true, ..Script::default() };
    let (delivery, intake) = bench.make(&sink);
    give(&intake, 1..=3);
    let task = started(delivery);
    tokio::task::yield_now().await;
    let began = Instant::now();
    ended(task).await;
    assert!(began.elapsed() <= bench.settings.last + LEAST_FLUSH);
    assert_eq!((bench.count("spooled"), bench.count("delivered")), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_spool_what_has_no_place_is_dropped() {
    let mut bench = Bench::new();
    (bench.settings.spool, bench.settings.queue_batches) = (None, 1);
    let (_delivery, intake) = bench.make(&Script::default());
    give(&intake, [1, 2]);
    assert_eq!((bench.count("dropped"), bench.count("spooled")), (2, 0));
}
