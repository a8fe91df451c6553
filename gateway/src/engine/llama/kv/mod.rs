//! The KV cache as the scheduler sees it: slots for running sequences, and finished ones retained for reuse.
//!
//! A finished sequence stays in its slot until the slot is needed; then its KV moves to host memory, which is bounded
//! and forgets the least recently used: to disk, where that is wanted. How cells are shared is decided in here alone: a split cache copies state
//! bytes (a copy of 1,000 tokens costs a hundredth of their prefill), a unified one shares cells.

mod keeping;
mod placement;
pub mod prefix_tree;
pub mod spill;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use self::keeping::Kept;
use self::prefix_tree::{Match, PrefixTree};
use self::spill::Spill;
use super::compute::{Compute, ComputeError, Limits, Row, Slot};

/// What a slot holds.
#[derive(Debug, Clone)]
enum Tenancy {
    Free,
    Running,
    Retained(Key),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    salt: Arc<str>,
    tokens: Arc<[u32]>,
}

#[derive(Debug)]
enum Place<S> {
    Slot(Slot),
    Host(Kept<S>),
}

#[derive(Debug)]
struct Retained<S> {
    place: Place<S>,
    last_used: Use,
    /// Whether it was copied to disk, or need not be.
    spilled: bool,
}

/// When a sequence was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    order: u64,
    at: Instant,
}

/// The context with its slots and what is retained.
pub struct KvCache<C: Compute> {
    compute: C,
    limits: Limits,
    slots: Vec<Tenancy>,
    retained: PrefixTree<Retained<C::Snapshot>>,
    host_bytes: usize,
    host_limit: usize,
    /// Of the sequences on the host, those that are open files.
    host_handles: usize,
    uses: u64,
    spill: Option<Spill>,
}

/// Shorter retained sequences are not worth their copy.
const SHORTEST_RETAINED: usize = 16;

impl<C: Compute> KvCache<C> {
    /// Takes over a fresh context. `host_limit` bounds the bytes of retained sequences outside of it.
    pub fn new(compute: C, host_limit: usize) -> Self {
        let limits = compute.limits();
        Self {
            compute,
            limits,
            slots: vec![Tenancy::Free; usize::from(limits.slots)],
            retained: PrefixTree::default(),
            host_bytes: 0,
            host_limit,
            host_handles: 0,
            uses: 0,
            spill: None,
        }
    }

    /// Lets what is retained go to disk too.
    #[must_use]
    pub fn with_spill(mut self, spill: Option<Spill>) -> Self {
        self.spill = spill;
        self
    }

    #[cfg(test)]
    pub(super) fn compute(&self) -> &C {
        &self.compute
    }

    /// The context's sizes.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Computes a batch.
    pub fn decode(&mut self, rows: &[Row]) -> Result<(), ComputeError> {
        let start = Instant::now();
        let decoded = self.compute.decode(rows);
        if let (Some(spill), Ok(())) = (&mut self.spill, &decoded) {
            spill.note_decode(rows.len(), start.elapsed());
        }
        decoded
    }

    /// The logits after a row of the last batch.
    pub fn logits(&self, row: usize) -> Option<&[f32]> {
        self.compute.logits(row)
    }

