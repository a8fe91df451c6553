//! How far a model's load has come, told by the thread that loads and seen by those who wait.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Steps that the whole is divided into.
const WHOLE: f32 = 1e6;

/// One load's progress, and whether it is still wanted. Relaxed: each value stands alone.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU32,
    cancelled: AtomicBool,
}

impl Progress {
    /// Tells the share that is done, from 0 to 1. False where the load is no longer wanted.
    pub fn report(&self, share: f32) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the share is clamped to what fits"
        )]
        let done = (share.clamp(0.0, 1.0) * WHOLE) as u32;
        self.done.fetch_max(done, Ordering::Relaxed);
        !self.is_cancelled()
    }

    /// The share that is done.
    pub fn share(&self) -> f64 {
        f64::from(self.done.load(Ordering::Relaxed)) / f64::from(WHOLE)
    }

    /// The load is no longer wanted: it ends at its next report.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the load is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_goes_back_and_a_cancelled_load_is_told() {
        let progress = Progress::default();
        assert!(progress.report(0.5));
        assert!(progress.report(0.25));
        assert!((progress.share() - 0.5).abs() < 1e-6);
        progress.cancel();
        assert!(!progress.report(f32::NAN));
        assert!(!progress.report(7.0));
        assert!((progress.share() - 1.0).abs() < 1e-6);
    }
}
