//! Truncation: which tokens remain, found by thresholds and partial selection instead of sorting the vocabulary.

use super::math::{BLOCK, Law, count_above};
use super::scan::Scan;
use super::view::View;

/// Logits looked at together for one that reaches a threshold.
const ROW: usize = 32;

/// A set no larger than this is sorted; a larger one is halved first.
const SORTED: usize = 64;

/// A candidate as one number: likelier tokens are smaller, and of equally likely ones the lower index.
fn key(logit: f32, index: u32) -> u64 {
    // Adding zero makes the two zeros one.
    let bits = (logit + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (u64::from(!ascending) << 32) | u64::from(index)
}

/// The logit of a key.
#[inline]
pub(super) fn logit_of(key: u64) -> f32 {
    let ascending = !((key >> 32) as u32);
    f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
}

/// The index of a key.
pub(super) fn index_of(key: u64) -> u32 {
    let [a, b, c, d, ..] = key.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The last key that a logit at the threshold can have.
fn last_key_at(threshold: f32) -> u64 {
    key(threshold, u32::MAX)
}

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
        self.keys.clear();
        for ((block, &maximum), first) in view.blocks().zip(&scan.maxima).zip((0_u32..).step_by(BLOCK)) {
            if maximum >= threshold {
                self.gather_block(block, first, threshold);
            }
        }
    }

    fn gather_block(&mut self, block: &[f32], first: u32, threshold: f32) {
        for (row, start) in block.chunks(ROW).zip((first..).step_by(ROW)) {
            // The row as a whole first: it is one comparison of vectors, and most rows have none.
            if count_above(row, threshold) == 0 {
                continue;
            }
            for (&logit, index) in row.iter().zip(start..) {
                if logit >= threshold {
                    self.keys.push(key(logit, index));
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

    /// Collects the nucleus: the likeliest tokens that together have the share `mass` of the scan's total.
    pub(super) fn nucleus(&mut self, view: &View<'_>, scan: &Scan, law: Law, mass: f32) {
        let need = f64::from(mass) * scan.total;
        // Below this all tokens together weigh less than what the nucleus leaves out, so it cannot reach there.
        let most = f64::from(law.scale).recip() * (view.len() as f64 / (scan.total - need)).ln();
        for nats in [4.0, 9.0] {
            let depth = nats / f64::from(law.scale);
            if depth < most && self.holds(view, scan, law, (depth, need)) {
                return self.keep_mass(law, need);
            }
        }
        if !self.holds(view, scan, law, (most * 1.01, need)) {
            self.gather(view, scan, f32::MIN);
        }
        self.keep_mass(law, need);
    }

    fn holds(&mut self, view: &View<'_>, scan: &Scan, law: Law, (depth, need): (f64, f64)) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "a threshold may round, and to infinity too")]
        let threshold = (f64::from(scan.peak) - depth) as f32;
        self.gather(view, scan, threshold.max(f32::MIN));
        weight(&self.keys, law) >= need
    }

    /// Keeps the likeliest of the candidates that together weigh at least `need`; at least one.
    pub(super) fn keep_mass(&mut self, law: Law, need: f64) {
        self.work.clear();
        self.work.extend_from_slice(&self.keys);
        let mut rest = self.work.as_mut_slice();
        let mut held = 0.0;
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
        if let Some(last) = reached.or(rest.last().copied()) {
            self.keys.retain(|&key| key <= last);
        }
    }

    /// Keeps the candidates whose logit reaches the threshold.
    pub(super) fn keep_above(&mut self, threshold: f32) {
        let last = last_key_at(threshold);
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
