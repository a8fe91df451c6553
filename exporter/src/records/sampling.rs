//! Which requests are recorded: fewer the more there are, but every failed and every slow one; each kept one says how
//! many it stands for, so that sums over records stay true. Metrics are never sampled.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Seconds over which traffic is measured.
const WINDOW: usize = 10;
/// A lower level is left only when traffic is below this share of its bound: a rate at the bound does not flicker.
const BACK: f64 = 0.8;

/// From so many requests a second on, this share of them is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Requests a second.
    pub above: f64,
    /// The share, above 0 and at most 1.
    pub rate: f64,
}

/// All of up to 100 requests a second, half of up to 1,000, a tenth of more.
pub const LEVELS: [Level; 3] =
    [Level { above: 0.0, rate: 1.0 }, Level { above: 100.0, rate: 0.5 }, Level { above: 1000.0, rate: 0.1 }];

/// What becomes of a request's record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// It is sent.
    Keep {
        /// How many requests it stands for.
        weight: f64,
        /// Why it is kept: `sampled`, `error` or `slow`.
        kept: &'static str,
    },
    /// It is one of those that another stands for.
    Drop,
}

/// Decides. On the ordinary path there is no lock: the traffic is looked at once a second.
#[derive(Debug)]
pub struct Sampler {
    levels: Vec<Level>,
    level: AtomicU32,
    /// Requests of the second that runs, and which second it is.
    count: AtomicU64,
    second: AtomicU64,
    traffic: Mutex<Traffic>,
}

/// Requests of the last seconds.
#[derive(Debug, Default)]
struct Traffic {
    seconds: [u64; WINDOW],
}

impl Sampler {
    /// Decides by levels, the lowest first.
    pub fn new(levels: &[Level]) -> Self {
        Self {
            levels: levels.to_vec(),
            level: AtomicU32::new(0),
            count: AtomicU64::new(0),
            second: AtomicU64::new(0),
            traffic: Mutex::default(),
        }
    }

    /// Decides on one request. The same trace gets the same decision in every process at the same rate, and what is
    /// kept at a low rate is kept at every higher one.
    pub fn decide(&self, trace_id: &[u8; 16], failed: bool, slow: bool, now_ms: u64) -> Decision {
        self.count(now_ms / 1000);
        if failed {
            return Decision::Keep { weight: 1.0, kept: "error" };
        }
        if slow {
            return Decision::Keep { weight: 1.0, kept: "slow" };
        }
        let rate = self.rate();
        if rate >= 1.0 || share(trace_id) < rate {
            return Decision::Keep { weight: 1.0 / rate, kept: "sampled" };
        }
        Decision::Drop
    }

    /// The share that is kept at present.
    pub fn rate(&self) -> f64 {
        let level = self.level.load(Ordering::Relaxed) as usize;
        self.levels.get(level).map_or(1.0, |level| level.rate)
    }

