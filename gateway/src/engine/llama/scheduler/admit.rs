//! Which waiting sequences begin, and on whose KV: the longest prefix that is retained, that is on disk, or that another
//! sequence has computed or is computing at this moment.

use std::sync::Arc;
use std::time::Instant;

use super::Scheduler;
use crate::engine::EngineError;
use crate::engine::llama::compute::{Compute, Slot};
use crate::engine::llama::kv::prefix_tree::{Match, common_prefix};
use crate::engine::llama::sequence::{Output, Sequence};

/// A shorter common prefix is computed rather than brought or waited for.
const SHORTEST_REUSE: usize = 16;

/// A token's KV is copied at least this much faster than it is computed (FACTS of the machine differ; on a CPU with a
/// small model it is 200 times, on a GPU about 10 to 40), so a prefix is not brought out of a much longer sequence.
const COPIES_PER_PREFILL: usize = 32;

/// Where a prompt's prefix is to be had.
enum Source {
    /// Another sequence will have computed more of it soon.
    Wait,
    /// A running sequence has it.
    Running { slot: Slot, length: usize },
    /// It is retained.
    Retained(Match),
    /// It is on disk.
    Spilled(Match),
    /// Nowhere.
    Nothing,
}

impl<C: Compute> Scheduler<C> {
    /// Begins what can begin.
    pub(super) fn admit(&mut self, now: Instant) {
        self.resume_or_hold();
        let mut index = 0;
        while index < self.held.len() {
            let source = match self.held.get(index) {
                Some(sequence) => self.source_of(sequence),
                None => break,
            };
            if let (Source::Spilled(found), Some(sequence)) = (&source, self.held.get(index)) {
                self.kv.fetch(&sequence.job.salt, found);
            }
            if matches!(source, Source::Wait | Source::Spilled(_)) {
                index += 1;
                continue;
            }
            let sequence = self.held.remove(index);
            self.begin(sequence, &source, now);
        }
    }

    /// Moves sequences from the queue into the hold, as many as there are slots for; preempted ones go on at once.
    fn resume_or_hold(&mut self) {
        let slots = usize::from(self.kv.limits().slots);
        while self.running.len() + self.held.len() < slots {
            let (cells, unified) = (self.kv.limits().cells as usize, self.kv.limits().unified);
            let used: usize =
                self.running.iter().chain(&self.held).map(|sequence| sequence.tokens.len() + 1).sum();
            let fits = |sequence: &Sequence<C::Snapshot>| {
                !unified || used == 0 || used + sequence.tokens.len() < cells
            };
            let Some(mut sequence) = self.queue.pop_if(fits) else { return };
            match sequence.parked.take() {
                None => self.held.push(sequence),
                Some(snapshot) => self.resume(sequence, &snapshot),
            }
        }
    }

    fn resume(&mut self, mut sequence: Sequence<C::Snapshot>, snapshot: &C::Snapshot) {
        if let Ok(Some(slot)) = self.kv.resume(snapshot) {
            sequence.slot = slot;
            self.join(sequence);
            return;
        }
        // Without its KV the sequence is computed again from its tokens; its sampler stands where it stood.
        sequence.computed = 0;
        self.held.push(sequence);
    }

    fn source_of(&self, sequence: &Sequence<C::Snapshot>) -> Source {
        // The last token is always computed: its logits are what the answer begins with.
        let wanted = sequence.tokens.get(..sequence.tokens.len().saturating_sub(1)).unwrap_or_default();
        let salt = &sequence.job.salt;
        let retained = self
            .kv
            .longest_match(salt, wanted)
            .filter(|found| worth_a_copy(found.length, found.tokens.len()));
        let stored = retained.as_ref().map_or(0, |found| found.length);
        let (mut now, mut soon) = ((0, Slot(0)), 0);
        for other in self.running.iter().filter(|other| other.job.salt == *salt) {
            let common = common_prefix(&other.tokens, wanted);
            if other.computed < common {
                soon = soon.max(common);
            }
            let ready = common.min(other.computed);
            if ready > now.0 && (self.kv.limits().unified || worth_a_copy(ready, other.computed)) {
                now = (ready, other.slot);
            }
        }
        let best = stored.max(now.0);
        let spilled = self.kv.spilled_match(salt, wanted, best).filter(|found| {
            found.length >= best + SHORTEST_REUSE && worth_a_copy(found.length, found.tokens.len())
        });
        let on_disk = spilled.as_ref().map_or(0, |found| found.length);
        if soon >= best.max(on_disk) + SHORTEST_REUSE {
            Source::Wait
        } else if let Some(found) = spilled {
            Source::Spilled(found)
        } else if now.0 >= stored + SHORTEST_REUSE {
            Source::Running { slot: now.1, length: now.0 }
        } else {
            retained.map_or(Source::Nothing, Source::Retained)
        }
    }

    fn begin(&mut self, mut sequence: Sequence<C::Snapshot>, source: &Source, now: Instant) {
        let placed = match source {
            Source::Running { slot, length } => self.begin_beside(&sequence, *slot, *length),
            Source::Retained(found) => self.kv.begin(&sequence.job.salt, Some(found)),
            Source::Nothing | Source::Wait | Source::Spilled(_) => self.kv.begin(&sequence.job.salt, None),
        };
        let Some((slot, computed)) = placed else {
            // `resume_or_hold` never takes more sequences than there are slots.
            let _receiver_gone =
                sequence.job.outputs.try_send(Output::Failed(EngineError::NotReady("no slot")));
            return;
        };
        sequence.slot = slot;
        sequence.computed = computed;
        if sequence.choice == 0 && sequence.generated() == 0 {
            let cached = u32::try_from(computed).unwrap_or(u32::MAX);
            let _receiver_gone = sequence.job.outputs.try_send(Output::Started { at: now, cached });
        }
        self.join(sequence);
    }

    /// Begins on the KV of a running sequence: shared where the layout can, else by a copy that others find too.
    fn begin_beside(
        &mut self,
        sequence: &Sequence<C::Snapshot>,
        from: Slot,
        length: usize,
    ) -> Option<(Slot, usize)> {
        if let Some(slot) = self.kv.share(from, length) {
            return Some((slot, length));
        }
        let salt = Arc::clone(&sequence.job.salt);
        let source = self.running.iter().find(|other| other.slot == from)?;
        self.kv.publish(from, &salt, source.computed_tokens());
        let wanted = sequence.tokens.get(..sequence.tokens.len().saturating_sub(1)).unwrap_or_default();
        let found = self.kv.longest_match(&salt, wanted);
        self.kv.begin(&salt, found.as_ref())
    }
}

fn worth_a_copy(length: usize, stored: usize) -> bool {
    length >= SHORTEST_REUSE && length * COPIES_PER_PREFILL >= stored
}
