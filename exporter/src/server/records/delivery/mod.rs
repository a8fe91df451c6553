//! Carries batches to one sink: one task, one batch at a time, again after a pause where the sink says no.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rand::RngExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::overflow::{Fate, Overflow};
use super::sink::{Sink, SinkError};
use super::spool::{Spool, SpoolError};
use crate::records::wire::RecordBatch;

/// At the end the sink has so long for its last word, whatever carrying took.
const LEAST_FLUSH: Duration = Duration::from_secs(1);

/// How often a sink with nothing to do is asked to tidy up.
const TIDY: Duration = Duration::from_secs(1);

/// How one sink is fed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Batches that wait in memory.
    pub queue_batches: usize,
    /// Bytes of them, as sent and not compressed.
    pub queue_bytes: u32,
    /// Where further ones wait, and in how many bytes; without it they are dropped.
    pub spool: Option<(PathBuf, u64)>,
    /// How long one try may take.
    pub attempt: Duration,
    /// After so many tries another batch has its turn: the sink may not like this one.
    pub attempts: u32,
    /// The first pause after a failure; each further one is twice as long.
    pub shortest_pause: Duration,
    /// The longest.
    pub longest_pause: Duration,
    /// How long the rest may hold the end of the process.
    pub last: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_batches: 64,
            queue_bytes: 32 << 20,
            spool: None,
            attempt: Duration::from_secs(30),
            attempts: 8,
            shortest_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            last: Duration::from_secs(5),
        }
    }
}

/// A batch that waits, with its share of the bytes that may.
struct Held {
    batch: Arc<RecordBatch>,
    _share: OwnedSemaphorePermit,
}

/// The way into one sink's queue.
pub struct Feed {
    queue: mpsc::Sender<Held>,
    room: Arc<Semaphore>,
    bytes: u32,
    overflow: Arc<Overflow>,
}

impl Feed {
    /// Puts a batch into the queue; where it is full, into the spool.
    pub(super) fn give(&self, batch: &Arc<RecordBatch>) {
        // One that is larger than all that may wait has the whole room for itself.
        let size = u32::try_from(batch.encoded_len()).unwrap_or(u32::MAX).min(self.bytes);
        let share = Arc::clone(&self.room).try_acquire_many_owned(size);
        let given = share
            .is_ok_and(|share| self.queue.try_send(Held { batch: Arc::clone(batch), _share: share }).is_ok());
        if !given {
            self.overflow.put(batch);
        }
    }
}

/// Carries batches to one sink.
pub struct Delivery<S> {
    sink: S,
    settings: Settings,
    queue: mpsc::Receiver<Held>,
    overflow: Arc<Overflow>,
    /// In a row.
    failures: u32,
    /// Records that the sink took and that are not counted yet: it gathers them.
    taken: u64,
}

/// What became of a batch that was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// Nobody has to think of it again.
    Done,
    /// It must wait.
    Left,
}

