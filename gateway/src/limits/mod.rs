//! Who may spend how much: requests and tokens a minute, tokens a day, requests at the same time.
//!
//! [`Limits::admit`] takes from all limits of a subject or from none, at one moment. What it returns is held for as
//! long as the request runs, to its last byte: dropping the [`Admission`] frees the place and gives back the tokens
//! that were reserved and not used.
//!
//! The counts live in a [`LimitStore`]: [`store::MemoryStore`] for one process, [`store::RedisStore`] for many, which
//! [`store::Fallback`] carries through the time that Redis is away.

mod counter;
mod headers;
mod reading;
pub mod store;
mod terms;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use headers::Headers;
pub use reading::CONCURRENCY_RETRY;
pub use store::LimitStore;
use store::{Receipt, Settlement, Taken};
pub use terms::{Allowance, Balance, Demand, LimitError, Places, Refusal, Scope, Standing, Window};

/// The limits of all subjects; see the [module](self).
pub struct Limits {
    store: Arc<dyn LimitStore>,
}

impl Limits {
    /// Limits that are counted in a store.
    pub fn new(store: Arc<dyn LimitStore>) -> Self {
        Self { store }
    }

    /// Takes what a request demands from every limit; where one refuses, from none.
    ///
    /// A caller that is dropped while it waits pays no tokens and holds no place.
    pub async fn admit(&self, demand: Demand) -> Result<Admission, LimitError> {
        if demand.allowance.is_unlimited() {
            return Ok(Admission::new(demand.tokens, Standing::default(), None));
        }
        let grant = match self.store.take(&demand).await {
            Ok(Taken::Granted(grant)) => grant,
            Ok(Taken::Refused(refusal)) => return Err(LimitError::Refused(refusal)),
            Err(error) => {
                tracing::debug!(%error, "no limits to admit by");
                return Err(LimitError::Unavailable);
            }
        };
        let Demand { subject, allowance, tokens } = demand;
        let store = Arc::clone(&self.store);
        let open = allowance.settles().then_some(Open { store, subject, allowance, receipt: grant.receipt });
        Ok(Admission::new(tokens, grant.standing, open))
    }

    /// What is left of each limit. Costs nothing.
    pub async fn peek(&self, subject: &str, allowance: &Allowance) -> Result<Balance, LimitError> {
        if allowance.is_unlimited() {
            return Ok(Balance::default());
        }
        self.store.peek(subject, allowance).await.map_err(|_| LimitError::Unavailable)
    }

    /// Whether the counts are not those that all replicas share, because their store is away.
    pub fn degraded(&self) -> bool {
        self.store.degraded()
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("degraded", &self.degraded()).finish_non_exhaustive()
    }
}

/// A request that may run. Dropping it gives its place back and the tokens it did not use, once; that never blocks
/// and needs no runtime.
#[must_use = "dropping it gives back what was taken"]
pub struct Admission {
    reserved: u64,
    used: AtomicU64,
    standing: Standing,
    /// What is settled at the end; `None` where there is nothing to give back.
    open: Option<Open>,
}

/// What settling needs to know.
struct Open {
    store: Arc<dyn LimitStore>,
    subject: Arc<str>,
    allowance: Allowance,
    receipt: Receipt,
}

impl Admission {
    fn new(reserved: u64, standing: Standing, open: Option<Open>) -> Self {
        Self { reserved, used: AtomicU64::new(0), standing, open }
    }

    /// Tokens that were reserved.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Where the subject stood after this request.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Says how many tokens are used so far, all together. The most ever said counts, and never more than was
    /// reserved, so reports may come often and out of order.
    pub fn use_tokens(&self, used: u64) {
        self.used.fetch_max(used.min(self.reserved), Ordering::Relaxed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(Open { store, subject, allowance, receipt }) = self.open.take() {
            let refund = self.reserved - *self.used.get_mut();
            store.settle(Settlement { subject, allowance, receipt, refund });
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.used.load(Ordering::Relaxed);
        f.debug_struct("Admission")
            .field("reserved", &self.reserved)
            .field("used", &used)
            .finish_non_exhaustive()
    }
}
