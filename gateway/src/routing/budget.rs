//! How many further attempts there may be: a share of recent requests, so that retries never become the load.

use std::time::Duration;

/// What each request adds: one attempt more for four requests.
const SHARE: f64 = 0.25;
/// The most that can be saved, for a target that fails all at once.
const MOST: f64 = 100.0;
/// Up to here time alone adds to it, so that where there are few requests one may still be tried again.
const FLOOR: f64 = 10.0;
/// What a second adds up to the floor.
const A_SECOND: f64 = 1.0;

/// The budget of a route.
#[derive(Debug)]
pub(super) struct Budget {
    balance: f64,
    looked: Duration,
}

impl Budget {
    /// A full one.
    pub(super) fn new() -> Self {
        Self { balance: MOST, looked: Duration::ZERO }
    }

    /// A request came.
    pub(super) fn request(&mut self, now: Duration) {
        self.refill(now);
        self.balance = (self.balance + SHARE).min(MOST);
    }

    /// Takes one attempt, if there is one.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        self.refill(now);
        let enough = self.balance >= 1.0;
        if enough {
            self.balance -= 1.0;
        }
        enough
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.looked).as_secs_f64();
        self.looked = self.looked.max(now);
        if self.balance < FLOOR {
            self.balance = passed.mul_add(A_SECOND, self.balance).min(FLOOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drained(now: Duration) -> Budget {
        let mut budget = Budget::new();
        while budget.take(now) {}
        budget
    }

    #[test]
    fn when_everything_fails_a_quarter_is_tried_again() {
        let mut budget = drained(Duration::ZERO);
        let mut again = 0;
        for _ in 0..1000 {
            budget.request(Duration::ZERO);
            again += u32::from(budget.take(Duration::ZERO));
        }
        assert_eq!(again, 250);
    }

    #[test]
    fn few_requests_may_still_be_tried_again() {
        let mut budget = drained(Duration::ZERO);
        assert!(!budget.take(Duration::from_millis(900)));
        assert!(budget.take(Duration::from_secs(1)));
        let later = Duration::from_hours(1);
        let again = (0..100).filter(|_| budget.take(later)).count();
        assert_eq!(again, 10, "time saves no more than the floor");
    }

    proptest! {
        #[test]
        fn attempts_never_exceed_what_came_in(
            steps in prop::collection::vec((0_u64..2000, any::<bool>()), 0..500)
        ) {
            let mut budget = Budget::new();
            let (mut now, mut requests, mut taken) = (Duration::ZERO, 0_u32, 0_u32);
            for (ms, request) in steps {
                now += Duration::from_millis(ms);
                if request {
                    budget.request(now);
                    requests += 1;
                } else {
                    taken += u32::from(budget.take(now));
                }
                let most = MOST + SHARE * f64::from(requests) + A_SECOND * now.as_secs_f64();
                prop_assert!(f64::from(taken) <= most + 1e-6);
            }
        }
    }
}
