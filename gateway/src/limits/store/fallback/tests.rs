//! Outages of a store that fails when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{advance, sleep};

use super::{Fallback, Outage, Outages};
use crate::clock::Clock;
use crate::limits::store::{Fleet, LimitStore, MemoryStore, Settlement, StoreError, Taken, conformance};
use crate::limits::{Allowance, Balance, Demand, LimitError, Limits, Refusal, Scope};
use crate::redis_link::LinkError;

/// A store in memory that is away when told, and then takes as long as Redis to say so.
struct Flaky {
    memory: MemoryStore,
    away: AtomicBool,
    asked: AtomicUsize,
}

impl Flaky {
    async fn ask(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(250)).await;
            return Err(StoreError::Redis(LinkError::TimedOut(Duration::from_millis(250))));
        }
        Ok(())
    }
}

impl LimitStore for Flaky {
    fn take<'a>(&'a self, demand: &'a Demand) -> BoxFuture<'a, Result<Taken, StoreError>> {
        async move {
            self.ask().await?;
            self.memory.take(demand).await
        }
        .boxed()
    }

    fn settle(&self, settlement: Settlement) {
        self.memory.settle(settlement);
    }

    fn peek<'a>(
        &'a self,
        subject: &'a str,
        allowance: &'a Allowance,
    ) -> BoxFuture<'a, Result<Balance, StoreError>> {
        async move {
            self.ask().await?;
            self.memory.peek(subject, allowance).await
        }
        .boxed()
    }
}

fn house(policy: Outage, replicas: u32) -> (Limits, Arc<Flaky>, Clock) {
    house_with(Outages::all(policy), replicas)
}

fn house_with(policy: Outages, replicas: u32) -> (Limits, Arc<Flaky>, Clock) {
    let clock = Clock::manual(conformance::START);
    let flaky = Arc::new(Flaky {
        memory: MemoryStore::new(clock.clone()),
        away: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
    });
    let store = Arc::clone(&flaky) as Arc<dyn LimitStore>;
    let fallback = Fallback::new(store, policy, Fleet::new(replicas), clock.clone());
    (Limits::new(Arc::new(fallback)), flaky, clock)
}

fn demand(allowance: Allowance, tokens: u64) -> Demand {
    Demand { subject: "team".into(), allowance, tokens }
}

fn places(limit: u32) -> Allowance {
    Allowance { concurrency: Some(limit), ..Allowance::default() }
}

fn refusal(error: LimitError) -> Refusal {
    match error {
        LimitError::Refused(refusal) => refusal,
        LimitError::Unavailable => panic!("not refused but unavailable"),
    }
}

#[tokio::test(start_paused = true)]
async fn closed_admits_nobody_and_open_everybody() {
    let (closed, flaky, _) = house(Outage::Closed, 1);
    flaky.away.store(true, Ordering::Relaxed);
    assert_eq!(closed.admit(demand(places(1), 1)).await.unwrap_err(), LimitError::Unavailable);
    assert_eq!(closed.peek("team", &places(1)).await, Err(LimitError::Unavailable));
    assert!(closed.admit(demand(Allowance::default(), 1)).await.is_ok(), "nothing of theirs is limited");

    let (open, flaky, _) = house(Outage::Open, 1);
    flaky.away.store(true, Ordering::Relaxed);
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(open.admit(demand(places(1), 1)).await.unwrap());
    }
    drop(held);
    flaky.away.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(5)).await;
    assert_eq!(open.peek("team", &places(1)).await.unwrap().concurrency.unwrap().running, 0);
}

#[tokio::test(start_paused = true)]
async fn each_limit_has_a_policy_of_its_own() {
    let policy = Outages { tokens: Outage::Open, concurrency: Outage::Closed, ..Outages::default() };
    let (limits, flaky, _) = house_with(policy, 2);
    flaky.away.store(true, Ordering::Relaxed);
    let allowance =
        Allowance { requests_per_minute: Some(4), tokens_per_minute: Some(10), ..Allowance::default() };
    for _ in 0..2 {
        // The tokens are not counted, so neither are they given back.
        drop(limits.admit(demand(allowance, 1_000)).await.unwrap());
    }
    assert_eq!(refusal(limits.admit(demand(allowance, 1)).await.unwrap_err()).scope, Scope::Requests);
    let closed = Allowance { concurrency: Some(9), ..allowance };
    assert_eq!(limits.admit(demand(closed, 1)).await.unwrap_err(), LimitError::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_replica_goes_on_with_its_share_and_at_least_one() {
    for (limit, replicas, share) in [(10, 1, 10), (10, 3, 3), (9, 3, 3), (1, 3, 1), (2, 3, 1), (0, 3, 0)] {
        let (limits, flaky, _) = house(Outage::Share, replicas);
        flaky.away.store(true, Ordering::Relaxed);
        let allowance = Allowance { requests_per_minute: Some(limit.into()), ..places(limit) };
        let mut held = Vec::new();
        while let Ok(admission) = limits.admit(demand(allowance, 1)).await {
            held.push(admission);
        }
        assert_eq!(held.len(), share, "{limit} among {replicas}");
        assert!(limits.degraded());
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_waits_for_a_store_that_is_away_and_it_comes_back_by_itself() {
    let (limits, flaky, _) = house(Outage::Share, 1);
    let asked = || flaky.asked.swap(0, Ordering::Relaxed);
    flaky.away.store(true, Ordering::Relaxed);
    for _ in 0..100 {
        drop(limits.admit(demand(places(1), 1)).await.unwrap());
    }
    assert_eq!(asked(), 1);
    advance(Duration::from_secs(1)).await;
    for _ in 0..100 {
        drop(limits.admit(demand(places(1), 1)).await.unwrap());
    }
    assert_eq!(asked(), 1);

    flaky.away.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    for _ in 0..100 {
        drop(limits.admit(demand(places(1), 1)).await.unwrap());
    }
    assert_eq!(asked(), 100);
    assert!(!limits.degraded());
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_settled_where_it_was_counted() {
    let (limits, flaky, _) = house(Outage::Share, 1);
    let running = || flaky.memory.peek_now("team", &places(2)).concurrency.unwrap().running;
    let before = limits.admit(demand(places(2), 1)).await.unwrap();
    flaky.away.store(true, Ordering::Relaxed);
    let during = limits.admit(demand(places(2), 1)).await.unwrap();
    assert_eq!(running(), 1);
    drop(before);
    assert_eq!(running(), 0);
    assert_eq!(limits.peek("team", &places(2)).await.unwrap().concurrency.unwrap().running, 1);
    drop(during);
    assert_eq!(limits.peek("team", &places(2)).await.unwrap().concurrency.unwrap().running, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_the_share_is_told_to_come_back_when_the_store_may_have() {
    let (limits, flaky, _) = house(Outage::Share, 4);
    let allowance = Allowance { tokens_per_minute: Some(1_000), ..Allowance::default() };
    flaky.away.store(true, Ordering::Relaxed);
    let told = refusal(limits.admit(demand(allowance, 600)).await.unwrap_err());
    assert_eq!((told.scope, told.retry_after), (Scope::Tokens, Some(Duration::from_secs(1))));
    assert_eq!(told.standing.tokens.unwrap().limit, 250);
    let never = refusal(limits.admit(demand(allowance, 1_001)).await.unwrap_err());
    assert_eq!(never.retry_after, None);

    flaky.away.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(1)).await;
    assert!(limits.admit(demand(allowance, 600)).await.is_ok());
}
