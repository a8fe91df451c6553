//! When a store that failed is tried again: not at every request, each of which would wait for its time-out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::store::LONGEST_PAUSE;

/// After the first failure; each further one doubles it, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Whether a store is tried. Time is the runtime's, which does not step.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Option<Outage>>);

/// The store is away.
#[derive(Debug)]
struct Outage {
    /// Not tried before.
    until: Instant,
    pause: Duration,
}

/// Leave to try the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// It is well.
    Usual,
    /// It is away, and this one request finds out whether it still is.
    Probe,
}

impl Breaker {
    /// Leave to try the store, if it is well or the pause is over. One request gets it after each pause: the next
    /// pause begins at once, so that a probe that is given up is followed by another.
    pub(super) fn pass(&self) -> Option<Pass> {
        let mut outage = self.0.lock();
        let Some(outage) = &mut *outage else { return Some(Pass::Usual) };
        let now = Instant::now();
        if now < outage.until {
            return None;
        }
        outage.until = now + outage.pause;
        Some(Pass::Probe)
    }

    /// The store answered. Whether that ends an outage.
    pub(super) fn answered(&self, pass: Pass) -> bool {
        // What was sent before the outage and answered late proves nothing about now.
        pass == Pass::Probe && self.0.lock().take().is_some()
    }

    /// The store failed. Whether that begins an outage.
    pub(super) fn failed(&self, pass: Pass) -> bool {
        let mut outage = self.0.lock();
        let pause = match (&*outage, pass) {
            (None, _) => FIRST_PAUSE,
            (Some(outage), Pass::Probe) => LONGEST_PAUSE.min(2 * outage.pause),
            // One of many that were on their way when it began.
            (Some(_), Pass::Usual) => return false,
        };
        outage.replace(Outage { until: Instant::now() + pause, pause }).is_none()
    }

    /// Whether the store is away.
    pub(super) fn is_away(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Until the store is tried again.
    pub(super) fn pause_left(&self) -> Duration {
        self.0.lock().as_ref().map_or(Duration::ZERO, |outage| outage.until.duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn probed_after(breaker: &Breaker, ms: u64) {
        tokio::time::advance(Duration::from_millis(ms - 1)).await;
        assert_eq!(breaker.pass(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(breaker.pass(), Some(Pass::Probe));
        assert_eq!(breaker.pass(), None, "one probe at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_five_seconds_and_an_answer_ends_them() {
        let breaker = Breaker::default();
        assert_eq!(breaker.pass(), Some(Pass::Usual));
        assert!(breaker.failed(Pass::Usual));
        for ms in [1_000, 2_000, 4_000, 5_000, 5_000] {
            probed_after(&breaker, ms).await;
            assert!(!breaker.failed(Pass::Probe), "the same outage");
        }
        probed_after(&breaker, 5_000).await;
        assert!(breaker.answered(Pass::Probe));
        assert!(!breaker.is_away());
        assert!(breaker.failed(Pass::Usual));
        probed_after(&breaker, 1_000).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_on_its_way_neither_prolongs_nor_ends_an_outage() {
        let breaker = Breaker::default();
        assert!(breaker.failed(Pass::Usual));
        for _ in 0..100 {
            assert!(!breaker.failed(Pass::Usual));
            assert!(!breaker.answered(Pass::Usual));
        }
        assert!(breaker.is_away());
        probed_after(&breaker, 1_000).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_is_followed_by_another() {
        let breaker = Breaker::default();
        breaker.failed(Pass::Usual);
        probed_after(&breaker, 1_000).await;
        probed_after(&breaker, 1_000).await;
    }
}
