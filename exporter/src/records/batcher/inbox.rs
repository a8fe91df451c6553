//! Where records wait for the batcher: lists side by side, so that threads that offer hardly meet, and nobody is woken
//! for each record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Counts, Settings};
use crate::records::wire::Record;

/// Lists, at most.
const MOST_SHARDS: usize = 16;

/// Where records are offered. Clones feed one batcher.
#[derive(Clone)]
pub struct Inbox(Arc<Shared>);

/// The other end. Dropped, it closes the inbox and counts what is left in it as dropped.
pub(super) struct Outlet {
    shared: Arc<Shared>,
    /// Taken from the lists, and in no batch yet.
    held: Vec<Record>,
    /// Goes round empty, so that a list keeps its room.
    spare: Vec<Record>,
}

struct Shared {
    shards: Box<[Shard]>,
    /// Records that were let in and are in no batch yet.
    waiting: AtomicUsize,
    /// The first of a batch came, or the last.
    changed: Notify,
    settings: Settings,
    counts: Arc<dyn Counts>,
}

/// A list. On a cache line of its own: another's lock does not slow it down.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<List>);

#[derive(Default)]
struct List {
    records: Vec<Record>,
    is_closed: bool,
}

/// Both ends.
pub(super) fn inbox(settings: Settings, counts: Arc<dyn Counts>) -> (Inbox, Outlet) {
    let shards = std::thread::available_parallelism().map_or(1, Into::into).min(MOST_SHARDS);
    let shared = Arc::new(Shared {
        shards: (0..shards).map(|_| Shard::default()).collect(),
        waiting: AtomicUsize::new(0),
        changed: Notify::new(),
        settings,
        counts,
    });
    (Inbox(Arc::clone(&shared)), Outlet { shared, held: Vec::new(), spare: Vec::new() })
}

impl Inbox {
    /// Takes a record, or drops it where too many wait. Never waits for the exporter.
    pub fn offer(&self, record: Record) {
        let shared = &*self.0;
        let before = shared.waiting.fetch_add(1, Ordering::AcqRel);
        if before >= shared.settings.waiting.max(1) || !shared.put(record) {
            shared.waiting.fetch_sub(1, Ordering::AcqRel);
            shared.counts.count("dropped", 1);
            return;
        }
        // The first starts the batch's time, the last ends it; those between wake nobody.
        if before == 0 || before + 1 == shared.settings.batch {
            shared.changed.notify_one();
        }
    }
}

impl Shared {
    /// Whether the record is in; nothing comes into a closed inbox.
    fn put(&self, record: Record) -> bool {
        let Some(shard) = self.shards.get(own_number() % self.shards.len()) else { return false };
        let mut list = shard.0.lock();
        if !list.is_closed {
            list.records.push(record);
            return true;
        }
        false
    }
}

/// Threads are numbered as they come, so that few share a list.
fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that ends has no number any more; any list will do.
    OWN.try_with(|own| *own).unwrap_or_default()
}

impl Outlet {
    /// How many wait. Some of them may be on their way into a list.
    pub(super) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// Returns when the first or the last of a batch may have come.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Fills a batch with what waits.
    pub(super) fn fill(&mut self, batch: &mut Vec<Record>) {
        let room = self.shared.settings.batch.max(1).saturating_sub(batch.len());
        if self.held.len() < room {
            self.collect();
        }
        let taken = room.min(self.held.len());
        batch.extend(self.held.drain(..taken));
        self.shared.waiting.fetch_sub(taken, Ordering::AcqRel);
    }

    /// Lets nothing in any more; what is in can still be taken.
    pub(super) fn close(&mut self) {
        for shard in &self.shared.shards {
            shard.0.lock().is_closed = true;
        }
        self.collect();
    }

    /// A list is locked for an exchange only: whoever offers does not wait for records being moved.
    fn collect(&mut self) {
        for shard in &self.shared.shards {
            std::mem::swap(&mut shard.0.lock().records, &mut self.spare);
            self.held.append(&mut self.spare);
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.close();
        if !self.held.is_empty() {
            self.shared.counts.count("dropped", self.held.len() as u64);
        }
    }
}
