//! Limits that many gateways share, in Redis.
//!
//! A request costs one round trip to admit and one, behind its back, to settle. Time is the server's, so replicas
//! with wrong clocks agree. Every grant holds a lease that its replica renews: the places of a replica that died come
//! back when its leases run out ([`Timing::lease`]). Keys expire by themselves.
//!
//! What is lost, and to whom: where the queue of settlements is full, or Redis is away for longer than a lease lives,
//! refunds are lost. Tokens then count as used until their minute or day is over, and places are free when the
//! lease runs out: never more is spent than allowed. Where Redis itself loses its data, counts start from nothing and
//! leases are made again. Amounts count as 2^53 at most, since the scripts' numbers are doubles.

mod link;
mod reply;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::link::{Link, Time, key};
use self::reply::Reply;
pub use self::worker::Worker;
use super::{Counted, Fleet, Grant, LimitStore, Receipt, Settlement, StoreError, Taken};
use crate::limits::terms::{Allowance, Balance, Demand};
use crate::redis_link::RedisLink;

/// Settlements that may wait for the worker.
const OUTBOX: usize = 8_192;

/// The largest amount that a double holds exactly, with room to add two.
const MOST: u64 = 1 << 53;

/// How often the worker does its rounds, and how long what it does not renew lives.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From one round to the next.
    pub beat: Duration,
    /// How long a lease lives, and how long a replica that is not heard of counts as alive. Several beats, so that
    /// one lost round costs nothing.
    pub lease: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { beat: Duration::from_secs(5), lease: Duration::from_secs(30) }
    }
}

/// Counts in Redis; see the [module](self).
pub struct RedisStore {
    shared: Arc<Shared>,
    outbox: mpsc::Sender<Job>,
    next_lease: AtomicU64,
}

/// What the store and its worker share.
struct Shared {
    link: Link,
    timing: Timing,
    /// Tells this process from every other, also from itself before a restart.
    replica: String,
    fleet: Fleet,
    /// The leases that are held, and whose they are: what the worker renews.
    held: Mutex<HashMap<u64, Arc<str>>>,
    /// Settlements on their way.
    pending: AtomicUsize,
    /// Settlements that were lost.
    lost: AtomicU64,
}

/// A settlement on its way.
#[derive(Debug)]
struct Job {
    subject: Arc<str>,
    allowance: Allowance,
    lease: u64,
    refund: u64,
    /// When it was counted; `None` where the answer never came, so that it may not have been counted at all.
    at_ms: Option<u64>,
    /// When its lease has run out and there is nothing to settle.
    until: Instant,
}

impl RedisStore {
    /// A store behind a link, and the worker whose [`run`](Worker::run) settles for it.
    pub fn new(redis: RedisLink, timing: Timing) -> (Self, Worker) {
        Self::with_link(Link::new(redis, Time::Server), timing, OUTBOX)
    }

    fn with_link(link: Link, timing: Timing, outbox: usize) -> (Self, Worker) {
        let shared = Arc::new(Shared {
            link,
            timing,
            // Keys of hash maps are random by process: no other source of randomness is needed here.
            replica: format!("{:016x}", RandomState::new().build_hasher().finish()),
            fleet: Fleet::default(),
            held: Mutex::default(),
            pending: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        });
        let (outbox, inbox) = mpsc::channel(outbox);
        let worker = Worker::new(Arc::clone(&shared), inbox);
        (Self { shared, outbox, next_lease: AtomicU64::new(0) }, worker)
    }

    /// How many replicas share the limits, as its worker last saw.
    pub fn fleet(&self) -> Fleet {
        self.shared.fleet.clone()
    }

    /// Settlements that wait.
    pub fn pending(&self) -> usize {
        self.shared.pending.load(Ordering::Relaxed)
    }

