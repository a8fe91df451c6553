//! Every record that was offered is sent once or counted as dropped, whatever the other side does.

use std::collections::BTreeMap;

use http::StatusCode;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::protocol::Bounds;

/// What the other side does with a batch.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Takes,
    /// It has it, and the answer is lost.
    TakesAndBreaks,
    IsAway,
    Refuses,
}

/// The other side: it answers as it was told, and from then on takes everything.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The last one comes first.
    answers: Vec<Answer>,
    /// Ids of the records of each batch.
    taken: BTreeMap<u64, Vec<String>>,
    asked: usize,
}

impl Script {
    fn of(answers: &[Answer]) -> Self {
        let script = Self::default();
        script.0.lock().answers = answers.iter().rev().copied().collect();
        script
    }

    /// Ids of the records that it has, a repeated batch once.
    fn has(&self) -> Vec<String> {
        self.0.lock().taken.values().flatten().cloned().collect()
    }

    fn asked(&self) -> usize {
        self.0.lock().asked
    }
}

impl Transport for Script {
    async fn post(&mut self, body: Bytes) -> Result<(), SendError> {
        let mut state = self.0.lock();
        state.asked += 1;
        let batch: RecordBatch = protocol::decode(&body, Bounds::default()).unwrap();
        let ids = batch.records.iter().map(|record| record.id.clone()).collect();
        let broken = || {
            SendError::from(crate::client::LinkError::from(std::io::Error::from(
                std::io::ErrorKind::ConnectionReset,
            )))
        };
        match state.answers.pop().unwrap_or(Answer::Takes) {
            Answer::Takes => {
                state.taken.insert(batch.sequence, ids);
                Ok(())
            }
            Answer::TakesAndBreaks => {
                state.taken.insert(batch.sequence, ids);
                Err(broken())
            }
            Answer::IsAway => Err(broken()),
            Answer::Refuses => {
                let (status, text) = (StatusCode::UNPROCESSABLE_ENTITY, String::new());
                Err(SendError::Status { status, retry_after: None, text })
            }
        }
    }
}

