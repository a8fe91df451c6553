//! All local models under one lock: who may use which, which is loaded next, and who goes for it.

use std::sync::Arc;
use std::time::Duration;

use openapi::admin::models::Residency;
use tokio::time::Instant;

use super::control::Refusal;
use super::loader::{Footprint, LoadFailure, Loaded, Spec};
use super::room::{self, Held, Room};
use super::slot::{Slot, State};
use crate::engine::progress::Progress;
use crate::engine::{Engine, EngineError};

/// The models. Held for moments, never over a wait.
pub(super) struct Table {
    slots: Vec<Slot>,
    budget: Option<u64>,
    /// The next place in the queue of loads.
    next_place: u64,
}

/// What a request meets.
pub(super) enum Entry {
    /// It may go on; the model stays until it has left.
    Entered(Arc<dyn Engine>),
    /// It has to wait for a change.
    Wait,
}

/// What is to be done next.
pub(super) enum Step {
    /// Load this model.
    Load(usize, Spec, Arc<Progress>),
    /// Give this one's memory back by dropping the engine.
    Unload(usize, Arc<dyn Engine>),
    /// Nothing, until something changes or the time comes.
    Rest(Option<Instant>),
}

impl Table {
    pub(super) fn new(budget: Option<u64>) -> Self {
        Self { slots: Vec::new(), budget, next_place: 0 }
    }

    /// Adds a model; its index.
    pub(super) fn add(&mut self, slot: Slot) -> usize {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    /// Refuses a model that can never fit.
    pub(super) fn check_size(&self, footprint: Footprint) -> Result<(), Refusal> {
        match self.budget.filter(|budget| footprint.total() > *budget) {
            Some(budget) => Err(Refusal::TooLarge { needed: footprint.total(), budget }),
            None => Ok(()),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| *slot.spec.name == *name)
    }

    pub(super) fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    pub(super) fn slot_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn shown(&self, index: usize) -> Option<Residency> {
        self.slot(index).map(Slot::shown)
    }

    /// A request wants to use a model. `waits` says that it is counted among those who wait already.
    pub(super) fn enter(&mut self, index: usize, waits: bool, now: Instant) -> Result<Entry, EngineError> {
        let place = self.next_place;
        let slot = self.slots.get_mut(index).ok_or(EngineError::NotReady("it is not served any more"))?;
        if let State::Ready(engine) = &slot.state {
            slot.leases += 1;
            return Ok(Entry::Entered(Arc::clone(engine)));
        }
        let resting = slot.failure.as_ref().filter(|failure| failure.until > now);
        if let Some(failure) = resting.filter(|_| matches!(slot.state, State::Unloaded)) {
            let retry_after = failure.until.saturating_duration_since(now);
            return Err(EngineError::NotLoaded { retry_after });
        }
        if !waits {
            if slot.waiting >= slot.spec.config.queue {
                return Err(EngineError::Loading { retry_after: self.remaining(index, now) });
            }
            slot.waiting += 1;
        }
        if matches!(slot.state, State::Unloaded) {
            slot.set(State::Queued(place));
            self.next_place += 1;
        }
        Ok(Entry::Wait)
    }

    /// How long a model takes to be there: its own load, and those before it.
    pub(super) fn remaining(&self, index: usize, now: Instant) -> Duration {
        let Some(slot) = self.slot(index) else { return Duration::ZERO };
        let before = self.slots.iter().enumerate().filter(|(other, before)| {
            *other != index
                && match (&before.state, &slot.state) {
                    (State::Loading { .. }, state) => !matches!(state, State::Loading { .. }),
                    (State::Queued(theirs), State::Queued(ours)) => theirs < ours,
                    (State::Queued(_), State::Unloaded) => true,
                    _ => false,
                }
        });
        before.fold(slot.remaining(now), |sum, (_, slot)| sum.saturating_add(slot.remaining(now)))
    }

    /// A request has left. Whether there may be something to do for it.
    pub(super) fn leave(&mut self, index: usize, now: Instant, at: u64) -> bool {
        let queued = self.slots.iter().any(|slot| matches!(slot.state, State::Queued(_)));
        let Some(slot) = self.slots.get_mut(index) else { return false };
        slot.leases = slot.leases.saturating_sub(1);
        slot.used = now;
        slot.used_at = Some(at);
        slot.leases == 0 && (queued || matches!(slot.state, State::Draining(_)) || slot.expires().is_some())
    }

    /// A request waits no longer.
    pub(super) fn stop_waiting(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.waiting = slot.waiting.saturating_sub(1);
            // Nobody is left who wants it.
            if slot.waiting == 0 && !slot.ordered && matches!(slot.state, State::Queued(_)) {
                slot.set(State::Unloaded);
            }
        }
    }

    /// Somebody other than a request wants a model in memory.
    pub(super) fn order(&mut self, index: usize) -> Result<(), Refusal> {
        let place = self.next_place;
        let Some(slot) = self.slots.get_mut(index) else { return Err(Refusal::Unknown) };
        match &slot.state {
            State::Ready(_) | State::Loading { .. } | State::Queued(_) | State::Unloading => {}
            State::Draining(engine) => {
                let engine = Arc::clone(engine);
                slot.set(State::Ready(engine));
            }
            State::Unloaded => {
                slot.failure = None;
                slot.set(State::Queued(place));
                self.next_place += 1;
            }
        }
        slot.ordered = !matches!(slot.state, State::Ready(_));
        Ok(())
    }

