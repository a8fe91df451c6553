//! What usage must be, whatever keeps it.

use std::sync::Arc;

use proptest::prelude::*;

use exporter::records::trace::TraceContext;

use super::embedded::EmbeddedUsage;
use super::redis::RedisUsage;
use super::{Batch, Counts, Day, Query, Spent, Table, Usage, UsageStore};
use crate::accounting::{Ledger, Outcome, Record};
use crate::clock::Clock;
use crate::engine::Usage as Tokens;
use crate::redis_link::test_server::Server;

const DAY: Day = Day(20_000);

fn row(day: u32, subject: &str, model: &str) -> Spent {
    Spent { day: Day(day), subject: subject.into(), model: model.into() }
}

fn counts(requests: u64) -> Counts {
    Counts {
        requests,
        failed: 0,
        prompt_tokens: 10 * requests,
        cached_tokens: 3,
        completion_tokens: requests,
    }
}

fn all() -> Query {
    Query { from: Day(0), to: Day(30_000), subject: None, model: None, after: None, most: 1000 }
}

fn batch(name: &str, rows: Vec<(Spent, Counts)>) -> Arc<Batch> {
    Arc::new(Batch { name: name.to_owned(), rows })
}

async fn with_rows(store: &dyn UsageStore) {
    let rows = vec![
        (row(20_000, "a", "m"), counts(1)),
        (row(20_000, "a", "n"), counts(2)),
        (row(20_000, "b}{:", "m"), counts(3)),
        (row(20_001, "a", "m"), counts(4)),
    ];
    store.add(&batch("1", rows), Day(0)).await.unwrap();
    store.add(&batch("2", vec![(row(20_000, "a", "m"), counts(5))]), Day(0)).await.unwrap();
}

async fn found(store: &dyn UsageStore, query: Query) -> Vec<(u32, String, String, u64)> {
    let rows = store.rows(&query).await.unwrap();
    rows.into_iter()
        .map(|(row, counts)| (row.day.0, row.subject.to_string(), row.model.to_string(), counts.requests))
        .collect()
}

macro_rules! conformance {
    ($($case:ident)*) => {
        mod on_disk {
            $(#[tokio::test]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                super::$case(&super::EmbeddedUsage::open(&folder.path().join("usage.redb")).unwrap()).await;
            })*
        }

        mod in_redis {
            $(#[tokio::test]
            async fn $case() {
                let server = super::Server::start().await;
                super::$case(&super::RedisUsage::new(server.link())).await;
            })*
        }
    };
}

conformance! {
    rows_add_up_and_come_in_order
    rows_are_found_by_day_subject_and_model
    pages_follow_each_other_without_gap_or_repeat
    what_was_added_in_several_batches_is_their_sum
}

async fn rows_add_up_and_come_in_order(store: &dyn UsageStore) {
    with_rows(store).await;
    let expected =
        [(20_000, "a", "m", 6), (20_000, "a", "n", 2), (20_000, "b}{:", "m", 3), (20_001, "a", "m", 4)];
    let expected: Vec<_> =
        expected.iter().map(|&(day, s, m, n)| (day, s.to_owned(), m.to_owned(), n)).collect();
    assert_eq!(found(store, all()).await, expected);
    let first = &store.rows(&all()).await.unwrap()[0].1;
    let sum = Counts { requests: 6, failed: 0, prompt_tokens: 60, cached_tokens: 6, completion_tokens: 6 };
    assert_eq!(first, &sum);
}

async fn rows_are_found_by_day_subject_and_model(store: &dyn UsageStore) {
    with_rows(store).await;
    let count = async |query| found(store, query).await.iter().map(|row| row.3).sum::<u64>();
    assert_eq!(count(Query { from: Day(20_001), ..all() }).await, 4);
    assert_eq!(count(Query { to: DAY, ..all() }).await, 11);
    assert_eq!(count(Query { from: DAY, subject: Some("a".into()), ..all() }).await, 12);
    assert_eq!(count(Query { from: DAY, subject: Some("b}{:".into()), ..all() }).await, 3);
    assert_eq!(count(Query { model: Some("n".into()), ..all() }).await, 2);
    assert_eq!(count(Query { from: DAY, subject: Some("nobody".into()), ..all() }).await, 0);
}