    fn count(&self, second: u64) {
        let before = self.second.load(Ordering::Relaxed);
        // A clock that is set back begins anew from there; threads that are a little behind one another do not.
        let is_behind = second.saturating_add(WINDOW as u64) < before;
        if (second > before || is_behind)
            && self.second.compare_exchange(before, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let ended = self.count.swap(0, Ordering::Relaxed);
            self.look(before, second, ended);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A second has ended: `ended` requests came in it, and none in those between it and `now`.
    fn look(&self, before: u64, now: u64, ended: u64) {
        let mut traffic = self.traffic.lock();
        let passed = usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
        let (silent, ended) = if passed > WINDOW { (WINDOW, 0) } else { (passed, ended) };
        // The newest second stands last.
        traffic.seconds.rotate_left(silent % WINDOW);
        let old = WINDOW - silent;
        for (slot, count) in traffic.seconds.iter_mut().skip(old).enumerate() {
            *count = if slot == 0 { ended } else { 0 };
        }
        let rate = traffic.seconds.iter().sum::<u64>() as f64 / WINDOW as f64;
        let current = self.level.load(Ordering::Relaxed) as usize;
        self.level.store(u32::try_from(self.next(current, rate)).unwrap_or(0), Ordering::Relaxed);
    }

    /// The level for a rate: up at once, down when it is clearly below.
    fn next(&self, current: usize, rate: f64) -> usize {
        let highest = self.levels.iter().rposition(|level| rate > level.above).unwrap_or(0);
        if highest >= current {
            return highest;
        }
        let mut level = current;
        while level > highest && self.levels.get(level).is_some_and(|held| rate < held.above * BACK) {
            level -= 1;
        }
        level
    }
}

/// Where a trace stands between 0 and 1: the same everywhere, and even over all traces whoever made their ids.
fn share(trace_id: &[u8; 16]) -> f64 {
    let mut mixed = 0xcbf2_9ce4_8422_2325_u64;
    for byte in trace_id {
        mixed = (mixed ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // FNV mixes its low bits well and its high ones poorly: a last round (splitmix64's) spreads them.
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixed(rate: f64) -> Sampler {
        Sampler::new(&[Level { above: 0.0, rate }])
    }

    fn kept(sampler: &Sampler, trace: u128) -> bool {
        sampler.decide(&trace.to_be_bytes(), false, false, 0) != Decision::Drop
    }

    /// So many requests in one second; the rate after it.
    fn second(sampler: &Sampler, at: u64, requests: u64) -> f64 {
        for request in 0..requests {
            sampler.decide(&u128::from(request).to_be_bytes(), false, false, at * 1000);
        }
        sampler.decide(&[1; 16], true, false, (at + 1) * 1000);
        sampler.rate()
    }

    #[test]
    fn the_more_there_are_the_fewer_are_kept_and_back_again() {
        let sampler = Sampler::new(&LEVELS);
        let mut at = 1000;
        let mut run = |requests, seconds| {
            let mut rate = 0.0;
            for _ in 0..seconds {
                rate = second(&sampler, at, requests);
                at += 1;
            }
            rate
        };
        assert!((run(50, 12) - 1.0).abs() < 1e-9);
        assert!((run(200, 12) - 0.5).abs() < 1e-9);
        assert!((run(2000, 12) - 0.1).abs() < 1e-9);
        assert!((run(900, 12) - 0.1).abs() < 1e-9, "not clearly below");
        assert!((run(300, 12) - 0.5).abs() < 1e-9);
        assert!((run(10, 12) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_quiet_hour_is_forgotten_at_once() {
        let sampler = Sampler::new(&LEVELS);
        for at in 0..12 {
            second(&sampler, 1000 + at, 2000);
        }
        assert!((second(&sampler, 9000, 1) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_last_second_before_a_quiet_hour_is_no_traffic_after_it() {
        let sampler = Sampler::new(&LEVELS);
        for request in 0..2000_u128 {
            sampler.decide(&request.to_be_bytes(), false, false, 1_000_000);
        }
        let kept = sampler.decide(&[1; 16], false, false, 5_000_000);
        assert_eq!(kept, Decision::Keep { weight: 1.0, kept: "sampled" });
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_measuring() {
        let sampler = Sampler::new(&LEVELS);
        second(&sampler, 9000, 10);
        let mut rate = 0.0;
        for at in 0..12 {
            rate = second(&sampler, 1000 + at, 2000);
        }
        assert!((rate - 0.1).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn failed_and_slow_ones_are_always_kept_and_stand_for_themselves() {
        let sampler = fixed(1e-9);
        for trace in 0..1000_u128 {
            let trace = trace.to_be_bytes();
            let failed = sampler.decide(&trace, true, true, 0);
            assert_eq!(failed, Decision::Keep { weight: 1.0, kept: "error" });
            let slow = sampler.decide(&trace, false, true, 0);
            assert_eq!(slow, Decision::Keep { weight: 1.0, kept: "slow" });
        }
    }

    #[test]
    fn weights_add_up_to_the_truth() {
        for rate in [0.5, 0.1] {
            let sampler = fixed(rate);
            let mut total = 0.0;
            for trace in 0..100_000_u128 {
                if let Decision::Keep { weight, .. } = sampler.decide(&trace.to_be_bytes(), false, false, 0) {
                    total += weight;
                }
            }
            // Five standard deviations of a binomial.
            let bound = 5.0 * (100_000.0 * (1.0 - rate) / rate).sqrt();
            assert!((total - 100_000.0).abs() < bound, "{rate}: {total}");
        }
    }

    proptest! {
        #[test]
        fn every_process_decides_alike_and_lower_rates_keep_a_part_of_higher_ones(trace: u128) {
            prop_assert_eq!(kept(&fixed(0.5), trace), kept(&fixed(0.5), trace));
            prop_assert!(!kept(&fixed(0.1), trace) || kept(&fixed(0.5), trace));
        }
    }
}
