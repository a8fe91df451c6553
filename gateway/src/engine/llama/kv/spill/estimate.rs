//! Whether bringing a sequence's state back is cheaper than computing it again, from what was measured of both.

use std::time::Duration;

/// A rate as a moving average.
#[derive(Debug, Clone, Copy)]
struct Rate(f64);

impl Rate {
    /// One measurement counts an eighth: a single slow read does not turn the decision.
    fn observe(&mut self, amount: f64, time: Duration) {
        let seconds = time.as_secs_f64();
        if seconds > 0.0 && amount > 0.0 {
            self.0 += (amount / seconds - self.0) / 8.0;
        }
    }

    fn seconds(self, amount: f64) -> f64 {
        amount / self.0
    }
}

/// What is known of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    /// Bytes a second from the file into checked memory.
    read: Rate,
    /// Bytes a second from memory into the context.
    restore: Rate,
    /// Tokens a second.
    prefill: Rate,
}

impl Default for Estimate {
    /// A modest disk, a memory copy, and a small model on a CPU: right for the first request after a start, when
    /// nothing was measured, wherever either side wins by far; the measurements decide the rest.
    fn default() -> Self {
        Self { read: Rate(300e6), restore: Rate(2e9), prefill: Rate(1_000.0) }
    }
}

/// A read may be this late on a busy machine.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// No request waits longer for a disk.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Smaller batches measure the cost of a step rather than of its tokens.
const SMALLEST_BATCH: usize = 32;

impl Estimate {
    pub(super) fn read(&mut self, bytes: u64, time: Duration) {
        self.read.observe(bytes as f64, time);
    }

    pub(super) fn restored(&mut self, bytes: u64, time: Duration) {
        self.restore.observe(bytes as f64, time);
    }

    pub(super) fn decoded(&mut self, tokens: usize, time: Duration) {
        if tokens >= SMALLEST_BATCH {
            self.prefill.observe(tokens as f64, time);
        }
    }

    /// Whether `bytes` are back sooner than `tokens` are computed.
    pub(super) fn pays(&self, bytes: u64, tokens: usize) -> bool {
        let bytes = bytes as f64;
        self.read.seconds(bytes) + self.restore.seconds(bytes) < self.prefill.seconds(tokens as f64)
    }

    /// How long a read of so many tokens' state is waited for: as long as computing them would have taken, so that a
    /// disk that hangs costs no more than that.
    pub(super) fn patience(&self, tokens: usize) -> Duration {
        let computing = Duration::try_from_secs_f64(self.prefill.seconds(tokens as f64));
        computing.unwrap_or(SHORTEST_WAIT).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State of a token of the default model.
    const TOKEN: u64 = 23_040;

    #[test]
    fn before_anything_is_measured_a_conversation_is_brought_back() {
        assert!(Estimate::default().pays(1000 * TOKEN, 1000));
    }

    #[test]
    fn a_slow_disk_or_a_fast_model_turns_the_decision() {
        let second = Duration::from_secs(1);
        let mut slow_disk = Estimate::default();
        let mut fast_model = Estimate::default();
        for _ in 0..40 {
            slow_disk.read(1_000_000, second);
            fast_model.decoded(100_000, second);
        }
        assert!(!slow_disk.pays(1000 * TOKEN, 1000));
        assert!(!fast_model.pays(1000 * TOKEN, 1000));
    }

    #[test]
    fn most_of_the_prefix_being_there_already_leaves_little_to_win() {
        assert!(!Estimate::default().pays(4000 * TOKEN, 20));
    }

    #[test]
    fn no_time_and_small_batches_measure_nothing() {
        let mut estimate = Estimate::default();
        estimate.read(1, Duration::ZERO);
        estimate.decoded(1, Duration::from_hours(1));
        assert!(estimate.pays(1000 * TOKEN, 1000));
    }
}