    /// Somebody wants a model out of memory: at once, or when those who use it have ended.
    pub(super) fn dismiss(&mut self, index: usize, drain: bool, now: Instant) -> Result<(), Refusal> {
        let Some(slot) = self.slots.get_mut(index) else { return Err(Refusal::Unknown) };
        match &slot.state {
            State::Ready(engine) => {
                if slot.leases > 0 && !drain {
                    return Err(Refusal::InUse { requests: slot.leases });
                }
                let engine = Arc::clone(engine);
                slot.set(State::Draining(engine));
            }
            State::Loading { progress, .. } => progress.cancel(),
            State::Queued(_) => slot.fail("the load was called off", true, now),
            State::Unloaded | State::Draining(_) | State::Unloading => {}
        }
        slot.ordered = false;
        Ok(())
    }

    /// What is to be done now. Where a load is under way no other begins.
    pub(super) fn next(&mut self, loads: bool, now: Instant) -> Step {
        if let Some(index) = self.leaving(now) {
            return self.unload(index);
        }
        if !loads {
            for index in self.queued() {
                if let Some(step) = self.make_room(index, now) {
                    return step;
                }
            }
        }
        Step::Rest(self.slots.iter().filter_map(Slot::expires).min())
    }

    /// The next step to have a model loaded, if there is one.
    fn make_room(&mut self, index: usize, now: Instant) -> Option<Step> {
        let slot = self.slot(index)?;
        match room::make(&self.held(), slot.spec.group(), slot.footprint, self.budget) {
            Room::After(gone) => Some(match gone.first() {
                Some(first) => self.unload(*first),
                None => self.load(index, now),
            }),
            Room::Blocked => None,
            Room::Never => {
                self.slot_mut(index)?.fail("it alone is more than memory_budget_mib", false, now);
                None
            }
        }
    }

    /// Those who wait for their turn, in order.
    fn queued(&self) -> Vec<usize> {
        let mut queued: Vec<_> = (0..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| match slot.state {
                State::Queued(place) => Some((place, index)),
                _ => None,
            })
            .collect();
        queued.sort_unstable();
        queued.into_iter().map(|(_, index)| index).collect()
    }

    /// One that was sent away and is not used any more, or was idle for too long.
    fn leaving(&self, now: Instant) -> Option<usize> {
        self.slots.iter().position(|slot| match slot.state {
            State::Draining(_) => slot.leases == 0,
            _ => slot.expires().is_some_and(|at| at <= now),
        })
    }

    fn held(&self) -> Vec<Held<'_>> {
        let held = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_held());
        held.map(|(index, slot)| Held {
            index,
            group: slot.spec.group(),
            footprint: slot.footprint,
            idle_since: slot.idle_since(),
        })
        .collect()
    }

    fn load(&mut self, index: usize, now: Instant) -> Step {
        let Some(slot) = self.slots.get_mut(index) else { return Step::Rest(None) };
        let progress = Arc::<Progress>::default();
        slot.failure = None;
        slot.set(State::Loading { since: now, progress: Arc::clone(&progress) });
        Step::Load(index, slot.spec.clone(), progress)
    }

    fn unload(&mut self, index: usize) -> Step {
        let Some(slot) = self.slots.get_mut(index) else { return Step::Rest(None) };
        match std::mem::replace(&mut slot.state, State::Unloading) {
            State::Ready(engine) | State::Draining(engine) => {
                slot.changed.notify_waiters();
                Step::Unload(index, engine)
            }
            other => {
                slot.state = other;
                Step::Rest(None)
            }
        }
    }

    /// A load has ended.
    pub(super) fn loaded(&mut self, index: usize, outcome: Result<Loaded, LoadFailure>, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let State::Loading { since, progress } = &slot.state else { return };
        let (since, cancelled) = (*since, progress.is_cancelled());
        match outcome {
            Ok(Loaded { engine, footprint }) => {
                slot.footprint = footprint;
                slot.last_load = Some(now.saturating_duration_since(since));
                slot.used = now;
                slot.ordered = false;
                // One that was called off too late goes again.
                slot.set(if cancelled { State::Draining(engine) } else { State::Ready(engine) });
            }
            Err(_) if cancelled => slot.fail("the load was called off", true, now),
            Err(error) => slot.fail(error.to_string(), false, now),
        }
    }

    /// A model's memory was given back.
    pub(super) fn unloaded(&mut self, index: usize) {
        let place = self.next_place;
        if let Some(slot) = self.slots.get_mut(index) {
            // Ordered again while it went.
            let state = if slot.ordered { State::Queued(place) } else { State::Unloaded };
            slot.set(state);
            self.next_place += 1;
        }
    }

    /// Bytes that are held now.
    pub(super) fn bytes(&self) -> u64 {
        let held = self.slots.iter().filter(|slot| slot.is_held());
        room::total(held.map(|slot| (slot.spec.group(), slot.footprint)))
    }

    /// Whether there is room for a model beside all that are held.
    pub(super) fn has_room(&self, index: usize) -> bool {
        let Some(slot) = self.slot(index) else { return false };
        let (group, footprint): (&str, Footprint) = (slot.spec.group(), slot.footprint);
        room::make(&self.held(), group, footprint, self.budget) == Room::After(Vec::new())
    }
}
