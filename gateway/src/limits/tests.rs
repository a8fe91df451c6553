//! The admission: settled once, from anywhere.

use std::sync::Arc;
use std::thread;

use super::store::MemoryStore;
use super::*;
use crate::clock::Clock;

const ALLOWANCE: Allowance = Allowance {
    requests_per_minute: None,
    tokens_per_minute: Some(1_000),
    tokens_per_day: None,
    concurrency: Some(1),
};

fn limits() -> Limits {
    Limits::new(Arc::new(MemoryStore::new(Clock::manual(1_700_000_000_000))))
}

fn demand(allowance: Allowance) -> Demand {
    Demand { subject: "team".into(), allowance, tokens: 300 }
}

async fn left(limits: &Limits) -> (u64, u32) {
    let balance = limits.peek("team", &ALLOWANCE).await.unwrap();
    (balance.tokens.unwrap().remaining, balance.concurrency.unwrap().running)
}

#[tokio::test]
async fn what_was_not_used_comes_back_and_never_more_than_was_reserved_is_used() {
    for (reports, used) in [(vec![], 0), (vec![1, 120], 120), (vec![120, 7], 120), (vec![u64::MAX], 300)] {
        let limits = limits();
        let admission = limits.admit(demand(ALLOWANCE)).await.unwrap();
        assert_eq!((admission.reserved(), left(&limits).await), (300, (700, 1)));
        for report in reports {
            admission.use_tokens(report);
        }
        drop(admission);
        assert_eq!(left(&limits).await, (1_000 - used, 0));
    }
}

#[tokio::test]
async fn an_admission_may_end_on_a_thread_without_a_runtime() {
    let limits = limits();
    let admission = limits.admit(demand(ALLOWANCE)).await.unwrap();
    thread::spawn(move || drop(admission)).join().unwrap();
    assert_eq!(left(&limits).await, (1_000, 0));
}

#[tokio::test]
async fn where_nothing_is_limited_nothing_is_counted() {
    let limits = limits();
    let admission = limits.admit(demand(Allowance::default())).await.unwrap();
    assert_eq!((admission.reserved(), *admission.standing()), (300, Standing::default()));
    assert_eq!(left(&limits).await, (1_000, 0));
    assert_eq!(limits.peek("team", &Allowance::default()).await, Ok(Balance::default()));
}

#[test]
fn an_error_is_small_and_says_which_limit() {
    assert!(size_of::<LimitError>() <= 128);
    let standing = Standing::default();
    let refusal = Refusal { scope: Scope::TokensPerDay, retry_after: None, standing };
    assert_eq!(LimitError::Refused(refusal).to_string(), "over the limit: budget");
}
