//! How long a worker that ended is left alone: not at all the first time, then longer each time it ends soon again.

use std::time::Duration;

use rand::RngExt as _;

/// The second time.
const FIRST: Duration = Duration::from_millis(250);
/// At most.
const LONGEST: Duration = Duration::from_secs(30);
/// A worker that lived for so long was well.
const WELL: Duration = Duration::from_secs(30);

/// The ends of one worker in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    ends: u32,
}

impl Backoff {
    /// It ended after so long: when it may be started again.
    pub(super) fn ended(&mut self, lived: Duration) -> Duration {
        if lived >= WELL {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        let Some(doubled) = self.ends.checked_sub(2) else { return Duration::ZERO };
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST);
        // Workers that ended together do not start together.
        pause.mul_f64(1.0 - 0.25 * rand::rng().random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_costs_nothing_and_each_one_soon_after_more() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.ended(Duration::ZERO), Duration::ZERO);
        let mut most = FIRST;
        for _ in 0..40 {
            let pause = backoff.ended(Duration::from_secs(1));
            assert!(pause <= most && pause >= most.mul_f64(0.75), "{pause:?} of {most:?}");
            most = (most * 2).min(LONGEST);
        }
        assert_eq!(backoff.ended(WELL), Duration::ZERO, "it was well in between");
    }
}
