//! Where retained sequences go that leave the context: to host memory, from there to disk, and back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::prefix_tree::Match;
use super::spill::Fetch;
use super::{Key, KvCache, Place, Retained};
use crate::engine::llama::compute::{Compute, Saved, Slot};
use crate::engine::llama::memory_file::MemoryFile;

/// A sequence's KV in host memory.
#[derive(Debug)]
pub(super) enum Kept<S> {
    /// For this process alone.
    State(S),
    /// It can go to disk, or came from there.
    File(Arc<MemoryFile>),
}

impl<S: Saved> Kept<S> {
    fn bytes(&self) -> usize {
        match self {
            Self::State(state) => state.bytes(),
            Self::File(file) => file.size(),
        }
    }

    fn handles(&self) -> usize {
        usize::from(matches!(self, Self::File(_)))
    }
}

/// Most files in memory: each is an open file of the process, which has a thousand or so for its connections too.
const MOST_HANDLES: usize = 256;

/// How soon to look again whether a write has ended.
const WRITE_POLL: Duration = Duration::from_millis(100);

impl<C: Compute> KvCache<C> {
    /// Copies a slot's KV to host memory, in a form that can go on to disk where that is wanted.
    pub(super) fn copy_out(&mut self, slot: Slot) -> Option<Kept<C::Snapshot>> {
        if self.spill.is_some()
            && let Ok(file) = self.compute.save_file(slot)
        {
            return Some(Kept::File(Arc::new(file)));
        }
        self.compute.save(slot).ok().map(Kept::State)
    }

    pub(super) fn move_to_host(&mut self, salt: &str, tokens: &Arc<[u32]>) {
        let Some(slot) = self.slot_of(salt, tokens) else { return };
        self.retained.remove(salt, tokens);
        if let Some(kept) = self.copy_out(slot) {
            self.keep_on_host(Key { salt: Arc::from(salt), tokens: Arc::clone(tokens) }, kept);
        }
        self.discard(slot);
    }

    pub(super) fn keep_on_host(&mut self, key: Key, kept: Kept<C::Snapshot>) -> bool {
        let bytes = kept.bytes();
        if bytes > self.host_limit {
            self.put_on_disk(&key, &kept);
            return false;
        }
        self.forget(&key.salt, &key.tokens);
        self.make_host_room(bytes);
        self.hold(key, kept);
        true
    }

    fn make_host_room(&mut self, bytes: usize) {
        while (self.host_bytes.saturating_add(bytes) > self.host_limit || self.host_handles >= MOST_HANDLES)
            && self.forget_oldest_on_host()
        {}
    }

    fn hold(&mut self, key: Key, kept: Kept<C::Snapshot>) {
        self.host_bytes += kept.bytes();
        self.host_handles += kept.handles();
        let spilled = self.is_on_disk(&key);
        let value = Retained { place: Place::Host(kept), last_used: self.tick(), spilled };
        self.retained.insert(&key.salt, key.tokens, value);
    }

    /// Drops one retained sequence wherever it is, but not from disk.
    pub(super) fn forget(&mut self, salt: &str, tokens: &[u32]) -> Option<Kept<C::Snapshot>> {
        match self.retained.remove(salt, tokens)?.place {
            Place::Slot(slot) => {
                self.discard(slot);
                None
            }
            Place::Host(kept) => {
                self.host_bytes -= kept.bytes();
                self.host_handles -= kept.handles();
                Some(kept)
            }
        }
    }

    fn forget_oldest_on_host(&mut self) -> bool {
        let oldest = self
            .retained
            .iter()
            .filter(|(_, _, value)| matches!(value.place, Place::Host(_)))
            .min_by_key(|(_, _, value)| value.last_used)
            .map(|(salt, tokens, _)| Key { salt: Arc::clone(salt), tokens: Arc::clone(tokens) });
        oldest.is_some_and(|key| {
            if let Some(kept) = self.forget(&key.salt, &key.tokens) {
                self.put_on_disk(&key, &kept);
            }
            true
        })
    }

    fn put_on_disk(&mut self, key: &Key, kept: &Kept<C::Snapshot>) {
        if let (Some(spill), Kept::File(file)) = (&mut self.spill, kept) {
            spill.put(key, file);
        }
    }

