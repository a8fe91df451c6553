//! The weight of all logits by how far below the peak they lie: one pass that finds where a large nucleus ends.

use super::math::{BLOCK, Law};
use super::view::View;

const BINS: usize = 256;

/// The bin of all that lies deeper; a mask too, so that every bin found is one there is.
const LAST: u32 = 255;

/// Equal steps down from the peak, each around its multiple of the width; the last bin holds all that lies deeper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histogram {
    law: Law,
    /// Width of a bin in nats.
    width: f64,
    /// Bins to one of the logits' units.
    bins_per_unit: f32,
}

impl Histogram {
    /// Bins down to `deepest` nats below the peak.
    pub(super) fn new(law: Law, deepest: f64) -> Self {
        let width = deepest / (BINS - 1) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "all bins are found by the same rounded factor")]
        let bins_per_unit = (f64::from(law.scale) / width) as f32;
        Self { law, width, bins_per_unit }
    }

    /// The bin of a logit; never rises with it.
    #[inline]
    pub(super) fn bin(self, logit: f32) -> u32 {
        /// 2²³: adding it leaves the nearest integer in the low bits of the sum.
        const ROUND: f32 = 8_388_608.0;
        let bin = (self.law.peak - logit) * self.bins_per_unit;
        let bounded = if bin < LAST as f32 { bin } else { LAST as f32 };
        (bounded + ROUND).to_bits() & LAST
    }

    /// The bin in which the weight from the peak down reaches `need`, and the weight of the bins before it.
    pub(super) fn reach(self, view: &View<'_>, need: f64) -> (u32, f64) {
        let weights = self.weigh(view);
        let mut held = 0.0;
        for (bin, weight) in (0..).zip(weights) {
            if held + weight >= need {
                return (bin, held);
            }
            held += weight;
        }
        (LAST, held)
    }

    fn weigh(self, view: &View<'_>) -> [f64; BINS] {
        let mut sums = [0.0; BINS];
        let mut bins = [0_u32; BLOCK];
        let mut weights = [0.0_f32; BLOCK];
        for block in view.blocks() {
            // First what vectors can do, then the scattered additions.
            for ((bin, weight), &logit) in bins.iter_mut().zip(&mut weights).zip(block) {
                *bin = self.bin(logit);
                *weight = self.law.weight(logit);
            }
            for (&bin, &weight) in bins.iter().zip(&weights).take(block.len()) {
                if let Some(sum) = sums.get_mut((bin & LAST) as usize) {
                    *sum += f64::from(weight);
                }
            }
        }
        sums
    }

    /// Logits between which all of a bin lie, and some of its neighbours.
    pub(super) fn around(self, bin: u32) -> (f32, f32) {
        let last = bin == LAST;
        let bin = f64::from(bin);
        let low = if last { f32::MIN } else { self.law.threshold((bin + 1.5) * self.width) };
        let high = if bin > 1.0 { self.law.threshold((bin - 1.5) * self.width) } else { f32::INFINITY };
        (low, high)
    }
}
