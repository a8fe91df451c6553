//! Every record that was taken is delivered, counted as dropped, or still in the spool: whatever the sink says, however
//! small the spool is, and however often the process ends and begins again.

#![cfg(feature = "server")]
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exporter::records::wire::{Record, RecordBatch};
use exporter::server::records::delivery::Settings;
use exporter::server::records::spool::Spool;
use exporter::server::records::{Counters, Delivery, Intake, Sink, SinkError, Taken};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Of each batch, so that batches taken for records would show.
const RECORDS: usize = 3;
const LABEL: &str = "script";

/// What the sink says to a batch.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Yes,
    /// Yes, after a while in which more comes.
    Slowly,
    Later,
    Never,
    /// Not within the time of a try.
    Hangs,
}

/// What happens to the process.
#[derive(Debug, Clone, Copy)]
enum Step {
    Give(usize),
    Wait(u64),
    /// It ends in order, and begins again on the same folder.
    Restart,
}

/// Keeps at once, or gathers some batches first.
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    kept: Arc<Mutex<Vec<u64>>>,
    gathered: Vec<RecordBatch>,
    gathers: usize,
}

impl Script {
    async fn answer(&self) -> Result<(), SinkError> {
        let answer = self.answers.lock().pop_front().unwrap_or(Answer::Yes);
        match answer {
            Answer::Yes => Ok(()),
            Answer::Slowly => {
                sleep(Duration::from_millis(40)).await;
                Ok(())
            }
            Answer::Later => Err(SinkError::later("not now")),
            Answer::Never => Err(SinkError::Never("not this".to_owned())),
            Answer::Hangs => std::future::pending().await,
        }
    }

    fn next_life(&self) -> Self {
        let (answers, kept) = (Arc::clone(&self.answers), Arc::clone(&self.kept));
        Self { answers, kept, gathered: Vec::new(), gathers: self.gathers }
    }

    async fn keep(&mut self) -> Result<(), SinkError> {
        if !self.gathered.is_empty() {
            self.answer().await?;
            self.kept.lock().extend(self.gathered.drain(..).map(|batch| batch.sequence));
        }
        Ok(())
    }
}

impl Sink for Script {
    fn name(&self) -> &'static str {
        LABEL
    }

    async fn deliver(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        if self.gathers == 0 {
            self.answer().await?;
            self.kept.lock().push(batch.sequence);
            return Ok(());
        }
        if self.gathered.len() >= self.gathers {
            self.keep().await?;
        }
        self.gathered.push(batch.clone());
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.keep().await
    }

    fn gathered(&self) -> u64 {
        (self.gathered.len() * RECORDS) as u64
    }

    fn give_back(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.gathered)
    }
}

/// A process's life: one sink, one spool.
struct Life {
    intake: Intake,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Life {
    fn begin(sink: impl Sink, folder: &Path, most: u64, counters: &Counters) -> Self {
        let settings = Settings {
            queue_batches: 2,
            spool: Some((folder.to_owned(), most)),
            attempt: Duration::from_millis(60),
            attempts: 2,
            shortest_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(20),
            last: Duration::from_millis(100),
            ..Settings::default()
        };
        let (delivery, feed) = Delivery::new(sink, settings, counters).unwrap();
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(delivery.run(stop.clone()));
        Self { intake: Intake::new(vec![feed], 10), tasks, stop }
    }

    fn give(&self, sequence: u64) {
        // Texts that do not shrink, so that a few batches fill a small spool.
        let text = |number: usize| format!("{:032x}", u128::from(sequence) << 64 | number as u128);
        let record = |number| Record { id: text(number), ..Record::default() };
        let records = (0..RECORDS).map(record).collect();
        let batch = RecordBatch { instance: "a".to_owned(), sequence, records, ..RecordBatch::default() };
        assert_eq!(self.intake.take(batch), Taken::Accepted);
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

struct Account {
    counters: Counters,
    folder: tempfile::TempDir,
    given: u64,
}

impl Account {
    fn new() -> Self {
        let options = |name| Opts::new(name, "A test's.");
        let counters = Counters {
            records: IntCounterVec::new(options("records"), &["sink", "outcome"]).unwrap(),
            spool_bytes: IntGaugeVec::new(options("bytes"), &["sink"]).unwrap(),
        };
        Self { counters, folder: tempfile::tempdir().unwrap(), given: 0 }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn count(&self, outcome: &str) -> u64 {
        self.counters.records.with_label_values(&[LABEL, outcome]).get()
    }

    /// Records that wait for the next life.
    fn left(&self) -> u64 {
        let mut spool = Spool::open(&self.spool(), u64::MAX).unwrap();
        let mut left = 0;
        while let Some(entry) = spool.oldest() {
            left += u64::from(entry.records);
            spool.done(&entry);
        }
        assert_eq!(spool.take_lost(), 0);
        left
    }

    async fn run(&mut self, steps: &[Step], most: u64, sink: &Script) {
        let mut life = Life::begin(sink.next_life(), &self.spool(), most, &self.counters);
        for step in steps {
            match *step {
                Step::Give(batches) => {
                    for _ in 0..batches {
                        self.given += 1;
                        life.give(self.given);
                    }
                }
                Step::Wait(ms) => sleep(Duration::from_millis(ms)).await,
                Step::Restart => {
                    life.end().await;
                    life = Life::begin(sink.next_life(), &self.spool(), most, &self.counters);
                }
            }
        }
        life.end().await;
    }
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        4 => Just(Answer::Yes),
        4 => Just(Answer::Slowly),
        6 => Just(Answer::Later),
        1 => Just(Answer::Never),
        1 => Just(Answer::Hangs),
    ];
    prop::collection::vec(answer, 0..60)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_usize..8).prop_map(Step::Give),
        6 => (1_u64..120).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_taken_is_delivered_dropped_or_waits(
        answers in answers(), steps in steps(), most in 600_u64..6000, gathers in prop_oneof![Just(0_usize), 1_usize..5],
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let mut account = Account::new();
        let answers = Arc::new(Mutex::new(answers.into()));
        let sink = Script { answers, kept: Arc::default(), gathered: Vec::new(), gathers };
        runtime.block_on(account.run(&steps, most, &sink));
        let kept = sink.kept.lock().clone();
        let each = RECORDS as u64;
        prop_assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), kept.len(), "once each");
        prop_assert_eq!(account.count("delivered"), kept.len() as u64 * each);
        let (dropped, left) = (account.count("dropped"), account.left());
        prop_assert_eq!(account.given * each, kept.len() as u64 * each + dropped + left, "dropped {}, left {}", dropped, left);
    }
}