async fn pages_follow_each_other_without_gap_or_repeat(store: &dyn UsageStore) {
    with_rows(store).await;
    for subject in [None, Some("a".to_owned())] {
        let whole = Query { from: DAY, subject, ..all() };
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.rows(&Query { after: after.clone(), most: 1, ..whole.clone() }).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page);
        }
        assert_eq!(seen, store.rows(&whole).await.unwrap());
    }
}

async fn what_was_added_in_several_batches_is_their_sum(store: &dyn UsageStore) {
    let mut sum = Table::default();
    for step in 0..40_u64 {
        // A walk over few names, so that most are met again.
        let row = row(20_000 + u32::try_from(step % 3).unwrap(), &format!("s{}", step * 7 % 5), "m");
        sum.add(row.clone(), &counts(step));
        store.add(&batch(&step.to_string(), vec![(row, counts(step))]), Day(0)).await.unwrap();
    }
    assert_eq!(store.rows(&all()).await.unwrap(), sum.into_rows());
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_counts_once() {
    let server = Server::start().await;
    let store = RedisUsage::new(server.link());
    for _ in 0..2 {
        store.add(&batch("1", vec![(row(20_000, "a", "m"), counts(1))]), Day(0)).await.unwrap();
    }
    assert_eq!(found(&store, all()).await[0].3, 1);
}

#[tokio::test]
async fn old_days_are_forgotten() {
    let store = EmbeddedUsage::in_memory();
    with_rows(&store).await;
    store.add(&batch("3", vec![(row(20_002, "a", "m"), counts(1))]), Day(20_001)).await.unwrap();
    assert_eq!(found(&store, all()).await.iter().map(|row| row.0).collect::<Vec<_>>(), [20_001, 20_002]);
}

fn record(subject: &str, outcome: Outcome, started: bool) -> Record {
    Record {
        id: "req_1".into(),
        route: "create",
        subject: subject.into(),
        role: "user".into(),
        trace: TraceContext::of(None, &mut rand::rng()),
        stream: false,
        refused: None,
        capped: false,
        started,
        model: "m".into(),
        status: 200,
        outcome,
        reason: None,
        finish: None,
        usage: Tokens { prompt_tokens: 5, completion_tokens: 2, cached_tokens: 1, ..Tokens::default() },
        first_token: None,
        duration: std::time::Duration::ZERO,
    }
}

#[tokio::test]
async fn what_ended_is_seen_at_once_and_written_down_later_and_what_was_refused_is_neither() {
    let store = Arc::new(EmbeddedUsage::in_memory());
    let usage = Usage::new(Arc::clone(&store) as _, Clock::manual(20_000 * 86_400_000));
    for (outcome, started) in [
        (Outcome::Completed, true),
        (Outcome::Failed, true),
        (Outcome::Cancelled, true),
        (Outcome::Failed, false),
    ] {
        usage.settle(&record("a", outcome, started));
    }
    let sum = Counts { requests: 3, failed: 1, prompt_tokens: 15, cached_tokens: 3, completion_tokens: 6 };
    assert_eq!(usage.rows(&all()).await.unwrap(), [(row(20_000, "a", "m"), sum)]);
    assert!(store.rows(&all()).await.unwrap().is_empty());
    usage.flush().await.unwrap();
    assert_eq!(store.rows(&all()).await.unwrap(), usage.rows(&all()).await.unwrap());
}

#[tokio::test]
async fn counts_wait_while_the_store_is_away() {
    let mut server = Server::start().await;
    let usage = Usage::new(Arc::new(RedisUsage::new(server.link())), Clock::manual(20_000 * 86_400_000));
    server.stop();
    usage.settle(&record("a", Outcome::Completed, true));
    assert!(usage.flush().await.is_err());
    usage.settle(&record("a", Outcome::Completed, true));
    server.restart().await;
    while usage.flush().await.is_err() {}
    usage.flush().await.unwrap();
    assert_eq!(usage.rows(&all()).await.unwrap()[0].1.requests, 2);
}

proptest! {
    #[test]
    fn a_table_s_rows_are_ordered_and_sum_up(adds in prop::collection::vec((0..3_u32, 0..3_u8, 0..9_u64), 0..40)) {
        let mut table = Table::default();
        for (day, subject, n) in &adds {
            table.add(row(*day, &subject.to_string(), "m"), &counts(*n));
        }
        let rows = table.into_rows();
        prop_assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let sum: u64 = rows.iter().map(|(_, counts)| counts.requests).sum();
        prop_assert_eq!(sum, adds.iter().map(|add| add.2).sum::<u64>());
    }
}
