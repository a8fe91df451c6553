//! The weight of all logits by how far below the peak they lie: one pass that finds where a large nucleus ends.

use super::math::{BLOCK, Law};
use super::view::View;

/// As many as a byte can tell apart, so that every bin found is one there is.
const BINS: usize = 256;

/// Equal steps down from the peak; the last bin holds all that lies deeper.
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
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at both ends")]
    pub(super) fn bin(self, logit: f32) -> u8 {
        ((self.law.peak - logit) * self.bins_per_unit) as u8
    }

    /// The bin in which the weight from the peak down reaches `need`, and the weight of the bins before it.
    pub(super) fn reach(self, view: &View<'_>, need: f64) -> (u8, f64) {
        let weights = self.weigh(view);
        let mut held = 0.0;
        for (bin, weight) in (0..=u8::MAX).zip(weights) {
            if held + weight >= need {
                return (bin, held);
            }
            held += weight;
        }
        (u8::MAX, held)
    }

    fn weigh(self, view: &View<'_>) -> [f64; BINS] {
        let mut sums = [0.0; BINS];
        let mut found = [(0_u8, 0.0_f32); BLOCK];
        for block in view.blocks() {
            // First what vectors can do, then the scattered additions.
            for (found, &logit) in found.iter_mut().zip(block) {
                *found = (self.bin(logit), self.law.weight(logit));
            }
            for &(bin, weight) in found.iter().take(block.len()) {
                if let Some(sum) = sums.get_mut(usize::from(bin)) {
                    *sum += f64::from(weight);
                }
            }
        }
        sums
    }

    /// Logits between which all of a bin lie, and some of its neighbours.
    pub(super) fn around(self, bin: u8) -> (f32, f32) {
        let bin = f64::from(bin);
        let last = f64::from(u8::MAX);
        let low = if bin < last { self.law.threshold((bin + 1.5) * self.width) } else { f32::MIN };
        let high = if bin > 0.0 { self.law.threshold((bin - 0.5) * self.width) } else { f32::INFINITY };
        (low, high)
    }
}
