//! Quantiles and medians: the few statistics that every table is made of.

use serde::Serialize;

/// How a set of values is spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    /// How many values there were.
    pub(crate) count: usize,
    /// Arithmetic mean.
    pub(crate) mean: f64,
    /// Median.
    pub(crate) p50: f64,
    /// 95th percentile.
    pub(crate) p95: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// Largest value.
    pub(crate) max: f64,
}

impl Quantiles {
    /// The quantiles of some values; none of no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self {
            count: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: quantile(&values, 0.50)?,
            p95: quantile(&values, 0.95)?,
            p99: quantile(&values, 0.99)?,
            max: values.last().copied()?,
        })
    }
}

/// The median of some values; none of no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.50)
}

/// Linear interpolation between the two nearest ranks, as numpy's default does.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = share * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank <= len")]
    let below = rank.floor() as usize;
    let low = sorted.get(below).copied()?;
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some(low + (high - low) * (rank - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(Quantiles::of(Vec::new()), None);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn one_value_is_every_quantile() {
        let q = Quantiles::of(vec![7.0]).unwrap();
        assert_eq!((q.count, q.mean, q.p50, q.p99, q.max), (1, 7.0, 7.0, 7.0, 7.0));
    }

    #[test]
    fn quantiles_interpolate_between_the_nearest_ranks() {
        let q = Quantiles::of((0..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((q.count, q.mean, q.p50, q.p95, q.p99, q.max), (101, 50.0, 50.0, 95.0, 99.0, 100.0));
        let q = Quantiles::of(vec![1.0, 2.0]).unwrap();
        assert!((q.p50 - 1.5).abs() < 1e-12 && (q.p95 - 1.95).abs() < 1e-12);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }
}
