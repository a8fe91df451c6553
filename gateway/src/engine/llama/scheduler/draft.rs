//! Drafts: which sequences compute tokens ahead in the next step, and what became of those they did.

use std::time::Instant;

use super::{Planned, Scheduler};
use crate::engine::llama::compute::{Compute, Slot};
use crate::engine::llama::kv::KvCache;
use crate::engine::llama::sequence::{Drawn, Sequence};
use crate::engine::llama::speculation::cost::split_passes;
use crate::engine::llama::vocabulary::Vocabulary;

/// What drafts must promise: this many times the tokens a second of a step without.
const WORTHWHILE: f64 = 1.03;

/// How often the length of drafts is set anew by the speed that the last lengths promised. Each time it is nearer to the
/// best, and after two there is nothing left to gain (Dinkelbach's method).
const ROUNDS: usize = 2;

/// How many steps go without drafts once they found no cells.
const REST: u32 = 32;

impl<C: Compute> Scheduler<C> {
    /// Drafts for the sequences that decode in this step, where that promises more tokens in the same time.
    pub(super) fn draft(&mut self, takes: &[usize]) {
        self.forget_drafts();
        self.passes.clear();
        let resting = self.resting > 0;
        self.resting = self.resting.saturating_sub(1);
        let prefilling = self.running.iter().any(|sequence| sequence.pending() > 1);
        let decoding = takes.iter().filter(|take| **take > 0).count();
        // Beside a prompt there is nothing to gain: it takes what a step has to give.
        if self.policy.draft == 0 || resting || prefilling || decoding == 0 {
            return;
        }
        let plain = decoding as f64 / self.step_time(takes).max(f64::MIN_POSITIVE);
        let mut best = plain;
        for _ in 0..ROUNDS {
            let expected = self.draw_up(takes, best * self.cost.row());
            if expected <= 0.0 {
                break;
            }
            best = (decoding as f64 + expected) / self.step_time(takes);
        }
        if best < plain * WORTHWHILE {
            self.forget_drafts();
        }
        self.find_passes(takes);
    }

    fn forget_drafts(&mut self) {
        for sequence in &mut self.running {
            sequence.forget_draft();
        }
    }

    /// Drafts of tokens that are as likely as `least`. Returns how many of them are expected to be right.
    fn draw_up(&mut self, takes: &[usize], least: f64) -> f64 {
        let limits = self.kv.limits();
        let mut left = (limits.batch as usize).saturating_sub(takes.len());
        let mut expected = 0.0;
        for (index, _) in takes.iter().enumerate().filter(|(_, take)| **take > 0) {
            let room = self.reader_room(index);
            let Some(sequence) = self.running.get_mut(index) else { continue };
            // One token is drawn after the last of the draft, and each of them needs its place.
            let most = left.min(room).min(sequence.left(limits.window).saturating_sub(1));
            #[expect(clippy::cast_possible_truncation, reason = "a probability needs no more digits")]
            let right = sequence.draw_up(most, self.policy.draft, least as f32);
            left -= sequence.draft().len();
            expected += f64::from(right);
        }
        expected
    }

    /// How many tokens ahead a sequence can be told of, beside what every answer of its job may send in this step.
    fn reader_room(&self, index: usize) -> usize {
        let Some(sequence) = self.running.get(index) else { return 0 };
        let siblings =
            self.running.iter().filter(|other| std::sync::Arc::ptr_eq(&other.job, &sequence.job)).count();
        (sequence.job.outputs.capacity() / siblings.max(1)).saturating_sub(2)
    }

    /// What a step of these tokens and the drafts of now will take.
    fn step_time(&mut self, takes: &[usize]) -> f64 {
        self.find_passes(takes);
        self.cost.of(&self.passes)
    }

    /// Finds how many rows each pass over the weights has.
    fn find_passes(&mut self, takes: &[usize]) {
        self.passes.clear();
        self.by_slot.clear();
        let sequences = self.running.iter().zip(takes).filter(|(_, take)| **take > 0);
        self.by_slot.extend(sequences.map(|(sequence, take)| (sequence.slot, take + sequence.draft().len())));
        if self.kv.limits().unified {
            self.passes.push(self.by_slot.iter().map(|(_, rows)| rows).sum());
            return;
        }
        self.by_slot.sort_unstable_by_key(|(slot, _): &(Slot, usize)| *slot);
        split_passes(&mut self.by_slot, &mut self.passes);
    }

    /// Learns what the step just computed took, where it was one of decoding alone.
    pub(super) fn note_time(&mut self, started: Instant) {
        if self.policy.draft == 0 || self.passes.is_empty() {
            return;
        }
        // A GPU is waited for where its results are read.
        let _computed = self.kv.logits(self.rows.len() - 1);
        self.cost.observe(&self.passes, started.elapsed());
    }

    /// After a step that found no cells: whether it goes without drafts, which may be all that there was too much.
    pub(super) fn rest_from_drafts(&mut self) -> bool {
        let drafted = self.planned.iter().any(|planned| planned.drafted > 0);
        if drafted {
            self.resting = REST;
        }
        drafted
    }

    /// Counts a draft and removes the cells of what did not come true.
    pub(super) fn settle_draft(&mut self, planned: Planned, accepted: usize) {
        self.gauges.drafted(planned.drafted, accepted);
        let Some(sequence) = self.running.get_mut(planned.index) else { return };
        if accepted < planned.drafted && !self.kv.rewind(sequence.slot, sequence.computed) {
            // Said of no model that gets this far; it is computed again, and nothing more is drafted.
            tracing::warn!("the model's memory cannot be cut: speculation is off");
            sequence.computed = 0;
            self.policy.draft = 0;
        }
    }
}

/// Draws tokens row by row: after the last token, and after each that came as it was drafted. Returns how many did.
pub(super) fn draw_rows<C: Compute>(
    kv: &KvCache<C>,
    sequence: &mut Sequence<C::Snapshot>,
    planned: Planned,
    vocabulary: &Vocabulary,
) -> (usize, Drawn) {
    let window = kv.limits().window;
    let mut accepted = 0;
    loop {
        let Some(logits) = kv.logits(planned.last_row + accepted) else { return (accepted, Drawn::More) };
        let drawn = sequence.draw(logits, vocabulary, window);
        if !sequence.accept_draft(accepted) {
            return (accepted, drawn);
        }
        accepted += 1;
        if !matches!(drawn, Drawn::More) {
            return (accepted, drawn);
        }
    }
}