    /// The slots of running sequences, lowest first.
    pub fn running(&self) -> impl DoubleEndedIterator<Item = Slot> + '_ {
        (0..self.limits.slots).map(Slot).filter(|slot| self.is_running(*slot))
    }

    /// Whether a sequence can begin.
    pub fn has_room(&self) -> bool {
        self.slots.iter().any(|tenancy| !matches!(tenancy, Tenancy::Running))
    }

    /// The retained sequence with the longest prefix in common.
    pub fn longest_match(&self, salt: &str, prompt: &[u32]) -> Option<Match> {
        self.retained.longest_match(salt, prompt)
    }

    /// Begins a sequence: takes a slot, and brings the KV of `found`'s common prefix into it. Returns the slot and
    /// how many tokens need no prefill.
    pub fn begin(&mut self, salt: &str, found: Option<&Match>) -> Option<(Slot, usize)> {
        let Some(found) = found else { return Some((self.take_slot()?, 0)) };
        self.touch(salt, &found.tokens);
        let Some(source) = self.slot_of(salt, &found.tokens) else {
            let slot = self.take_slot()?;
            return Some((slot, self.bring(slot, salt, found)));
        };
        if self.looseness(source) < 2 && found.length * 2 >= found.tokens.len() {
            // The sequence goes on where it ended: the next turn of a conversation, or another answer to it.
            self.retained.remove(salt, &found.tokens);
            self.set(source, Tenancy::Running);
            return Some((source, self.cut(source, found.length)));
        }
        let slot = self.choose_slot()?;
        if slot != source && self.limits.unified {
            self.vacate(slot);
            self.set(slot, Tenancy::Running);
            let shared = self.compute.share(source, slot, as_u32(found.length));
            return Some((slot, if shared { found.length } else { 0 }));
        }
        self.move_to_host(salt, &found.tokens);
        let slot = self.take_slot()?;
        Some((slot, self.bring(slot, salt, found)))
    }

    /// Retains a copy of a running sequence's first tokens, for others that share them. `false` if it is not kept.
    pub fn publish(&mut self, slot: Slot, salt: &Arc<str>, tokens: &[u32]) -> bool {
        let Some(kept) = self.copy_out(slot) else { return false };
        self.keep_on_host(Key { salt: Arc::clone(salt), tokens: Arc::from(tokens) }, kept)
    }

    /// Lets a running sequence's first `length` cells serve a new one without a copy, where the layout can.
    pub fn share(&mut self, from: Slot, length: usize) -> Option<Slot> {
        if !self.limits.unified {
            return None;
        }
        let slot = self.take_slot()?;
        if self.compute.share(from, slot, as_u32(length)) {
            return Some(slot);
        }
        self.discard(slot);
        None
    }

    /// Ends a sequence and retains what was computed of it.
    pub fn finish(&mut self, slot: Slot, salt: &Arc<str>, computed: &[u32]) {
        if computed.len() < SHORTEST_RETAINED || self.host_limit == 0 {
            self.discard(slot);
            return;
        }
        let key = Key { salt: Arc::clone(salt), tokens: Arc::from(computed) };
        self.forget(&key.salt, &key.tokens);
        let spilled = self.is_on_disk(&key);
        let value = Retained { place: Place::Slot(slot), last_used: self.tick(), spilled };
        self.retained.insert(&key.salt, Arc::clone(&key.tokens), value);
        self.set(slot, Tenancy::Retained(key));
    }

    /// Ends a sequence and drops its KV.
    pub fn discard(&mut self, slot: Slot) {
        self.compute.clear(slot);
        self.set(slot, Tenancy::Free);
    }

    /// Cuts a running sequence to its first tokens. `false` where that cannot be: then it has none left.
    pub fn rewind(&mut self, slot: Slot, length: usize) -> bool {
        let kept = self.compute.truncate(slot, as_u32(length));
        if !kept {
            self.compute.clear(slot);
        }
        kept
    }

    /// Takes a running sequence's KV out of the context, to be resumed later.
    pub fn park(&mut self, slot: Slot) -> Result<C::Snapshot, ComputeError> {
        let snapshot = self.compute.save(slot)?;
        self.discard(slot);
        Ok(snapshot)
    }

    /// Brings a parked sequence back.
    pub fn resume(&mut self, snapshot: &C::Snapshot) -> Result<Option<Slot>, ComputeError> {
        let Some(slot) = self.take_slot() else { return Ok(None) };
        let restored = self.restore(slot, snapshot);
        if restored.is_err() {
            self.discard(slot);
        }
        restored.map(|()| Some(slot))
    }

    /// Restores into an empty slot; where cells are short, retained sequences leave the context for it.
    fn restore(&mut self, slot: Slot, snapshot: &C::Snapshot) -> Result<(), ComputeError> {
        loop {
            let restored = self.compute.restore(slot, snapshot);
            if restored.is_ok() {
                return restored;
            }
            self.compute.clear(slot);
            if !self.limits.unified || !self.relieve() {
                return restored;
            }
        }
    }

    /// Moves the least recently used retained sequence out of the context, to free cells. `false` if there is none.
    pub fn relieve(&mut self) -> bool {
        let oldest = self
            .retained
            .iter()
            .filter_map(|(_, _, value)| match value.place {
                Place::Slot(slot) => Some((value.last_used, slot)),
                Place::Host(_) => None,
            })
            .min();
        oldest.is_some_and(|(_, slot)| {
            self.vacate(slot);
            true
        })
    }

    /// Empties a slot and marks it running.
    fn take_slot(&mut self) -> Option<Slot> {
        let slot = self.choose_slot()?;
        self.vacate(slot);
        self.set(slot, Tenancy::Running);
        Some(slot)
    }

    fn slot_of(&self, salt: &str, tokens: &[u32]) -> Option<Slot> {
        match self.retained.get(salt, tokens)?.place {
            Place::Slot(slot) => Some(slot),
            Place::Host(_) => None,
        }
    }

    fn touch(&mut self, salt: &str, tokens: &[u32]) {
        let now = self.tick();
        if let Some(retained) = self.retained.get_mut(salt, tokens) {
            retained.last_used = now;
        }
    }

    fn is_running(&self, slot: Slot) -> bool {
        matches!(self.slots.get(slot.index()), Some(Tenancy::Running))
    }

    /// Empties a slot that is not running; what it retains moves to the host.
    fn vacate(&mut self, slot: Slot) {
        if let Some(Tenancy::Retained(key)) = self.slots.get(slot.index()).cloned() {
            self.move_to_host(&key.salt, &key.tokens);
        }
        self.discard(slot);
    }

    /// Cuts a slot to its first tokens; a memory that cannot be cut is emptied and computed anew.
    fn cut(&mut self, slot: Slot, length: usize) -> usize {
        if self.rewind(slot, length) { length } else { 0 }
    }

    fn set(&mut self, slot: Slot, tenancy: Tenancy) {
        if let Some(place) = self.slots.get_mut(slot.index()) {
            *place = tenancy;
        }
    }

    fn tick(&mut self) -> Use {
        self.uses += 1;
        Use { order: self.uses, at: Instant::now() }
    }
}

fn as_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
