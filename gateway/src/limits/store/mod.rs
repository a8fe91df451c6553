//! Where the counts are kept: what a store of limits promises, and the stores there are.

#[cfg(test)]
mod conformance;
pub mod fallback;
pub mod memory;
pub mod metered;
pub mod redis;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

pub use self::fallback::{Fallback, Outage, Outages};
pub use self::memory::MemoryStore;
pub use self::redis::{RedisStore, Timing, Worker};
use super::terms::{Allowance, Balance, Demand, Refusal, Standing};

/// The longest that a store which is away is not tried again.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Counts what subjects spend.
///
/// A store is held to the suite in `store/conformance.rs`.
pub trait LimitStore: Send + Sync {
    /// Takes what is demanded from every limit, or from none, at one moment.
    fn take<'a>(&'a self, demand: &'a Demand) -> BoxFuture<'a, Result<Taken, StoreError>>;

    /// Gives back what a grant did not use, and its place. Called once a grant, from `Drop`, so it may neither block
    /// nor need a runtime: a store that is far away hands it to a task of its own.
    fn settle(&self, settlement: Settlement);

    /// What is left of each limit. Counts nothing.
    fn peek<'a>(
        &'a self,
        subject: &'a str,
        allowance: &'a Allowance,
    ) -> BoxFuture<'a, Result<Balance, StoreError>>;

    /// Whether the counts are not those that all replicas share.
    fn degraded(&self) -> bool {
        false
    }
}

/// What a store said to a demand.
#[derive(Debug)]
pub enum Taken {
    /// It is counted.
    Granted(Grant),
    /// Nothing is counted.
    Refused(Refusal),
}

/// A demand that was counted.
#[derive(Debug)]
pub struct Grant {
    /// To be shown when it is settled.
    pub receipt: Receipt,
    /// Where the subject stands after it.
    pub standing: Standing,
}

/// By what a store knows its grant again.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    /// The place that is held, unique in this process.
    pub lease: u64,
    /// When it was counted, by the store's clock: a refund goes to that slot.
    pub at_ms: u64,
    /// Where it was counted.
    pub counted: Counted,
}

/// Where a grant was counted, and so where it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// In the store itself.
    Here,
    /// In the memory that stands in for a store that is away.
    StandIn,
    /// Nowhere: the store is away and the policy is to let everybody pass.
    Nowhere,
}

/// The end of a grant.
#[derive(Debug)]
pub struct Settlement {
    /// Who spent.
    pub subject: Arc<str>,
    /// What it was granted under: only what was limited was counted.
    pub allowance: Allowance,
    /// Of the grant.
    pub receipt: Receipt,
    /// Tokens reserved and not used.
    pub refund: u64,
}

/// A store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis took too long, cannot be reached, or answered with an error.
    #[error("the store of limits: {0}")]
    Redis(#[from] crate::redis_link::LinkError),
    /// It answered with something else than its script returns.
    #[error("the store of limits gave an answer that makes no sense")]
    Garbled,
    /// It is away, and the policy is to admit nobody then.
    #[error("the store of limits is away")]
    Closed,
}

/// How many replicas of the gateway share the limits. Clones are one count.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<AtomicU32>);

impl Fleet {
    /// A fleet of so many, at least one.
    pub fn new(replicas: u32) -> Self {
        Self(Arc::new(AtomicU32::new(replicas.max(1))))
    }

    /// Replicas last seen alive, this one among them.
    pub fn replicas(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn saw(&self, replicas: u32) {
        self.0.store(replicas.max(1), Ordering::Relaxed);
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new(1)
    }
}
