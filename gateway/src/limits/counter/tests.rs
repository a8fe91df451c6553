//! The counter against a list of everything that was ever granted.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{PerDay, PerMinute};
use crate::limits::reading::Verdict;

const START: u64 = 1_700_000_000_250;

#[test]
fn an_amount_counts_until_sixty_seconds_after_its_slot_ended() {
    let mut counter = PerMinute::default();
    counter.add(10, START);
    let reading = counter.read(10, 1, START);
    assert_eq!(reading.verdict, Verdict::After(Duration::from_millis(60_750)));
    assert_eq!(counter.read(10, 1, START + 60_749).verdict, Verdict::After(Duration::from_millis(1)));
    assert_eq!(counter.read(10, 1, START + 60_750).verdict, Verdict::Passes);
    assert!(counter.is_idle(START + 60_750));
}

#[test]
fn a_day_ends_at_midnight() {
    let midnight = (START / 86_400_000 + 1) * 86_400_000;
    let mut counter = PerDay::default();
    counter.add(10, START);
    assert_eq!(counter.read(10, 1, midnight - 1).verdict, Verdict::After(Duration::from_millis(1)));
    assert_eq!(counter.read(10, 10, midnight).verdict, Verdict::Passes);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let mut counter = PerMinute::default();
    counter.add(u64::MAX, START);
    assert_eq!(counter.read(u64::MAX, 0, START).verdict, Verdict::Passes);
    assert!(matches!(counter.read(u64::MAX, u64::MAX, START).verdict, Verdict::After(_)));
    assert_eq!(counter.read(u64::MAX - 1, u64::MAX, START).verdict, Verdict::Never);
}

#[derive(Debug, Clone)]
enum Step {
    Take(u64),
    GiveBack(usize, u64),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..60).prop_map(Step::Take),
        2 => (any::<usize>(), 0_u64..60).prop_map(|(which, amount)| Step::GiveBack(which, amount)),
        4 => prop_oneof![0_u64..3, 0_u64..2_500, 0_u64..70_000].prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any 60 s that ends with a grant holds no more than the limit, and a refusal is true to the millisecond.
    #[test]
    fn never_more_than_the_limit_and_refusals_are_exact(steps in vec(step(), 1..80), limit in 1_u64..100) {
        let (mut counter, mut now) = (PerMinute::default(), START);
        let mut granted: Vec<(u64, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Advance(ms) => now += ms,
                Step::GiveBack(which, amount) => {
                    let Some(which) = which.checked_rem(granted.len()) else { continue };
                    let back = amount.min(granted[which].1);
                    granted[which].1 -= back;
                    counter.give_back(back, granted[which].0);
                }
                Step::Take(want) => {
                    if let Verdict::After(wait) = counter.read(limit, want, now).verdict {
                        let wait = u64::try_from(wait.as_millis()).unwrap();
                        prop_assert!(wait > 0);
                        prop_assert_ne!(counter.read(limit, want, now + wait - 1).verdict, Verdict::Passes);
                        now += wait;
                        prop_assert_eq!(counter.read(limit, want, now).verdict, Verdict::Passes);
                    }
                    if counter.read(limit, want, now).verdict == Verdict::Never {
                        prop_assert!(want > limit);
                        continue;
                    }
                    counter.add(want, now);
                    granted.push((now, want));
                    let lately = granted.iter().filter(|(at, _)| at + 60_000 > now).map(|(_, amount)| amount);
                    prop_assert!(lately.sum::<u64>() <= limit);
                }
            }
        }
    }
}
