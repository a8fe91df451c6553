//! Random games against a store: whatever happens no limit is exceeded, no refused request costs anything, and no told
//! time is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{Bed, DAY, end};
use crate::limits::{Admission, Allowance, Demand, LimitError, Limits};

#[derive(Debug, Clone)]
enum Step {
    Take(u64),
    End(usize, u64),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..120).prop_map(Step::Take),
        2 => (any::<usize>(), 0_u64..120).prop_map(|(which, used)| Step::End(which, used)),
        3 => prop_oneof![0_u64..3, 0_u64..2_500, 0_u64..70_000].prop_map(Step::Advance),
    ]
}

fn allowance() -> impl Strategy<Value = Allowance> {
    let maybe = proptest::option::of::<std::ops::Range<u64>>;
    (maybe(1..8), maybe(1..200), maybe(50..1_000), proptest::option::of(1_u32..5)).prop_map(
        |(requests_per_minute, tokens_per_minute, tokens_per_day, concurrency)| Allowance {
            requests_per_minute,
            tokens_per_minute,
            tokens_per_day,
            concurrency,
        },
    )
}

/// Everything that was granted to one subject, held against its limits after each grant.
struct Game<'a> {
    bed: &'a Bed,
    limits: Limits,
    subject: Arc<str>,
    allowance: Allowance,
    /// When, and how many tokens: those reserved while it runs, those used when it has ended.
    granted: Vec<(u64, u64)>,
    /// Which of them run.
    running: Vec<(usize, Admission)>,
}

/// Plays random games, each with a subject of its own.
pub(in crate::limits) fn play_at_random(bed: impl Future<Output = Bed>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bed = runtime.block_on(bed);
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let games = AtomicUsize::new(0);
    let played = TestRunner::new(config).run(&(allowance(), vec(step(), 1..60)), |(allowance, steps)| {
        let subject = games.fetch_add(1, Ordering::Relaxed).to_string().into();
        let (granted, running) = (Vec::new(), Vec::new());
        let game = Game { bed: &bed, limits: bed.limits(), subject, allowance, granted, running };
        runtime.block_on(game.play(steps))
    });
    // Whoever the bed keeps alive may need its runtime to end.
    let _inside = runtime.enter();
    drop(bed);
    played.unwrap();
}

impl Game<'_> {
    async fn play(mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        for step in steps {
            match step {
                Step::Advance(ms) => self.bed.clock.advance(ms),
                Step::End(which, used) => self.end(which, used).await,
                Step::Take(tokens) => self.take(tokens).await?,
            }
        }
        self.running.clear();
        self.bed.settled().await;
        Ok(())
    }

    fn demand(&self, tokens: u64) -> Demand {
        Demand { subject: Arc::clone(&self.subject), allowance: self.allowance, tokens }
    }

    async fn end(&mut self, which: usize, used: u64) {
        let Some(which) = which.checked_rem(self.running.len()) else { return };
        let (grant, admission) = self.running.swap_remove(which);
        self.granted[grant].1 = used.min(admission.reserved());
        end(self.bed, admission, used).await;
    }

    async fn take(&mut self, tokens: u64) -> Result<(), TestCaseError> {
        let before = self.limits.peek(&self.subject, &self.allowance).await.unwrap();
        let refusal = match self.limits.admit(self.demand(tokens)).await {
            Ok(admission) => return self.record(tokens, admission),
            Err(LimitError::Refused(refusal)) => refusal,
            Err(LimitError::Unavailable) => return Err(TestCaseError::fail("the store is away")),
        };
        let after = self.limits.peek(&self.subject, &self.allowance).await.unwrap();
        prop_assert_eq!(before, after, "a refused request costs nothing");

        let Some(wait) = refusal.retry_after else {
            prop_assert!(!self.allowance.could_grant(tokens));
            return Ok(());
        };
        let places_full =
            self.allowance.concurrency.is_some_and(|limit| self.running.len() >= limit as usize);
        if places_full {
            // When somebody will leave is not known.
            return Ok(());
        }
        let wait = u64::try_from(wait.as_millis()).unwrap();
        prop_assert!(wait > 0);
        self.bed.clock.advance(wait - 1);
        prop_assert!(self.limits.admit(self.demand(tokens)).await.is_err(), "a millisecond early");
        self.bed.clock.advance(1);
        match self.limits.admit(self.demand(tokens)).await {
            Ok(admission) => self.record(tokens, admission),
            Err(error) => Err(TestCaseError::fail(format!("not at the told moment: {error:?}"))),
        }
    }

    fn record(&mut self, tokens: u64, admission: Admission) -> Result<(), TestCaseError> {
        let now = self.bed.now();
        self.running.push((self.granted.len(), admission));
        self.granted.push((now, tokens));
        let lately = || self.granted.iter().filter(|(at, _)| at + 60_000 > now);
        let today = self.granted.iter().filter(|(at, _)| at / DAY == now / DAY);
        let within = |limit: Option<u64>, spent: u64| limit.is_none_or(|limit| spent <= limit);
        prop_assert!(within(self.allowance.requests_per_minute, lately().count() as u64));
        prop_assert!(within(self.allowance.tokens_per_minute, lately().map(|(_, tokens)| tokens).sum()));
        prop_assert!(within(self.allowance.tokens_per_day, today.map(|(_, tokens)| tokens).sum()));
        prop_assert!(within(self.allowance.concurrency.map(u64::from), self.running.len() as u64));
        Ok(())
    }
}
