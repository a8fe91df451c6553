//! Which version is in force: looked at several times a second, so that a change made by one replica is in force in all.
//!
//! Looking costs one small command; unlike a subscription it cannot lose a message, and it tells at once that Redis is
//! away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// From one look to the next.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// What this process believes to be in force.
#[derive(Debug)]
pub(super) struct Seen {
    state: Mutex<State>,
    /// Counts changes of the state: what is remembered at a stamp holds as long as it stands.
    stamp: AtomicU64,
    changes: watch::Sender<u64>,
    /// How long what was seen is believed without looking again.
    believed: Duration,
}

#[derive(Debug)]
struct State {
    epoch: String,
    version: u64,
    looked: Instant,
    away: bool,
}

impl Seen {
    pub(super) fn new(epoch: String, version: u64, believed: Duration) -> Self {
        let state = State { epoch, version, looked: Instant::now(), away: false };
        Self { state: Mutex::new(state), stamp: AtomicU64::new(0), changes: watch::Sender::new(0), believed }
    }

    /// The stamp of this moment; one that nothing is remembered at where Redis was away for too long.
    pub(super) fn stamp(&self) -> u64 {
        let stale = self.state.lock().looked.elapsed() > self.believed;
        if stale { u64::MAX } else { self.stamp.load(Ordering::Acquire) }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Somebody looked. Answers may overtake each other: within an epoch the highest version counts.
    pub(super) fn saw(&self, epoch: &str, version: u64) {
        let mut state = self.state.lock();
        state.looked = Instant::now();
        if std::mem::take(&mut state.away) {
            tracing::info!("the access store is back");
        }
        if state.epoch != epoch {
            tracing::error!("the access store lost its data: it holds the built-in roles and nothing else");
            epoch.clone_into(&mut state.epoch);
        } else if version <= state.version {
            return;
        }
        state.version = version;
        let stamp = self.stamp.fetch_add(1, Ordering::AcqRel) + 1;
        self.changes.send_replace(stamp);
    }

    /// This process made a change.
    pub(super) fn made(&self, version: u64) {
        let epoch = self.state.lock().epoch.clone();
        self.saw(&epoch, version);
    }

    /// A look failed.
    pub(super) fn missed(&self, error: &dyn std::fmt::Display) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.away, true) {
            tracing::warn!(%error, "the access store is away; who is known stays known for a while");
        }
    }

    /// Whether the last look failed.
    pub(super) fn away(&self) -> bool {
        self.state.lock().away
    }
}

/// The beat of looking.
pub(super) fn beats() -> tokio::time::Interval {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}
