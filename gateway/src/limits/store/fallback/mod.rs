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

/// The policy of each limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outages {
    /// Of requests a minute.
    pub requests: Outage,
    /// Of tokens a minute.
    pub tokens: Outage,
    /// Of tokens a day.
    pub tokens_per_day: Outage,
    /// Of requests at the same time.
    pub concurrency: Outage,
}

impl Outages {
    /// One policy for all of them.
    pub fn all(policy: Outage) -> Self {
        Self { requests: policy, tokens: policy, tokens_per_day: policy, concurrency: policy }
    }

    /// What stands in for an allowance among so many replicas; where one of its limits is closed, nothing does.
    fn stand_in(self, allowance: &Allowance, replicas: u32) -> Result<Allowance, StoreError> {
        let part = |policy, limit: Option<u64>| match (limit, policy) {
            (None, _) | (Some(_), Outage::Open) => Ok(None),
            (Some(_), Outage::Closed) => Err(StoreError::Closed),
            (Some(0), Outage::Share) => Ok(Some(0)),
            (Some(limit), Outage::Share) => Ok(Some((limit / u64::from(replicas)).max(1))),
        };
        let places = part(self.concurrency, allowance.concurrency.map(u64::from))?;
        Ok(Allowance {
            requests_per_minute: part(self.requests, allowance.requests_per_minute)?,
            tokens_per_minute: part(self.tokens, allowance.tokens_per_minute)?,
            tokens_per_day: part(self.tokens_per_day, allowance.tokens_per_day)?,
            concurrency: places.map(|places| u32::try_from(places).unwrap_or(u32::MAX)),
        })
    }
}

/// A shared store and what stands in for it; see the [module](self).
pub struct Fallback {
    store: Arc<dyn LimitStore>,
    policy: Outages,
    fleet: Fleet,
    stand_in: MemoryStore,
    breaker: Breaker,
}

impl Fallback {
    /// Carries a store through its outages. `fleet` says among how many its limits are shared then.
    pub fn new(store: Arc<dyn LimitStore>, policy: Outages, fleet: Fleet, clock: Clock) -> Self {
        Self { store, policy, fleet, stand_in: MemoryStore::new(clock), breaker: Breaker::default() }
    }

    async fn take_somewhere(&self, demand: &Demand) -> Result<Taken, StoreError> {
        if let Some(pass) = self.breaker.pass() {
            let taken = self.store.take(demand).await;
            if let Some(taken) = self.heard(pass, taken) {
                return Ok(taken);
            }
        }
        let share = self.policy.stand_in(&demand.allowance, self.fleet.replicas())?;
        Ok(if share.is_unlimited() { Taken::Granted(uncounted()) } else { self.take_share(demand, share) })
    }

    async fn peek_somewhere(&self, subject: &str, allowance: &Allowance) -> Result<Balance, StoreError> {
        if let Some(pass) = self.breaker.pass() {
            let balance = self.store.peek(subject, allowance).await;
            if let Some(balance) = self.heard(pass, balance) {
                return Ok(balance);
            }
        }
        let share = self.policy.stand_in(allowance, self.fleet.replicas())?;
        Ok(self.stand_in.peek_now(subject, &share))
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

    fn take_share(&self, demand: &Demand, share: Allowance) -> Taken {
        let Demand { subject, allowance, tokens } = demand;
        let share = Demand { subject: Arc::clone(subject), allowance: share, tokens: *tokens };
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
            Counted::StandIn => {
                // Only what was counted is given back. What is closed granted nothing that could be settled here.
                let replicas = self.fleet.replicas();
                if let Ok(allowance) = self.policy.stand_in(&settlement.allowance, replicas) {
                    self.stand_in.settle(Settlement { allowance, ..settlement });
                }
            }
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
