//! The arithmetic of sampling over blocks of logits, written so that the compiler vectorises it.
//!
//! Every kernel keeps an array of lanes and has no branch inside its loop. NaN compares false with everything, so
//! the selections below treat it as minus infinity: such a token has no mass and is never the largest.

/// Logits are worked on in blocks: small enough for the first-level cache, large enough to skip whole.
pub(super) const BLOCK: usize = 256;

/// Independent accumulators, so that additions do not wait for each other: two registers of the widest CPUs.
const LANES: usize = 32;

/// Weights below `exp(FLOOR)` are zero; it is where the result would stop being a normal number.
const FLOOR: f32 = -87.0;

/// `exp(y)` for `y <= 0`, with a relative error below 3e-7; zero below -87 and for NaN.
///
/// Cody and Waite's reduction with the polynomial of Cephes' `expf`; the power of two is added to the exponent.
#[inline]
pub(super) fn exp(y: f32) -> f32 {
    /// 1.5 · 2²³: adding it leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    /// Upper bits of ln 2, short enough that its product with the integer is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bounded = if y > FLOOR { y } else { FLOOR };
    let shifted = multiply_add(bounded, std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let r = multiply_add(power, -LN2_LOW, multiply_add(power, -LN2_HIGH, bounded));
    let mut series = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        series = multiply_add(series, r, coefficient);
    }
    let fraction = multiply_add(series, r * r, r + 1.0);
    let scaled = f32::from_bits(fraction.to_bits().wrapping_add(shifted.to_bits() << 23));
    if y > FLOOR { scaled } else { 0.0 }
}

/// A fused multiply-add where the CPU has one; elsewhere the library call would cost far more than the rounding.
#[inline]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

/// The larger of two; the first where the second is NaN.
#[inline]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The largest logit of a block, minus infinity where there is none.
#[inline]
pub(super) fn largest(block: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (rows, rest) = block.as_chunks::<LANES>();
    for row in rows {
        for (lane, &logit) in lanes.iter_mut().zip(row) {
            *lane = larger(*lane, logit);
        }
    }
    for (lane, &logit) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, logit);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

/// How logits become weights: `exp((logit - peak) · scale)`, where `scale` is one over the temperature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Law {
    pub(super) peak: f32,
    pub(super) scale: f32,
}

impl Law {
    /// The weight of a logit, at most 1.
    #[inline]
    pub(super) fn weight(self, logit: f32) -> f32 {
        exp((logit - self.peak) * self.scale)
    }

    /// The logit that lies so many nats below the peak once divided by the temperature.
    pub(super) fn threshold(self, nats: f64) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "a threshold may round")]
        let threshold = (f64::from(self.peak) - nats / f64::from(self.scale)) as f32;
        // Not minus infinity, which what is ruled out would reach.
        threshold.max(f32::MIN)
    }

    /// The weight of a block, of those logits that reach the threshold.
    #[inline]
    pub(super) fn weight_above(self, block: &[f32], threshold: f32) -> f32 {
        let mut lanes = [0.0; LANES];
        let (rows, rest) = block.as_chunks::<LANES>();
        for row in rows {
            for (lane, &logit) in lanes.iter_mut().zip(row) {
                let weight = self.weight(logit);
                *lane += if logit >= threshold { weight } else { 0.0 };
            }
        }
        for (lane, &logit) in lanes.iter_mut().zip(rest) {
            let weight = self.weight(logit);
            *lane += if logit >= threshold { weight } else { 0.0 };
        }
        lanes.iter().sum()
    }
}

/// How many logits of a block lie within the bounds, both included.
#[inline]
pub(super) fn count_within(block: &[f32], low: f32, high: f32) -> u32 {
    let mut lanes = [0_u32; LANES];
    let (rows, rest) = block.as_chunks::<LANES>();
    for row in rows {
        for (lane, &logit) in lanes.iter_mut().zip(row) {
            *lane += u32::from(logit >= low) & u32::from(logit <= high);
        }
    }
    for (lane, &logit) in lanes.iter_mut().zip(rest) {
        *lane += u32::from(logit >= low) & u32::from(logit <= high);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_stays_within_its_stated_error() {
        let mut worst: f64 = 0.0;
        for step in 0..=870_000_u32 {
            let y = -f64::from(step) * 1e-4;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the argument is rounded first, then compared"
            )]
            let argument = y as f32;
            let exact = f64::from(argument).exp();
            if argument > FLOOR {
                worst = worst.max((f64::from(exp(argument)) / exact - 1.0).abs());
            }
        }
        assert!(worst < 3e-7, "relative error {worst:e}");
        assert!((exp(0.0) - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn the_fast_exponential_of_nothing_is_zero() {
        for y in [f32::NEG_INFINITY, f32::NAN, f32::MIN, -87.1] {
            assert!(exp(y).to_bits() == 0, "{y}");
        }
    }

    #[test]
    fn the_largest_ignores_what_is_not_a_number() {
        assert!(largest(&[]).is_infinite());
        assert!((largest(&[f32::NAN, -3.0, f32::NAN, -2.0]) + 2.0).abs() < f32::EPSILON);
        let mut block = vec![f32::NAN; 70];
        block[67] = 4.0;
        assert!((largest(&block) - 4.0).abs() < f32::EPSILON);
    }

    #[test]
    fn counts_and_weights_take_only_what_reaches_the_threshold() {
        let block: Vec<f32> = (0_u8..100).map(|i| f32::from(i) / 10.0).collect();
        let law = Law { peak: 9.9, scale: 0.5 };
        let expected: f64 =
            block.iter().filter(|&&x| x >= 5.0).map(|&x| ((f64::from(x) - 9.9) * 0.5).exp()).sum();
        assert_eq!(count_within(&block, 5.0, f32::INFINITY), 50);
        assert_eq!(count_within(&block, 5.0, 6.0), 11);
        assert!((f64::from(law.weight_above(&block, 5.0)) - expected).abs() < 1e-4);
    }
}
