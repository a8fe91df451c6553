//! A request is settled exactly once, whichever way it ends.

use std::sync::Arc;

use openapi::admin::policy::Policy;
use parking_lot::Mutex;

use super::{Books, Ledger, Origin, Outcome, Record};
use crate::auth::Principal;
use crate::engine::{Delta, Event, FinishReason, TokenCount, Usage};
use crate::error::{ApiError, ErrorKind};

/// A ledger that keeps what it is told.
#[derive(Default)]
pub(crate) struct Collected(pub(crate) Mutex<Vec<Record>>);

impl Ledger for Collected {
    fn settle(&self, record: &Record) {
        self.0.lock().push(record.clone());
    }
}

/// Books whose records can be read.
pub(crate) fn books() -> (Books, Arc<Collected>) {
    let ledger = Arc::new(Collected::default());
    (Books::new(Arc::clone(&ledger) as Arc<dyn Ledger>, Arc::default()), ledger)
}

fn alice() -> Principal {
    Principal::unlisted("alice", "user", Policy::default())
}

fn delta(tokens: u32) -> Event {
    Event::Delta(Delta { choice: 0, tokens, part: None, logprobs: Vec::new() })
}

#[test]
fn a_whole_answer_is_completed_with_the_engine_s_usage() {
    let (books, ledger) = books();
    let mut settlement = books.open(Origin::new("req_1".into(), None), "create", &alice());
    settlement.routed("m");
    settlement.prompt(TokenCount::Exact(5));
    settlement.observe(&delta(2));
    settlement.observe(&Event::Finished { choice: 0, reason: FinishReason::Length, stop: None });
    settlement.observe(&Event::Done(Usage { prompt_tokens: 5, completion_tokens: 3, ..Usage::default() }));
    drop(settlement);
    let records = ledger.0.lock();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].outcome, records[0].finish_label()), (Outcome::Completed, "length"));
    assert_eq!((records[0].usage.completion_tokens, &*records[0].model), (3, "m"));
    assert!(records[0].first_token.is_some());
}

#[test]
fn a_dropped_request_is_cancelled_with_what_was_seen_of_it() {
    let (books, ledger) = books();
    let mut settlement = books.open(Origin::new("req_1".into(), None), "create", &alice());
    settlement.prompt(TokenCount::Estimate(5));
    settlement.observe(&delta(2));
    settlement.observe(&delta(1));
    drop(settlement);
    let records = ledger.0.lock();
    assert_eq!((records[0].outcome, records[0].finish_label()), (Outcome::Cancelled, "cancelled"));
    assert_eq!((records[0].usage.prompt_tokens, records[0].usage.completion_tokens), (5, 3));
}

#[test]
fn a_refusal_takes_the_error_s_status_and_the_first_end_counts() {
    let (books, ledger) = books();
    let mut settlement = books.open(Origin::new("req_1".into(), None), "create", &alice());
    let refused: Result<(), _> = settlement.note(Err(ApiError::new(ErrorKind::NotFound, "no such model")));
    assert!(refused.is_err());
    settlement.fail(&ApiError::server());
    drop(settlement);
    let records = ledger.0.lock();
    assert_eq!(
        (records[0].status, records[0].outcome, records[0].reason),
        (404, Outcome::Failed, Some("not_found"))
    );
    assert_eq!(&*records[0].model, "other");
}

#[test]
fn what_is_begun_costs_its_prompt_and_nothing_where_it_is_refused_after_all() {
    let (books, ledger) = books();
    let begun = || {
        let mut settlement = books.open(Origin::new("req_1".into(), None), "create", &alice());
        settlement.started();
        settlement
    };
    drop(begun());
    let refused: Result<(), _> = begun().note(Err(ApiError::new(ErrorKind::Overloaded, "nobody is well")));
    assert!(refused.is_err());
    let started: Vec<_> = ledger.0.lock().iter().map(|record| record.started).collect();
    assert_eq!(started, [true, false]);
}