    pub(super) fn is_on_disk(&self, key: &Key) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.holds(&key.salt, &key.tokens))
    }

    /// Restores a retained sequence from the host and cuts it to the common prefix.
    pub(super) fn bring(&mut self, slot: Slot, salt: &str, found: &Match) -> usize {
        let Some(Retained { place: Place::Host(kept), .. }) = self.retained.get(salt, &found.tokens) else {
            return 0;
        };
        let start = Instant::now();
        let restored = match kept {
            Kept::State(state) => self.compute.restore(slot, state),
            Kept::File(file) => self.compute.restore_file(slot, file),
        };
        if let (Some(spill), Kept::File(file), Ok(())) = (&mut self.spill, kept, &restored) {
            spill.note_restore(file.bytes(), start.elapsed());
        }
        let on_disk = self.spill.as_ref().is_some_and(|spill| spill.holds(salt, &found.tokens));
        if on_disk && self.host_bytes > self.host_limit {
            // It came from there for this once: there was no room for it.
            self.forget(salt, &found.tokens);
        }
        if restored.is_ok() {
            return self.cut(slot, found.length);
        }
        self.compute.clear(slot);
        // Cells can be short in a unified cache alone; anywhere else the state itself is at fault.
        if !self.limits.unified {
            self.forget(salt, &found.tokens);
            if let Some(spill) = &mut self.spill {
                spill.refuse(salt, &found.tokens);
            }
        }
        0
    }

    /// The sequence on disk with the longest prefix in common, where it is worth bringing for more than the `at_hand`
    /// tokens that can be had otherwise.
    pub fn spilled_match(&self, salt: &str, prompt: &[u32], at_hand: usize) -> Option<Match> {
        self.spill.as_ref()?.longest_match(salt, prompt, at_hand)
    }

    /// Begins to bring a sequence from disk to where [`KvCache::longest_match`] finds it.
    pub fn fetch(&mut self, salt: &Arc<str>, found: &Match) {
        let Some(spill) = &mut self.spill else { return };
        if let Fetch::Here(file) = spill.fetch(salt, &found.tokens) {
            self.receive(Key { salt: Arc::clone(salt), tokens: Arc::clone(&found.tokens) }, file);
        }
    }

    /// Whether a sequence is on its way from disk.
    pub fn is_fetching(&self) -> bool {
        self.spill.as_ref().is_some_and(super::spill::Spill::is_reading)
    }

    /// Takes in what came from disk, and what was written there.
    pub fn settle(&mut self) {
        let Some(spill) = &mut self.spill else { return };
        for (key, file) in spill.settle() {
            self.receive(key, Arc::new(file));
        }
    }

    /// What was fetched stays until it was used, even where there is no room for it.
    fn receive(&mut self, key: Key, file: Arc<MemoryFile>) {
        if self.retained.get(&key.salt, &key.tokens).is_some() {
            return;
        }
        self.make_host_room(file.size());
        self.hold(key, Kept::File(file));
    }

    /// Copies at most one sequence to disk that was not used for long. Says when there may be more to do.
    pub fn spill_idle(&mut self, now: Instant) -> Option<Instant> {
        self.settle();
        let after = self.spill.as_ref()?.after();
        match self.next_to_spill(|oldest, other| oldest < other) {
            Some((key, used)) if used + after <= now => {
                let taken = self.copy_to_disk(&key);
                Some(if taken { now } else { now + WRITE_POLL })
            }
            // States that were written are to be let go of.
            _ if !self.spill.as_ref()?.has_written() => Some(now + WRITE_POLL),
            next => next.map(|(_, used)| used + after),
        }
    }

    /// Copies what is retained to disk as far as the time allows, the most recently used first; the end of this
    /// process waits no longer than until then for the disk.
    pub fn spill_rest(&mut self, until: Instant) {
        self.settle();
        let Some(spill) = &self.spill else { return };
        spill.stop_at(until);
        while Instant::now() < until {
            let Some((key, _)) = self.next_to_spill(|newest, other| newest > other) else { return };
            if !self.copy_to_disk(&key)
                && let Some(spill) = &mut self.spill
            {
                spill.wait(until);
            }
        }
    }

    /// The sequence that is to be copied before all others.
    fn next_to_spill(&self, before: impl Fn(super::Use, super::Use) -> bool) -> Option<(Key, Instant)> {
        let mut best: Option<(Key, super::Use)> = None;
        for (salt, tokens, value) in self.retained.iter().filter(|(_, _, value)| !value.spilled) {
            if best.as_ref().is_none_or(|(_, used)| before(value.last_used, *used)) {
                let key = Key { salt: Arc::clone(salt), tokens: Arc::clone(tokens) };
                best = Some((key, value.last_used));
            }
        }
        best.map(|(key, used)| (key, used.at))
    }

    /// Gives a copy of a retained sequence to the writer. `false` if it has to be tried again, later.
    fn copy_to_disk(&mut self, key: &Key) -> bool {
        let Some(spill) = &mut self.spill else { return true };
        let Some(retained) = self.retained.get_mut(&key.salt, &key.tokens) else { return true };
        let file = match &retained.place {
            Place::Host(Kept::File(file)) => Some(Arc::clone(file)),
            Place::Host(Kept::State(_)) => None,
            Place::Slot(_) if !spill.has_room(0) => return false,
            Place::Slot(slot) => self.compute.save_file(*slot).ok().map(Arc::new),
        };
        if let Some(file) = &file
            && !spill.has_room(file.bytes())
        {
            return false;
        }
        // Tried once: what does not fit is not offered again and again.
        retained.spilled = true;
        if let Some(file) = file {
            spill.put(key, &file);
        }
        true
    }
}
