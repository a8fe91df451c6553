//! Changes to single tokens' logits: penalties on what was said, and the request's bias.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::Sampling;

/// Tokens that the repeat penalty looks back over, the prompt's end included; llama.cpp's default.
const WINDOW: usize = 64;

/// What is known of one token whose logit changes.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Occurrences in the repeat penalty's window.
    recent: u32,
    /// Occurrences in the answer so far.
    generated: u32,
    bias: f32,
}

/// The sparse set of logits that change, kept up to date token by token.
#[derive(Debug, Clone)]
pub(super) struct Adjustments {
    repeat: f32,
    frequency: f32,
    presence: f32,
    /// Ordered by token, so that neighbours share a block.
    entries: BTreeMap<u32, Entry>,
    window: VecDeque<u32>,
}

impl Adjustments {
    pub(super) fn new(sampling: &Sampling) -> Self {
        let mut entries = BTreeMap::<u32, Entry>::new();
        for &(token, bias) in &sampling.logit_bias {
            entries.entry(token).or_default().bias += bias;
        }
        Self {
            repeat: sampling.repeat_penalty,
            frequency: sampling.frequency_penalty,
            presence: sampling.presence_penalty,
            entries,
            window: VecDeque::new(),
        }
    }

    /// Takes note of a token of the answer.
    pub(super) fn generated(&mut self, token: u32) {
        if self.frequency != 0.0 || self.presence != 0.0 {
            self.entries.entry(token).or_default().generated += 1;
        }
        self.seen(token);
    }

    /// Takes note of the prompt, of which only the end matters.
    pub(super) fn prompt(&mut self, tokens: &[u32]) {
        let tail = tokens.len().saturating_sub(WINDOW);
        for &token in tokens.iter().skip(tail) {
            self.seen(token);
        }
    }

    fn seen(&mut self, token: u32) {
        if (self.repeat - 1.0).abs() < f32::EPSILON {
            return;
        }
        if self.window.len() == WINDOW
            && let Some(oldest) = self.window.pop_front()
            && let Some(entry) = self.entries.get_mut(&oldest)
        {
            entry.recent -= 1;
            if entry.recent == 0 && entry.generated == 0 && entry.bias == 0.0 {
                self.entries.remove(&oldest);
            }
        }
        self.window.push_back(token);
        self.entries.entry(token).or_default().recent += 1;
    }

    /// Calls `change` for each token with the function that turns its logit into the changed one.
    pub(super) fn each(&self, mut change: impl FnMut(u32, &dyn Fn(f32) -> f32)) {
        for (&token, entry) in &self.entries {
            change(token, &|logit| self.changed(*entry, logit));
        }
    }

    fn changed(&self, entry: Entry, logit: f32) -> f32 {
        // What may not be drawn stays so, whatever is added.
        if logit == f32::NEG_INFINITY {
            return logit;
        }
        let mut changed = logit;
        if entry.recent > 0 {
            changed = if logit > 0.0 { logit / self.repeat } else { logit * self.repeat };
        }
        if entry.generated > 0 {
            changed -= entry.generated as f32 * self.frequency + self.presence;
        }
        changed + entry.bias
    }
}