    /// Settlements that were lost since the start, for a metric.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    async fn take_there(&self, demand: &Demand) -> Result<Taken, StoreError> {
        let lease = self.next_lease.fetch_add(1, Ordering::Relaxed);
        let mut unheard = Unheard { store: self, demand, lease, heard: !demand.allowance.settles() };
        let wanted =
            Wanted { requests: 1, tokens: demand.tokens, lease: demand.allowance.settles().then_some(lease) };
        let reply = self.shared.take(&demand.subject, &demand.allowance, &wanted).await?;
        unheard.heard = true;
        if !reply.granted() {
            let refusal = reply.readings(&demand.allowance).refusal().ok_or(StoreError::Garbled)?;
            return Ok(Taken::Refused(refusal));
        }
        if demand.allowance.settles() {
            self.shared.held.lock().insert(lease, Arc::clone(&demand.subject));
        }
        let receipt = Receipt { lease, at_ms: reply.now_ms(), counted: Counted::Here };
        Ok(Taken::Granted(Grant { receipt, standing: reply.readings(&demand.allowance).standing() }))
    }

    async fn peek_there(&self, subject: &str, allowance: &Allowance) -> Result<Balance, StoreError> {
        let nothing = Wanted { requests: 0, tokens: 0, lease: None };
        let reply = self.shared.take(subject, allowance, &nothing).await?;
        Ok(reply.readings(allowance).balance())
    }

    fn hand_over(&self, job: Job) {
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        if self.outbox.try_send(job).is_err() {
            self.shared.pending.fetch_sub(1, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LimitStore for RedisStore {
    fn take<'a>(&'a self, demand: &'a Demand) -> BoxFuture<'a, Result<Taken, StoreError>> {
        self.take_there(demand).boxed()
    }

    fn settle(&self, settlement: Settlement) {
        let Settlement { subject, allowance, receipt, refund } = settlement;
        self.shared.held.lock().remove(&receipt.lease);
        let until = Instant::now() + self.shared.timing.lease;
        let at_ms = Some(receipt.at_ms);
        self.hand_over(Job { subject, allowance, lease: receipt.lease, refund, at_ms, until });
    }

    fn peek<'a>(
        &'a self,
        subject: &'a str,
        allowance: &'a Allowance,
    ) -> BoxFuture<'a, Result<Balance, StoreError>> {
        self.peek_there(subject, allowance).boxed()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("replica", &self.shared.replica)
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// A demand that was sent and not answered. Where the answer never comes, because it is late or the caller left, it
/// may have been granted all the same: then it is settled as one that used nothing. Its request stays counted.
struct Unheard<'a> {
    store: &'a RedisStore,
    demand: &'a Demand,
    lease: u64,
    heard: bool,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if self.heard {
            return;
        }
        let Demand { subject, allowance, tokens } = self.demand;
        self.store.hand_over(Job {
            subject: Arc::clone(subject),
            allowance: *allowance,
            lease: self.lease,
            refund: *tokens,
            at_ms: None,
            until: Instant::now() + self.store.shared.timing.lease,
        });
    }
}

/// What a script is asked to take.
struct Wanted {
    requests: u64,
    tokens: u64,
    lease: Option<u64>,
}

impl Shared {
    async fn take(&self, subject: &str, allowance: &Allowance, wanted: &Wanted) -> Result<Reply, StoreError> {
        let mut call = self.link.call(&self.link.scripts.take);
        for what in ["requests", "tokens", "day", "leases"] {
            call.key(key(subject, what));
        }
        call.arg(wanted.lease.map_or(String::new(), |lease| self.lease_name(lease)));
        call.arg(millis(self.timing.lease)).arg(wanted.requests).arg(wanted.tokens.min(MOST));
        call.arg(limit(allowance.requests_per_minute)).arg(limit(allowance.tokens_per_minute));
        call.arg(limit(allowance.tokens_per_day)).arg(limit(allowance.concurrency.map(u64::from)));
        Reply::parse(&self.link.run::<Vec<i64>>(&call).await?)
    }

    fn lease_name(&self, lease: u64) -> String {
        format!("{}-{lease}", self.replica)
    }
}

/// A limit as the script takes it.
fn limit(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| limit.min(MOST).cast_signed())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
