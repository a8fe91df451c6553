//! Where batches of one sink wait that its queue has no place for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::counters::Tally;
use super::spool::{Entry, Spool};
use crate::protocol::{self, Bounds};
use crate::records::wire::RecordBatch;

/// Larger ones were never put in.
const BOUNDS: Bounds = Bounds { compressed: usize::MAX, decompressed: 1 << 30, messages: usize::MAX };

/// What became of a batch that was carried from the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody has to think of it again.
    Done,
    /// The sink does not take it: others have their turn.
    InVain,
    /// The process ends.
    CutOff,
}

/// The spool of one sink, if it has one, with its counters.
pub(super) struct Overflow {
    spool: Mutex<Option<Spool>>,
    /// Something waits. Apart from the spool, so that asking takes no lock.
    waits: AtomicBool,
    filled: Notify,
    pub(super) tally: Tally,
}

impl Overflow {
    pub(super) fn new(spool: Option<Spool>, tally: Tally) -> Self {
        let overflow =
            Self { spool: Mutex::new(None), waits: AtomicBool::new(false), filled: Notify::new(), tally };
        if let Some(mut spool) = spool {
            overflow.note(&mut spool);
            *overflow.spool.lock() = Some(spool);
        }
        overflow
    }

    /// Returns once something waits.
    pub(super) async fn filled(&self) {
        while !self.waits.load(Ordering::Acquire) {
            self.filled.notified().await;
        }
    }

    /// Puts a batch in; without a spool, or with one that fails, it is lost. Blocks.
    pub(super) fn put(&self, batch: &RecordBatch) {
        let count = batch.records.len() as u64;
        let mut spool = self.spool.lock();
        let Some(spool) = spool.as_mut() else {
            self.tally.dropped.inc_by(count);
            return;
        };
        let kept = protocol::encode(batch).map_err(|error| error.to_string()).and_then(|bytes| {
            let records = u32::try_from(count).unwrap_or(u32::MAX);
            spool.append(records, &bytes).map_err(|error| error.to_string())
        });
        match kept {
            Ok(()) => self.tally.spooled.inc_by(count),
            Err(error) => {
                tracing::warn!(error, "request records are lost: the spool does not take them");
                self.tally.dropped.inc_by(count);
            }
        }
        self.note(spool);
        self.filled.notify_one();
    }

    /// [`put`](Self::put), away from the threads that must not block.
    pub(super) async fn put_away(self: &Arc<Self>, batch: Arc<RecordBatch>) {
        let overflow = Arc::clone(self);
        if spawn_blocking(move || overflow.put(&batch)).await.is_err() {
            tracing::error!("request records are lost: the runtime ends");
        }
    }

    /// The oldest batch that waits.
    pub(super) async fn oldest(self: &Arc<Self>) -> Option<(Entry, Arc<RecordBatch>)> {
        if !self.waits.load(Ordering::Acquire) {
            return None;
        }
        let overflow = Arc::clone(self);
        spawn_blocking(move || overflow.read()).await.ok()?
    }

    fn read(&self) -> Option<(Entry, Arc<RecordBatch>)> {
        let mut spool = self.spool.lock();
        let spool = spool.as_mut()?;
        loop {
            let entry = spool.oldest();
            self.note(spool);
            let entry = entry?;
            if let Ok(batch) = protocol::decode(&entry.bytes, BOUNDS) {
                return Some((entry, Arc::new(batch)));
            }
            // Whole by its sum, so it was put in by another version.
            self.tally.dropped.inc_by(entry.records.into());
            spool.done(&entry);
        }
    }

    /// A batch that was carried from here.
    pub(super) async fn told(self: &Arc<Self>, entry: Entry, fate: Fate) {
        let overflow = Arc::clone(self);
        let told = spawn_blocking(move || overflow.settle(&entry, fate));
        // Only a runtime that ends cancels it, and then the batch is delivered once more.
        drop(told.await);
    }

    fn settle(&self, entry: &Entry, fate: Fate) {
        let mut spool = self.spool.lock();
        let Some(spool) = spool.as_mut() else { return };
        match fate {
            Fate::Done => spool.done(entry),
            Fate::CutOff => spool.keep(entry),
            Fate::InVain => match spool.defer(entry) {
                Ok(true) => self.tally.spooled.inc_by(entry.records.into()),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a spool does not take what comes back to it"),
            },
        }
        self.note(spool);
    }

    /// Brings what waits to the disk.
    pub(super) async fn sync(self: &Arc<Self>) {
        let overflow = Arc::clone(self);
        let synced =
            spawn_blocking(move || overflow.spool.lock().as_mut().map_or(Ok(()), super::spool::Spool::sync));
        if let Ok(Err(error)) = synced.await {
            tracing::warn!(%error, "a spool may not be on the disk");
        }
    }

    fn note(&self, spool: &mut Spool) {
        self.tally.dropped.inc_by(spool.take_lost());
        self.tally.spool_bytes.set(i64::try_from(spool.bytes()).unwrap_or(i64::MAX));
        self.waits.store(!spool.is_empty(), Ordering::Release);
    }
}
