//! What the store does behind the requests' backs: settles what ended, renews what runs, says that it is alive.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Job, Shared, key, millis};
use crate::limits::store::StoreError;

/// Settlements sent at once: they share round trips, and the server is not kept from admitting for long.
const BATCH: usize = 256;

/// Leases renewed by one script.
const LEASES: usize = 500;

/// Scripts of renewal on their way at once.
const RENEWALS: usize = 32;

/// Where replicas announce themselves.
const REPLICAS: &str = "sluice:replicas";

/// Settles, renews and announces for a [`RedisStore`](super::RedisStore).
pub struct Worker {
    shared: Arc<Shared>,
    pub(super) inbox: mpsc::Receiver<Job>,
    /// What is being settled. Stays while Redis is away, and then nothing more is taken in.
    pub(super) batch: Vec<Job>,
    /// How many were lost when that was last logged.
    lost_told: u64,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, inbox: mpsc::Receiver<Job>) -> Self {
        Self { shared, inbox, batch: Vec::with_capacity(BATCH), lost_told: 0 }
    }

    /// Works until `stop`, or until the store and all that it admitted are gone; then settles what was handed over
    /// before, and takes this replica off the list. To be spawned by the caller and stopped after the last stream.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut beat = tokio::time::interval(self.shared.timing.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let idle = self.batch.is_empty();
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = beat.tick() => self.beat().await,
                taken = self.inbox.recv_many(&mut self.batch, BATCH), if idle => {
                    if taken == 0 {
                        break;
                    }
                    self.settle().await;
                }
            }
        }
        self.leave().await;
    }

    /// One round. Where Redis is away it ends at the first script that fails, and the next round tries again.
    pub(super) async fn beat(&mut self) {
        self.tell_lost();
        self.settle().await;
        if let Err(error) = self.try_beat().await {
            tracing::debug!(%error, "limits: no round this time");
        }
    }

    async fn try_beat(&self) -> Result<(), StoreError> {
        let link = &self.shared.link;
        let mut call = link.call(&link.scripts.announce);
        call.key(REPLICAS).arg(millis(self.shared.timing.lease)).arg(&self.shared.replica);
        self.shared.fleet.saw(link.run(&call).await?);
        self.renew().await
    }

    /// Renews all leases that are held. It runs on the same task as settling, so none that was settled comes back.
    async fn renew(&self) -> Result<(), StoreError> {
        let mut by_subject: HashMap<Arc<str>, Vec<u64>> = HashMap::new();
        for (lease, subject) in self.shared.held.lock().iter() {
            by_subject.entry(Arc::clone(subject)).or_default().push(*lease);
        }
        let mut renewals: Vec<(&str, &[u64])> = Vec::with_capacity(by_subject.len());
        for (subject, leases) in &by_subject {
            renewals.extend(leases.chunks(LEASES).map(|leases| (&**subject, leases)));
        }
        for some in renewals.chunks(RENEWALS) {
            let all = join_all(some.iter().map(|(subject, leases)| self.shared.renew(subject, leases))).await;
            all.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Sends the batch. What could not be sent stays, as long as its lease may live.
    pub(super) async fn settle(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let before = self.batch.len();
        let answers = join_all(self.batch.iter().map(|job| self.shared.settle(job))).await;
        let (now, mut lost, mut answers) = (Instant::now(), 0, answers.into_iter());
        self.batch.retain(|job| match answers.next() {
            Some(Err(error)) if may_pass_later(&error) && now < job.until => true,
            Some(Err(_)) => {
                lost += 1;
                false
            }
            _ => false,
        });
        self.shared.pending.fetch_sub(before - self.batch.len(), Ordering::Relaxed);
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
    }

    async fn leave(&mut self) {
        self.inbox.close();
        loop {
            self.settle().await;
            // Redis is away: the leases will run out.
            if !self.batch.is_empty() || self.inbox.recv_many(&mut self.batch, BATCH).await == 0 {
                break;
            }
        }
        let link = &self.shared.link;
        let mut call = link.call(&link.scripts.leave);
        call.key(REPLICAS).arg(&self.shared.replica);
        if let Err(error) = link.run::<i64>(&call).await {
            tracing::debug!(%error, "limits: this replica stays on the list until it is taken for dead");
        }
    }

    fn tell_lost(&mut self) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.lost_told {
            tracing::warn!(lost = lost - self.lost_told, "settlements of limits were lost");
            self.lost_told = lost;
        }
    }
}

/// Whether the server was not reached; what it answered with an error, it would so again.
fn may_pass_later(error: &StoreError) -> bool {
    matches!(error, StoreError::Redis(error) if error.may_pass_later())
}

impl Shared {
    pub(super) async fn settle(&self, job: &Job) -> Result<(), StoreError> {
        let mut call = self.link.call(&self.link.scripts.settle);
        for what in ["tokens", "day", "leases"] {
            call.key(key(&job.subject, what));
        }
        call.arg(self.lease_name(job.lease)).arg(job.refund.min(super::MOST));
        match job.at_ms {
            Some(at_ms) => call.arg(at_ms),
            None => call.arg(-1),
        };
        call.arg(millis(self.timing.lease));
        call.arg(u8::from(job.allowance.tokens_per_minute.is_some()));
        call.arg(u8::from(job.allowance.tokens_per_day.is_some()));
        self.link.run::<i64>(&call).await.map(drop)
    }

    async fn renew(&self, subject: &str, leases: &[u64]) -> Result<(), StoreError> {
        let mut call = self.link.call(&self.link.scripts.renew);
        call.key(key(subject, "leases")).arg(millis(self.timing.lease));
        for lease in leases {
            call.arg(self.lease_name(*lease));
        }
        self.link.run::<i64>(&call).await.map(drop)
    }
}