impl<S: Sink> Delivery<S> {
    /// Opens the spool. Blocks. What is given to the feed before [`run`](Self::run) waits.
    ///
    /// # Errors
    /// The spool cannot be opened.
    pub fn new(sink: S, settings: Settings, counters: &Counters) -> Result<(Self, Feed), SpoolError> {
        let spool = match &settings.spool {
            Some((folder, most)) => Some(Spool::open(folder, *most)?),
            None => None,
        };
        let (sender, queue) = mpsc::channel(settings.queue_batches.max(1));
        let bytes = settings.queue_bytes.max(1);
        let room = Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(usize::MAX)));
        let overflow = Arc::new(Overflow::new(spool, counters.of(sink.name())));
        let feed = Feed { queue: sender, room, bytes, overflow: Arc::clone(&overflow) };
        Ok((Self { sink, settings, queue, overflow, failures: 0, taken: 0 }, feed))
    }

    /// Carries until `stop` is cancelled, then the rest as far as time allows; what is left goes to the spool.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(TIDY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The queue first: what overflows from it costs more. But never twice in a row, or the spool would starve.
            let held = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                held = self.queue.recv() => held,
                () = self.overflow.filled() => None,
                _ = tick.tick() => {
                    self.tidy(&stop).await;
                    continue;
                }
            };
            if let Some(held) = held
                && self.carry(&held.batch, &stop).await == Carried::Left
            {
                self.overflow.put_away(held.batch).await;
            }
            if let Some((entry, batch)) = self.overflow.oldest().await {
                let fate = match self.carry(&batch, &stop).await {
                    Carried::Done => Fate::Done,
                    Carried::Left if stop.is_cancelled() => Fate::CutOff,
                    Carried::Left => Fate::InVain,
                };
                self.overflow.told(entry, fate).await;
            }
        }
        self.end().await;
    }

    async fn tidy(&mut self, stop: &CancellationToken) {
        let tidied = stop.run_until_cancelled(timeout(self.settings.attempt, self.sink.tidy())).await;
        self.settle();
        if let Some(Err(error)) = tidied.map(|tidied| tidied.unwrap_or_else(|_| Err(late()))) {
            // Told loudly once a batch is to be delivered and cannot be.
            tracing::debug!(sink = self.sink.name(), %error, "gathered request records cannot be kept yet");
        }
    }

    /// Tries until the batch is kept, refused, or another should have its turn.
    async fn carry(&mut self, batch: &RecordBatch, stop: &CancellationToken) -> Carried {
        for _ in 0..self.settings.attempts.max(1) {
            let tried = stop.run_until_cancelled(timeout(self.settings.attempt, self.sink.deliver(batch)));
            let Some(tried) = tried.await else { return Carried::Left };
            let after = match self.note(batch, tried.unwrap_or_else(|_| Err(late()))) {
                Ok(()) => return Carried::Done,
                Err(after) => after,
            };
            self.overflow.tally.retried.inc_by(batch.records.len() as u64);
            let pause = after.unwrap_or_else(|| self.pause());
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return Carried::Left;
            }
        }
        Carried::Left
    }

    /// Counts an answer, and logs the first of its kind; of one that may change, when to ask again.
    fn note(&mut self, batch: &RecordBatch, tried: Result<(), SinkError>) -> Result<(), Option<Duration>> {
        let (sink, count) = (self.sink.name(), batch.records.len() as u64);
        match tried {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(sink, "request records are delivered again");
                }
                self.failures = 0;
                self.taken += count;
                self.settle();
                Ok(())
            }
            Err(SinkError::Never(error)) => {
                tracing::warn!(sink, error, count, "request records are refused");
                self.failures = 0;
                self.overflow.tally.dropped.inc_by(count);
                Ok(())
            }
            Err(SinkError::Later { message, after }) => {
                if self.failures == 0 {
                    tracing::warn!(sink, error = message, "request records cannot be delivered");
                }
                self.failures = self.failures.saturating_add(1);
                Err(after.map(|after| after.min(self.settings.longest_pause)))
            }
        }
    }

    /// Counts what the sink took and does not only gather.
    fn settle(&mut self) {
        let settled = self.taken.saturating_sub(self.sink.gathered());
        let refused = self.sink.take_refused().min(settled);
        self.taken -= settled;
        self.overflow.tally.delivered.inc_by(settled - refused);
        self.overflow.tally.dropped.inc_by(refused);
    }

    /// Longer after each failure, and never at the same moment as all others.
    fn pause(&self) -> Duration {
        let times = 1 << self.failures.saturating_sub(1).min(16);
        let longer = self.settings.shortest_pause.saturating_mul(times).min(self.settings.longest_pause);
        longer.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// The rest: each batch once, until the first failure or the end of the time.
    async fn end(mut self) {
        self.queue.close();
        let until = Instant::now() + self.settings.last;
        let mut takes = true;
        while let Some(held) = self.queue.recv().await {
            if takes {
                let tried = timeout_at(until, self.sink.deliver(&held.batch)).await;
                takes = self.note(&held.batch, tried.unwrap_or_else(|_| Err(late()))).is_ok();
            }
            if !takes {
                self.overflow.put_away(held.batch).await;
            }
        }
        let until = until.max(Instant::now() + LEAST_FLUSH);
        let flushed = timeout_at(until, self.sink.flush()).await.unwrap_or_else(|_| Err(late()));
        self.settle();
        if let Err(error) = flushed {
            tracing::warn!(sink = self.sink.name(), %error, "the last request records cannot be delivered");
            for batch in self.sink.give_back() {
                self.overflow.put_away(Arc::new(batch)).await;
            }
        }
        self.overflow.sync().await;
    }
}

fn late() -> SinkError {
    SinkError::later("no answer in time")
}
