//! One model's place in the table: where it is between its file and memory, and who uses it.

use std::sync::Arc;
use std::time::Duration;

use openapi::admin::models::{LoadState, Residency};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::loader::{Footprint, Spec};
use crate::config::LoadWhen;
use crate::engine::Engine;
use crate::engine::progress::Progress;

/// From a failure to the next attempt that a request makes.
const REST: Duration = Duration::from_secs(10);
/// The shortest time that somebody who waits in vain is told.
const SOONEST: Duration = Duration::from_secs(1);
/// Bytes that a disk reads in a second, for a first load: those after it are measured.
const DISK: u64 = 500 << 20;
/// Less progress says nothing of how long the rest takes.
const TELLING: f64 = 0.1;

/// Where a model is.
pub(super) enum State {
    /// Its file is on disk, and that is all.
    Unloaded,
    /// Waits for its turn, and for room; places are given out in order.
    Queued(u64),
    /// Is being loaded.
    Loading { since: Instant, progress: Arc<Progress> },
    /// Answers.
    Ready(Arc<dyn Engine>),
    /// Goes when the last that use it have ended; nobody new may.
    Draining(Arc<dyn Engine>),
    /// Gives its memory back.
    Unloading,
}

/// Why it is not in memory though somebody wanted it.
pub(super) struct Failure {
    pub(super) reason: Arc<str>,
    /// The load was called off: nothing is wrong with the model.
    pub(super) cancelled: bool,
    /// Requests do not try again before.
    pub(super) until: Instant,
}

/// One model.
pub(super) struct Slot {
    pub(super) spec: Spec,
    pub(super) footprint: Footprint,
    pub(super) state: State,
    /// Until the next load.
    pub(super) failure: Option<Failure>,
    /// Requests that use it.
    pub(super) leases: u32,
    /// Requests that wait for it.
    pub(super) waiting: u32,
    /// Somebody other than a request asked for it.
    pub(super) ordered: bool,
    /// Never chosen to make room, nor unloaded for being idle.
    pub(super) pinned: bool,
    pub(super) used: Instant,
    /// The same, in seconds since the Unix epoch; none before the first use.
    pub(super) used_at: Option<u64>,
    pub(super) last_load: Option<Duration>,
    /// Told of every change of the state.
    pub(super) changed: Arc<Notify>,
}

impl Slot {
    pub(super) fn new(spec: Spec, footprint: Footprint) -> Self {
        Self {
            pinned: spec.config.pin && spec.adapter.is_none(),
            spec,
            footprint,
            state: State::Unloaded,
            failure: None,
            leases: 0,
            waiting: 0,
            ordered: false,
            used: Instant::now(),
            used_at: None,
            last_load: None,
            changed: Arc::default(),
        }
    }

    /// Whether a model is loaded before the gateway is ready. Adapters never are.
    pub(super) fn loads_at_start(spec: &Spec) -> bool {
        spec.config.load == LoadWhen::Start && spec.adapter.is_none()
    }

    /// Whether it takes memory.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self.state, State::Unloaded | State::Queued(_))
    }

    /// Since when nobody uses it, where it may go.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let free = self.leases == 0 && self.waiting == 0 && !self.pinned;
        (free && matches!(self.state, State::Ready(_))).then_some(self.used)
    }

    /// When it is unloaded for being idle.
    pub(super) fn expires(&self) -> Option<Instant> {
        let after = self.spec.config.idle_unload;
        self.idle_since().filter(|_| !after.is_zero()).and_then(|since| since.checked_add(after))
    }

    pub(super) fn set(&mut self, state: State) {
        self.state = state;
        self.changed.notify_waiters();
    }

    /// The load came to nothing.
    pub(super) fn fail(&mut self, reason: impl Into<Arc<str>>, cancelled: bool, now: Instant) {
        self.failure = Some(Failure { reason: reason.into(), cancelled, until: now + REST });
        self.ordered = false;
        self.set(State::Unloaded);
    }

    /// How long a request would still have to wait, as far as can be told.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        let whole = self.last_load.unwrap_or_else(|| {
            let weights = Duration::from_millis(self.footprint.weights.saturating_mul(1000) / DISK);
            weights.saturating_add(SOONEST)
        });
        let left = match &self.state {
            State::Loading { since, progress } => {
                let (elapsed, share) = (now.saturating_duration_since(*since), progress.share());
                if share >= TELLING {
                    elapsed.mul_f64((1.0 - share) / share)
                } else {
                    whole.saturating_sub(elapsed)
                }
            }
            _ => whole,
        };
        left.max(SOONEST)
    }

    /// As the admin API shows it.
    pub(super) fn shown(&self) -> Residency {
        let failure = self.failure.as_ref().filter(|_| matches!(self.state, State::Unloaded));
        let (state, progress) = match &self.state {
            State::Unloaded if failure.is_some_and(|failure| !failure.cancelled) => (LoadState::Failed, None),
            State::Unloaded => (LoadState::Unloaded, None),
            State::Queued(_) => (LoadState::Queued, None),
            State::Loading { progress, .. } => (LoadState::Loading, Some(progress.share())),
            State::Ready(_) => (LoadState::Ready, None),
            State::Draining(_) => (LoadState::Draining, None),
            State::Unloading => (LoadState::Unloading, None),
        };
        Residency {
            state,
            progress,
            reason: failure.map(|failure| failure.reason.to_string()),
            weights_bytes: self.footprint.weights,
            own_bytes: self.footprint.own,
            in_use: self.leases,
            waiting: self.waiting,
            pinned: self.pinned,
            last_used: self.used_at,
        }
    }
}
