//! One pass over the logits: where the large ones are and how much weight each block has.

use std::cmp::Ordering;

use super::key::{LAST, index_of, key, logit_of};
use super::math::{BLOCK, Law, count_within, largest};
use super::view::View;

/// A block that lies this far below the peak, in units of the temperature, weighs less than the rounding of the
/// total, whatever the vocabulary: 10⁶ · exp(-32) is 10⁻⁸. It is passed over.
const NEGLIGIBLE: f32 = -32.0;

/// What a pass found, block by block.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) maxima: Vec<f32>,
    /// Weights of the blocks relative to the peak; empty after a pass for the maxima only.
    weights: Vec<f32>,
    /// The largest logit; minus infinity where no token can be drawn.
    pub(super) peak: f32,
    /// The sum of all weights.
    pub(super) total: f64,
    /// The weights are of what lies up to this key.
    pub(super) last: u64,
}

impl Scan {
    /// Finds the maxima only.
    pub(super) fn maxima(&mut self, view: &View<'_>) {
        self.maxima.clear();
        self.weights.clear();
        self.last = LAST;
        self.maxima.extend(view.blocks().map(largest));
        self.peak = largest(&self.maxima);
    }

    /// Finds the maxima, and the weights at `scale`, one over the temperature.
    ///
    /// Each block is weighed against its own maximum while it is in the cache, and brought to the common peak after.
    pub(super) fn weights(&mut self, view: &View<'_>, scale: f32) {
        self.maxima.clear();
        self.weights.clear();
        self.last = LAST;
        let mut peak = f32::NEG_INFINITY;
        for block in view.blocks() {
            let maximum = largest(block);
            peak = if maximum > peak { maximum } else { peak };
            // Also false for a block of nothing, whose difference is not a number.
            let counts = (maximum - peak) * scale >= NEGLIGIBLE;
            let law = Law { peak: maximum, scale };
            self.maxima.push(maximum);
            self.weights.push(if counts { law.weight_above(block, f32::MIN) } else { 0.0 });
        }
        let law = Law { peak, scale };
        self.peak = peak;
        self.total = 0.0;
        for (weight, &maximum) in self.weights.iter_mut().zip(&self.maxima) {
            *weight *= law.weight(maximum);
            self.total += f64::from(*weight);
        }
    }

    /// The lowest index of the largest logit.
    pub(super) fn first_peak(&self, view: &View<'_>) -> Option<u32> {
        if self.peak == f32::NEG_INFINITY {
            return None;
        }
        let index = self.maxima.iter().position(|&maximum| maximum >= self.peak)?;
        let within = view.block(index).iter().position(|&logit| logit >= self.peak)?;
        u32::try_from(index * BLOCK + within).ok()
    }

    /// Weighs again, only what lies up to the key `last`.
    pub(super) fn weights_to(&mut self, view: &View<'_>, law: Law, last: u64) {
        let threshold = logit_of(last);
        let end = index_of(last) as usize / BLOCK;
        self.last = last;
        self.weights.clear();
        self.total = 0.0;
        for ((index, block), &maximum) in view.blocks().enumerate().zip(&self.maxima) {
            let weight = match index.cmp(&end) {
                _ if maximum < threshold => 0.0,
                Ordering::Less => law.weight_above(block, threshold),
                Ordering::Equal => block_to(block, index, last).map(|(logit, _)| law.weight(logit)).sum(),
                // Of logits at the threshold itself, those with a higher index are left out.
                Ordering::Greater => law.weight_above(block, threshold.next_up()),
            };
            self.weights.push(weight);
            self.total += f64::from(weight);
        }
    }

    /// The index at `unit` of the way through the weights: one block is looked into, no other.
    pub(super) fn draw(&self, view: &View<'_>, law: Law, unit: f64) -> Option<u32> {
        let mut rest = unit * self.total;
        let mut chosen = None;
        for (index, &weight) in self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            chosen = Some(index);
            if rest < f64::from(weight) {
                break;
            }
            rest -= f64::from(weight);
        }
        let chosen = chosen?;
        let mut found = None;
        for (logit, index) in block_to(view.block(chosen), chosen, self.last) {
            let weight = f64::from(law.weight(logit));
            if weight > 0.0 {
                found = Some(index);
                if rest < weight {
                    break;
                }
            }
            rest -= weight;
        }
        // Sums in another order round differently: what is left over falls to the last that has weight.
        found
    }

    /// How many logits reach the threshold.
    pub(super) fn count_above(&self, view: &View<'_>, threshold: f32) -> usize {
        let blocks = view.blocks().zip(&self.maxima).filter(|(_, maximum)| **maximum >= threshold);
        blocks.map(|(block, _)| count_within(block, threshold, f32::INFINITY) as usize).sum()
    }

    /// A threshold that at least `count` logits reach, and not many more where that can be had cheaply.
    pub(super) fn threshold_for(&self, view: &View<'_>, count: usize, ranks: &mut Vec<f32>) -> f32 {
        /// So few that listing them all costs less than looking for a threshold.
        const FEW: usize = 4096;
        if count <= self.maxima.len() {
            // Each of the `count` largest maxima is a logit that reaches the smallest of them.
            ranks.clear();
            ranks.extend_from_slice(&self.maxima);
            let (_, smallest, _) =
                ranks.select_nth_unstable_by(count.saturating_sub(1), |a, b| b.total_cmp(a));
            return smallest.max(f32::MIN);
        }
        if view.len() <= FEW { f32::MIN } else { self.bisect(view, count) }
    }

    fn bisect(&self, view: &View<'_>, count: usize) -> f32 {
        let reaches = |threshold: f32| self.count_above(view, threshold);
        let mut near = 0.0;
        let mut far = 4.0;
        while reaches(self.peak - far) < count {
            near = far;
            far *= 2.0;
            if far > 1e6 {
                return f32::MIN;
            }
        }
        for _ in 0..12 {
            let middle = f32::midpoint(near, far);
            let found = reaches(self.peak - middle);
            if found < count {
                near = middle;
                continue;
            }
            far = middle;
            if found <= count + count / 4 {
                break;
            }
        }
        self.peak - far
    }
}

/// The logits of a block with their indices, as far as they lie up to the key `last`.
fn block_to(block: &[f32], index: usize, last: u64) -> impl Iterator<Item = (f32, u32)> {
    let first = u32::try_from(index * BLOCK).unwrap_or(u32::MAX);
    block.iter().copied().zip(first..).filter(move |&(logit, index)| key(logit, index) <= last)
}
