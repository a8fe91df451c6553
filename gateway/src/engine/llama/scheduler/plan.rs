//! Which tokens the next step computes: one of each decoding sequence, with its draft, and a bounded part of the prompts.

use std::time::Instant;

use super::{Planned, Scheduler};
use crate::engine::EngineError;
use crate::engine::llama::compute::{Compute, Row};
use crate::engine::llama::sequence::Sequence;

/// Share of a step's prefill that the prompt waiting longest gets, so that short ones cannot starve it.
const OLDEST_SHARE: usize = 4;

impl<C: Compute> Scheduler<C> {
    /// Fills `rows`, in the order of the slots: llama.cpp joins sequences into one pass only in that order.
    pub(super) fn plan(&mut self, now: Instant) {
        self.rows.clear();
        self.planned.clear();
        self.end_slow_readers(now);
        let takes = self.takes(now);
        self.draft(&takes);
        let mut order: Vec<usize> = (0..self.running.len()).collect();
        order.sort_by_key(|index| self.running.get(*index).map(|sequence| sequence.slot));
        for index in order {
            let (Some(sequence), Some(take)) = (self.running.get(index), takes.get(index)) else { continue };
            append_rows(&mut self.rows, sequence, *take);
            if *take > 0 {
                let drafted = sequence.draft().len();
                let last_row = self.rows.len() - 1 - drafted;
                self.planned.push(Planned { index, take: *take, last_row, drafted });
            }
        }
    }

    /// How many tokens each running sequence computes in this step.
    fn takes(&mut self, now: Instant) -> Vec<usize> {
        let mut takes = vec![0; self.running.len()];
        let mut prompts = Vec::new();
        let mut decoding = 0;
        for index in 0..self.running.len() {
            let room = self.has_reader_room(index);
            let Some(sequence) = self.running.get_mut(index) else { continue };
            if sequence.pending() > 1 {
                sequence.stalled = None;
                prompts.push((sequence.pending(), index));
            } else if room {
                sequence.stalled = None;
                decoding += 1;
                if let Some(take) = takes.get_mut(index) {
                    *take = 1;
                }
            } else {
                sequence.stalled.get_or_insert(now);
            }
        }
        let budget = self.prefill_budget(prompts.len(), decoding);
        share_prefill(&mut takes, &mut prompts, budget);
        takes
    }

    /// Most prefill tokens of a step: a chunk beside running streams, but a chunk for each prompt that waits for its
    /// first token where those are the more. One long prompt stretches nobody's next token by more than a chunk, and a
    /// crowd that arrives at once does not queue behind the few of it that came first.
    fn prefill_budget(&self, waiting: usize, decoding: usize) -> usize {
        let batch = self.kv.limits().batch as usize;
        let crowd =
            waiting.checked_div(decoding).map_or(batch, |crowd| self.policy.prefill_chunk * crowd.max(1));
        crowd.min(batch.saturating_sub(decoding))
    }

    /// Whether a sequence's token and its end find room, beside those of the job's other answers in this step.
    fn has_reader_room(&self, index: usize) -> bool {
        let Some(sequence) = self.running.get(index) else { return false };
        let siblings =
            self.running.iter().filter(|other| std::sync::Arc::ptr_eq(&other.job, &sequence.job)).count();
        sequence.job.outputs.capacity() >= 2 * siblings
    }

    fn end_slow_readers(&mut self, now: Instant) {
        let limit = self.policy.slow_reader;
        for index in (0..self.running.len()).rev() {
            let stalled = self.running.get(index).and_then(|sequence| sequence.stalled);
            if stalled.is_some_and(|since| now.saturating_duration_since(since) >= limit) {
                tracing::info!("a stream's reader was too slow");
                self.fail(index, EngineError::SlowReader);
            }
        }
    }
}

/// Shortest prompt first, which keeps the mean time to first token low; but the oldest has a share of its own.
fn share_prefill(takes: &mut [usize], prompts: &mut [(usize, usize)], budget: usize) {
    let mut left = budget;
    if let Some(&(pending, oldest)) = prompts.iter().min_by_key(|(_, index)| *index)
        && prompts.len() > 1
        && let Some(take) = takes.get_mut(oldest)
    {
        *take = pending.min(budget / OLDEST_SHARE);
        left -= *take;
    }
    prompts.sort_unstable();
    for &(pending, index) in prompts.iter() {
        let Some(take) = takes.get_mut(index) else { continue };
        let more = (pending - *take).min(left);
        *take += more;
        left -= more;
    }
}

fn append_rows<S>(rows: &mut Vec<Row>, sequence: &Sequence<S>, take: usize) {
    let until = (sequence.computed + take).min(sequence.tokens.len());
    let tokens = sequence.tokens.get(sequence.computed..until).unwrap_or_default();
    // Only a sequence that decodes has a draft.
    let draft = if take > 0 { sequence.draft() } else { &[] };
    for (position, token) in (sequence.computed..).zip(tokens.iter().chain(draft)) {
        rows.push(Row {
            token: *token,
            position: u32::try_from(position).unwrap_or(u32::MAX),
            slot: sequence.slot,
            logits: position + 1 >= sequence.tokens.len(),
        });
    }
}