#[derive(Default)]
struct Counted(Mutex<BTreeMap<&'static str, u64>>);

impl Counted {
    fn of(&self, outcome: &'static str) -> u64 {
        self.0.lock().get(outcome).copied().unwrap_or_default()
    }
}

impl Counts for Counted {
    fn count(&self, outcome: &'static str, records: u64) {
        *self.0.lock().entry(outcome).or_default() += records;
    }
}

/// A batcher that runs in the background of a test.
struct Bench {
    inbox: Inbox,
    script: Script,
    counted: Arc<Counted>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinSet<()>,
}

fn bench(settings: Settings, script: Script) -> Bench {
    let counted = Arc::new(Counted::default());
    let life = ("a".to_owned(), 1);
    let (inbox, batcher) =
        Batcher::new(settings, life, script.clone(), Arc::clone(&counted) as Arc<dyn Counts>);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(batcher.run(async move { drop(stopped.await) }));
    Bench { inbox, script, counted, stop, task }
}

impl Bench {
    fn offer(&self, ids: std::ops::Range<usize>) {
        for id in ids {
            self.inbox.offer(Record { id: id.to_string(), ..Record::default() });
        }
    }

    /// Ends it, and says what the other side has and what was counted.
    async fn end(mut self) -> (Vec<String>, u64, u64) {
        drop(self.stop);
        self.task.join_next().await.unwrap().unwrap();
        (self.script.has(), self.counted.of("sent"), self.counted.of("dropped"))
    }
}

const SMALL: Settings = Settings { batch: 3, linger: Duration::from_secs(5), waiting: 100 };

/// Lets the batcher run until it waits again; the clock stands still.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_is_sent_at_once_and_a_lone_record_after_its_time() {
    let bench = bench(SMALL, Script::default());
    bench.offer(0..4);
    settle().await;
    assert_eq!(bench.script.has().len(), 3);
    tokio::time::advance(SMALL.linger / 2).await;
    settle().await;
    assert_eq!(bench.script.has().len(), 3);
    tokio::time::advance(SMALL.linger / 2).await;
    settle().await;
    assert_eq!(bench.script.has().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_answer_was_lost_is_sent_again_under_its_number() {
    let bench = bench(SMALL, Script::of(&[Answer::TakesAndBreaks]));
    bench.offer(0..3);
    while bench.counted.of("sent") < 3 {
        tokio::time::advance(Duration::from_millis(100)).await;
        settle().await;
    }
    assert_eq!((bench.script.asked(), bench.script.has().len()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_dropped_when_too_many_wait_and_nobody_waits_for_it() {
    let bench = bench(Settings { waiting: 5, ..SMALL }, Script::of(&[Answer::IsAway; 1000]));
    bench.offer(0..3);
    settle().await;
    bench.offer(3..20);
    assert_eq!(bench.counted.of("dropped"), 12);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_asked_again() {
    let bench = bench(SMALL, Script::of(&[Answer::Refuses]));
    bench.offer(0..6);
    settle().await;
    let (has, sent, dropped) = bench.end().await;
    assert_eq!((has.len(), sent, dropped), (3, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_the_last_records_but_not_for_ever() {
    let quick = bench(SMALL, Script::default());
    quick.offer(0..8);
    let (has, sent, dropped) = quick.end().await;
    assert_eq!((has.len(), sent, dropped), (8, 8, 0));
    let away = bench(SMALL, Script::of(&[Answer::IsAway; 1000]));
    away.offer(0..8);
    assert_eq!(away.end().await, (vec![], 0, 8));
}

#[test]
fn threads_that_offer_while_it_ends_are_all_counted() {
    for round in 0..20 {
        let (script, counted) = (Script::default(), Arc::new(Counted::default()));
        let counts = Arc::clone(&counted) as Arc<dyn Counts>;
        let settings = Settings { batch: 50, waiting: 500, ..SMALL };
        let (inbox, batcher) = Batcher::new(settings, ("a".to_owned(), 1), script.clone(), counts);
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(batcher.run(async { drop(stopped.await) }));
            });
            for thread in 0..4 {
                let inbox = inbox.clone();
                let record = move |number| Record { id: format!("{thread} {number}"), ..Record::default() };
                scope.spawn(move || (0..300).for_each(|number| inbox.offer(record(number))));
            }
            if round % 2 == 0 {
                std::thread::yield_now();
            } else {
                while counted.of("sent") < 200 && counted.of("dropped") == 0 {
                    std::thread::yield_now();
                }
            }
            drop(stop);
        });
        let mut has = script.has();
        has.sort();
        has.dedup();
        assert_eq!(has.len() as u64, counted.of("sent"));
        assert_eq!(counted.of("sent") + counted.of("dropped"), 1200);
    }
}

#[test]
fn a_batcher_that_never_ran_counts_what_it_was_offered_as_dropped() {
    let counted = Arc::new(Counted::default());
    let counts = Arc::clone(&counted) as Arc<dyn Counts>;
    let (inbox, batcher) = Batcher::new(SMALL, ("a".to_owned(), 1), Script::default(), counts);
    inbox.offer(Record::default());
    drop(batcher);
    inbox.offer(Record::default());
    assert_eq!((counted.of("sent"), counted.of("dropped")), (0, 2));
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        Just(Answer::Takes),
        Just(Answer::TakesAndBreaks),
        Just(Answer::IsAway),
        Just(Answer::Refuses)
    ];
    prop::collection::vec(one, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_counts_add_up_to_what_was_offered(
        answers in answers(),
        portions in prop::collection::vec(0_usize..12, 1..6),
        waiting in 1_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = bench(Settings { waiting, ..SMALL }, Script::of(&answers));
            let mut next = 0;
            for portion in &portions {
                bench.offer(next..next + portion);
                next += portion;
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
            let (has, sent, dropped) = bench.end().await;
            prop_assert_eq!(sent + dropped, next as u64);
            // What was sent is there; what broke after it was taken may be there and be counted as dropped.
            prop_assert!(has.len() as u64 >= sent);
            Ok(())
        })?;
    }
}
