//! What happens while the store that all replicas share is away: everybody passes, nobody does, or each replica goes
//! on with its share of the limits, in memory.
//!
//! What was granted before an outage is settled in the shared store, what was granted during it in memory. The two do
//! not know of each other: around its beginning and its end a subject may hold what both allow.

mod breaker;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use self::breaker::{Breaker, Pass};
use super::{Counted, Fleet, Grant, LimitStore, MemoryStore, Receipt, Settlement, StoreError, Taken};
use crate::clock::Clock;
use crate::limits::terms::{Allowance, Balance, Demand, Standing};

/// Who passes while the shared store is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outage {
    /// Everybody, uncounted.
    Open,
    /// Nobody, unless nothing of theirs is limited.
    Closed,
    /// Each replica goes on with limit ÷ replicas last seen alive.
    ///
    /// Rounded down, but a limit above 0 leaves at least 1. So the fleet grants up to a replica's worth less than
    /// the limit where it does not divide, and one for each replica where there are more replicas than the limit
    /// has units. A request larger than the share is refused until the store is back. Answers tell the share as
    /// the limit.
    #[default]
    Share,
}

/// A shared store and what stands in for it; see the [module](self).
pub struct Fallback {
    store: Arc<dyn LimitStore>,
    policy: Outage,
    fleet: Fleet,
    stand_in: MemoryStore,
    breaker: Breaker,
}

impl Fallback {
    /// Carries a store through its outages. `fleet` says among how many its limits are shared then.
    pub fn new(store: Arc<dyn LimitStore>, policy: Outage, fleet: Fleet, clock: Clock) -> Self {
        Self { store, policy, fleet, stand_in: MemoryStore::new(clock), breaker: Breaker::default() }
    }

    async fn take_somewhere(&self, demand: &Demand) -> Result<Taken, StoreError> {
        if let Some(pass) = self.breaker.pass() {
            let taken = self.store.take(demand).await;
            if let Some(taken) = self.heard(pass, taken) {
                return Ok(taken);
            }
        }
        match self.policy {
            Outage::Open => Ok(Taken::Granted(uncounted())),
            Outage::Closed => Err(StoreError::Closed),
            Outage::Share => Ok(self.take_share(demand)),
        }
    }

    async fn peek_somewhere(&self, subject: &str, allowance: &Allowance) -> Result<Balance, StoreError> {
        if let Some(pass) = self.breaker.pass() {
            let balance = self.store.peek(subject, allowance).await;
            if let Some(balance) = self.heard(pass, balance) {
                return Ok(balance);
            }
        }
        match self.policy {
            Outage::Open => Ok(Balance::default()),
            Outage::Closed => Err(StoreError::Closed),
            Outage::Share => Ok(self.stand_in.peek_now(subject, &self.share(allowance))),
        }
    }

    /// What the store answered, if it did. Logs when it goes away and when it is back.
    fn heard<T>(&self, pass: Pass, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if self.breaker.answered(pass) {
                    tracing::info!("the store of limits is back");
                }
                Some(answer)
            }
            Err(error) => {
                if self.breaker.failed(pass) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, policy = ?self.policy, "the store of limits is away");
                }
                None
            }
        }
    }

    fn take_share(&self, demand: &Demand) -> Taken {
        let Demand { subject, allowance, tokens } = demand;
        let share =
            Demand { subject: Arc::clone(subject), allowance: self.share(allowance), tokens: *tokens };
        match self.stand_in.take_now(&share) {
            Taken::Granted(mut grant) => {
                grant.receipt.counted = Counted::StandIn;
                Taken::Granted(grant)
            }
            Taken::Refused(mut refusal) => {
                // Larger than the share, not than the limit: worth another try when the store is.
                if refusal.retry_after.is_none() && allowance.could_grant(*tokens) {
                    refusal.retry_after = Some(self.breaker.pause_left());
                }
                Taken::Refused(refusal)
            }
        }
    }

    fn share(&self, allowance: &Allowance) -> Allowance {
        let replicas = self.fleet.replicas();
        let part = |limit: u64| if limit == 0 { 0 } else { (limit / u64::from(replicas)).max(1) };
        Allowance {
            requests_per_minute: allowance.requests_per_minute.map(part),
            tokens_per_minute: allowance.tokens_per_minute.map(part),
            tokens_per_day: allowance.tokens_per_day.map(part),
            concurrency: allowance
                .concurrency
                .map(|limit| if limit == 0 { 0 } else { (limit / replicas).max(1) }),
        }
    }
}

/// Leave to run that nobody wrote down.
fn uncounted() -> Grant {
    Grant {
        receipt: Receipt { lease: 0, at_ms: 0, counted: Counted::Nowhere },
        standing: Standing::default(),
    }
}

impl LimitStore for Fallback {
    fn take<'a>(&'a self, demand: &'a Demand) -> BoxFuture<'a, Result<Taken, StoreError>> {
        self.take_somewhere(demand).boxed()
    }

    fn settle(&self, settlement: Settlement) {
        match settlement.receipt.counted {
            Counted::Here => self.store.settle(settlement),
            Counted::StandIn => self.stand_in.settle(settlement),
            Counted::Nowhere => {}
        }
    }

    fn peek<'a>(
        &'a self,
        subject: &'a str,
        allowance: &'a Allowance,
    ) -> BoxFuture<'a, Result<Balance, StoreError>> {
        self.peek_somewhere(subject, allowance).boxed()
    }

    fn degraded(&self) -> bool {
        self.breaker.is_away()
    }
}
