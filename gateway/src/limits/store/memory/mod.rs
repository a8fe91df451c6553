//! Limits of one process, in its memory.
//!
//! A subject has an account for as long as something counts against it. Each demand also looks at two accounts in
//! turn and closes those that are idle, so memory follows the subjects of the last minute (or, with limits a day, of
//! the day) without a task that sweeps and without a pause.

#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;

use super::{Counted, Grant, LimitStore, Receipt, Settlement, StoreError, Taken};
use crate::clock::Clock;
use crate::limits::counter::{PerDay, PerMinute};
use crate::limits::reading::{Reading, Readings};
use crate::limits::terms::{Allowance, Balance, Demand};

/// Besides the first one.
const MORE_SHARDS: usize = 63;

/// Accounts looked at for each demand. Two, while a demand opens one at most: closing outruns opening.
const SWEEP: usize = 2;

/// Room for accounts that a shard keeps even if it is empty.
const SPARE: usize = 256;

/// Counts in memory; see the [module](self).
#[derive(Debug)]
pub struct MemoryStore {
    clock: Clock,
    hasher: RandomState,
    /// Apart from the others so that there always is one.
    first: Mutex<Shard>,
    more: Box<[Mutex<Shard>]>,
    next_lease: AtomicU64,
}

/// The accounts of some subjects.
#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<Arc<str>, Account>,
    /// Every account once, in the order in which they are looked at.
    round: VecDeque<Arc<str>>,
}

/// What counts against a subject.
#[derive(Debug, Default)]
struct Account {
    requests: PerMinute,
    tokens: PerMinute,
    tokens_per_day: PerDay,
    running: u32,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        let more = (0..MORE_SHARDS).map(|_| Mutex::default()).collect();
        Self {
            clock,
            hasher: RandomState::new(),
            first: Mutex::default(),
            more,
            next_lease: AtomicU64::new(0),
        }
    }

    /// Subjects that have an account.
    pub fn subjects(&self) -> usize {
        let all = self.more.iter().chain([&self.first]);
        all.map(|shard| shard.lock().accounts.len()).sum()
    }

    fn shard(&self, subject: &str) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(subject);
        let which = usize::try_from(hash >> 32).unwrap_or(0) % (MORE_SHARDS + 1);
        self.more.get(which).unwrap_or(&self.first)
    }

    pub(super) fn take_now(&self, demand: &Demand) -> Taken {
        let now_ms = self.clock.now_ms();
        let Demand { subject, allowance, tokens } = demand;
        let mut shard = self.shard(subject).lock();
        shard.sweep(now_ms);
        let account = shard.open(subject);
        if let Some(refusal) = account.read(allowance, 1, *tokens, now_ms).refusal() {
            return Taken::Refused(refusal);
        }
        account.count(allowance, *tokens, now_ms);
        let standing = account.read(allowance, 0, 0, now_ms).standing();
        drop(shard);
        let lease = self.next_lease.fetch_add(1, Ordering::Relaxed);
        Taken::Granted(Grant { receipt: Receipt { lease, at_ms: now_ms, counted: Counted::Here }, standing })
    }

    pub(super) fn peek_now(&self, subject: &str, allowance: &Allowance) -> Balance {
        let now_ms = self.clock.now_ms();
        let mut shard = self.shard(subject).lock();
        let readings = match shard.accounts.get_mut(subject) {
            Some(account) => account.read(allowance, 0, 0, now_ms),
            None => Account::default().read(allowance, 0, 0, now_ms),
        };
        readings.balance()
    }
}

impl LimitStore for MemoryStore {
    fn take<'a>(&'a self, demand: &'a Demand) -> BoxFuture<'a, Result<Taken, StoreError>> {
        async move { Ok(self.take_now(demand)) }.boxed()
    }

    fn settle(&self, settlement: Settlement) {
        let mut shard = self.shard(&settlement.subject).lock();
        if let Some(account) = shard.accounts.get_mut(&settlement.subject) {
            account.settle(&settlement);
        }
    }

    fn peek<'a>(
        &'a self,
        subject: &'a str,
        allowance: &'a Allowance,
    ) -> BoxFuture<'a, Result<Balance, StoreError>> {
        future::ready(Ok(self.peek_now(subject, allowance))).boxed()
    }
}

impl Shard {
    fn open(&mut self, subject: &Arc<str>) -> &mut Account {
        let round = &mut self.round;
        self.accounts.entry(Arc::clone(subject)).or_insert_with_key(|subject| {
            round.push_back(Arc::clone(subject));
            Account::default()
        })
    }

    fn sweep(&mut self, now_ms: u64) {
        for _ in 0..SWEEP {
            let Some(subject) = self.round.pop_front() else { return };
            if self.accounts.get_mut(&subject).is_some_and(|account| !account.is_idle(now_ms)) {
                self.round.push_back(subject);
            } else {
                self.accounts.remove(&subject);
            }
        }
        // Rarely true: after it the room has to empty by half again.
        if self.accounts.capacity() > SPARE + 8 * self.accounts.len() {
            self.accounts.shrink_to(SPARE.max(2 * self.accounts.len()));
            self.round.shrink_to(SPARE.max(2 * self.round.len()));
        }
    }
}

impl Account {
    fn read(&mut self, allowance: &Allowance, requests: u64, tokens: u64, now_ms: u64) -> Readings {
        Readings {
            requests: allowance.requests_per_minute.map(|limit| self.requests.read(limit, requests, now_ms)),
            tokens: allowance.tokens_per_minute.map(|limit| self.tokens.read(limit, tokens, now_ms)),
            tokens_per_day: allowance
                .tokens_per_day
                .map(|limit| self.tokens_per_day.read(limit, tokens, now_ms)),
            concurrency: allowance.concurrency.map(|limit| Reading::of_places(limit, self.running)),
        }
    }

    /// Counts one request, in what is limited.
    fn count(&mut self, allowance: &Allowance, tokens: u64, now_ms: u64) {
        if allowance.requests_per_minute.is_some() {
            self.requests.add(1, now_ms);
        }
        if allowance.tokens_per_minute.is_some() {
            self.tokens.add(tokens, now_ms);
        }
        if allowance.tokens_per_day.is_some() {
            self.tokens_per_day.add(tokens, now_ms);
        }
        if allowance.settles() {
            self.running = self.running.saturating_add(1);
        }
    }

    fn settle(&mut self, Settlement { allowance, receipt, refund, .. }: &Settlement) {
        if allowance.tokens_per_minute.is_some() {
            self.tokens.give_back(*refund, receipt.at_ms);
        }
        if allowance.tokens_per_day.is_some() {
            self.tokens_per_day.give_back(*refund, receipt.at_ms);
        }
        self.running = self.running.saturating_sub(1);
    }

    fn is_idle(&mut self, now_ms: u64) -> bool {
        self.running == 0
            && self.requests.is_idle(now_ms)
            && self.tokens.is_idle(now_ms)
            && self.tokens_per_day.is_idle(now_ms)
    }
}
