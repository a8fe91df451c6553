//! What the scheduler thread lets others see: how busy it is, and when a full queue will have room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::{EngineError, EngineLoad};
use crate::telemetry::metrics::model::Model;
use parking_lot::Mutex;

/// Shared between the scheduler, which writes, and the requests, which read. Relaxed: each value stands alone.
#[derive(Debug)]
pub struct Gauges {
    ready: AtomicBool,
    running: AtomicU32,
    waiting: AtomicU32,
    kv_used: AtomicU32,
    kv_cells: AtomicU32,
    preempted: AtomicU64,
    model: Arc<Model>,
    queue: u32,
    pace: Mutex<Pace>,
    spill: Arc<SpillCounts>,
}

/// What became of sequences on disk since the start.
#[derive(Debug, Default)]
pub struct SpillCounts {
    spilled: AtomicU64,
    restored: AtomicU64,
    dropped: AtomicU64,
}

impl SpillCounts {
    pub(super) fn spilled(&self) {
        self.spilled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn restored(&self) {
        self.restored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, sequences: u64) {
        self.dropped.fetch_add(sequences, Ordering::Relaxed);
    }

    /// Sequences written to disk.
    pub fn sequences_spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Sequences brought back from disk.
    pub fn sequences_restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// Files that were damaged, foreign or could not be written, each dropped.
    pub fn sequences_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// How often a sequence ends, as a moving average.
#[derive(Debug)]
struct Pace {
    last: Option<Instant>,
    interval: Duration,
}

/// The shortest time that a refused client is told to wait.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

impl Gauges {
    /// For a queue of at most `queue` sequences; `model` counts what the steps compute.
    pub fn new(queue: u32, model: Arc<Model>) -> Self {
        Self {
            ready: AtomicBool::new(false),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            kv_used: AtomicU32::new(0),
            kv_cells: AtomicU32::new(1),
            preempted: AtomicU64::new(0),
            model,
            queue,
            pace: Mutex::new(Pace { last: None, interval: Duration::from_secs(1) }),
            spill: Arc::default(),
        }
    }

    /// The load at this moment.
    pub fn load(&self) -> EngineLoad {
        let cells = self.kv_cells.load(Ordering::Relaxed).max(1);
        EngineLoad {
            ready: self.ready.load(Ordering::Relaxed),
            running: self.running.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            // Sequences of a unified cache count the cells that they share each for itself.
            kv_used_ratio: (f64::from(self.kv_used.load(Ordering::Relaxed)) / f64::from(cells)).min(1.0),
        }
    }

    /// Takes `sequences` places in the queue, or says when there will be room.
    pub fn enter_queue(&self, sequences: u32) -> Result<(), EngineError> {
        if !self.ready.load(Ordering::Relaxed) {
            return Err(EngineError::NotReady("its engine has stopped"));
        }
        let entered = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            // An empty queue takes any request, however many answers it asks for.
            let total = waiting.saturating_add(sequences);
            (waiting == 0 || total <= self.queue).then_some(total)
        });
        entered.map(|_| ()).map_err(|_| self.queue_full())
    }

    /// A preempted sequence waits again; it had its place, so no bound applies.
    pub(super) fn rejoin_queue(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives places back.
    pub fn leave_queue(&self, sequences: u32) {
        let _never_fails = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            Some(waiting.saturating_sub(sequences))
        });
    }

    /// The refusal of a full queue: one place is free after the mean time between two ends.
    pub fn queue_full(&self) -> EngineError {
        EngineError::QueueFull { retry_after: self.pace.lock().interval.max(SHORTEST_RETRY) }
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    pub(super) fn set_load(&self, running: usize, kv_used: usize, kv_cells: u32) {
        self.running.store(u32::try_from(running).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.kv_used.store(u32::try_from(kv_used).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.kv_cells.store(kv_cells, Ordering::Relaxed);
    }

    pub(super) fn stepped(&self, tokens: usize) {
        self.model.batch.observe(tokens as f64);
    }

    pub(super) fn drafted(&self, drafted: usize, accepted: usize) {
        self.model.drafted_tokens.inc_by(drafted as u64);
        self.model.accepted_tokens.inc_by(accepted as u64);
    }

    pub(super) fn finished(&self) {
        let now = Instant::now();
        let mut pace = self.pace.lock();
        if let Some(last) = pace.last.replace(now) {
            // A quiet spell says nothing of how fast a full engine frees places.
            let interval = now.saturating_duration_since(last).min(Duration::from_mins(1));
            pace.interval = (pace.interval * 7 + interval) / 8;
        }
    }

    /// Tokens drafted, and those of them that were right.
    pub fn drafts(&self) -> (u64, u64) {
        (self.model.drafted_tokens.get(), self.model.accepted_tokens.get())
    }

    /// What became of sequences on disk.
    pub fn spill(&self) -> &Arc<SpillCounts> {
        &self.spill
    }

    pub(super) fn preempted(&self) {
        self.preempted.fetch_add(1, Ordering::Relaxed);
    }

    /// How many sequences were taken out of the KV cache to let others go on.
    pub fn preemptions(&self) -> u64 {
        self.preempted.load(Ordering::Relaxed)
    }
}
