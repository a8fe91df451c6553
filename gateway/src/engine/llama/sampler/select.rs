//! Truncation: which tokens remain, found by thresholds and partial selection instead of sorting the vocabulary.

use super::histogram::Histogram;
use super::key::{index_of, key, last_at, logit_of};
use super::math::{BLOCK, Law};
use super::scan::Scan;
use super::view::View;

/// Logits looked at together for one that reaches a threshold.
const ROW: usize = 32;

/// A set no larger than this is sorted; a larger one is cut first.
const SORTED: usize = 64;

/// Where more candidates than this remain, drawing from the blocks costs less than listing them.
const MANY: usize = 2048;

/// Reusable memory for candidates.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// In the order of their indices, so that a draw never depends on how the selection arranged them.
    keys: Vec<u64>,
    /// A copy for selections to rearrange.
    work: Vec<u64>,
    weights: Vec<f32>,
    ranks: Vec<f32>,
}

impl Candidates {
    /// Collects all logits that reach the threshold.
    pub(super) fn gather(&mut self, view: &View<'_>, scan: &Scan, threshold: f32) {
        self.gather_within(view, scan, threshold, f32::INFINITY);
    }

    /// Collects all logits within the bounds, both included.
    fn gather_within(&mut self, view: &View<'_>, scan: &Scan, low: f32, high: f32) {
        self.keys.clear();
        for ((block, &maximum), first) in view.blocks().zip(&scan.maxima).zip((0_u32..).step_by(BLOCK)) {
            if maximum >= low {
                self.gather_block(block, first, (low, high));
            }
        }
    }

    /// Collects all logits that reach the threshold, unless they are too many.
    pub(super) fn gather_few(&mut self, view: &View<'_>, scan: &Scan, threshold: f32) -> bool {
        let few = scan.count_above(view, threshold) <= MANY;
        if few {
            self.gather(view, scan, threshold);
        }
        few
    }

    fn gather_block(&mut self, block: &[f32], first: u32, (low, high): (f32, f32)) {
        let (rows, rest) = block.as_chunks::<ROW>();
        let mut tail = [f32::NAN; ROW];
        for (to, &from) in tail.iter_mut().zip(rest) {
            *to = from;
        }
        for (row, start) in rows.iter().chain([&tail]).zip((first..).step_by(ROW)) {
            // All comparisons first, without a branch; then only what was found.
            let mut found = 0_u32;
            for (&logit, bit) in row.iter().zip(0_u32..) {
                found |= (u32::from(logit >= low) & u32::from(logit <= high)) << bit;
            }
            while found != 0 {
                let place = found.trailing_zeros();
                found &= found - 1;
                if let Some(&logit) = row.get(place as usize) {
                    self.keys.push(key(logit, start + place));
                }
            }
        }
    }

    /// Collects the `count` likeliest.
    pub(super) fn top(&mut self, view: &View<'_>, scan: &Scan, count: usize) {
        let threshold = scan.threshold_for(view, count, &mut self.ranks);
        self.gather(view, scan, threshold);
        if self.keys.len() <= count {
            return;
        }
        self.work.clear();
        self.work.extend_from_slice(&self.keys);
        let (_, &mut last, _) = self.work.select_nth_unstable(count.saturating_sub(1));
        self.keys.retain(|&key| key <= last);
    }

    /// Finds the nucleus: the likeliest tokens that together have the share `mass` of the scan's total.
    ///
    /// Collects it if it is small; otherwise returns the last key that belongs to it.
    pub(super) fn nucleus(&mut self, view: &View<'_>, scan: &Scan, law: Law, mass: f32) -> Option<u64> {
        let need = f64::from(mass) * scan.total;
        for nats in [4.0, 9.0] {
            if !self.gather_few(view, scan, law.threshold(nats)) {
                break;
            }
            if weight(&self.keys, law) >= need {
                self.keep_mass(law, need);
                return None;
            }
        }
        // Below this all tokens together weigh less than what the nucleus leaves out: its end lies above.
        let deepest = (view.len() as f64 / (scan.total - need)).ln() * 1.01;
        let histogram = Histogram::new(law, deepest);
        let (bin, held) = histogram.reach(view, need);
        let (low, high) = histogram.around(bin);
        self.gather_within(view, scan, low, high);
        self.keys.retain(|&key| histogram.bin(logit_of(key)) == bin);
        Some(self.cutoff(law, need, held))
    }

    /// Keeps the likeliest of the candidates that together weigh at least `need`; at least one.
    pub(super) fn keep_mass(&mut self, law: Law, need: f64) {
        let last = self.cutoff(law, need, 0.0);
        self.keys.retain(|&key| key <= last);
    }

    /// The key at which the candidates, likeliest first, bring what is `held` already to what is needed.
    fn cutoff(&mut self, law: Law, need: f64, mut held: f64) -> u64 {
        self.work.clear();
        self.work.extend_from_slice(&self.keys);
        let mut rest = self.work.as_mut_slice();
        while rest.len() > SORTED {
            // Weight gathers at the top: cutting off a quarter mostly cuts off enough.
            let cut = rest.len() / 4;
            rest.select_nth_unstable(cut);
            let (likelier, others) = rest.split_at_mut(cut);
            let weight = weight(likelier, law);
            if held + weight >= need {
                rest = likelier;
            } else {
                held += weight;
                rest = others;
            }
        }
        rest.sort_unstable();
        let reached = rest.iter().copied().find(|&key| {
            held += f64::from(law.weight(logit_of(key)));
            held >= need
        });
        reached.or(rest.last().copied()).unwrap_or(last_at(f32::MIN))
    }

    /// Keeps the candidates whose logit reaches the threshold.
    pub(super) fn keep_above(&mut self, threshold: f32) {
        let last = last_at(threshold);
        self.keys.retain(|&key| key <= last);
    }

    /// The weight of all candidates.
    pub(super) fn weight(&self, law: Law) -> f64 {
        weight(&self.keys, law)
    }

    /// The index at `unit` of the way through the candidates' weights.
    pub(super) fn draw(&mut self, law: Law, unit: f64) -> Option<u32> {
        self.weights.clear();
        self.weights.extend(self.keys.iter().map(|&key| law.weight(logit_of(key))));
        let total: f64 = self.weights.chunks(ROW).map(|row| f64::from(row.iter().sum::<f32>())).sum();
        let mut rest = unit * total;
        let mut last = None;
        for (&key, &weight) in self.keys.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0.0) {
            last = Some(index_of(key));
            rest -= f64::from(weight);
            if rest < 0.0 {
                break;
            }
        }
        last
    }

    /// The candidates, likeliest first.
    pub(super) fn sorted(&mut self) -> &[u64] {
        self.keys.sort_unstable();
        &self.keys
    }
}

fn weight(keys: &[u64], law: Law) -> f64 {
    let mut lanes = [0.0_f32; ROW];
    let mut sum = 0.0;
    // Lanes hold few additions each before they go into the wide sum, so that it does not lose small weights.
    for rows in keys.chunks(ROW * 8) {
        lanes.fill(0.0);
        for row in rows.chunks(ROW) {
            for (lane, &key) in lanes.iter_mut().zip(row) {
                *lane += law.weight(logit_of(key));
            }
        }
        sum += f64::from(lanes.iter().sum::<f32>());
    }
    sum
}
