//! Which slot a sequence gets, and what moves so that the running ones stay neighbours.
//!
//! llama.cpp computes a split cache's sequences together only where their ids follow one another.

use std::sync::Arc;

use super::{Key, KvCache, Place, Retained, Tenancy};
use crate::engine::llama::compute::{Compute, ComputeError, Slot};

impl<C: Compute> KvCache<C> {
    /// A move that would close a hole in the run of occupied slots. A hole costs a second pass over the
    /// weights each step.
    pub fn hole(&self) -> Option<(Slot, Slot)> {
        if self.limits.unified {
            return None;
        }
        let (first, last) = (self.running().next()?, self.running().next_back()?);
        let hole = (first.0..=last.0).map(Slot).find(|slot| !self.is_running(*slot))?;
        Some((last, hole))
    }

    /// Moves a running sequence to a slot that is not running. What was retained there changes places with it: moving
    /// it to the host would touch fresh memory, which can cost many times the copy.
    pub fn relocate(&mut self, from: Slot, to: Slot) -> Result<(), ComputeError> {
        let running = self.compute.save(from)?;
        let displaced = self.take_retained(to);
        self.discard(to);
        self.compute.restore(to, &running)?;
        self.set(to, Tenancy::Running);
        self.discard(from);
        let Some((key, was, snapshot)) = displaced else { return Ok(()) };
        if self.compute.restore(from, &snapshot).is_err() {
            self.discard(from);
            return Ok(());
        }
        let value = Retained { place: Place::Slot(from), ..was };
        self.retained.insert(&key.salt, Arc::clone(&key.tokens), value);
        self.set(from, Tenancy::Retained(key));
        Ok(())
    }

    /// Takes what a slot retains out of the tree, with a copy of its KV.
    fn take_retained(&mut self, slot: Slot) -> Option<(Key, Retained<C::Snapshot>, C::Snapshot)> {
        let Some(Tenancy::Retained(key)) = self.slots.get(slot.index()).cloned() else { return None };
        let retained = self.retained.remove(&key.salt, &key.tokens)?;
        let snapshot = self.compute.save(slot).ok()?;
        Some((key, retained, snapshot))
    }

    /// How well a sequence beginning in `slot` keeps the running slots together: 0 closes a hole, 1 leaves none.
    pub(super) fn looseness(&self, slot: Slot) -> u8 {
        let (Some(first), Some(last)) = (self.running().next(), self.running().next_back()) else { return 0 };
        match () {
            () if self.limits.unified => 0,
            () if slot > first && slot < last => 0,
            () if slot.0 + 1 == first.0 || slot.0 == last.0 + 1 => 1,
            () => 2,
        }
    }

    /// The slot that keeps the run closest; of equal ones a free one, else the one retained and unused for longest.
    pub(super) fn choose_slot(&mut self) -> Option<Slot> {
        let candidates = (0_u16..).zip(&self.slots).filter_map(|(id, tenancy)| {
            let age = match tenancy {
                Tenancy::Running => return None,
                Tenancy::Free => 0,
                Tenancy::Retained(key) => self.age(key),
            };
            Some((self.looseness(Slot(id)), age, Slot(id)))
        });
        candidates.min().map(|(_, _, slot)| slot)
    }

    fn age(&self, key: &Key) -> u64 {
        let found = self.retained.get(&key.salt, &key.tokens);
        found.map_or(0, |retained| retained.last_used.order)
    }
}
