//! What every store of limits promises, written once. `suite!` makes a test of each promise for a store.

mod random;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

pub(in crate::limits) use self::random::play_at_random;
use super::LimitStore;
use crate::clock::Clock;
use crate::limits::{Admission, Allowance, Demand, LimitError, Limits, Refusal, Scope};

/// A quarter into a second, two minutes before midnight UTC.
pub(in crate::limits) const START: u64 = 19_676 * DAY - 120_000 + 250;

const DAY: u64 = 86_400_000;

/// A store, the clock it goes by and what keeps it alive.
pub(in crate::limits) struct Bed {
    pub(in crate::limits) store: Arc<dyn LimitStore>,
    pub(in crate::limits) clock: Clock,
    pending: Box<dyn Fn() -> usize + Send + Sync>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Bed {
    /// A store that settles at once.
    pub(in crate::limits) fn new(store: Arc<dyn LimitStore>, clock: Clock) -> Self {
        Self { store, clock, pending: Box::new(|| 0), _keep: Box::new(()) }
    }

    /// A store that settles later.
    pub(in crate::limits) fn with_pending(
        self,
        pending: impl Fn() -> usize + Send + Sync + 'static,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self { pending: Box::new(pending), _keep: Box::new(keep), ..self }
    }

    pub(in crate::limits) fn limits(&self) -> Limits {
        Limits::new(Arc::clone(&self.store))
    }

    /// Until all that was dropped is settled.
    pub(in crate::limits) async fn settled(&self) {
        for _ in 0..20_000 {
            if (self.pending)() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        panic!("settlements still wait after 10 s");
    }

    fn now(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// Makes a test of each promise; takes a future of a [`Bed`].
macro_rules! suite {
    ($bed:expr) => {
        $crate::limits::store::conformance::suite! { $bed;
            requests_pass_up_to_the_limit_and_again_at_the_told_moment,
            a_full_minute_is_not_granted_twice,
            a_refused_request_costs_nothing_in_any_scope,
            a_refund_goes_to_the_second_of_its_reservation,
            a_refund_of_a_minute_that_is_over_changes_nothing,
            a_budget_lasts_until_midnight,
            a_place_is_free_when_its_request_ends,
            what_is_larger_than_a_limit_never_passes,
            the_scope_that_keeps_a_request_longest_decides,
            subjects_do_not_touch_each_other,
            looking_costs_nothing_and_tells_what_is_left,
            a_limit_that_changes_holds_at_once,
            a_clock_that_steps_back_forgives_nothing_and_locks_nobody_out,
            sixty_four_tasks_never_exceed_a_limit,
        }

        #[test]
        fn whatever_happens_no_limit_is_exceeded_and_no_time_is_wrong() {
            $crate::limits::store::conformance::play_at_random($bed);
        }
    };
    ($bed:expr; $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let bed = $bed.await;
                $crate::limits::store::conformance::$promise(&bed).await;
            }
        )+
    };
}
pub(in crate::limits) use suite;

const NONE: Allowance =
    Allowance { requests_per_minute: None, tokens_per_minute: None, tokens_per_day: None, concurrency: None };

fn requests(limit: u64) -> Allowance {
    Allowance { requests_per_minute: Some(limit), ..NONE }
}

fn tokens(limit: u64) -> Allowance {
    Allowance { tokens_per_minute: Some(limit), ..NONE }
}

fn places(limit: u32) -> Allowance {
    Allowance { concurrency: Some(limit), ..NONE }
}

fn demand(allowance: Allowance, tokens: u64) -> Demand {
    Demand { subject: "team".into(), allowance, tokens }
}

async fn granted(bed: &Bed, allowance: Allowance, tokens: u64) -> Admission {
    bed.limits().admit(demand(allowance, tokens)).await.unwrap()
}

async fn refused(bed: &Bed, allowance: Allowance, tokens: u64) -> Refusal {
    match bed.limits().admit(demand(allowance, tokens)).await {
        Err(LimitError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Ends a request that used so much, and waits until that is known.
async fn end(bed: &Bed, admission: Admission, used: u64) {
    admission.use_tokens(used);
    drop(admission);
    bed.settled().await;
}

fn ms(wait: Option<Duration>) -> u64 {
    u64::try_from(wait.expect("it may pass some time").as_millis()).unwrap()
}

pub(in crate::limits) async fn requests_pass_up_to_the_limit_and_again_at_the_told_moment(bed: &Bed) {
    for left in (0..3).rev() {
        let admission = granted(bed, requests(3), 5).await;
        let window = admission.standing().requests.unwrap();
        assert_eq!((window.limit, window.remaining), (3, left));
        assert_eq!(window.reset, Duration::from_millis(60_750), "the slot began 250 ms ago");
        assert_eq!(admission.standing().tokens, None);
    }
    bed.clock.advance(10_100);
    let refusal = refused(bed, requests(3), 5).await;
    assert_eq!((refusal.scope, ms(refusal.retry_after)), (Scope::Requests, 50_650));
    assert_eq!(refusal.standing.requests.unwrap().remaining, 0);
    bed.clock.advance(50_649);
    assert_eq!(ms(refused(bed, requests(3), 5).await.retry_after), 1);
    bed.clock.advance(1);
    assert_eq!(granted(bed, requests(3), 5).await.standing().requests.unwrap().remaining, 2);
}

pub(in crate::limits) async fn a_full_minute_is_not_granted_twice(bed: &Bed) {
    bed.clock.advance(59_000);
    for _ in 0..10 {
        drop(granted(bed, requests(10), 1).await);
    }
    for _ in 0..60 {
        bed.clock.advance(1_000);
        refused(bed, requests(10), 1).await;
    }
    bed.clock.advance(1_000);
    drop(granted(bed, requests(10), 1).await);
}

pub(in crate::limits) async fn a_refused_request_costs_nothing_in_any_scope(bed: &Bed) {
    let all = Allowance {
        requests_per_minute: Some(5),
        tokens_per_minute: Some(100),
        tokens_per_day: Some(150),
        concurrency: Some(2),
    };
    let first = granted(bed, all, 60).await;
    let before = bed.limits().peek("team", &all).await.unwrap();
    assert_eq!(refused(bed, all, 41).await.scope, Scope::Tokens);
    assert_eq!(
        refused(bed, Allowance { tokens_per_minute: None, ..all }, 91).await.scope,
        Scope::TokensPerDay
    );
    assert_eq!(
        refused(bed, Allowance { requests_per_minute: Some(1), ..all }, 1).await.scope,
        Scope::Requests
    );
    assert_eq!(refused(bed, Allowance { concurrency: Some(1), ..all }, 1).await.scope, Scope::Concurrency);
    assert_eq!(bed.limits().peek("team", &all).await.unwrap(), before);
    end(bed, first, 60).await;
}

pub(in crate::limits) async fn a_refund_goes_to_the_second_of_its_reservation(bed: &Bed) {
    let early = granted(bed, tokens(100), 80).await;
    bed.clock.advance(30_000);
    let late = granted(bed, tokens(100), 20).await;
    end(bed, early, 10).await;
    end(bed, late, 20).await;
    let window = bed.limits().peek("team", &tokens(100)).await.unwrap().tokens.unwrap();
    assert_eq!((window.remaining, window.reset), (70, Duration::from_millis(60_750)));
    // The 10 run out first, then the 20.
    assert_eq!(ms(refused(bed, tokens(100), 71).await.retry_after), 30_750);
    assert_eq!(ms(refused(bed, tokens(100), 81).await.retry_after), 60_750);
    drop(granted(bed, tokens(100), 70).await);
}

pub(in crate::limits) async fn a_refund_of_a_minute_that_is_over_changes_nothing(bed: &Bed) {
    let long = granted(bed, tokens(100), 100).await;
    bed.clock.advance(60_750);
    let next = granted(bed, tokens(100), 100).await;
    end(bed, long, 0).await;
    assert_eq!(refused(bed, tokens(100), 1).await.standing.tokens.unwrap().remaining, 0);
    end(bed, next, 0).await;
    assert_eq!(bed.limits().peek("team", &tokens(100)).await.unwrap().tokens.unwrap().remaining, 100);
}

pub(in crate::limits) async fn a_budget_lasts_until_midnight(bed: &Bed) {
    let budget = Allowance { tokens_per_day: Some(1_000), ..NONE };
    let first = granted(bed, budget, 1_000).await;
    let refusal = refused(bed, budget, 1).await;
    assert_eq!((refusal.scope, ms(refusal.retry_after)), (Scope::TokensPerDay, 119_750));
    end(bed, first, 400).await;
    end(bed, granted(bed, budget, 600).await, 600).await;
    bed.clock.advance(119_749);
    assert_eq!(ms(refused(bed, budget, 1).await.retry_after), 1);
    bed.clock.advance(1);
    let whole = granted(bed, budget, 1_000).await;
    let left = bed.limits().peek("team", &budget).await.unwrap().tokens_per_day.unwrap();
    assert_eq!((left.remaining, left.reset), (0, Duration::from_millis(DAY)));
    end(bed, whole, 0).await;
}

pub(in crate::limits) async fn a_place_is_free_when_its_request_ends(bed: &Bed) {
    let (one, two) = (granted(bed, places(2), 7).await, granted(bed, places(2), 7).await);
    let refusal = refused(bed, places(2), 7).await;
    assert_eq!(refusal.scope, Scope::Concurrency);
    assert_eq!(refusal.retry_after, Some(crate::limits::CONCURRENCY_RETRY));
    end(bed, one, 0).await;
    let three = granted(bed, places(2), 7).await;
    refused(bed, places(2), 7).await;
    // Whoever runs is counted, whatever limits it ran under.
    let other = granted(bed, tokens(100), 7).await;
    refused(bed, places(3), 7).await;
    for admission in [two, three, other] {
        end(bed, admission, 0).await;
    }
    let left = bed.limits().peek("team", &places(2)).await.unwrap().concurrency.unwrap();
    assert_eq!((left.limit, left.running), (2, 0));
}

pub(in crate::limits) async fn what_is_larger_than_a_limit_never_passes(bed: &Bed) {
    for (allowance, scope) in [
        (tokens(99), Scope::Tokens),
        (Allowance { tokens_per_day: Some(99), ..NONE }, Scope::TokensPerDay),
        (requests(0), Scope::Requests),
        (places(0), Scope::Concurrency),
    ] {
        let refusal = refused(bed, allowance, 100).await;
        assert_eq!((refusal.scope, refusal.retry_after), (scope, None));
    }
    drop(granted(bed, tokens(100), 100).await);
}

pub(in crate::limits) async fn the_scope_that_keeps_a_request_longest_decides(bed: &Bed) {
    let all = Allowance {
        requests_per_minute: Some(1),
        tokens_per_minute: Some(100),
        tokens_per_day: Some(150),
        concurrency: Some(1),
    };
    let held = granted(bed, all, 100).await;
    bed.clock.advance(1_000);
    // Request and tokens of the minute wait 59.75 s, the place 1 s, the budget until midnight.
    let refusal = refused(bed, all, 51).await;
    assert_eq!((refusal.scope, ms(refusal.retry_after)), (Scope::TokensPerDay, 118_750));
    let refusal = refused(bed, all, 50).await;
    assert_eq!((refusal.scope, ms(refusal.retry_after)), (Scope::Requests, 59_750));
    let refusal = refused(bed, all, 101).await;
    assert_eq!((refusal.scope, refusal.retry_after), (Scope::Tokens, None));
    end(bed, held, 0).await;
}

pub(in crate::limits) async fn subjects_do_not_touch_each_other(bed: &Bed) {
    let all = Allowance { concurrency: Some(1), tokens_per_minute: Some(1), ..requests(1) };
    let mut held = Vec::new();
    for subject in ["a", "A", "a:b", "a}", "{a}", "}", "%7D", "", " ", "ä", "a\n\0"] {
        let demand = Demand { subject: subject.into(), allowance: all, tokens: 1 };
        let first = bed.limits().admit(demand.clone()).await;
        held.push(first.unwrap_or_else(|error| panic!("{subject:?}: {error:?}")));
        assert!(bed.limits().admit(demand).await.is_err(), "{subject:?}");
    }
    drop(held);
    bed.settled().await;
}

pub(in crate::limits) async fn looking_costs_nothing_and_tells_what_is_left(bed: &Bed) {
    let all = Allowance {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(100),
        tokens_per_day: Some(1_000),
        concurrency: Some(3),
    };
    let empty = bed.limits().peek("team", &all).await.unwrap();
    assert_eq!(empty.requests.map(|window| (window.remaining, window.reset)), Some((2, Duration::ZERO)));
    let held = granted(bed, all, 30).await;
    for _ in 0..10 {
        let balance = bed.limits().peek("team", &all).await.unwrap();
        assert_eq!(balance.requests, held.standing().requests);
        assert_eq!(balance.tokens, held.standing().tokens);
        assert_eq!(balance.tokens.unwrap().remaining, 70);
        assert_eq!(balance.tokens_per_day.unwrap().remaining, 970);
        assert_eq!(balance.concurrency.unwrap().running, 1);
    }
    end(bed, held, 0).await;
}

pub(in crate::limits) async fn a_limit_that_changes_holds_at_once(bed: &Bed) {
    end(bed, granted(bed, tokens(100), 90).await, 90).await;
    let refusal = refused(bed, tokens(50), 1).await;
    assert_eq!(refusal.standing.tokens.unwrap().remaining, 0);
    // Nothing wanted is nothing refused.
    end(bed, granted(bed, tokens(50), 0).await, 0).await;
    end(bed, granted(bed, tokens(200), 110).await, 110).await;
    refused(bed, tokens(200), 1).await;
}

pub(in crate::limits) async fn a_clock_that_steps_back_forgives_nothing_and_locks_nobody_out(bed: &Bed) {
    drop(granted(bed, requests(2), 1).await);
    let Clock::Manual(now) = &bed.clock else { panic!("not a clock that tests drive") };
    now.fetch_sub(3_600_000, Ordering::Relaxed);
    drop(granted(bed, requests(2), 1).await);
    let refusal = refused(bed, requests(2), 1).await;
    assert_eq!(ms(refusal.retry_after), 60_750);
    bed.clock.advance(60_750);
    drop(granted(bed, requests(2), 1).await);
}

pub(in crate::limits) async fn sixty_four_tasks_never_exceed_a_limit(bed: &Bed) {
    const PLACES: u32 = 16;
    let all = Allowance {
        requests_per_minute: Some(300),
        tokens_per_minute: Some(10_000),
        tokens_per_day: Some(9_000),
        concurrency: Some(PLACES),
    };
    let limits = Arc::new(bed.limits());
    let (running, passed, spent) = <(Arc<AtomicUsize>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let mut tasks = JoinSet::new();
    for task in 0..64_u64 {
        let limits = Arc::clone(&limits);
        let (running, passed, spent) = (Arc::clone(&running), Arc::clone(&passed), Arc::clone(&spent));
        tasks.spawn(async move {
            for round in 0..30 {
                let Ok(admission) = limits.admit(demand(all, 500)).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                assert!(running.fetch_add(1, Ordering::SeqCst) < PLACES as usize);
                passed.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let used = (task + round) % 30;
                admission.use_tokens(used);
                spent.fetch_add(used, Ordering::SeqCst);
                running.fetch_sub(1, Ordering::SeqCst);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    bed.settled().await;
    let left = limits.peek("team", &all).await.unwrap();
    let (passed, spent) = (passed.load(Ordering::SeqCst), spent.load(Ordering::SeqCst));
    assert!(passed > 0 && passed <= 300);
    assert_eq!(left.requests.unwrap().remaining, 300 - passed);
    assert_eq!(left.tokens.unwrap().remaining, 10_000 - spent);
    assert_eq!(left.tokens_per_day.unwrap().remaining, 9_000 - spent);
    assert_eq!(left.concurrency.unwrap().running, 0);
}
